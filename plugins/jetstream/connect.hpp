// SPDX-License-Identifier: Apache-2.0
// How a connection is asked for, and what a server says before it is agreed on.
#pragma once

#include <nats/nats.h>

#include <memory>
#include <string>

#include "jetstream/client.hpp"

namespace sluice::jetstream {

using NatsOptions = std::unique_ptr<natsOptions, decltype(&natsOptions_Destroy)>;

/// Everything but the event loop. INVALID names what cnats refuses, a file that cannot be read among it.
Result<NatsOptions> make_options(const Settings& settings, const std::string& url);

/// The name that the certificate of the server at `url` must carry: the option's, or the URL's. A server that another
/// told of by its address may have a certificate for the name of a configured one.
std::string certified_name(const Settings& settings, const std::string& url);

/// Whether the server may have hung up because of our certificate, and said so where it was not heard.
bool hung_up(natsStatus status, const TlsChannel::Catch& encryption);

/// Why connecting failed: DENIED, INVALID, UNAVAILABLE. `encryption` saw it.
Status connect_status(natsStatus status, const TlsChannel::Catch& encryption);

/// cnats' own threads are started once and serve the process to its end: others in it may use the library too.
void open_library();

/// Reads the line that a server sends first. Blocks up to `timeout_ms`; empty where it cannot be had.
ServerInfo ask_server(const std::string& url, int64_t timeout_ms);

/// Whether `version` is at least major.minor. An unknown version counts as new enough.
bool at_least(const std::string& version, int major, int minor);

}  // namespace sluice::jetstream
