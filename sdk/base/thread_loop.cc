// SPDX-License-Identifier: Apache-2.0
#include "base/thread_loop.hpp"

#include <chrono>
#include <utility>

#include "base/clock.hpp"
#include "base/thread.hpp"

namespace sluice {

ThreadLoop::ThreadLoop(const std::string& name) {
  std::lock_guard lock(mutex_);  // run() begins once thread_ is assigned, so that is_current() is right from the start
  thread_ = start_thread(name, [this] { run(); });
}

ThreadLoop::~ThreadLoop() {
  stop();
}

void ThreadLoop::post(Job job) {
  std::lock_guard lock(mutex_);
  if (stopping_) return;
  jobs_.push_back(std::move(job));
  wake_.notify_one();  // with the lock: once the job has run, somebody may destroy this loop
}

TimerId ThreadLoop::call_after(int64_t delay_ms, Job job) {
  const TimerId id = ++last_timer_;
  timers_.emplace(Key{now_ms() + delay_ms, id}, std::move(job));
  return id;
}

bool ThreadLoop::cancel(TimerId id) {
  for (auto it = timers_.begin(); it != timers_.end(); ++it) {
    if (it->first.id != id) continue;
    const Job job = std::move(it->second);
    timers_.erase(it);
    return true;
  }
  return false;
}

int64_t ThreadLoop::now_ms() const {
  return system_clock().monotonic_ms();
}

void ThreadLoop::stop() {
  std::call_once(joined_, [this] {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_one();
    thread_.join();
  });
}

void ThreadLoop::run() {
  std::deque<Job> batch;
  for (;;) {
    bool last = false;
    {
      std::unique_lock lock(mutex_);
      while (jobs_.empty() && !stopping_) {
        if (timers_.empty()) {
          wake_.wait(lock);
          continue;
        }
        const int64_t wait_ms = timers_.begin()->first.due_ms - now_ms();
        if (wait_ms <= 0) break;
        wake_.wait_for(lock, std::chrono::milliseconds(wait_ms));
      }
      batch.swap(jobs_);
      last = stopping_;
    }
    for (Job& job : batch) {
      job();
      job = nullptr;
    }
    batch.clear();
    if (last) break;
    const int64_t now = now_ms();
    while (!timers_.empty() && timers_.begin()->first.due_ms <= now) {
      Job job = std::move(timers_.begin()->second);
      timers_.erase(timers_.begin());
      job();
    }
  }
  timers_.clear();
}

}  // namespace sluice
