// SPDX-License-Identifier: Apache-2.0
// What a bus tells its telemetry, by name. Pure functions.
#pragma once

#include <cstdint>
#include <string>

#include "sluice/bus.hpp"
#include "sluice/telemetry.hpp"

namespace sluice::bus {

inline constexpr std::string_view kTelemetrySystem = "sluice.bus";

/// Times deliveries of one shard.
OperationMeter delivery_meter(Telemetry& telemetry, const std::string& bus, uint64_t shard);

/// Counts by shard, where those that are gone are one series without a number, so that a name's sum never falls; drops
/// by cause.
void report(const std::string& bus, const BusStats& stats, BusHealth::Level level, Observations& to);

}  // namespace sluice::bus
