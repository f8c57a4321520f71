// SPDX-License-Identifier: Apache-2.0
#include "bus/metrics.hpp"

#include <fmt/format.h>

#include "telemetry/attributes.hpp"

namespace sluice::bus {
namespace {

using telemetry::with;

constexpr std::string_view kOperation = "send";

void report_counts(const BusCounts& counts, const Attributes& of, Observations& to) {
  to.counter(semconv::kSentMessages, counts.delivered, with(of, semconv::kOperationName, kOperation));
  to.counter("sluice.bus.accepted", counts.accepted, of);
  to.counter("sluice.bus.refused", counts.refused, of);
}

}  // namespace

OperationMeter delivery_meter(Telemetry& telemetry, const std::string& bus, uint64_t shard) {
  return telemetry.meter(kOperation, kTelemetrySystem, fmt::format("{}/{}", bus, shard));
}

void report(const std::string& bus, const BusStats& stats, BusHealth::Level level, Observations& to) {
  const Attributes of_bus = telemetry::named(kTelemetrySystem, semconv::kDestinationName, bus);
  BusCounts gone = stats;
  uint64_t live = 0;
  uint64_t draining = 0;
  for (const ShardCounts& shard : stats.shards) {
    const Attributes of = with(of_bus, semconv::kPartitionId, std::to_string(shard.shard));
    report_counts(shard, of, to);
    to.gauge("sluice.bus.pending", static_cast<int64_t>(shard.pending), of, "{message}");
    gone.accepted -= shard.accepted;
    gone.delivered -= shard.delivered;
    gone.refused -= shard.refused;
    if (!shard.finished) ++(shard.draining ? draining : live);
  }
  report_counts(gone, of_bus, to);
  const std::pair<const char*, uint64_t> causes[] = {
      {"newest", stats.dropped.newest},   {"oldest", stats.dropped.oldest}, {"sampled", stats.dropped.sampled},
      {"refused", stats.dropped.refused}, {"failed", stats.dropped.failed}, {"abandoned", stats.dropped.abandoned}};
  for (const auto& [cause, count] : causes) {
    to.counter("sluice.bus.dropped", count, with(of_bus, semconv::kErrorType, cause));
  }
  to.counter("sluice.bus.unrouted", stats.unrouted, of_bus);
  to.counter("sluice.bus.spilled", stats.spilled, of_bus);
  to.counter("sluice.bus.clock.failures", stats.clock_failures, of_bus, "{failure}");
  to.counter("sluice.bus.clock.steps_back", stats.clock_steps_back, of_bus, "{step}");
  to.counter("sluice.bus.scaled", stats.scaled_up, with(of_bus, "sluice.direction", "up"), "{shard}");
  to.counter("sluice.bus.scaled", stats.scaled_down, with(of_bus, "sluice.direction", "down"), "{shard}");
  to.gauge("sluice.bus.shards", static_cast<int64_t>(live), with(of_bus, "sluice.state", "live"), "{shard}");
  to.gauge("sluice.bus.shards", static_cast<int64_t>(draining), with(of_bus, "sluice.state", "draining"), "{shard}");
  to.gauge("sluice.bus.health", static_cast<int64_t>(level), of_bus);  // as BusHealth::Level
}

}  // namespace sluice::bus
