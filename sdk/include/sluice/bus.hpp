// SPDX-License-Identifier: Apache-2.0
// An event bus inside a process: threads put events in, each goes to one of several shards, and each shard delivers its
// events in order, in batches, to a sink and to local subscribers. Nothing is lost silently: at any time
//
//   accepted = pending + delivered + dropped (by cause)          offered = accepted + refused + unrouted
//
// Every function may be called from any thread at the same time, callbacks included, unless it says otherwise.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/bus_options.hpp"
#include "sluice/export.hpp"
#include "sluice/source.hpp"
#include "sluice/status.hpp"

namespace sluice {

/// What became of an event as its thread left it. One byte, since a Status would cost more than the event.
enum class Outcome : uint8_t {
  queued,         // accepted: it will be delivered, or counted as dropped
  dropped,        // accepted, and dropped at once as WhenFull says
  full,           // not accepted, as all that follow: its shard has no room
  timed_out,      // no room came in time
  no_route,       // there is no shard, or the routing function names none
  shutting_down,  // FENCED: shutdown() was called
  invalid,        // too many or too large headers, or a size that no event can have
  too_large,      // larger than BusOptions::max_event_bytes
  no_memory,      // for an event that does not fit into its slot
  exhausted       // the shard has no sequence left: fatal for it
};
/// The same with words, and a code whose class says whether to try again.
SLUICE_API Status describe(Outcome outcome);

struct BatchOutcome {
  Outcome outcome = Outcome::queued;  // of the first event that was not accepted; queued: all were
  size_t index = 0;                   // which that is; the number of events if none
  size_t queued = 0;
  size_t dropped = 0;
};

struct Dropped {
  uint64_t newest = 0;     // WhenFull::drop_newest
  uint64_t oldest = 0;     // WhenFull::drop_oldest
  uint64_t sampled = 0;    // WhenFull::sample
  uint64_t refused = 0;    // by the sink, for ever
  uint64_t failed = 0;     // the sink failed, and no retry was allowed or left
  uint64_t abandoned = 0;  // at destruction, when the deadline had passed
  uint64_t all() const { return newest + oldest + sampled + refused + failed + abandoned; }
};

struct BusCounts {
  uint64_t accepted = 0;
  uint64_t delivered = 0;
  uint64_t pending = 0;  // accepted, and neither delivered nor dropped yet
  uint64_t refused = 0;  // Outcome::full, timed_out, no_memory, exhausted
  Dropped dropped;
};

struct ShardCounts : BusCounts {
  uint64_t shard = 0;
  bool draining = false;  // takes nothing more
  bool finished = false;  // and has delivered everything
  uint64_t batches = 0;   // settled
  uint64_t retries = 0;
  uint64_t subscribable = 0;  // events that a subscriber can read now
};

struct BusStats : BusCounts {  // of all shards there ever were
  uint64_t offered = 0;
  uint64_t unrouted = 0;  // Outcome::no_route, shutting_down
  uint64_t epoch = 0;
  uint64_t clock_failures = 0;
  uint64_t clock_steps_back = 0;
  uint64_t scaled_up = 0;
  uint64_t scaled_down = 0;
  uint64_t spilled = 0;             // events larger than BusOptions::inline_bytes
  std::vector<ShardCounts> shards;  // those that still exist, by rising id
};

struct BusHealth {
  enum class Level : uint8_t { ok, degraded, failing, stopped } level = Level::ok;
  std::vector<std::string> reasons;  // one line each; empty: ok
};

class SLUICE_API Bus {
 public:
  /// INVALID: an option is wrong. CONFLICT: another process has the state file. CORRUPT: it is damaged. UNAVAILABLE: no
  /// memory, or no thread.
  static Result<std::unique_ptr<Bus>> create(BusOptions options);
  /// Without a shutdown() before: says so in a log line, delivers for kDestructionMs at most, and counts the rest as
  /// abandoned, here and in lost_at_destruction(). No call may be in progress.
  ~Bus();
  static constexpr int64_t kDestructionMs = 2'000;
  static uint64_t lost_at_destruction();  // of all buses of this process

  /// Copies the event into its shard. Lock-free but for WhenFull::block and drop_oldest on a full shard.
  Outcome ingest(const Event& event);
  /// Every element is checked before any is taken: `invalid` and `too_large` mean that none was. Otherwise those that
  /// find room are taken, in order for each key; one without a key that finds its shard full may get into another.
  BatchOutcome ingest(std::span<const Event> events);
  /// Bytes as a value with a null key.
  Outcome ingest_raw(Bytes value) { return ingest(Event{std::nullopt, value, {}}); }

  /// Another shard; returns its id. BUSY: there are kMaxBusShards; FENCED: shut down; UNAVAILABLE: no memory for it;
  /// what sink_for_shard says, INTERNAL if it throws. Keys move.
  Result<uint64_t> add_shard();
  /// Takes the shard out of routing and returns; it delivers what it has, and is then finished.
  Status remove_shard(uint64_t shard);
  /// Ids of the shards that can be subscribed to: live, draining, and up to kMaxFinishedShards finished ones not yet
  /// read to their end.
  std::vector<uint64_t> subscribable() const;
  static constexpr uint32_t kMaxFinishedShards = 64;
  /// Reads a shard's retained events; independent of all other subscribers, may outlive the bus. Positions are
  /// sequences; those that gave way are OUT_OF_RANGE. NOT_FOUND; UNSUPPORTED: retain_events is 0.
  Result<std::unique_ptr<Source>> subscribe(uint64_t shard);

  /// Waits until all that was accepted before the call is delivered or dropped. BUSY: not within `timeout_ms` (0 to
  /// kMaxWaitMs).
  Status drain(int64_t timeout_ms);
  /// drain(), then the sinks' flush. Fails with the first failure since the last flush if there was any, and says how
  /// many events.
  Status flush(int64_t timeout_ms);
  /// Takes nothing more, drains, flushes and closes the sinks, once. BUSY when `timeout_ms` is over: all goes on
  /// meanwhile, and the call may be repeated. Otherwise as flush(); later calls return OK.
  Status shutdown(int64_t timeout_ms);
  static constexpr int64_t kMaxWaitMs = 24LL * 3600 * 1000;

  BusStats stats() const;
  BusHealth health() const;

  class SLUICE_LOCAL Impl;

 private:
  explicit Bus(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice
