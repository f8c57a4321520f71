// SPDX-License-Identifier: Apache-2.0
// Batches that come before their sink is open, and who waits for that: the first begins the opening, all others wait
// for the same one; and the end of a sink. Any thread.
#pragma once

#include <cstdint>
#include <deque>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "base/status.hpp"
#include "base/unique_function.hpp"

namespace sluice::sinks {

class ColdStart {
 public:
  /// Told how the opening ended; without a lock.
  using Waiter = UniqueFunction<void(const Status&)>;
  explicit ColdStart(size_t max_waiting) : max_waiting_(max_waiting) {}

  /// Tells `waiter` that it is open: at once if it is, else when the opening ended. The first who waits calls `begin`,
  /// which sees to it that ended() is called. BUSY at once: too many wait.
  template <class Begin>
  void when_open(Waiter waiter, Begin&& begin) {
    bool first = false;
    std::optional<Status> now;  // what it is told without waiting
    {
      const std::lock_guard lock(mutex_);
      if (open_) {
        now = Status();
      } else if (waiting_.size() >= max_waiting_) {
        now = Status(StatusCode::busy, "too many batches wait for the sink to open");
      } else {
        waiting_.push_back(std::move(waiter));
        first = !std::exchange(opening_, true);
      }
    }
    if (now) return waiter(*now);
    if (first) begin();
  }
  /// The opening has ended; tells everybody. After a failure the next who asks begins again.
  void ended(const Status& status) {
    std::deque<Waiter> told;
    {
      const std::lock_guard lock(mutex_);
      open_ = status.ok();
      opening_ = false;
      told.swap(waiting_);
    }
    for (Waiter& waiter : told) waiter(status);
  }
  bool is_open() const {
    const std::lock_guard lock(mutex_);
    return open_;
  }

 private:
  const size_t max_waiting_;
  mutable std::mutex mutex_;
  bool open_ = false;           // guarded by mutex_
  bool opening_ = false;        // guarded by mutex_
  std::deque<Waiter> waiting_;  // guarded by mutex_
};

/// [blocks] Closes a sink that is about to be destroyed.
template <class AnySink>
void close_and_wait(AnySink& sink, int64_t timeout_ms) {
  auto promise = std::make_shared<std::promise<void>>();
  std::future<void> closed = promise->get_future();
  sink.close(timeout_ms, [promise](const Status&) { promise->set_value(); });
  closed.wait();
}

}  // namespace sluice::sinks
