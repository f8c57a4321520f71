// SPDX-License-Identifier: Apache-2.0
// Many partitions of one request at the same time, answered together.
#pragma once

#include <memory>
#include <vector>

#include "base/task.hpp"

namespace sluice::handlers {

/// Runs the tasks on `loop`, each up to its first wait, and gives all results in their order.
template <class T>
Task<std::vector<T>> gather(std::vector<Task<T>> tasks, Loop& loop) {
  struct State {
    std::vector<T> results;
    size_t left = 1;
  };
  auto state = std::make_shared<State>();
  state->results.resize(tasks.size());
  co_await suspend_until<bool>(loop, [&](Resumer<bool> resume) {
    auto arrive = [state, resume] {
      if (--state->left == 0) resume(true);
    };
    for (size_t i = 0; i < tasks.size(); ++i) {
      ++state->left;
      start(std::move(tasks[i]), [state, i, arrive](T result) {
        state->results[i] = std::move(result);
        arrive();
      });
    }
    arrive();
  });
  co_return std::move(state->results);
}

template <class T>
Task<T> immediately(T value) {
  co_return value;
}

}  // namespace sluice::handlers
