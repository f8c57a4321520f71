// SPDX-License-Identifier: Apache-2.0
// A binary heap whose entries know their place, so that a call that completes in time leaves nothing behind.
#include "host/timers.hpp"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <utility>

#include "base/clock.hpp"
#include "base/thread.hpp"

namespace sluice::host {

void Timers::place(size_t index, Entry* entry) {
  heap_[index] = entry;
  entry->index_ = index;
}

void Timers::rise(size_t index) {
  Entry* entry = heap_[index];
  while (index > 0 && heap_[(index - 1) / 2]->due_ns_ > entry->due_ns_) {
    place(index, heap_[(index - 1) / 2]);
    index = (index - 1) / 2;
  }
  place(index, entry);
}

void Timers::sink(size_t index) {
  Entry* entry = heap_[index];
  for (;;) {
    size_t child = 2 * index + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && heap_[child + 1]->due_ns_ < heap_[child]->due_ns_) ++child;
    if (heap_[child]->due_ns_ >= entry->due_ns_) break;
    place(index, heap_[child]);
    index = child;
  }
  place(index, entry);
}

void Timers::arm(Entry& entry, int64_t due_ns) {
  std::lock_guard lock(mutex_);
  const int64_t before = next_due();
  entry.due_ns_ = due_ns;
  heap_.push_back(&entry);
  rise(heap_.size() - 1);
  if (due_ns < before) changed();
}

bool Timers::disarm(Entry& entry) {
  std::lock_guard lock(mutex_);
  const size_t index = entry.index_;
  if (index == Entry::kNotArmed) return false;
  entry.index_ = Entry::kNotArmed;
  Entry* last = heap_.back();
  heap_.pop_back();
  if (last == &entry) return true;
  place(index, last);
  rise(index);
  sink(last->index_);
  return true;
}

void Timers::post(Job job) {
  std::lock_guard lock(mutex_);
  jobs_.push_back(std::move(job));
  changed();
}

int64_t Timers::next_due() const {
  if (!jobs_.empty()) return INT64_MIN;
  return heap_.empty() ? INT64_MAX : heap_.front()->due_ns_;
}

bool Timers::run_one(std::unique_lock<std::mutex>& lock, int64_t now) {
  if (!jobs_.empty()) {
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    job();
    job = nullptr;
    lock.lock();
    return true;
  }
  if (heap_.empty() || heap_.front()->due_ns_ > now) return false;
  Entry* entry = heap_.front();
  Entry* last = heap_.back();
  heap_.pop_back();
  entry->index_ = Entry::kNotArmed;
  if (last != entry) {
    place(0, last);
    sink(0);
  }
  lock.unlock();
  entry->expired();
  lock.lock();
  return true;
}

namespace {

class ProcessTimers final : public Timers {
 public:
  ProcessTimers() {
    start_thread("sluice-watchdog", [this] { run(); }).detach();
  }
  int64_t now_ns() const override { return system_clock().monotonic_ns(); }

 private:
  // Deadlines are mostly as far away as those before them: the thread wakes for the first of these, finds it gone, and
  // sleeps on until the next. Woken for every one, it would take the core from who waits for the answer.
  void changed() override {
    if (next_due() >= sleeps_until_ns_) return;
    sleeps_until_ns_ = INT64_MIN;
    wake_.notify_one();
  }

  [[noreturn]] void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      const int64_t now = now_ns();
      if (run_one(lock, now)) continue;
      constexpr int64_t kLongestSleepNs = 3'600'000'000'000;  // keeps the arithmetic of wait_for far from its limits
      const int64_t sleep_ns = std::min(next_due() - now, kLongestSleepNs);
      sleeps_until_ns_ = now + sleep_ns;
      wake_.wait_for(lock, std::chrono::nanoseconds(sleep_ns));
      sleeps_until_ns_ = INT64_MIN;  // looks by itself
    }
  }

  std::condition_variable wake_;
  int64_t sleeps_until_ns_ = INT64_MIN;  // guarded by mutex_
};

}  // namespace

Timers& process_timers() {
  static ProcessTimers* timers =
      new ProcessTimers();  // never destroyed: adapters may complete calls while the process exits
  return *timers;
}

int64_t ManualTimers::now_ns() const {
  std::lock_guard lock(mutex_);
  return now_ns_;
}

size_t ManualTimers::run_due() {
  std::unique_lock lock(mutex_);
  size_t ran = 0;
  while (run_one(lock, now_ns_)) ++ran;
  return ran;
}

void ManualTimers::advance_ms(int64_t by) {
  run_due();
  std::unique_lock lock(mutex_);
  const int64_t target = now_ns_ + by * 1'000'000;
  for (;;) {
    now_ns_ = std::max(now_ns_, std::min(next_due(), target));
    if (!run_one(lock, now_ns_)) break;
  }
}

}  // namespace sluice::host
