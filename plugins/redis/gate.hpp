// SPDX-License-Identifier: Apache-2.0
// Lets one task through at a time, in the order in which they come. Thread: reactor.
#pragma once

#include <coroutine>
#include <deque>
#include <utility>

#include "redis/reactor.hpp"

namespace sluice::redis {

class Gate {
 public:
  explicit Gate(Reactor& reactor) : reactor_(reactor) {}

  /// Awaitable: ends when nobody is inside. Who enters calls leave().
  auto enter() {
    struct Awaiter {
      Gate& gate;
      bool await_ready() noexcept { return !std::exchange(gate.taken_, true); }
      void await_suspend(std::coroutine_handle<> waiter) { gate.waiters_.push_back(waiter); }
      void await_resume() noexcept {}
    };
    return Awaiter{*this};
  }
  void leave() {
    if (waiters_.empty()) {
      taken_ = false;
    } else {
      reactor_.resume(waiters_.front());
      waiters_.pop_front();
    }
  }
  /// Somebody is inside, or waits.
  bool is_taken() const { return taken_; }

 private:
  Reactor& reactor_;
  bool taken_ = false;
  std::deque<std::coroutine_handle<>> waiters_;
};

}  // namespace sluice::redis
