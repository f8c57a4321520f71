// SPDX-License-Identifier: Apache-2.0
// Fences: to become a log's writer, to find out what became of an append (settle), and to make sure of the log after an
// append that was refused (again). A token is the leader epoch in the upper half and the attempt in the lower; every
// fence that is sent takes a new attempt, so that a late one never undoes a newer one. Only a fence that was OK proves
// anything: from then on nothing that was sent before it can land.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "host/log_impl.hpp"

namespace sluice::host {
namespace {

constexpr int64_t kNsPerMs = 1'000'000;

uint64_t make_token(int32_t epoch, uint32_t attempt) {
  return uint64_t{static_cast<uint32_t>(epoch)} << 32 | attempt;
}

}  // namespace

void FenceCall::finished() {
  const std::shared_ptr<LogImpl> keep = log->shared_from_this();
  keep->fence_ended(CallRef<FenceCall>(this), on);
  keep->advance(on);
}

std::string FenceCall::fault(sluice_status status) {
  if (!result.intact()) return "wrote behind the end of sluice_fence_result";
  if (status == SLUICE_OK && result.value.token != token) {
    return fmt::format("OK with the token {:#x} in force, {:#x} was asked for", result.value.token, token);
  }
  if (status == SLUICE_FENCED && result.value.token <= token) {
    return fmt::format("FENCED though the token in force, {:#x}, is not above {:#x}", result.value.token, token);
  }
  return {};
}

// ---- Sending a fence

/// Gives the lock back; true if the fence has ended already.
bool LogImpl::begin_fence(Lock& lock, FenceFor purpose, Executor& on, Executor* here) {
  phase_ = Phase::fencing;
  fence_for_ = purpose;
  CallRef<FenceCall> call = storage_->calls().take<FenceCall>(shared_from_this());
  call->log = this;
  call->on = &on;
  call->token = make_token(epoch_, ++attempt_);
  call->incarnation = storage_->incarnation();
  int64_t deadline_ns = storage_->call_deadline_ns();
  if (purpose == FenceFor::settle) {
    deadline_ns =
        std::min({deadline_ns, storage_->timers().now_ns() + kFenceTimeoutMs * kNsPerMs, settle_deadline_ns_});
  }
  lock.unlock();

  storage_->metrics().fences.fetch_add(1);
  FenceCall* c = call.get();
  const bool ended = c->issue(
      on, deadline_ns, [this, c] { return storage_->api().fence(handle_, c->ticket(), c->token, &c->result.value); });
  if (ended) fence_ended(std::move(call), here);
  return ended;
}

void LogImpl::fence_ended(CallRef<FenceCall> call, Executor* here) {
  Status status = call->conclude();
  const int64_t end = status.ok() ? call->result.value.end : -1;
  Lock lock(mutex_);
  phase_ = Phase::idle;
  fence_now_ = nullptr;
  if (status.ok()) {
    token_ = call->token;
    incarnation_ = call->incarnation;
    fence_first_ = false;
  }
  if (status.code() == StatusCode::fenced) fenced_ = true;
  switch (fence_for_) {
    case FenceFor::settle:
      return settle_ended(status, end, *call->on, here);
    case FenceFor::again:
      return again_ended(status, end);
    case FenceFor::acquire:
      break;
  }
  Result<WritePosition> answer = acquire_ended(status, end);
  const Acquire acquire = std::move(acquires_.front());
  acquires_.pop_front();
  lock.unlock();
  acquire.answer(std::move(answer));
}

/// The storage says where the log ends, with a fence, so that it is true. With the lock held, the queue empty or
/// dropped next.
void LogImpl::take_end(int64_t end) {
  const std::string& topic = descriptor_.source.topic;
  if (end < acknowledged_) {
    storage_->metrics().data_losses.fetch_add(1);
    remarks_.push_back(
        {fmt::format("DATA LOSS in log {}: the storage acknowledged everything below {} and now ends at {}", topic,
                     acknowledged_, end)});
    acknowledged_ = end;
    seen_end_ = end;
  } else if (end > std::max(end_, possible_end_) && acquired_) {
    remarks_.push_back({fmt::format("log {} ends at {} and not at {}: somebody else wrote to it", topic, end, end_)});
  }
  end_ = end;
  possible_end_ = end;
  tail_ = end;
}

// ---- Becoming the writer

Task<Result<WritePosition>> LogImpl::acquire(int32_t leader_epoch, Executor& on) {
  if ((descriptor_.source.flags & SLUICE_LOG_SEVERAL_WRITERS) != 0) {
    co_return fail(StatusCode::invalid, "several write this log: it cannot be acquired");
  }
  if (leader_epoch < 0)
    co_return fail(StatusCode::invalid, fmt::format("the leader epoch {} is negative", leader_epoch));
  if (!storage_->admits()) co_return fail(storage_->refusal());
  if (storage_->is_native()) co_return co_await acquire_native(on);
  auto init = [this, leader_epoch, &on](Resumer<Result<WritePosition>> answer) {
    const std::shared_ptr<LogImpl> keep = shared_from_this();
    {
      Lock lock(mutex_);
      acquires_.push_back({leader_epoch, &on, std::move(answer)});
    }
    advance(nullptr);
  };
  co_return co_await suspend_until<Result<WritePosition>>(on, init);
}

Task<Result<WritePosition>> LogImpl::acquire_native(Executor& on) {
  const std::shared_ptr<LogImpl> keep = shared_from_this();
  const Result<Bounds> found = co_await bounds(on);
  if (!found) co_return fail(found.error());
  Lock lock(mutex_);
  acquired_ = true;
  if (!has_queued() && phase_ == Phase::idle && flights_.empty())
    end_ = tail_ = possible_end_ = std::max(end_, found->end);
  co_return WritePosition{tail_, generation_};
}

/// Turns to the first in acquires_. Gives the lock back; true if it has been answered.
bool LogImpl::begin_acquire(Lock& lock, Executor* here) {
  Acquire& first = acquires_.front();
  const auto answer = [&](Result<WritePosition> result) {
    const Acquire acquire = std::move(first);
    acquires_.pop_front();
    lock.unlock();
    acquire.answer(std::move(result));
    return true;
  };
  if (first.epoch < epoch_ || (first.epoch == epoch_ && fenced_)) {
    return answer(fail(StatusCode::fenced,
                       fmt::format("log {}: the leader epoch {} is over", descriptor_.source.topic, first.epoch)));
  }
  const bool current = first.epoch == epoch_ && acquired_ && !fence_first_ && incarnation_ == storage_->incarnation();
  if (current) return answer(WritePosition{tail_, generation_});
  drop_queue(StatusCode::unavailable, fmt::format("the log is being acquired with leader epoch {}", first.epoch));
  if (first.epoch > epoch_) {
    epoch_ = first.epoch;
    attempt_ = 0;
  }
  acquired_ = false;
  fenced_ = false;
  return begin_fence(lock, FenceFor::acquire, *first.on, here);
}

/// With the lock held.
Result<WritePosition> LogImpl::acquire_ended(const Status& status, int64_t end) {
  if (!status.ok()) return fail(status);
  take_end(end);
  acquired_ = true;
  fenced_ = false;
  ++generation_;
  return WritePosition{tail_, generation_};
}

// ---- After a refused append

/// With the lock held.
void LogImpl::again_ended(const Status& status, int64_t end) {
  if (status.code() == StatusCode::fenced) return drop_queue(StatusCode::fenced, status.text());
  if (!status.ok()) {
    fence_first_ = true;
    // That the log is gone is for the callers to know: no later fence would find it.
    const StatusCode code = status.code() == StatusCode::not_found ? StatusCode::not_found : StatusCode::unavailable;
    return drop_queue(code, fmt::format("the log could not be fenced: {}", status.describe()));
  }
  if (end == end_) return;  // what is queued was numbered from here
  take_end(end);
  drop_queue(StatusCode::unavailable, fmt::format("the log turned out to end at {}", end));
}

// ---- Settling

/// With the lock held. The contract: the unit is there if the fence's end is above `at`, and else never will be.
void LogImpl::settle_ended(const Status& status, int64_t end, Executor& on, Executor* here) {
  StorageMetrics& metrics = storage_->metrics();
  const int64_t at = unsettled_->at();
  const int64_t unit_end = unsettled_->end();
  if (status.ok() && end >= unit_end) {
    metrics.settled_applied.fetch_add(1);
    end_ = possible_end_ = acknowledged_ = unit_end;
    Delivery& delivery = tell_unit(std::move(unsettled_), Status(), here);
    if (end == unit_end) return;  // what is queued goes on behind it
    take_end(end);
    return drop_queue(delivery, StatusCode::unavailable, fmt::format("the log turned out to end at {}", end));
  }
  if (status.ok() && end <= at) {
    metrics.settled_absent.fetch_add(1);
    take_end(end);
    const std::string why = "the append did not happen";
    return drop_queue(tell_unit(std::move(unsettled_), Status(StatusCode::unavailable, why), here),
                      StatusCode::unavailable, why);
  }
  if (status.ok()) {
    const std::string why =
        fmt::format("the log ends at {}, inside a unit from {} to {}: appends are all or nothing", end, at, unit_end);
    remarks_.push_back({fmt::format("log {}: {}", descriptor_.source.topic, why), true});
    take_end(end);
    return drop_queue(tell_unit(std::move(unsettled_), Status(StatusCode::unknown, why), here), StatusCode::unavailable,
                      why);
  }
  if (status.code() == StatusCode::fenced) {
    return drop_queue(tell_unit(std::move(unsettled_), status, here), StatusCode::fenced, status.text());
  }
  const bool hopeless = status_class(status.code()) == 100 || !storage_->started();
  const int64_t now_ns = storage_->timers().now_ns();
  if (hopeless || now_ns >= settle_deadline_ns_) return give_up_settling(status, here);
  phase_ = Phase::pausing;
  pause_.log = shared_from_this();
  pause_.on = &on;
  storage_->timers().arm(pause_, std::min(now_ns + settle_pause_ms_ * kNsPerMs, settle_deadline_ns_));
  settle_pause_ms_ = std::min(settle_pause_ms_ * 2, kLongestSettlePauseMs);
}

/// With the lock held. The unit may be there or may yet come: the next fence finds out where the log ends.
void LogImpl::give_up_settling(Status status, Executor* here) {
  storage_->metrics().unsettled.fetch_add(1);
  fence_first_ = true;
  possible_end_ = unsettled_->end();
  const StatusCode code = status.code() == StatusCode::not_found ? StatusCode::not_found : StatusCode::unknown;
  const std::string why = fmt::format("nobody can tell what became of the append: {}", status.describe());
  drop_queue(tell_unit(std::move(unsettled_), Status(code, why), here), StatusCode::unavailable, why);
}

void LogImpl::Pause::expired() {
  on->post([self = std::move(log), here = on] { self->pause_ended(here); });
}

void LogImpl::pause_ended(Executor* here) {
  {
    Lock lock(mutex_);
    phase_ = Phase::idle;
  }
  advance(here);
}

// ---- The token, for trim and save

/// The token that is in force, once no fence is under way. Fences first where that is due.
Task<Result<uint64_t>> LogImpl::settled_token(Executor& on) {
  if ((descriptor_.source.flags & SLUICE_LOG_SEVERAL_WRITERS) != 0) {
    co_return fail(StatusCode::invalid, "several write this log: it has no token");
  }
  for (bool fenced_once = false;; fenced_once = true) {
    bool wait = false;
    {
      Lock lock(mutex_);
      if (fenced_)
        co_return fail(StatusCode::fenced, fmt::format("another writer holds log {}", descriptor_.source.topic));
      const bool doubtful = fence_first_ || incarnation_ != storage_->incarnation();
      const bool under_way = phase_ == Phase::fencing || phase_ == Phase::pausing || unsettled_ || !acquires_.empty();
      if (!under_way && !acquired_) co_return fail(StatusCode::unavailable, "the log has not been acquired");
      if (!under_way && !doubtful) co_return token_;
      if (!under_way && fenced_once) co_return fail(StatusCode::unavailable, "the log could not be fenced");
      if (doubtful && acquired_) fence_now_ = &on;
      wait = true;
    }
    if (wait) {
      auto init = [this](Resumer<Status> waiter) {
        const std::shared_ptr<LogImpl> keep = shared_from_this();
        {
          Lock lock(mutex_);
          fence_waiters_.push_back(std::move(waiter));
        }
        advance(nullptr);
      };
      (void)co_await suspend_until<Status>(on, init);
    }
  }
}

/// Runs `issue(token)`, again with another token where ours had moved on meanwhile. FENCED comes out only if a fence
/// said so.
template <class Issue>
Task<Status> LogImpl::with_token(Executor& on, Issue issue) {
  const std::shared_ptr<LogImpl> keep = shared_from_this();
  Status status;
  for (int i = 0; i < kMaxTokenRetries; ++i) {
    const Result<uint64_t> token = co_await settled_token(on);
    if (!token) co_return token.error();
    status = co_await issue(*token);
    if (status.code() != StatusCode::fenced) co_return status;
    Lock lock(mutex_);
    if (token_ == *token) fence_first_ = true;
  }
  co_return status;
}

Task<Status> LogImpl::trim(int64_t offset, Executor& on) {
  if (storage_->is_native()) return trim_with(0, offset, on);
  return with_token(on, [this, offset, &on](uint64_t token) { return trim_with(token, offset, on); });
}

Task<Status> LogImpl::save(std::string name, std::string value, Executor& on) {
  auto issue = [this, name = std::move(name), value = std::move(value), &on](uint64_t token) {
    return save_with(token, name, value, on);
  };
  return with_token(on, std::move(issue));
}

}  // namespace sluice::host
