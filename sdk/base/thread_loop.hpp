// SPDX-License-Identifier: Apache-2.0
// A Loop with a thread of its own: for workers of the host, for programs that have no event loop, and for tests.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "base/loop.hpp"

namespace sluice {

/// post, is_current, now_ms and stop: any thread. call_after and cancel: the loop's thread only.
class ThreadLoop final : public Loop {
 public:
  /// Starts the thread. `name` is what debuggers and `top` show (15 characters at most).
  explicit ThreadLoop(const std::string& name = "loop");
  /// stop().
  ~ThreadLoop() override;
  ThreadLoop(const ThreadLoop&) = delete;
  ThreadLoop& operator=(const ThreadLoop&) = delete;

  void post(Job job) override;
  TimerId call_after(int64_t delay_ms, Job job) override;
  bool cancel(TimerId id) override;
  bool is_current() const override { return std::this_thread::get_id() == thread_.get_id(); }
  int64_t now_ms() const override;

  /// Runs what was posted before, destroys what comes later and all timers unrun, and joins the thread. Not from the
  /// loop's own thread. A second call does nothing.
  void stop();

 private:
  struct Key {
    int64_t due_ms;
    TimerId id;
    auto operator<=>(const Key&) const = default;
  };
  void run();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> jobs_;       // guarded by mutex_
  bool stopping_ = false;      // guarded by mutex_
  std::map<Key, Job> timers_;  // the loop's thread only
  TimerId last_timer_ = 0;     // the loop's thread only
  std::once_flag joined_;
  std::thread thread_;
};

}  // namespace sluice
