// SPDX-License-Identifier: Apache-2.0
// Where the event bus delivers: batches of one shard's events go to a sink, which says later what became of them. A
// sink stands behind one shard or behind all; retries, order and accounting are the bus's work, knowing its target the
// sink's.
#pragma once

#include <cstdint>
#include <string_view>

#include "sluice/export.hpp"
#include "sluice/record.hpp"
#include "sluice/status.hpp"
#include "sluice/unique_function.hpp"

namespace sluice {

/// Names a batch for ever: no two events have the same (bus, epoch, shard, sequence), restarts included, as long as the
/// bus has a state file. What a sink that deduplicates needs.
struct BatchOrigin {
  std::string_view bus;  // name of the bus
  uint64_t epoch = 0;    // rises with each start
  uint64_t shard = 0;    // never used again for another one
};

/// Events of one shard by rising sequence, at least one. A view that may be copied; it and the bytes of its records
/// live until the delivery's `done` was called or destroyed. Any thread may read.
class SLUICE_API EventBatch {
 public:
  EventBatch() = default;

  size_t size() const { return count_; }
  /// Bytes of keys, values and headers.
  uint64_t payload_bytes() const { return payload_bytes_; }
  const BatchOrigin& origin() const { return origin_; }
  /// Sequences rise by one, but for events that were evicted in between.
  uint64_t first_sequence() const;
  uint64_t last_sequence() const;
  /// 0 for the first attempt at these events, then 1, 2, ...
  uint32_t attempt() const { return attempt_; }

  /// Event `i` < size(): position = sequence, partition = 0, timestamps strictly rise along the shard.
  Record operator[](size_t i) const;
  /// Calls `visit(const Record&)` for each, in order.
  template <class Visit>
  void each(Visit&& visit) const {
    for (size_t i = 0; i < count_; ++i) visit((*this)[i]);
  }
  /// Without the first `count` <= size() events.
  EventBatch after(size_t count) const;

 private:
  friend class EventBatchAccess;
  const uint8_t* slots_ = nullptr;
  uint32_t slot_bytes_ = 0;
  uint32_t count_ = 0;
  uint32_t attempt_ = 0;
  uint64_t payload_bytes_ = 0;
  BatchOrigin origin_;
};

/// What became of a batch. Its first `settled` events are settled: delivered, but for `refused` of them, which the
/// target will never take (too large, malformed); they are counted as failed. Those behind failed with `status`.
struct Delivery {
  Status status;         // ok: all are settled, whatever `settled` says
  uint32_t settled = 0;  // read when `status` is not ok
  uint32_t refused = 0;  // <= the settled ones
  Status refusal;        // why the first of the refused was refused
};

struct SinkTraits {
  /// The same (origin, sequence) given twice is there once. Only then is a delivery that ended UNKNOWN tried again;
  /// otherwise its events are counted as failed.
  bool deduplicates = false;
  /// Batches of one shard given one after the other keep their order although the first is not done: the bus may keep
  /// more than one in flight. Otherwise one at a time.
  bool ordered = false;
  uint32_t max_batch_events = UINT32_MAX;  // what deliver() takes at most; at least 1
  uint64_t max_batch_bytes = UINT64_MAX;   // likewise, by payload_bytes(); a single larger event comes nevertheless
};

/// Calls come from threads of the bus; for one shard one at a time, for a sink behind several shards at once. No call
/// may block or wait: each answers through its `done`, exactly once, from any thread, also before the call returns,
/// never with a lock of the sink held. A `done` that is destroyed uncalled counts as INTERNAL. No exception leaves a
/// sink.
class Sink {
 public:
  using Done = UniqueFunction<void(Status)>;
  using Delivered = UniqueFunction<void(Delivery)>;

  virtual ~Sink() = default;
  /// Constant.
  virtual SinkTraits traits() const { return {}; }
  /// Once, before anything else; the bus holds events back until it is done. Retried by the bus while it fails with
  /// UNAVAILABLE, BUSY or UNKNOWN: opening twice must do no harm.
  virtual void open(Done done) { done(Status()); }
  /// Delivers in order. UNAVAILABLE, BUSY: not applied, the bus tries again (Status::retry_after_ms is obeyed), before
  /// anything behind it. UNKNOWN: see SinkTraits. All else (closed: FENCED): not tried again, counted as failed.
  virtual void deliver(EventBatch batch, Delivered done) = 0;
  /// Done when every event that was settled is as durable as this sink makes it, or with why not. Deliveries may be in
  /// flight. `timeout_ms` > 0: how long the caller will wait; later answers are ignored.
  virtual void flush(int64_t timeout_ms, Done done) {
    static_cast<void>(timeout_ms);
    done(Status());
  }
  /// Once, when nothing is in flight: flush, then give everything up. Failures are reported by the bus's shutdown.
  virtual void close(int64_t timeout_ms, Done done) { flush(timeout_ms, std::move(done)); }
};

}  // namespace sluice
