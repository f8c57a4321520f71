// SPDX-License-Identifier: Apache-2.0
#include "dlq/pump.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <new>
#include <utility>

#include "bus/answering.hpp"
#include "telemetry/attributes.hpp"

namespace sluice::dlq {
namespace {

constexpr std::string_view kTelemetrySystem = "sluice.dlq";
constexpr std::string_view kOperation = "send";
constexpr std::string_view kOpening = "open";
constexpr uint32_t kLongestDelayBy = 60;   // retries: any first delay has doubled to any limit by then
constexpr size_t kMaxStepsPerRun = 1'000;  // so that run() returns also where a sink answers at once for ever

int64_t wall_now_ns() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

}  // namespace

// Keeps the batch's bytes; says INTERNAL when it is destroyed uncalled.
class Pump::Answer {
 public:
  Answer(std::shared_ptr<Pump> pump, std::shared_ptr<Flight> flight)
      : pump_(std::move(pump)), flight_(std::move(flight)) {}
  Answer(Answer&&) noexcept = default;
  Answer& operator=(Answer&&) = delete;
  ~Answer() {
    if (pump_ == nullptr) return;
    Delivery none;
    none.status = Status(StatusCode::internal, "the sink gave no answer");
    (*this)(std::move(none));
  }
  void operator()(Delivery delivery) {
    const std::shared_ptr<Pump> pump = std::exchange(pump_, nullptr);
    if (pump != nullptr) pump->answered(flight_, std::move(delivery));
  }

 private:
  std::shared_ptr<Pump> pump_;
  std::shared_ptr<Flight> flight_;
};

Pump::Pump(DeadLetterSettings settings, std::shared_ptr<Sink> sink)
    : settings_(std::move(settings)),
      sink_(std::move(sink)),
      traits_(sink_->traits()),
      meter_(settings_.telemetry
                 ? std::optional(settings_.telemetry->meter(kOperation, kTelemetrySystem, settings_.name))
                 : std::nullopt),
      opening_meter_(settings_.telemetry
                         ? std::optional(settings_.telemetry->meter(kOpening, kTelemetrySystem, settings_.name))
                         : std::nullopt) {}

Status Pump::offer(const Record& record, const DeadLetterCause& cause) {
  const uint64_t bytes = Letter::bytes_of(record, cause);
  const std::lock_guard lock(mutex_);
  counters_.offered += 1;
  const auto drop = [&](StatusCode code, std::string why) {
    counters_.dropped += 1;
    dropped_[code] += 1;
    return Status(code, std::move(why));
  };
  if (refusing_) return drop(StatusCode::fenced, "the dead letter queue is closed");
  if (bytes > settings_.max_bytes || bytes > kMaxEventBytes) {
    return drop(StatusCode::too_large,
                fmt::format("{} bytes, the dead letter queue holds {}", bytes, settings_.max_bytes));
  }
  if (counters_.waiting + counters_.in_flight >= settings_.max_records) {
    return drop(StatusCode::busy, fmt::format("the dead letter queue holds {} records", settings_.max_records));
  }
  if (bytes > settings_.max_bytes - counters_.held_bytes) {
    return drop(StatusCode::busy, fmt::format("the dead letter queue holds {} bytes", counters_.held_bytes));
  }
  try {
    last_timestamp_ns_ = std::max(last_timestamp_ns_ + 1, wall_now_ns());
    waiting_.emplace_back(record, cause, last_timestamp_ns_);
  } catch (const std::bad_alloc&) {
    return drop(StatusCode::busy, "no memory for a dead letter");
  }
  if (waiting_.back().header_count() > kMaxEventHeaders) {
    waiting_.pop_back();
    return drop(StatusCode::too_large, fmt::format("more than {} headers", kMaxEventHeaders));
  }
  counters_.waiting += 1;
  counters_.held_bytes += bytes;
  turn_ += 1;
  turned_.notify_all();
  return {};
}

// Lock held.
std::shared_ptr<Pump::Flight> Pump::build() {
  auto flight = std::make_shared<Flight>(next_sequence_);
  const size_t most = std::min<size_t>(settings_.max_in_flight, std::max<uint32_t>(1, traits_.max_batch_events));
  while (flight->count < most && !waiting_.empty()) {
    const Letter& letter = waiting_.front();
    if (flight->count > 0 && flight->held_bytes + letter.held_bytes() > traits_.max_batch_bytes) break;
    flight->builder.add(letter.event(), letter.timestamp_ns());
    if (flight->builder.batch().size() == flight->count) break;  // no memory for it now
    flight->count += 1;
    flight->held_bytes += letter.held_bytes();
    waiting_.pop_front();
  }
  next_sequence_ += flight->count;
  counters_.waiting -= flight->count;
  counters_.in_flight += flight->count;
  return flight;
}

// Lock held.
void Pump::fail(size_t count, const Status& why) {
  counters_.failed += count;
  if (count > 0) counters_.last_failure = why;
}

// Lock held.
std::optional<int64_t> Pump::retry_in(const RetryPolicy& policy, const Status& why, Effect effect) {
  const auto delay_ms = retry_delay_ms(policy, why, effect, retries_, settings_.random());
  if (delay_ms) {
    retries_ += 1;
    counters_.retries += 1;
    due_ms_ = settings_.now_ms() + *delay_ms;
  }
  return delay_ms;
}

int64_t Pump::run() {
  {
    const std::lock_guard lock(mutex_);
    if (running_) return DeadLetterQueue::kIdleMs;
    running_ = true;
  }
  int64_t wait_ms = 0;
  for (size_t steps = 0; steps < kMaxStepsPerRun && step(wait_ms); ++steps) wait_ms = 0;
  const std::lock_guard lock(mutex_);
  running_ = false;
  return wait_ms;
}

// Calls the sink once if that is due; else false, with the time until it is.
bool Pump::step(int64_t& wait_ms) {
  std::unique_lock lock(mutex_);
  wait_ms = DeadLetterQueue::kIdleMs;
  if (gate_ == Gate::failed) {
    for (const Letter& letter : waiting_) counters_.held_bytes -= letter.held_bytes();
    fail(waiting_.size(), close_status_);
    counters_.waiting = 0;
    waiting_.clear();
    turned_.notify_all();
    return false;
  }
  if (idle() || gate_ == Gate::opening || gate_ == Gate::closing || gate_ == Gate::closed) return false;
  if (flight_ != nullptr && flight_->with_sink) return false;
  const int64_t left_ms = due_ms_ - settings_.now_ms();
  if (left_ms > 0) {
    wait_ms = std::min(left_ms, DeadLetterQueue::kIdleMs);
    return false;
  }
  if (gate_ == Gate::cold) {
    gate_ = Gate::opening;
    const int64_t asked_ns = opening_meter_ ? opening_meter_->start() : 0;
    lock.unlock();
    bus::guarded([&] {
      sink_->open(bus::answering(
          [self = shared_from_this(), asked_ns](Status status) { self->opened(std::move(status), asked_ns); }));
    });
    return true;
  }
  if (flight_ == nullptr) {
    flight_ = build();
    if (flight_->count == 0) {
      flight_ = nullptr;
      due_ms_ = settings_.now_ms() + settings_.retry.first_delay_ms;
      return true;
    }
  }
  flight_->with_sink = true;
  if (meter_) flight_->given_ns = meter_->start();
  const std::shared_ptr<Flight> flight = flight_;
  const EventBatch batch = flight->builder.batch(flight->attempt).after(flight->settled);
  lock.unlock();
  bus::guarded([&] { sink_->deliver(batch, Answer(shared_from_this(), flight)); });
  return true;
}

// Opening is harmless twice, and what is not there yet is waited for, however long: what is offered meanwhile is held
// within the limits.
void Pump::opened(Status status, int64_t asked_ns) {
  if (opening_meter_) status ? opening_meter_->succeed(asked_ns) : opening_meter_->fail(asked_ns, status);
  const std::lock_guard lock(mutex_);
  if (gate_ != Gate::opening) return;
  counters_.opening = status;
  const bool unknown = status.code() == StatusCode::unknown;
  RetryPolicy patient = settings_.retry;
  patient.max_retries = RetryPolicy::kMaxRetries;
  retries_ = std::min(retries_, kLongestDelayBy);
  if (status.ok()) {
    gate_ = Gate::open;
    retries_ = 0;
  } else if (retry_in(patient, status, unknown ? Effect::repeatable : Effect::once)) {
    gate_ = Gate::cold;
  } else {
    gate_ = Gate::failed;
    close_status_ = status.in("the sink of the dead letter queue");
  }
  turn_ += 1;
  turned_.notify_all();
}

void Pump::answered(const std::shared_ptr<Flight>& flight, Delivery delivery) {
  if (meter_) {
    const Status& why = delivery.status.ok() && delivery.refused > 0 ? delivery.refusal : delivery.status;
    delivery.status.ok() && delivery.refused == 0 ? meter_->succeed(flight->given_ns)
                                                  : meter_->fail(flight->given_ns, why);
  }
  const std::lock_guard lock(mutex_);
  if (flight != flight_ || !flight->with_sink) return;
  flight->with_sink = false;
  const size_t open = flight->count - flight->settled;
  const size_t settled = delivery.status.ok() ? open : std::min<size_t>(delivery.settled, open);
  const size_t refused = std::min<size_t>(delivery.refused, settled);
  counters_.sent += settled - refused;
  fail(refused, delivery.refusal);
  flight->settled += settled;
  counters_.in_flight -= settled;
  if (settled > 0) retries_ = 0;
  if (settled < open) {
    const Effect effect = traits_.deduplicates ? Effect::repeatable : Effect::once;
    if (retry_in(settings_.retry, delivery.status, effect)) {
      flight->attempt += 1;
    } else {
      fail(open - settled, delivery.status);
      flight->settled = flight->count;
      counters_.in_flight -= open - settled;
    }
  }
  if (flight->settled == flight->count) {
    counters_.held_bytes -= flight->held_bytes;
    if (flight_ == flight) flight_ = nullptr;
  }
  turn_ += 1;
  turned_.notify_all();
}

DeadLetterCounters Pump::counters() const {
  const std::lock_guard lock(mutex_);
  return counters_;
}

void Pump::report(Observations& to) const {
  DeadLetterCounters counters;
  std::map<StatusCode, uint64_t> dropped;
  {
    const std::lock_guard lock(mutex_);
    counters = counters_;
    dropped = dropped_;
  }
  const Attributes named = telemetry::named(kTelemetrySystem, semconv::kDestinationName, settings_.name);
  to.counter(semconv::kSentMessages, counters.sent, telemetry::with(named, semconv::kOperationName, kOperation));
  to.counter("sluice.dlq.offered", counters.offered, named);
  for (const auto& [code, count] : dropped) {
    to.counter("sluice.dlq.dropped", count, telemetry::with(named, semconv::kErrorType, status_name(code)));
  }
  to.counter("sluice.dlq.failed", counters.failed, named);
  to.counter("sluice.dlq.retries", counters.retries, named, "{retry}");
  to.gauge("sluice.dlq.waiting", static_cast<int64_t>(counters.waiting), named, "{message}");
  to.gauge("sluice.dlq.in_flight", static_cast<int64_t>(counters.in_flight), named, "{message}");
  to.gauge("sluice.dlq.held", static_cast<int64_t>(counters.held_bytes), named, "By");
}

void Pump::refuse() {
  const std::lock_guard lock(mutex_);
  refusing_ = true;
}

void Pump::closed(Status status) {
  const std::lock_guard lock(mutex_);
  gate_ = Gate::closed;
  close_status_ = std::move(status);
  turn_ += 1;
  turned_.notify_all();
}

Status Pump::close(std::chrono::steady_clock::time_point deadline, bool help) {
  std::unique_lock lock(mutex_);
  while (!idle()) {
    const uint64_t seen = turn_;
    int64_t wait_ms = DeadLetterQueue::kIdleMs;
    if (help) {
      lock.unlock();
      wait_ms = run();
      lock.lock();
    }
    if (idle()) break;
    const auto until = std::min(deadline, std::chrono::steady_clock::now() + std::chrono::milliseconds(wait_ms));
    turned_.wait_until(lock, until, [&] { return idle() || turn_ != seen; });
    if (!idle() && std::chrono::steady_clock::now() >= deadline) {
      std::string left =
          fmt::format("{} dead letters wait, {} are with the sink", counters_.waiting, counters_.in_flight);
      if (!counters_.opening) left += ", which does not open: " + counters_.opening.describe();
      return Status(StatusCode::busy, std::move(left));
    }
  }
  if (gate_ == Gate::cold) gate_ = Gate::closed;  // never opened: nothing to close
  if (gate_ == Gate::open) {
    gate_ = Gate::closing;
    lock.unlock();
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    bus::guarded([&] {
      sink_->close(std::max<int64_t>(1, left.count()),
                   bus::answering([self = shared_from_this()](Status status) { self->closed(std::move(status)); }));
    });
    lock.lock();
  }
  const auto over = [&] { return gate_ == Gate::closed || gate_ == Gate::failed; };
  if (!turned_.wait_until(lock, deadline, over)) return Status(StatusCode::busy, "the sink is still closing");
  return close_status_;
}

void Pump::wait(int64_t ms, uint64_t seen) {
  std::unique_lock lock(mutex_);
  turned_.wait_for(lock, std::chrono::milliseconds(ms), [&] { return turn_ != seen; });
}

uint64_t Pump::turn() const {
  const std::lock_guard lock(mutex_);
  return turn_;
}

void Pump::turn_over() {
  const std::lock_guard lock(mutex_);
  turn_ += 1;
  turned_.notify_all();
}

}  // namespace sluice::dlq
