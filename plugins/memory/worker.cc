// SPDX-License-Identifier: Apache-2.0
#include "worker.hpp"

#include <utility>

#include "base/thread.hpp"

namespace sluice::memory {

void Worker::start() {
  const std::lock_guard lock(mutex_);
  if (running_) return;
  thread_ = start_thread("memory", [this] { run(); });
  running_ = true;
}

void Worker::stop() {
  {
    const std::lock_guard lock(mutex_);
    running_ = false;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

bool Worker::post(Job job) {
  {
    const std::lock_guard lock(mutex_);
    if (!running_ || jobs_.size() >= kMaxJobs) return false;
    jobs_.push_back(std::move(job));
  }
  changed_.notify_one();
  return true;
}

void Worker::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return !jobs_.empty() || !running_; });
    if (jobs_.empty()) return;
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    job();
    job = nullptr;
    lock.lock();
  }
}

}  // namespace sluice::memory
