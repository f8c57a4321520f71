// SPDX-License-Identifier: Apache-2.0
// The adapter's one thread: what is too large to copy on the caller's. First in, first out.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <thread>

#include "base/unique_function.hpp"

namespace sluice::memory {

/// post(): any thread. start() and stop(): one thread.
class Worker {
 public:
  using Job = UniqueFunction<void()>;
  /// Jobs that wait at most; beyond, post() refuses.
  static constexpr size_t kMaxJobs = 65536;

  Worker() = default;
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker() { stop(); }

  void start();
  /// Runs what is queued, then ends the thread. Later posts are refused.
  void stop();
  /// False, and the job is destroyed unrun, when it is full or not started. A job does not throw.
  bool post(Job job);

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;  // guarded by mutex_
  bool running_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace sluice::memory
