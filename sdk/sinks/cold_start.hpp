// SPDX-License-Identifier: Apache-2.0
// Batches that come before their sink is open, and who waits for that: the first begins the opening, all others wait
// for the same one. Any thread.
#pragma once

#include <deque>
#include <mutex>
#include <string>
#include <utility>

#include "base/status.hpp"
#include "base/unique_function.hpp"

namespace sluice::sinks {

class ColdStart {
 public:
  /// Told how the opening ended; without a lock.
  using Waiter = UniqueFunction<void(const Status&)>;
  enum class Answer {
    open,     // go on at once; the waiter was not taken
    begin,    // the waiter was taken, and whoever asked begins the opening
    waiting,  // the waiter was taken
    full,     // too many wait; the waiter was not taken
  };

  explicit ColdStart(size_t max_waiting) : max_waiting_(max_waiting) {}

  Answer enter(Waiter& waiter) {
    const std::lock_guard lock(mutex_);
    if (open_) return Answer::open;
    if (waiting_.size() >= max_waiting_) return Answer::full;
    waiting_.push_back(std::move(waiter));
    return std::exchange(opening_, true) ? Answer::waiting : Answer::begin;
  }
  /// The opening has ended; tells everybody. After a failure the next who enters begins again.
  void ended(const Status& status) {
    std::deque<Waiter> told;
    {
      const std::lock_guard lock(mutex_);
      open_ = status.ok();
      opening_ = false;
      told.swap(waiting_);
    }
    for (Waiter& waiter : told) waiter(status);
  }
  bool is_open() const {
    const std::lock_guard lock(mutex_);
    return open_;
  }

 private:
  const size_t max_waiting_;
  mutable std::mutex mutex_;
  bool open_ = false;           // guarded by mutex_
  bool opening_ = false;        // guarded by mutex_
  std::deque<Waiter> waiting_;  // guarded by mutex_
};

}  // namespace sluice::sinks
