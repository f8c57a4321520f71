// SPDX-License-Identifier: Apache-2.0
// A log in memory behind host::Log, shared by as many handles as a test wants, that fails as the test says: refuses,
// loses the answer of what landed or of what did not, or lands it later. All on the loop's thread.
#pragma once

#include <cstdlib>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.hpp"
#include "base/task.hpp"
#include "host/log.hpp"
#include "records/batch.hpp"

namespace sluice::storage::testing {

/// What becomes of one call.
enum class Fault {
  none,
  unavailable,     // not applied, and never will be
  no_space,        // the same, not to be retried
  unknown_landed,  // applied, the answer lost
  unknown_lost,    // not applied, the answer lost
  unknown_later,   // the answer lost; applied before the next append, if it still fits
};

/// The log itself.
struct FakeEngine {
  struct Batch {
    std::string bytes;
    int64_t base = 0;
    int64_t next = 0;
  };

  std::deque<Batch> batches;
  int64_t start = 0;
  int64_t end = 0;
  uint64_t token = 0;  // in force; 0: several writers
  int32_t epoch = -1;
  uint64_t trims = 0;
  /// Asked before every call: "append", "bounds", "read", "acquire", "trim".
  std::function<Fault(const std::string& call)> fault;
  /// How many turns of the loop a call takes.
  std::function<int()> turns = [] { return 1; };

  Fault next_fault(const std::string& call) const { return fault ? fault(call) : Fault::none; }

  void put(std::string bytes) {
    const auto view = *records::BatchView::parse(as_bytes(bytes));
    const int64_t base = view.base_offset(), next = view.next_offset();
    batches.push_back({std::move(bytes), base, next});
    end = next;
  }

  void trim_to(int64_t offset) {
    ++trims;
    while (!batches.empty() && batches.front().next <= offset) batches.pop_front();
    start = std::max(start, std::min(offset, end));
  }

  struct Delayed {
    std::string bytes;
    int64_t at;
    uint64_t token;
  };
  void land_delayed() {
    for (Delayed& each : std::exchange(delayed, {})) {
      if (each.at == end && each.token == token) put(std::move(each.bytes));
    }
  }
  std::vector<Delayed> delayed;
};

class FakeLog final : public host::Log, public std::enable_shared_from_this<FakeLog> {
 public:
  FakeLog(std::shared_ptr<FakeEngine> engine, Loop& loop) : engine_(std::move(engine)), loop_(loop) {}

  const host::LogDescriptor& descriptor() const override { return descriptor_; }
  host::Storage& storage() override { std::abort(); }  // not asked for by what is tested with it

  Task<Result<host::WritePosition>> acquire(int32_t leader_epoch, Executor& on) override {
    co_await delay(on);
    if (engine_->next_fault("acquire") != Fault::none) co_return fail(StatusCode::unavailable, "away");
    if (leader_epoch < engine_->epoch || (leader_epoch == engine_->epoch && taken_over())) {
      co_return fail(StatusCode::fenced, "another writer");
    }
    engine_->epoch = leader_epoch;
    token_ = ++engine_->token;
    ++generation_;
    acquired_ = true;
    co_return position();
  }

  host::WritePosition position() const override { return {engine_->end, generation_}; }

  Status enqueue(host::AppendEntry entry, uint64_t generation, Executor&) override {
    if (!acquired_) return Status(StatusCode::unavailable, "not acquired");
    if (generation != generation_) return Status(StatusCode::conflict);
    queue_.push_back(std::move(entry));
    return {};
  }

  void send() override {
    while (!queue_.empty()) {
      host::AppendEntry entry = std::move(queue_.front());
      queue_.pop_front();
      start(send_one(shared_from_this(), std::move(entry)));
    }
  }

  Task<Status> trim(int64_t offset, Executor& on) override { return trim_shared(offset, on); }
  Task<Status> save(std::string, std::string, Executor&) override { co_return Status(StatusCode::unsupported); }
  Task<Result<std::optional<std::string>>> load(std::string, Executor&) override {
    co_return fail(StatusCode::unsupported, "");
  }

  Task<host::AppendOutcome> append_at(int64_t at, std::vector<std::string> batches, Executor& on) override {
    co_await delay(on);
    host::AppendOutcome outcome = land(std::move(batches.front()), at, 0);
    co_await delay(on);
    co_return outcome;
  }

  Task<Status> trim_shared(int64_t offset, Executor& on) override {
    co_await delay(on);
    if (engine_->next_fault("trim") != Fault::none) co_return Status(StatusCode::unavailable, "away");
    engine_->trim_to(offset);
    co_return Status();
  }

  Task<tl::expected<host::ReadResult, host::ReadError>> read(int64_t offset, int64_t, uint64_t max_bytes,
                                                             Executor& on) override {
    co_await delay(on);
    if (engine_->next_fault("read") != Fault::none) {
      co_return tl::make_unexpected(host::ReadError{Status(StatusCode::unavailable, "away")});
    }
    if (offset < engine_->start || offset > engine_->end) {
      co_return tl::make_unexpected(
          host::ReadError{Status(StatusCode::out_of_range), -1, engine_->start, engine_->end});
    }
    auto copy = std::make_shared<std::string>();
    host::ReadResult result;
    result.next = offset;
    for (const auto& batch : engine_->batches) {
      if (batch.next <= offset) continue;
      if (!copy->empty() && copy->size() + batch.bytes.size() > max_bytes) break;
      *copy += batch.bytes;
      result.next = batch.next;
    }
    result.start = engine_->start;
    result.end = engine_->end;
    result.bytes = copy->size();
    if (!copy->empty()) result.slices.push_back({as_bytes(*copy).data(), copy->size(), 0, -1});
    result.lease = host::Lease(copy);
    co_return result;
  }

  Task<Result<host::Bounds>> bounds(Executor& on) override {
    co_await delay(on);
    if (engine_->next_fault("bounds") != Fault::none) co_return fail(StatusCode::unavailable, "away");
    host::Bounds bounds;
    bounds.start = engine_->start;
    bounds.end = engine_->end;
    co_return bounds;
  }
  Task<Result<int64_t>> locate(int64_t, Executor&) override { co_return fail(StatusCode::unsupported, ""); }
  Task<Status> watch(int64_t, Executor&) override { co_return Status(StatusCode::unsupported); }

 private:
  bool taken_over() const { return acquired_ && token_ != engine_->token; }

  Task<void> delay(Executor& on) {
    auto keep = shared_from_this();
    for (int turns = engine_->turns(); turns > 0; --turns) co_await hop(on);
  }

  host::AppendOutcome land(std::string bytes, int64_t at, uint64_t token) {
    engine_->land_delayed();
    host::AppendOutcome outcome;
    outcome.log_end = engine_->end;
    const Fault fault = engine_->next_fault("append");
    if (fault == Fault::unavailable || fault == Fault::no_space) {
      outcome.status = Status(fault == Fault::no_space ? StatusCode::no_space : StatusCode::unavailable, "refused");
      return outcome;
    }
    if (fault == Fault::unknown_lost || fault == Fault::unknown_later) {
      if (fault == Fault::unknown_later) engine_->delayed.push_back({std::move(bytes), at, token});
      outcome.status = Status(StatusCode::unknown, "no answer");
      return outcome;
    }
    if (token != engine_->token) {
      outcome.status = Status(StatusCode::fenced, "another writer");
    } else if (at != engine_->end) {
      outcome.status = Status(StatusCode::conflict);
    } else {
      engine_->put(std::move(bytes));
      if (fault == Fault::unknown_landed) outcome.status = Status(StatusCode::unknown, "no answer");
    }
    outcome.log_end = engine_->end;
    return outcome;
  }

  static Task<void> send_one(std::shared_ptr<FakeLog> self, host::AppendEntry entry) {
    co_await self->delay(self->loop_);
    host::AppendOutcome outcome = self->land(std::string(as_text(entry.bytes)), entry.base_offset, self->token_);
    if (!outcome.status.ok()) ++self->generation_;
    co_await self->delay(self->loop_);
    entry.done(std::move(outcome));
  }

  const std::shared_ptr<FakeEngine> engine_;
  Loop& loop_;
  const host::LogDescriptor descriptor_;
  std::deque<host::AppendEntry> queue_;
  uint64_t token_ = 0;
  uint64_t generation_ = 0;
  bool acquired_ = false;
};

}  // namespace sluice::storage::testing
