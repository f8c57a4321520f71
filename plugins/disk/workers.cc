// SPDX-License-Identifier: Apache-2.0
#include "disk/workers.hpp"

#include <algorithm>
#include <utility>

#include "base/thread.hpp"

namespace sluice::disk {

namespace {

constexpr int kWatchCredit = 4;           // how often watching may be in vain before it stops
constexpr unsigned kSleepsPerTrial = 16;  // how often it is tried again then

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

}  // namespace

Workers::Workers(std::string name, size_t max_threads, std::chrono::microseconds watch)
    : name_(std::move(name)), max_threads_(max_threads), watch_(watch) {}

Workers::~Workers() {
  join();
}

void Workers::post(Task task) {
  std::unique_lock lock(mutex_);
  queue_.push_back(std::move(task));
  queued_.store(queue_.size(), std::memory_order_relaxed);
  if (idle_ < queue_.size() && threads_.size() < max_threads_ && !stopping_) {
    threads_.push_back(start_thread(name_, [this] { run(); }));
    return;
  }
  const bool wake = sleeping_ > 0 && idle_ - sleeping_ < queue_.size();  // those that watch will see it by themselves
  lock.unlock();
  if (wake) wake_.notify_one();
}

void Workers::join() {
  std::vector<std::thread> threads;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    threads.swap(threads_);
  }
  wake_.notify_all();
  for (std::thread& thread : threads) thread.join();
  std::lock_guard lock(mutex_);
  stopping_ = false;
}

void Workers::run() {
  std::unique_lock lock(mutex_);
  while (wait_for_work(lock)) {
    Task task = std::move(queue_.front());
    queue_.pop_front();
    queued_.store(queue_.size(), std::memory_order_relaxed);
    lock.unlock();
    task();
    task = nullptr;
    lock.lock();
  }
}

bool Workers::wait_for_work(std::unique_lock<std::mutex>& lock) {
  ++idle_;
  const bool watch = watch_.count() > 0 && (watch_credit_ > 0 || ++sleeps_ % kSleepsPerTrial == 0);
  if (queue_.empty() && !stopping_ && watch) {
    lock.unlock();
    const auto until = std::chrono::steady_clock::now() + watch_;
    while (queued_.load(std::memory_order_relaxed) == 0 && std::chrono::steady_clock::now() < until) relax();
    lock.lock();
    watch_credit_ = queue_.empty() ? std::max(watch_credit_ - 1, 0) : kWatchCredit;
  }
  ++sleeping_;
  wake_.wait(lock, [&] { return !queue_.empty() || stopping_; });
  --sleeping_;
  --idle_;
  return !queue_.empty();
}

}  // namespace sluice::disk
