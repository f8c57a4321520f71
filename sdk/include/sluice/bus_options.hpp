// SPDX-License-Identifier: Apache-2.0
// What an event bus is told when it is made. Bus::create() checks all of it before it opens anything, and names the
// field that is wrong by its path ("bus.scale.grow_above: ...").
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "sluice/event.hpp"
#include "sluice/sink.hpp"

namespace sluice {

class Telemetry;

enum class Route : uint8_t {
  by_key,       // by a hash of the key alone; events with a null key take turns. Another number of shards moves keys
  round_robin,  // in turns, each thread by itself
  custom        // BusOptions::route
};

/// What happens to an event whose shard is full.
enum class WhenFull : uint8_t {
  block,        // waits for room, `block_ms` at most: then Outcome::timed_out, at once for the rest of a batch
  drop_newest,  // it is dropped
  drop_oldest,  // the oldest event that is not yet on its way to the sink is dropped
  sample,  // above half of the capacity one of `sample_one_in` events is kept, the others are dropped; full: dropped
  fail     // Outcome::full
};

struct BatchOptions {
  uint32_t max_events = 1'024;   // 1 to 65536
  uint64_t max_bytes = 1 << 20;  // of payload; a single larger event goes alone
  uint32_t linger_us = 1'000;    // how long the first event of a batch waits for others at most
  bool adaptive = true;          // waits only as long as events come fast enough to fill a batch in `linger_us`
};

struct RetryOptions {
  uint32_t retries = 10;        // after the first attempt
  uint32_t first_ms = 20;       // doubled each time, and then anything between half of it and all of it
  uint32_t longest_ms = 2'000;  // >= first_ms
};

/// When shards are added and removed by themselves. Shares are between 0 and 1.
struct ScaleOptions {
  bool enabled = false;
  uint32_t min_shards = 1;
  uint32_t max_shards = 16;             // up to kMaxBusShards
  uint32_t sample_ms = 100;             // how often the load is looked at
  double grow_above = 0.7;              // smoothed fill of the fullest shard
  double shrink_below = 0.1;            // likewise; well below grow_above
  double shrink_events_per_s = 10'000;  // and only while a shard gets less than this
  uint32_t sustain_ms = 1'000;          // how long a threshold must be passed
  uint32_t warm_up_ms = 5'000;          // nothing changes before
  uint32_t cooldown_ms = 5'000;         // between two changes
  uint32_t budget_changes = 20;         // in any `budget_ms`
  uint32_t budget_ms = 600'000;
};

inline constexpr uint32_t kMaxBusShards = 256;

struct ShardChange {
  enum class What : uint8_t { added, draining, finished } what = What::added;
  uint64_t shard = 0;
};

struct BusOptions {
  std::string name = "bus";  // 1 to 200 bytes; part of what shards are called in cursors
  /// Keeps the ids of shards and the epoch across restarts, so that none is used twice; one process at a time. Empty:
  /// the bus has a random name of its own for the same end, and positions mean nothing to its successor.
  std::string state_file;
  uint32_t shards = 2;                // to begin with; 0 to kMaxBusShards
  uint32_t capacity_events = 16'384;  // per shard; 1 to 2^24
  uint32_t inline_bytes =
      160;  // of an event's payload that lie in the shard's own memory; larger events cost an allocation
  uint32_t max_event_bytes = 1 << 20;        // up to kMaxEventBytes
  uint64_t max_spilled_bytes = 64ULL << 20;  // of larger events, per shard; beyond it a shard is full
  uint32_t threads = 1;                      // that deliver; 1 to 64. Shards are spread over them

  Route routing = Route::by_key;
  /// For Route::custom: a number below `shards` > 0; anything else: Outcome::no_route. Any thread, no lock held; may
  /// call the bus.
  std::function<uint32_t(const Event& event, uint32_t shards)> route;
  WhenFull when_full = WhenFull::block;
  uint32_t block_ms = 10'000;
  uint32_t sample_one_in = 10;

  BatchOptions batch;
  RetryOptions retry;
  ScaleOptions scale;
  uint32_t max_in_flight = 4;  // batches of a shard given to a sink that keeps their order; 1 to 64

  /// Where all shards deliver; or one for each shard, made here when the shard is added (any thread, no lock held). The
  /// bus lets a sink go when it is destroyed itself, and not in an answer of the sink's.
  /// Neither: subscribers are all there is, and an event is delivered when they can read it.
  std::shared_ptr<Sink> sink;
  std::function<Result<std::shared_ptr<Sink>>(uint64_t shard)> sink_for_shard;
  /// Events of each shard kept for Bus::subscribe() after they came; the oldest give way, for
  /// max_spilled_bytes too. 0: no subscribers; without a sink it must be above 0. Up to 2^24.
  uint32_t retain_events = 0;

  /// Nanoseconds since the epoch, or a negative number when the clock fails. Any thread; calls nothing of the bus.
  /// Empty: the system's.
  std::function<int64_t()> clock;
  /// Warnings, one line each. Any thread, no lock held. Empty: standard error.
  std::function<void(std::string_view)> log;
  /// After a shard was added, began to drain, or delivered its last event. Any thread, no lock held; may call the bus.
  std::function<void(const ShardChange&)> on_change;
  /// Hears of every delivery how long it took and why it failed, and asks for the counts of BusStats when a snapshot is
  /// taken (sluice.bus.*, and semconv::kSentMessages for what was delivered): ingesting costs the same without. Null:
  /// none.
  std::shared_ptr<Telemetry> telemetry;
};

}  // namespace sluice
