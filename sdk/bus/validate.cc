// SPDX-License-Identifier: Apache-2.0
#include "bus/validate.hpp"

#include <fmt/format.h>

#include <cmath>
#include <string>

namespace sluice::bus {
namespace {

constexpr size_t kMaxNameBytes = 200;
constexpr uint32_t kMaxCapacityEvents = 1U << 24;
constexpr uint32_t kMaxInlineBytes = 64U << 10;
constexpr uint64_t kMaxRingBytes = 4ULL << 30;  // of one shard
constexpr uint64_t kMaxSpilledBytes = 1ULL << 40;
constexpr uint32_t kMaxThreads = 64;
constexpr uint32_t kMaxWaitMs = 24U * 3600 * 1000;
constexpr uint32_t kMaxLingerUs = 60'000'000;
constexpr uint32_t kMaxBatchEvents = 65'536;
constexpr uint64_t kMaxBatchBytes = 1ULL << 30;
constexpr uint32_t kMaxRetries = 1'000'000;
constexpr uint32_t kMaxInFlight = 64;
constexpr uint32_t kMaxSampleOneIn = 1'000'000;

/// Collects the first complaint.
class Checker {
 public:
  template <class T>
  Checker& within(const char* path, T value, T least, T most) {
    // Written so that NaN is outside.
    if (!(value >= least && value <= most)) {
      complain(path, fmt::format("{} is not between {} and {}", value, least, most));
    }
    return *this;
  }
  Checker& require(bool holds, const char* path, std::string why) {
    if (!holds) complain(path, std::move(why));
    return *this;
  }
  Status status() && { return std::move(status_); }

 private:
  void complain(const char* path, const std::string& why) {
    if (status_) status_ = Status(StatusCode::invalid, fmt::format("bus.{}: {}", path, why));
  }
  Status status_;
};

}  // namespace

Status validate(const BusOptions& o, SinkToCome sink_to_come) {
  const bool has_sink = o.sink || sink_to_come == SinkToCome::yes;
  Checker check;
  check
      .require(!o.name.empty() && o.name.size() <= kMaxNameBytes, "name",
               fmt::format("{} bytes, not between 1 and {}", o.name.size(), kMaxNameBytes))
      .require(o.state_file.find('\0') == std::string::npos, "state_file", "holds a zero byte")
      .within("shards", o.shards, 0U, kMaxBusShards)
      .within("capacity_events", o.capacity_events, 1U, kMaxCapacityEvents)
      .within("inline_bytes", o.inline_bytes, 1U, kMaxInlineBytes)
      .require(uint64_t{o.capacity_events} * o.inline_bytes <= kMaxRingBytes, "capacity_events",
               fmt::format("times inline_bytes is more than {} bytes", kMaxRingBytes))
      .within("max_event_bytes", o.max_event_bytes, 1U, kMaxEventBytes)
      .within("max_spilled_bytes", o.max_spilled_bytes, uint64_t{0}, kMaxSpilledBytes)
      .require(o.max_event_bytes <= o.inline_bytes || o.max_spilled_bytes >= o.max_event_bytes, "max_spilled_bytes",
               "an event of max_event_bytes would never find room")
      .within("threads", o.threads, 1U, kMaxThreads)
      .require(o.routing <= Route::custom, "routing", "no such routing")
      .require((o.routing == Route::custom) == static_cast<bool>(o.route), "route",
               "goes with routing: custom, and only with it")
      .require(o.when_full <= WhenFull::fail, "when_full", "no such mode")
      .within("block_ms", o.block_ms, 1U, kMaxWaitMs)
      .within("sample_one_in", o.sample_one_in, 1U, kMaxSampleOneIn)
      .within("batch.max_events", o.batch.max_events, 1U, kMaxBatchEvents)
      .within("batch.max_bytes", o.batch.max_bytes, uint64_t{1}, kMaxBatchBytes)
      .within("batch.linger_us", o.batch.linger_us, 0U, kMaxLingerUs)
      .within("retry.retries", o.retry.retries, 0U, kMaxRetries)
      .within("retry.first_ms", o.retry.first_ms, 1U, kMaxWaitMs)
      .within("retry.longest_ms", o.retry.longest_ms, 1U, 3'600'000U)
      .require(o.retry.longest_ms >= o.retry.first_ms, "retry.longest_ms", "is below retry.first_ms")
      .within("max_in_flight", o.max_in_flight, 1U, kMaxInFlight)
      .within("retain_events", o.retain_events, 0U, kMaxCapacityEvents)
      .require(!has_sink || !o.sink_for_shard, "sink_for_shard", "there is a sink for all shards too")
      .require(has_sink || o.sink_for_shard || o.retain_events > 0, "sink",
               "there is none, and no event is retained for subscribers");
  if (o.scale.enabled) {
    check.within("scale.min_shards", o.scale.min_shards, 1U, kMaxBusShards)
        .within("scale.max_shards", o.scale.max_shards, o.scale.min_shards, kMaxBusShards)
        .require(o.shards >= o.scale.min_shards && o.shards <= o.scale.max_shards, "shards",
                 "is not between scale.min_shards and scale.max_shards")
        .within("scale.sample_ms", o.scale.sample_ms, 1U, 60'000U)
        .within("scale.grow_above", o.scale.grow_above, 0.0, 1.0)
        .within("scale.shrink_below", o.scale.shrink_below, 0.0, 1.0)
        .require(o.scale.shrink_below < o.scale.grow_above, "scale.shrink_below", "is not below scale.grow_above")
        .within("scale.shrink_events_per_s", o.scale.shrink_events_per_s, 0.0, 1e12)
        .within("scale.sustain_ms", o.scale.sustain_ms, 0U, kMaxWaitMs)
        .within("scale.warm_up_ms", o.scale.warm_up_ms, 0U, kMaxWaitMs)
        .within("scale.cooldown_ms", o.scale.cooldown_ms, 0U, kMaxWaitMs)
        .within("scale.budget_changes", o.scale.budget_changes, 1U, 1'000'000U)
        .within("scale.budget_ms", o.scale.budget_ms, 1U, kMaxWaitMs);
  }
  return std::move(check).status();
}

}  // namespace sluice::bus
