// SPDX-License-Identifier: Apache-2.0
#include "bus/pump.hpp"

#include <sys/prctl.h>

#include <algorithm>

#include "base/thread.hpp"
#include "bus/thread_token.hpp"

namespace sluice::bus {
namespace {

constexpr unsigned long kTimerSlackNs = 5'000;  // the default of 50 us would be half a nap

}  // namespace

thread_local const Context* Pump::serving_ = nullptr;

Pump::Pump(std::shared_ptr<Context> context, std::function<void(const std::shared_ptr<Shard>&)> finished)
    : context_(std::move(context)),
      finished_(std::move(finished)),
      thread_(start_thread("sluice-bus", [this] { run(); })) {}

Pump::~Pump() {
  stop_.store(true, std::memory_order_release);
  signal_->notify();
  thread_.join();
}

void Pump::add(std::shared_ptr<Shard> shard) {
  {
    const std::lock_guard lock(mutex_);
    arrivals_.push_back(std::move(shard));
  }
  arrived_.store(true, std::memory_order_release);
  signal_->notify();
}

void Pump::run() {
  prctl(PR_SET_TIMERSLACK, kTimerSlackNs, 0, 0, 0);
  signal_->claim();
  serving_ = context_.get();
  while (!stop_.load(std::memory_order_acquire)) {
    if (arrived_.exchange(false, std::memory_order_acquire)) {
      const std::lock_guard lock(mutex_);
      std::move(arrivals_.begin(), arrivals_.end(), std::back_inserter(shards_));
      arrivals_.clear();
    }
    const int64_t now_ns = monotonic_ns();
    bool progress = false;
    bool any_finished = false;
    int64_t due_ns = INT64_MAX;
    for (const std::shared_ptr<Shard>& shard : shards_) {
      const Shard::Step step = shard->step(now_ns);
      progress |= step.progress;
      any_finished |= shard->is_finished();
      due_ns = std::min(due_ns, step.due_ns);
    }
    if (any_finished) {
      const auto gone =
          std::stable_partition(shards_.begin(), shards_.end(), [](const auto& s) { return !s->is_finished(); });
      const std::vector<std::shared_ptr<Shard>> finished(gone, shards_.end());
      shards_.erase(gone, shards_.end());
      for (const std::shared_ptr<Shard>& shard : finished) finished_(shard);
    }
    if (progress) {
      context_->made_progress();
    } else {
      rest(now_ns, due_ns);
    }
  }
}

void Pump::rest(int64_t now_ns, int64_t due_ns) {
  if (std::any_of(shards_.begin(), shards_.end(), [](const auto& shard) { return shard->is_busy(); })) {
    return signal_->wait_until(std::min(due_ns, now_ns + Shard::kNapNs));
  }
  for (const std::shared_ptr<Shard>& shard : shards_) shard->arm();
  heavy_fence();
  const bool may_sleep =
      std::all_of(shards_.begin(), shards_.end(), [](const auto& shard) { return shard->may_sleep(); });
  if (may_sleep) {
    signal_->wait_until(due_ns);
  } else {
    sched_yield();  // an event is there, but one before it is still being written
  }
}

}  // namespace sluice::bus
