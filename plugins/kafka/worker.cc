// SPDX-License-Identifier: Apache-2.0
#include "kafka/worker.hpp"

#include <chrono>
#include <exception>
#include <utility>

#include "base/clock.hpp"
#include "base/thread.hpp"
#include "sluice/storage_abi.h"

namespace sluice::kafka {
namespace {

std::chrono::steady_clock::time_point at(int64_t monotonic_ns) {
  return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(monotonic_ns));
}

// Memory ran out, most likely: the calls concerned are answered at their deadlines.
template <class Function>
void guarded(const Say& say, Function&& function) noexcept {
  try {
    function();
  } catch (const std::exception& error) {
    try {
      say(SLUICE_LOG_ERROR, error.what());
    } catch (...) {
    }
  }
}

}  // namespace

int64_t now_ns() {
  return system_clock().monotonic_ns();
}

void Worker::start(Serve serve) {
  const std::lock_guard lock(mutex_);
  serve_ = std::move(serve);
  stopping_ = false;
  running_ = true;
  poked_ = true;
  thread_ = start_thread(name_, [this] { run(); });
}

void Worker::post(Job job) {
  const std::lock_guard lock(mutex_);
  if (!running_) return;
  jobs_.push_back(std::move(job));
  wake_.notify_one();
}

void Worker::poke() {
  const std::lock_guard lock(mutex_);
  if (std::exchange(poked_, true)) return;
  wake_.notify_one();
}

void Worker::join() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
  const std::lock_guard lock(mutex_);
  running_ = false;
  jobs_.clear();
}

void Worker::run() {
  std::deque<Job> batch;
  int64_t due_ns = kNever;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      const auto awake = [this] { return !jobs_.empty() || poked_ || stopping_; };
      if (due_ns == kNever) {
        wake_.wait(lock, awake);
      } else {
        wake_.wait_until(lock, at(due_ns), awake);
      }
      batch.swap(jobs_);
      poked_ = false;
      if (batch.empty() && stopping_) return;
    }
    for (Job& job : batch) {
      guarded(say_, [&] { job(); });
      job = nullptr;
    }
    batch.clear();
    due_ns = now_ns() + 1'000'000'000;  // if serving fails
    guarded(say_, [&] { due_ns = serve_(); });
  }
}

Pool::~Pool() {
  std::vector<std::thread> threads;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    jobs_.clear();
    threads.swap(threads_);
  }
  wake_.notify_all();
  for (std::thread& thread : threads) thread.join();
}

void Pool::post(Job job) {
  const std::lock_guard lock(mutex_);
  if (stopping_) return;
  jobs_.push_back(std::move(job));
  if (idle_ < jobs_.size() && threads_.size() < kMaxThreads) threads_.push_back(start_thread(name_, [this] { run(); }));
  wake_.notify_one();
}

bool Pool::wait_idle(int64_t deadline_ns) {
  std::unique_lock lock(mutex_);
  return idle_changed_.wait_until(lock, at(deadline_ns), [&] { return jobs_.empty() && idle_ == threads_.size(); });
}

void Pool::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    ++idle_;
    if (jobs_.empty()) idle_changed_.notify_all();
    wake_.wait(lock, [this] { return !jobs_.empty() || stopping_; });
    --idle_;
    if (jobs_.empty()) return;
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    guarded(say_, [&] { job(); });
    job = nullptr;
    lock.lock();
  }
}

}  // namespace sluice::kafka
