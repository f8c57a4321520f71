// SPDX-License-Identifier: Apache-2.0
// The streams as this adapter makes them, and whether one that is there is one of them.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "base/uuid.hpp"
#include "jetstream/settings.hpp"

namespace sluice::jetstream {

/// What a bounded log's stream may hold beyond max_bytes, so that a full one can still be fenced, trimmed and told
/// small values.
constexpr uint64_t kReserveBytes = 8 << 20;

nlohmann::json root_config(const Settings& settings);
/// Of the layout `record`: what says which log stands for which stream, and a topic's partition.
nlohmann::json markers_config(const Settings& settings);
nlohmann::json topic_config(const Settings& settings, const std::string& topic, int32_t partition);
nlohmann::json log_config(const Settings& settings, const Uuid& id, const std::string& topic, int32_t partition);

/// "replicas is 1, wanted 3; storage is memory, wanted file"; empty: they match. Only what was wanted is compared, but
/// for the description.
std::string config_difference(const nlohmann::json& wanted, const nlohmann::json& actual);

/// The part of `wanted` without which the adapter's promises do not hold, whatever the options say: nothing is thrown
/// away, direct reads work, and nobody else's subjects come in.
nlohmann::json needed_shape(nlohmann::json wanted);

}  // namespace sluice::jetstream
