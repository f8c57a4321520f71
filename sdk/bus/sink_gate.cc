// SPDX-License-Identifier: Apache-2.0
#include "bus/sink_gate.hpp"

#include <algorithm>
#include <chrono>

#include "bus/answering.hpp"
#include "bus/signal.hpp"

namespace sluice::bus {
namespace {

template <class Predicate>
bool wait(std::condition_variable& turned, std::unique_lock<std::mutex>& lock, int64_t until_ns, Predicate predicate) {
  const int64_t left_ns = until_ns - monotonic_ns();
  return turned.wait_for(lock, std::chrono::nanoseconds(std::max<int64_t>(left_ns, 0)), predicate);
}

int64_t left_ms(int64_t until_ns) {
  return std::max<int64_t>((until_ns - monotonic_ns()) / 1'000'000, 1);
}

}  // namespace

SinkGate::SinkGate(std::shared_ptr<Sink> sink, const RetryPolicy& retry, std::function<void()> changed)
    : sink_(std::move(sink)), traits_(sink_->traits()), retry_(retry), changed_(std::move(changed)) {}

void SinkGate::set(State state) {
  state_.store(state, std::memory_order_release);
  turned_.notify_all();
}

SinkGate::State SinkGate::advance(int64_t now_ns, int64_t& due_ns) {
  const State seen = state();
  if (seen != State::cold && seen != State::waiting) return seen;
  {
    const std::lock_guard lock(mutex_);
    if (state() == State::waiting && now_ns < retry_at_ns_) {
      due_ns = std::min(due_ns, retry_at_ns_);
      return State::waiting;
    }
    if (state() != State::cold && state() != State::waiting) return state();
    ++attempts_;
    set(State::opening);
  }
  open();
  return state();
}

void SinkGate::open() {
  guarded([this] {
    sink_->open(answering([self = shared_from_this()](Status status) { self->opened(std::move(status)); }));
  });
}

void SinkGate::opened(Status status) {
  {
    const std::lock_guard lock(mutex_);
    if (state() != State::opening) return;
    failure_ = status;
    if (status) {
      set(State::open);
    } else if (may_retry(status, Effect::once) || status.code() == StatusCode::unknown) {
      // What is not there yet is waited for, however long: events are held back meanwhile.
      RetryPolicy patient = retry_;
      patient.max_retries = RetryPolicy::kMaxRetries;
      const auto delay_ms = retry_delay_ms(patient, status, Effect::once, std::min<uint32_t>(attempts_ - 1, 60),
                                           static_cast<uint64_t>(monotonic_ns()) * 0x9e3779b97f4a7c15);
      retry_at_ns_ = monotonic_ns() + delay_ms.value_or(retry_.max_delay_ms) * 1'000'000;
      set(State::waiting);
    } else {
      set(State::failed);
    }
  }
  changed_();
}

Status SinkGate::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

Status SinkGate::flush(int64_t until_ns) {
  if (state() != State::open) return {};
  struct Answer {
    std::mutex mutex;
    std::condition_variable turned;
    std::optional<Status> status;
  };
  const auto answer = std::make_shared<Answer>();
  guarded([&] {
    sink_->flush(left_ms(until_ns), answering([answer, self = shared_from_this()](Status status) {
                   const std::lock_guard lock(answer->mutex);
                   answer->status = std::move(status);
                   answer->turned.notify_all();
                 }));
  });
  std::unique_lock lock(answer->mutex);
  if (!wait(answer->turned, lock, until_ns, [&] { return answer->status.has_value(); })) {
    return Status(StatusCode::busy, "the sink has not flushed in time");
  }
  return *answer->status;
}

void SinkGate::begin_close(int64_t timeout_ms) {
  {
    const std::lock_guard lock(mutex_);
    const State now = state();
    if (now == State::closing || now == State::closed || now == State::opening) return;
    if (now != State::open) return set(State::closed);
    set(State::closing);
  }
  guarded([&] {
    sink_->close(timeout_ms,
                 answering([self = shared_from_this()](Status status) { self->closed(std::move(status)); }));
  });
}

void SinkGate::closed(Status status) {
  {
    const std::lock_guard lock(mutex_);
    if (state() != State::closing) return;
    close_result_ = std::move(status);
    set(State::closed);
  }
  changed_();
}

Status SinkGate::close_result() const {
  const std::lock_guard lock(mutex_);
  return close_result_;
}

Status SinkGate::close(int64_t until_ns) {
  {
    std::unique_lock lock(mutex_);
    if (!wait(turned_, lock, until_ns, [&] { return state() != State::opening; })) {
      return Status(StatusCode::busy, "the sink has not opened in time");
    }
  }
  begin_close(left_ms(until_ns));
  std::unique_lock lock(mutex_);
  if (!wait(turned_, lock, until_ns, [&] { return state() == State::closed; })) {
    return Status(StatusCode::busy, "the sink has not closed in time");
  }
  return close_result_;
}

}  // namespace sluice::bus
