// SPDX-License-Identifier: Apache-2.0
// What a loop does besides requests: repeated work, and tasks that wait before they try again. All of it ends when the
// broker stops: pauses end at once, and whoever stops waits for what is under way.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>

#include "base/loop.hpp"
#include "base/task.hpp"

namespace sluice::app {

class Background {
 public:
  /// The loop outlives it, or has stopped.
  explicit Background(Loop& loop) : loop_(loop) {}
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  // ---- Loop thread
  /// Runs a task that ends soon after a pause() said false.
  void run(Task<void> task);
  /// Runs `work` every `every_ms`, counted from the end of the last time.
  void repeat(int64_t every_ms, std::function<Task<void>()> work);
  /// True after `ms`; false as soon as the broker stops.
  Task<bool> pause(int64_t ms);

  // ---- Any thread
  bool stopping() const { return stopping_.load(std::memory_order_relaxed); }
  /// Ends all pauses, those to come too.
  void stop();
  /// [blocks] Waits until everything has ended. False: the deadline came first. Not from the loop.
  bool wait(int64_t deadline_ms);

 private:
  Task<void> repeated(int64_t every_ms, std::function<Task<void>()> work);

  Loop& loop_;
  std::atomic<bool> stopping_{false};
  std::map<TimerId, Resumer<bool>> pauses_;  // loop thread
  std::mutex mutex_;
  std::condition_variable ended_;
  size_t running_ = 0;  // guarded by mutex_
};

}  // namespace sluice::app
