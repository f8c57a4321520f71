// SPDX-License-Identifier: Apache-2.0
// A Loop that tests turn by hand: jobs wait until the test runs them, and its clock moves only when the test says so.
// post() may come from any thread; all else belongs to the thread that drives the loop.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "base/loop.hpp"

namespace sluice {

class ManualLoop final : public Loop {
 public:
  explicit ManualLoop(int64_t now_ms = 1) : now_ms_(now_ms) {}

  void post(Job job) override {
    std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  TimerId call_after(int64_t delay_ms, Job job) override {
    std::lock_guard lock(mutex_);
    const TimerId id = ++last_timer_;
    timers_.emplace(Key{now_ms_ + delay_ms, id}, std::move(job));
    return id;
  }
  bool cancel(TimerId id) override {
    Job job;  // destroyed without the lock, for it may own what posts again
    std::lock_guard lock(mutex_);
    for (auto it = timers_.begin(); it != timers_.end(); ++it) {
      if (it->first.id != id) continue;
      job = std::move(it->second);
      timers_.erase(it);
      return true;
    }
    return false;
  }
  /// True inside a job that this thread runs.
  bool is_current() const override {
    std::lock_guard lock(mutex_);
    return runner_ == std::this_thread::get_id();
  }
  int64_t now_ms() const override {
    std::lock_guard lock(mutex_);
    return now_ms_;
  }

  /// Runs jobs, those that they post too, until none is left; timers that are due count. Returns how many ran.
  size_t run_until_idle() {
    size_t ran = 0;
    while (run_one()) ++ran;
    return ran;
  }
  /// Runs the oldest job, or the earliest timer that is due. False if there is none.
  bool run_one() {
    Job job;
    std::thread::id before;
    {
      std::lock_guard lock(mutex_);
      if (!timers_.empty() && timers_.begin()->first.due_ms <= now_ms_) {
        jobs_.push_back(std::move(timers_.begin()->second));
        timers_.erase(timers_.begin());
      }
      if (jobs_.empty()) return false;
      job = std::move(jobs_.front());
      jobs_.pop_front();
      before = std::exchange(runner_, std::this_thread::get_id());
    }
    job();
    std::lock_guard lock(mutex_);
    runner_ = before;
    return true;
  }
  /// Moves the clock forward, stopping at every timer on the way, and runs what becomes due and all that follows from
  /// it.
  void advance_ms(int64_t by) {
    run_until_idle();
    const int64_t target = now_ms() + by;
    for (;;) {
      {
        std::lock_guard lock(mutex_);
        const bool timer = !timers_.empty() && timers_.begin()->first.due_ms <= target;
        now_ms_ = timer ? std::max(now_ms_, timers_.begin()->first.due_ms) : target;
      }
      if (run_until_idle() == 0) return;
    }
  }
  /// Jobs that wait to be run, timers not counted.
  size_t queued() const {
    std::lock_guard lock(mutex_);
    return jobs_.size();
  }
  /// Timers that have not fired.
  size_t timers() const {
    std::lock_guard lock(mutex_);
    return timers_.size();
  }

 private:
  struct Key {
    int64_t due_ms;
    TimerId id;
    auto operator<=>(const Key&) const = default;
  };

  mutable std::mutex mutex_;  // guards all below
  int64_t now_ms_;
  TimerId last_timer_ = 0;
  std::thread::id runner_;
  std::deque<Job> jobs_;
  std::map<Key, Job> timers_;
};

}  // namespace sluice
