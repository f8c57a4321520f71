// SPDX-License-Identifier: Apache-2.0
// Calling a sink that is not ours: it must not throw and must answer exactly once, and what it does instead is an
// answer too. Any thread.
#pragma once

#include <memory>
#include <utility>

#include "sluice/sink.hpp"

namespace sluice::bus {

/// Calls a sink; where it throws, its callback is destroyed, which is an answer.
template <class Call>
void guarded(Call&& call) {
  try {
    call();
  } catch (...) {
  }
}

/// A callback whose destruction, uncalled, is INTERNAL. `answer` is called once, with a Status.
template <class Answer>
Sink::Done answering(Answer answer) {
  struct Once {
    std::unique_ptr<Answer> answer;
    explicit Once(Answer&& a) : answer(std::make_unique<Answer>(std::move(a))) {}
    Once(Once&&) noexcept = default;
    ~Once() {
      if (answer) (*answer)(Status(StatusCode::internal, "the sink gave up a callback without calling it"));
    }
    void operator()(Status status) {
      if (answer) (*std::exchange(answer, nullptr))(std::move(status));
    }
  };
  return Once(std::move(answer));
}

}  // namespace sluice::bus
