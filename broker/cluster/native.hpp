// SPDX-License-Identifier: Apache-2.0
// Topics on storages of kind NATIVE: the rules for making one, and what is the engine's to decide. Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.hpp"
#include "cluster/types.hpp"
#include "host/storage.hpp"

namespace sluice::cluster {

/// Metadata says so, so that it is known while the storage is away.
bool is_native(const TopicInfo& topic);
bool is_adopted(const TopicInfo& topic);

/// INVALID, with a sentence for the client, where one of the settings is the engine's own business.
Status check_native_settings(const Configs& settings, std::string_view storage);

/// How many partitions a listing shows of the engine's topic `name`; 0: it is not there.
int32_t native_partitions(const std::vector<host::LogEntry>& listed, std::string_view name);

/// Some names of topics in a listing, for an error: "a, b, c and 4 more".
std::string native_names(const std::vector<host::LogEntry>& listed);

}  // namespace sluice::cluster
