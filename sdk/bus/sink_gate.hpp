// SPDX-License-Identifier: Apache-2.0
// One sink and what happens to it once: opened before the first batch (tried again while it is not there), flushed on
// demand, closed once. Shards that share a sink share its gate. No lock is held while the sink is called.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "base/retry.hpp"
#include "sluice/sink.hpp"

namespace sluice::bus {

/// Any thread. Held by shared_ptr only: answers of the sink may come late.
class SinkGate : public std::enable_shared_from_this<SinkGate> {
 public:
  enum class State : uint8_t { cold, opening, waiting, open, failed, closing, closed };

  /// `changed` is called after the state changed by itself, from any thread.
  SinkGate(std::shared_ptr<Sink> sink, const RetryPolicy& retry, std::function<void()> changed);

  Sink& sink() { return *sink_; }
  const SinkTraits& traits() const { return traits_; }
  /// How a delivery's repetition is to be judged.
  Effect effect() const { return traits_.deduplicates ? Effect::repeatable : Effect::once; }

  /// Where the gate is; opens it if nobody did yet, or again once the time has come, which is otherwise put into
  /// `due_ns` if earlier.
  State advance(int64_t now_ns, int64_t& due_ns);
  State state() const { return state_.load(std::memory_order_acquire); }
  /// Why it failed for ever, or the last time; OK if it did not.
  Status failure() const;

  /// Waits for the sink's flush. BUSY: not by `until_ns`. A sink that was never opened has nothing to flush. [blocks]
  Status flush(int64_t until_ns);
  /// Waits for the sink's close, which is begun once. OK for one that never opened. [blocks]
  Status close(int64_t until_ns);
  /// Begins to close, if nobody did. Then the state is `closed` later, and close_result() tells how it went.
  void begin_close(int64_t timeout_ms);
  Status close_result() const;

  /// Drops the sink, at the bus's end: nothing but answers that come late follows.
  void let_go() { sink_.reset(); }

 private:
  void open();
  void opened(Status status);
  void closed(Status status);
  void set(State state);

  std::shared_ptr<Sink> sink_;
  const SinkTraits traits_;
  const RetryPolicy retry_;
  const std::function<void()> changed_;
  std::atomic<State> state_{State::cold};

  mutable std::mutex mutex_;
  std::condition_variable turned_;
  uint32_t attempts_ = 0;  // guarded by mutex_, as what follows
  int64_t retry_at_ns_ = 0;
  Status failure_;
  Status close_result_;
};

}  // namespace sluice::bus
