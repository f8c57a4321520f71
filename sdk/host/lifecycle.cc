// SPDX-License-Identifier: Apache-2.0
#include "host/lifecycle.hpp"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "base/clock.hpp"
#include "base/thread.hpp"

namespace sluice::host {
namespace {

enum class Phase { queued, begun, ended, withdrawn };

struct Item {
  const char* call;
  Job job;
  Phase phase = Phase::queued;
};

}  // namespace

struct LifecycleWorker::State {
  std::string name;
  mutable std::mutex mutex;  // guards all below
  std::condition_variable changed;
  std::deque<std::shared_ptr<Item>> queue;
  const char* current = "";
  bool running = false;  // the thread exists
  bool closed = false;
  std::thread::id thread;

  /// With the lock held.
  static std::shared_ptr<Item> push(const std::shared_ptr<State>& state, const char* call, Job job) {
    if (!state->running) {
      state->running = true;
      std::thread worker = start_thread("life-" + state->name, [state] { serve(state); });
      worker.detach();
    }
    auto item = std::make_shared<Item>(Item{call, std::move(job)});
    state->queue.push_back(item);
    state->changed.notify_all();
    return item;
  }

  static void serve(const std::shared_ptr<State>& state) {
    std::unique_lock lock(state->mutex);
    state->thread = std::this_thread::get_id();
    for (;;) {
      state->changed.wait(lock, [&] { return state->closed || !state->queue.empty(); });
      if (state->queue.empty()) return;
      const std::shared_ptr<Item> item = std::move(state->queue.front());
      state->queue.pop_front();
      if (item->phase == Phase::withdrawn) continue;
      item->phase = Phase::begun;
      state->current = item->call;
      lock.unlock();
      item->job();
      item->job = nullptr;
      lock.lock();
      state->current = "";
      item->phase = Phase::ended;
      state->changed.notify_all();
    }
  }
};

LifecycleWorker::LifecycleWorker(std::string storage_name) : state_(std::make_shared<State>()) {
  state_->name = std::move(storage_name);
}

LifecycleWorker::~LifecycleWorker() {
  std::lock_guard lock(state_->mutex);
  state_->closed = true;
  state_->changed.notify_all();
}

LifecycleWorker::Outcome LifecycleWorker::run(const char* call, Job job, int64_t deadline_ns) {
  const std::shared_ptr<State> state = state_;  // the job may be what destroys this worker
  std::unique_lock lock(state->mutex);
  if (state->thread == std::this_thread::get_id()) {
    lock.unlock();
    job();
    return Outcome::ended;
  }
  const std::shared_ptr<Item> item = State::push(state, call, std::move(job));
  const int64_t wait_ns = std::max<int64_t>(0, deadline_ns - system_clock().monotonic_ns());
  if (state->changed.wait_for(lock, std::chrono::nanoseconds(wait_ns), [&] { return item->phase == Phase::ended; })) {
    return Outcome::ended;
  }
  if (item->phase == Phase::begun) return Outcome::running;
  item->phase = Phase::withdrawn;
  return Outcome::not_begun;
}

void LifecycleWorker::post(const char* call, Job job) {
  std::lock_guard lock(state_->mutex);
  State::push(state_, call, std::move(job));
}

std::string LifecycleWorker::current() const {
  std::lock_guard lock(state_->mutex);
  return state_->current;
}

}  // namespace sluice::host
