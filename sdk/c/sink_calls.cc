// SPDX-License-Identifier: Apache-2.0
// Each call of the bus becomes an answer behind a handle, which holds what the bus wants to hear it by: an answer that
// nobody gives is destroyed with its handle, and the bus hears that too.
#include "c/sink_calls.hpp"

#include <utility>
#include <variant>

#include "c/boundary.hpp"
#include "c/callback.hpp"
#include "c/records.hpp"
#include "sluice/c/sink.h"

namespace sluice::c {
namespace {

// Of the first versions.
constexpr size_t kCallsBytes = sizeof(sluice_sink_calls);
constexpr size_t kDeliveredBytes = sizeof(sluice_delivered);

/// What is asked of an application, until it answers.
class Answer final : public Object {
 public:
  static constexpr Kind kKind = Kind::answer;
  explicit Answer(Sink::Done done) : Object(kKind), done_(std::move(done)) {}
  Answer(EventBatch batch, Sink::Delivered done) : Object(kKind), batch_(std::move(batch)), done_(std::move(done)) {
    size_t headers = 0;
    batch_.each([&](const Record& record) { headers += static_cast<size_t>(record.headers.count()); });
    views_.reserve(batch_.size(), headers);
    batch_.each([&](const Record& record) { views_.add(record); });
    shown_.size = sizeof shown_;
    shown_.attempt = batch_.attempt();
    shown_.bus = span_of(as_bytes(batch_.origin().bus));
    shown_.epoch = batch_.origin().epoch;
    shown_.shard = batch_.origin().shard;
    shown_.payload_bytes = batch_.payload_bytes();
    shown_.records = views_.records.data();
    shown_.count = views_.records.size();
  }

  /// Not every owner of a sink hears by itself that its callback was destroyed uncalled.
  ~Answer() override {
    Delivery none;
    none.status = Status(StatusCode::internal, "the sink's function let its answer go");
    give(none);
  }

  /// Its memory stays with this, the bytes of its events until the answer is given.
  const sluice_event_batch& shown() const { return shown_; }
  /// Once; false afterwards.
  bool give(const Delivery& delivery) {
    std::variant<std::monostate, Sink::Done, Sink::Delivered> done;
    {
      const std::scoped_lock lock(mutex_);
      done = std::exchange(done_, std::monostate());
    }
    if (auto* plain = std::get_if<Sink::Done>(&done)) (*plain)(delivery.status);
    if (auto* delivered = std::get_if<Sink::Delivered>(&done)) (*delivered)(delivery);
    return done.index() != 0;
  }

 private:
  EventBatch batch_;
  RecordViews views_;
  sluice_event_batch shown_{};
  std::mutex mutex_;
  std::variant<std::monostate, Sink::Done, Sink::Delivered> done_;  // guarded by mutex_
};

class CallsSink final : public Sink {
 public:
  explicit CallsSink(const sluice_sink_calls& calls) : calls_(calls) {}
  ~CallsSink() override {
    if (calls_.gone == nullptr) return;
    const InCallback inside;
    calls_.gone(calls_.context);
  }

  SinkTraits traits() const override {
    SinkTraits traits;
    traits.deduplicates = calls_.deduplicates != 0;
    traits.ordered = calls_.ordered != 0;
    if (calls_.max_batch_events != 0) traits.max_batch_events = calls_.max_batch_events;
    if (calls_.max_batch_bytes != 0) traits.max_batch_bytes = calls_.max_batch_bytes;
    return traits;
  }

  void open(Done done) override {
    if (calls_.open == nullptr) return done(Status());
    ask(std::make_unique<Answer>(std::move(done)),
        [this](sluice_handle answer, const Answer&) { calls_.open(calls_.context, answer); });
  }
  void flush(int64_t timeout_ms, Done done) override {
    if (calls_.flush == nullptr) return done(Status());
    ask(std::make_unique<Answer>(std::move(done)),
        [&](sluice_handle answer, const Answer&) { calls_.flush(calls_.context, timeout_ms, answer); });
  }
  void close(int64_t timeout_ms, Done done) override {
    if (calls_.close == nullptr) return flush(timeout_ms, std::move(done));
    ask(std::make_unique<Answer>(std::move(done)),
        [&](sluice_handle answer, const Answer&) { calls_.close(calls_.context, timeout_ms, answer); });
  }

  void deliver(EventBatch batch, Delivered done) override {
    ask(std::make_unique<Answer>(std::move(batch), std::move(done)),
        [this](sluice_handle answer, const Answer& asked) { calls_.deliver(calls_.context, &asked.shown(), answer); });
  }

 private:
  /// Where no handle is to be had, the answer is destroyed, and so told.
  template <class Call>
  static void ask(std::unique_ptr<Answer> answer, Call&& call) {
    const auto handle = handles().insert(std::move(answer));
    if (!handle) return;
    const auto held = acquire<Answer>(*handle);
    if (!held) return;
    const InCallback inside;
    call(*handle, **held);
  }

  const sluice_sink_calls calls_;
};

Result<Delivery> delivery_of(const sluice_failure* outcome, const sluice_delivered* delivered, uint64_t events) {
  Delivery delivery;
  if (outcome != nullptr) {
    auto status = status_of(outcome, "outcome");
    if (!status) return fail(std::move(status.error()));
    delivery.status = std::move(*status);
  }
  if (delivered == nullptr) return delivery;
  if (Status status = check_struct(delivered, kDeliveredBytes, "delivered"); !status.ok()) {
    return fail(std::move(status));
  }
  const uint64_t settled = delivery.status.ok() ? events : delivered->settled;
  if (settled > events) return fail(StatusCode::invalid, "delivered.settled is more than the batch has");
  if (delivered->refused > settled) return fail(StatusCode::invalid, "delivered.refused is more than is settled");
  delivery.settled = delivered->settled;
  delivery.refused = delivered->refused;
  if (delivered->refused > 0) {
    auto refusal = status_of(delivered->refusal, "delivered.refusal");
    if (!refusal) return fail(std::move(refusal.error()));
    delivery.refusal = std::move(*refusal);
  }
  return delivery;
}

}  // namespace

Result<std::shared_ptr<Sink>> SinkObject::take() {
  const std::scoped_lock lock(mutex_);
  if (!sink_) return fail(StatusCode::exists, "another bus or queue has this sink");
  return std::exchange(sink_, nullptr);
}

void SinkObject::give_back(std::shared_ptr<Sink> sink) {
  const std::scoped_lock lock(mutex_);
  sink_ = std::move(sink);
}

}  // namespace sluice::c

using namespace sluice;     // NOLINT: the functions below are of C
using namespace sluice::c;  // NOLINT

extern "C" {

sluice_status sluice_sink_open(const sluice_sink_calls* calls, sluice_handle* sink, sluice_failure* failure) {
  return guarded(failure, [&]() -> Verdict {
    if (Status status = check_out(sink, "sink"); !status.ok()) return status;
    if (Status status = check_struct(calls, kCallsBytes, "calls"); !status.ok()) return status;
    if (calls->deliver == nullptr) return Status(StatusCode::invalid, "calls.deliver is NULL");
    return give(std::make_unique<SinkObject>(std::make_shared<CallsSink>(*calls)), sink);
  });
}

sluice_status sluice_answer(sluice_handle answer, const sluice_failure* outcome, const sluice_delivered* delivered,
                            sluice_failure* failure) {
  return on<Answer>(answer, failure, [&](Answer& object) -> Verdict {
    auto delivery = delivery_of(outcome, delivered, object.shown().count);
    if (!delivery) return delivery.error();
    if (!object.give(*delivery)) return Status(StatusCode::not_found, "the answer was given before");
    static_cast<void>(handles().release(answer));  // somebody else may have
    return {};
  });
}

}  // extern "C"
