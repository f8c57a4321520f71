// SPDX-License-Identifier: Apache-2.0
// Threads of this adapter: a Worker has one, which runs jobs in order and serves librdkafka's queues; a Pool has a few,
// for calls of librdkafka that wait. Signals stay the process's. What a job throws is told and ends with it.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_function.hpp"

namespace sluice::kafka {

/// CLOCK_MONOTONIC, nanoseconds.
int64_t now_ns();

/// How something is said to the operator: SLUICE_LOG_..., one line. Any thread.
using Say = std::function<void(int32_t level, const std::string& text)>;

class Worker {
 public:
  using Job = UniqueFunction<void()>;
  static constexpr int64_t kNever = INT64_MAX;
  /// Called on the thread after jobs and after poke(); gives the time at which it wants to be called again.
  using Serve = std::function<int64_t()>;

  Worker(std::string name, Say say) : name_(std::move(name)), say_(std::move(say)) {}
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker() { join(); }

  void start(Serve serve);
  /// Any thread. Jobs posted after join() are dropped.
  void post(Job job);
  /// Any thread, librdkafka's with its locks held among them.
  void poke();
  /// Runs what is queued and ends the thread; start() may follow.
  void join();

 private:
  void run();

  const std::string name_;
  const Say say_;
  Serve serve_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> jobs_;   // guarded by mutex_
  bool poked_ = false;     // guarded by mutex_
  bool running_ = false;   // guarded by mutex_
  bool stopping_ = false;  // guarded by mutex_
  std::thread thread_;
};

class Pool {
 public:
  using Job = UniqueFunction<void()>;
  static constexpr size_t kMaxThreads = 4;

  Pool(std::string name, Say say) : name_(std::move(name)), say_(std::move(say)) {}
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  /// Waits for what runs; what did not begin is dropped.
  ~Pool();

  /// Any thread.
  void post(Job job);
  /// True when nothing runs or waits; waits for it until then.
  bool wait_idle(int64_t deadline_ns);

 private:
  void run();

  const std::string name_;
  const Say say_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable idle_changed_;
  std::deque<Job> jobs_;              // guarded by mutex_
  std::vector<std::thread> threads_;  // guarded by mutex_
  size_t idle_ = 0;                   // guarded by mutex_
  bool stopping_ = false;             // guarded by mutex_
};

}  // namespace sluice::kafka
