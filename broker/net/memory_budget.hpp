// SPDX-License-Identifier: Apache-2.0
// How much memory requests may hold, over all connections (Kafka's queued.max.request.bytes). A frame reserves before
// it grows; when the budget is spent, its connection waits, first come first served, frames in progress before new
// ones.
//
// No deadlock: if every byte is held by half-read frames, none could ever finish. So one frame in progress at a time
// may overdraw, until its request has been answered and its memory is back; the overshoot is at most one frame.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>

#include "base/loop.hpp"

namespace sluice::net {

/// Thread-safe.
class MemoryBudget {
 public:
  /// A place in the queue for memory. Held by who waits; the fields are the budget's.
  class Wait {
   public:
    /// Whether it was granted beyond the budget's end. To be asked once it is granted.
    bool overdrawn() const { return overdrawn_; }

   private:
    friend class MemoryBudget;
    enum class State { waiting, granted, given_up };
    int64_t bytes_ = 0;
    bool in_progress_ = false;
    bool overdrawn_ = false;
    State state_ = State::waiting;
    Executor* executor_ = nullptr;
    Job granted_;
  };

  explicit MemoryBudget(int64_t max_bytes) : max_bytes_(max_bytes) {}

  /// True: `bytes` are reserved. False: they are not there, or others wait for memory already. A new frame is let in
  /// while anything at all is left, so that no frame is larger than the budget.
  bool try_reserve(int64_t bytes);

  /// Waits for `bytes`. `granted` runs on `executor` once they are reserved, never before this returns. `in_progress`:
  /// the frame has been begun; it goes before new frames, and may overdraw: then Wait::overdrawn() says so, and
  /// end_overdraft() is due when its memory is given back; what else it needs is for overdraw(). To be followed by
  /// give_up(), unless `granted` has run.
  std::shared_ptr<Wait> wait(int64_t bytes, bool in_progress, Executor& executor, Job granted);
  /// Leaves the queue, or gives back what was granted and not yet used. `granted` may still run if it was on its way.
  void give_up(Wait& wait);

  /// Reserves whatever is used already. For the frame that overdraws, until end_overdraft().
  void overdraw(int64_t bytes) { used_.fetch_add(bytes, std::memory_order_seq_cst); }

  /// Gives bytes back, and so memory to those who wait.
  void release(int64_t bytes);
  /// The frame that overdrew is gone: another may.
  void end_overdraft();

  /// Any moment's figure, in bytes; above max_bytes() by a frame or two when overdrawn.
  int64_t used() const { return used_.load(std::memory_order_relaxed); }
  int64_t max_bytes() const { return max_bytes_; }

 private:
  void grant_to_waiting();

  const int64_t max_bytes_;
  std::atomic<int64_t> used_{0};
  std::atomic<int64_t> waiting_{0};
  std::mutex mutex_;
  std::deque<std::shared_ptr<Wait>> in_progress_;  // guarded by mutex_, as is every Wait
  std::deque<std::shared_ptr<Wait>> new_frames_;   // guarded by mutex_
  bool overdraft_taken_ = false;                   // guarded by mutex_
};

}  // namespace sluice::net
