// SPDX-License-Identifier: Apache-2.0
// How a connection is asked for, and what a server says before it is agreed on.
#pragma once

#include <nats/nats.h>

#include <memory>
#include <string>
#include <vector>

#include "jetstream/client.hpp"

namespace sluice::jetstream {

using NatsOptions = std::unique_ptr<natsOptions, decltype(&natsOptions_Destroy)>;

/// Everything but the event loop. INVALID names what cnats refuses, a file that cannot be read among it.
Result<NatsOptions> make_options(const Settings& settings, const std::vector<std::string>& urls);

/// Why connecting failed: DENIED, INVALID, UNAVAILABLE.
Status connect_status(natsStatus status);

/// cnats' own threads are started once and serve the process to its end: others in it may use the library too.
void open_library();

/// Reads the line that a server sends first. Blocks up to `timeout_ms`; empty where it cannot be had.
ServerInfo ask_server(const std::string& url, int64_t timeout_ms);

/// Whether `version` is at least major.minor. An unknown version counts as new enough.
bool at_least(const std::string& version, int major, int minor);

}  // namespace sluice::jetstream
