// SPDX-License-Identifier: Apache-2.0
// From a thread that may block to a loop and back.
#pragma once

#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <optional>

#include "base/loop.hpp"
#include "base/task.hpp"

namespace sluice::app {

/// Runs a task on a loop and waits for it, from a thread that is no loop. Nothing if the deadline came first: the task
/// goes on, so it refers to nothing of the caller's.
template <class T>
std::optional<T> run_on(Loop& loop, std::function<Task<T>()> make, int64_t timeout_ms) {
  auto promise = std::make_shared<std::promise<T>>();
  auto future = promise->get_future();
  loop.post([make = std::move(make), promise] {
    start(make(), [promise](T value) { promise->set_value(std::move(value)); });
  });
  if (future.wait_for(std::chrono::milliseconds(timeout_ms)) != std::future_status::ready) return std::nullopt;
  return future.get();
}

}  // namespace sluice::app
