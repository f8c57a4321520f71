// SPDX-License-Identifier: Apache-2.0
// Many partitions of one request at the same time, answered together.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/task.hpp"

namespace sluice::handlers {

/// How long a request waits for partitions whose storage does not answer, where it does not say itself.
constexpr int64_t kGatherMs = 10'000;
/// ... and the least and the most where it does.
constexpr int64_t kGatherMinMs = 100;
constexpr int64_t kGatherMaxMs = 300'000;

/// How long a request waits that asks for `timeout_ms`; 0 and below: no wish.
constexpr int64_t gather_ms(int64_t timeout_ms) {
  return timeout_ms <= 0 ? kGatherMs : std::clamp(timeout_ms, kGatherMinMs, kGatherMaxMs);
}

/// Runs the tasks on `loop`, each up to its first wait, and gives all results in their order. Those that are not there when
/// `timeout_ms` have passed are `late`; their tasks go on, and so refer to nothing of the caller's.
template <class T>
Task<std::vector<T>> gather(std::vector<Task<T>> tasks, Loop& loop, int64_t timeout_ms, T late) {
  struct State {
    std::vector<std::optional<T>> results;
    size_t left = 1;
  };
  auto state = std::make_shared<State>();
  state->results.resize(tasks.size());
  TimerId timer = 0;
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
    if (state->left > 0) timer = loop.call_after(timeout_ms, [resume] { resume(false); });
  });
  if (timer != 0) loop.cancel(timer);
  std::vector<T> results;
  results.reserve(state->results.size());
  for (auto& result : state->results) results.push_back(result ? std::move(*result) : late);
  co_return results;
}

template <class T>
Task<T> immediately(T value) {
  co_return value;
}

}  // namespace sluice::handlers
