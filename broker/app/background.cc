// SPDX-License-Identifier: Apache-2.0
#include "app/background.hpp"

#include <chrono>
#include <memory>
#include <utility>

namespace sluice::app {

void Background::run(Task<void> task) {
  {
    std::lock_guard lock(mutex_);
    ++running_;
  }
  start(std::move(task), [this] {
    std::lock_guard lock(mutex_);
    if (--running_ == 0) ended_.notify_all();
  });
}

void Background::repeat(int64_t every_ms, std::function<Task<void>()> work) {
  run(repeated(every_ms, std::move(work)));
}

Task<void> Background::repeated(int64_t every_ms, std::function<Task<void>()> work) {
  // GCC 12 makes no code for a wait inside a loop's condition.
  bool go = co_await pause(every_ms);
  while (go) {
    co_await work();
    go = co_await pause(every_ms);
  }
}

Task<bool> Background::pause(int64_t ms) {
  co_return co_await suspend_until<bool>(loop_, [this, ms](Resumer<bool> resume) {
    if (stopping()) return resume(false);
    auto id = std::make_shared<TimerId>();
    *id = loop_.call_after(ms, [this, id, resume] {
      pauses_.erase(*id);
      resume(true);
    });
    pauses_.emplace(*id, std::move(resume));
  });
}

void Background::stop() {
  if (stopping_.exchange(true)) return;
  loop_.post([this] {
    for (const auto& [id, resume] : std::exchange(pauses_, {})) {
      loop_.cancel(id);
      resume(false);
    }
  });
}

bool Background::wait(int64_t deadline_ms) {
  std::unique_lock lock(mutex_);
  return ended_.wait_for(lock, std::chrono::milliseconds(deadline_ms), [this] { return running_ == 0; });
}

}  // namespace sluice::app
