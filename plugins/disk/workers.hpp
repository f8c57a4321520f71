// SPDX-License-Identifier: Apache-2.0
// A few threads that run tasks in the order they were posted. Threads are started when there is work for them, up to
// the limit: a quiet storage has none. Before it sleeps, a thread watches the queue for a moment, because waking it
// costs more than that; where that was in vain several times, it does so only now and then.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_function.hpp"

namespace sluice::disk {

class Workers {
 public:
  using Task = UniqueFunction<void()>;

  Workers(std::string name, size_t max_threads, std::chrono::microseconds watch);
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;
  /// Runs what is queued, then ends the threads.
  ~Workers();

  /// Any thread; never waits for a task.
  void post(Task task);

  /// Runs what is queued and ends the threads; a later post() starts new ones.
  void join();

 private:
  void run();
  bool wait_for_work(std::unique_lock<std::mutex>& lock);

  const std::string name_;
  const size_t max_threads_;
  const std::chrono::microseconds watch_;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Task> queue_;            // guarded by mutex_
  std::vector<std::thread> threads_;  // guarded by mutex_
  int watch_credit_ = 0;              // falls when watching was in vain; guarded by mutex_
  unsigned sleeps_ = 0;               // guarded by mutex_
  size_t idle_ = 0;                   // sleeping or watching; guarded by mutex_
  size_t sleeping_ = 0;               // guarded by mutex_
  bool stopping_ = false;             // guarded by mutex_
  std::atomic<size_t> queued_{0};     // queue_.size(), to be watched without the lock
};

}  // namespace sluice::disk
