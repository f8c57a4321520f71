// SPDX-License-Identifier: Apache-2.0
#include "bus/shard.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "bus/metrics.hpp"

namespace sluice::bus {
namespace {

constexpr int64_t kCloseMs = 30'000;       // of a sink whose shard is finished
constexpr int64_t kMeasureNs = 500'000;    // between two looks at the rate
constexpr uint32_t kTakeGroupEvents = 64;  // moved while producers cannot evict
constexpr uint32_t kLineBytes = 64;

uint32_t slot_bytes(const BusOptions& options) {
  return static_cast<uint32_t>(
      (sizeof(Frame) + std::max<size_t>(options.inline_bytes, sizeof(void*)) + kLineBytes - 1) / kLineBytes *
      kLineBytes);
}

}  // namespace

/// Answers for one flight of a shard, once: when called, or, as a failure, when given up.
class Completion {
 public:
  Completion(std::shared_ptr<Shard> shard, Shard::Flight& flight) : shard_(std::move(shard)), flight_(&flight) {}
  Completion(Completion&& other) noexcept : shard_(std::move(other.shard_)), flight_(other.flight_) {}
  ~Completion() {
    if (!shard_) return;
    Delivery delivery;
    delivery.status = Status(StatusCode::internal, "the sink gave up a delivery without answering it");
    answer(std::move(delivery));
  }
  void operator()(Delivery delivery) {
    if (shard_) answer(std::move(delivery));
  }

 private:
  void answer(Delivery delivery) {
    flight_->answer = std::move(delivery);
    // The flight may be used for another batch as soon as this is seen.
    flight_->answered.store(true, std::memory_order_release);
    shard_->signal_->notify_unless_mine();
    shard_.reset();
  }
  std::shared_ptr<Shard> shard_;
  Shard::Flight* flight_;
};

Shard::Shard(uint64_t id, const std::string& source_id, std::shared_ptr<Context> context,
             std::shared_ptr<SinkGate> gate, bool own_sink, size_t pump, std::shared_ptr<Signal> signal,
             uint64_t first_sequence)
    : ring(context->options.capacity_events, slot_bytes(context->options), first_sequence),
      id_(id),
      context_(std::move(context)),
      gate_(std::move(gate)),
      own_sink_(own_sink),
      pump_(pump),
      lends_(context_->options.retain_events == 0 && context_->options.when_full != WhenFull::drop_oldest),
      first_sequence_(first_sequence),
      signal_(std::move(signal)),
      pool_(lends_ ? nullptr : std::make_shared<BlockPool>(ring.slot_bytes())),
      retention_(context_->options.retain_events == 0
                     ? nullptr
                     : std::make_shared<Retention>(source_id, context_->options.retain_events,
                                                   context_->options.max_spilled_bytes, first_sequence, signal_)),
      meter_(context_->options.telemetry
                 ? std::optional(delivery_meter(*context_->options.telemetry, context_->options.name, id))
                 : std::nullopt),
      max_batch_events_(context_->options.batch.max_events),
      max_batch_bytes_(context_->options.batch.max_bytes),
      hurry_until_(first_sequence),
      settled_(first_sequence),
      taken_(first_sequence),
      measured_at_(first_sequence),
      random_(id * 0x9e3779b97f4a7c15 + static_cast<uint64_t>(monotonic_ns())) {
  uint32_t flights = 1;
  if (gate_) {
    max_batch_events_ = std::max(std::min(max_batch_events_, gate_->traits().max_batch_events), 1U);
    max_batch_bytes_ = std::min(max_batch_bytes_, gate_->traits().max_batch_bytes);
    if (gate_->traits().ordered) flights = context_->options.max_in_flight;
  }
  if (lends_) max_batch_events_ = std::min(max_batch_events_, std::max(ring.capacity() / 2, 1U));
  for (uint32_t i = 0; i < flights; ++i) flights_.push_back(std::make_unique<Flight>());
}

uint32_t Shard::inline_bytes(const BusOptions& options) {
  return slot_bytes(options) - static_cast<uint32_t>(sizeof(Frame));
}

void Shard::begin_drain() {
  draining_.store(true, std::memory_order_release);
  notify();
}

void Shard::hurry() {
  hurry_until_.store(ring.claimed(), std::memory_order_release);
  notify();
}

ShardCounts Shard::counts() const {
  ShardCounts c;
  c.shard = id_;
  c.draining = is_draining();
  c.finished = is_finished();
  // What left is read before what came, so that pending is never negative.
  c.delivered = delivered_.load(std::memory_order_acquire);
  c.dropped.refused = dropped_refused_.load(std::memory_order_acquire);
  c.dropped.failed = dropped_failed_.load(std::memory_order_acquire);
  c.dropped.abandoned = abandoned_.load(std::memory_order_acquire);
  c.dropped.oldest = dropped_oldest.load(std::memory_order_acquire);
  c.dropped.newest = dropped_newest.load(std::memory_order_acquire);
  c.dropped.sampled = dropped_sampled.load(std::memory_order_acquire);
  c.accepted = ring.claimed() - first_sequence_ + c.dropped.newest + c.dropped.sampled;
  c.pending = c.accepted - c.delivered - c.dropped.all();
  c.refused = refused.load(std::memory_order_relaxed);
  c.batches = batches_.load(std::memory_order_relaxed);
  c.retries = retries_.load(std::memory_order_relaxed);
  c.subscribable = retention_ ? retention_->retained() : 0;
  return c;
}

Status Shard::trouble() const {
  if (gate_ && gate_->state() != SinkGate::State::open) {
    if (Status failure = gate_->failure(); !failure) return failure.in("the sink does not open");
  }
  const StatusCode code = last_answer_.load(std::memory_order_relaxed);
  return code == StatusCode::ok ? Status() : Status(code, "the last delivery failed");
}

uint64_t Shard::abandon() {
  if (is_finished()) return 0;
  const uint64_t left = counts().pending;
  add(abandoned_, left);
  if (retention_) retention_->finish(ring.claimed());
  return left;
}

Shard::Step Shard::step(int64_t now_ns) {
  Step step;
  if (is_finished() && !retention_) return step;
  if (gate_ && gate_->state() != SinkGate::State::open) gate_->advance(now_ns, step.due_ns);
  step.progress = collect(now_ns);
  while (flying_ < flights_.size()) {
    take(now_ns);
    if (open_.count == 0) break;
    if (!is_ripe(now_ns)) {
      step.due_ns = std::min(step.due_ns, open_.since_ns + int64_t{context_->options.batch.linger_us} * 1'000);
      break;
    }
    launch(now_ns);
    step.progress = true;
    // A sink that answers at once frees its flight for the next batch.
    send(now_ns, step.due_ns);
    collect(now_ns);
  }
  if (flying_ != 0 && send(now_ns, step.due_ns)) step.progress = true;
  measure(now_ns);
  update_settled();
  if (retention_) step.due_ns = std::min(step.due_ns, retention_->expire(now_ns));
  if (is_draining() && advance_end(now_ns, step.due_ns)) step.progress = true;
  return step;
}

/// Takes in what the sink answered; true if there was something.
bool Shard::collect(int64_t now_ns) {
  bool progress = false;
  for (size_t i = 0; i < flying_; ++i) {
    Flight& at = flight(i);
    if (at.phase != Flight::Phase::flying || !at.answered.load(std::memory_order_acquire)) continue;
    settle(at, now_ns);
    progress = true;
  }
  return free_front() || progress;
}

void Shard::meter(const Flight& at, const Status& status) const {
  if (!meter_) return;
  status ? meter_->succeed(at.given_ns) : meter_->fail(at.given_ns, status);
}

/// Where something failed, what, and how long it took.
Status Shard::place(const Flight& at, const Status& why, int64_t now_ns) const {
  return why.in(fmt::format("shard {}, up to sequence {}, attempt {}, {} us", id_, at.end - 1, at.retries + 1,
                            (now_ns - at.begun_ns) / 1'000));
}

void Shard::settle(Flight& at, int64_t now_ns) {
  Delivery answer = std::move(at.answer);
  at.answer = Delivery();
  at.answered.store(false, std::memory_order_relaxed);
  last_answer_.store(answer.status.code(), std::memory_order_relaxed);
  const size_t settled = answer.status ? at.batch.size() : std::min<size_t>(answer.settled, at.batch.size());
  const uint64_t refusals = std::min<uint64_t>(answer.refused, settled);
  add(delivered_, settled - refusals);
  if (refusals != 0) {
    add(dropped_refused_, refusals);
    if (answer.refusal) answer.refusal = Status(StatusCode::invalid, "the sink refused events and says no more");
    context_->record_failure(refusals, place(at, answer.refusal, now_ns));
  }
  meter(at, answer.status && refusals != 0 ? answer.refusal : answer.status);
  at.phase = Flight::Phase::settled;
  if (answer.status) return;
  at.batch = at.batch.after(settled);
  if (at.batch.size() == 0) return;
  random_ = random_ * 6364136223846793005ULL + 1442695040888963407ULL;
  const auto delay_ms = retry_delay_ms(context_->retry, answer.status, gate_->effect(), at.retries, random_ >> 16);
  if (!delay_ms) {
    const uint64_t failed = at.batch.size();
    add(dropped_failed_, failed);
    context_->record_failure(failed, place(at, answer.status, now_ns));
    return;
  }
  ++at.retries;
  add(retries_, 1);
  at.not_before_ns = monotonic_ns() + *delay_ms * 1'000'000;  // a sink may have kept this step for longer
  at.phase = Flight::Phase::waiting;
}

/// Gives up the batches at the front that are settled, and their memory.
bool Shard::free_front() {
  bool freed = false;
  for (; flying_ != 0 && flight(0).phase == Flight::Phase::settled; --flying_) {
    Flight& front = flight(0);
    if (front.block) {
      front.block.reset();
    } else {
      ring.release(front.end, front.spilled_bytes != 0);
      if (front.spilled_bytes != 0) spilled_bytes.fetch_sub(front.spilled_bytes, std::memory_order_relaxed);
    }
    add(batches_, 1);
    first_flight_ = (first_flight_ + 1) % flights_.size();
    freed = true;
  }
  if (freed && lends_ && ring.claimed() - ring.released() <= ring.capacity() / 4 * 3) room.notify();
  return freed;
}

/// Gives waiting batches to the sink, in order; true if it took one.
bool Shard::send(int64_t now_ns, int64_t& due_ns) {
  if (!gate_) return false;
  bool sent = false;
  for (size_t i = 0; i < flying_; ++i) {
    Flight& at = flight(i);
    if (at.phase != Flight::Phase::waiting) continue;
    if (now_ns < at.not_before_ns) {
      due_ns = std::min(due_ns, at.not_before_ns);
      break;
    }
    // A batch that is tried again waits until those behind it came back: they were given in vain, or will be given
    // after it.
    bool others_fly = false;
    for (size_t j = i + 1; j < flying_; ++j) others_fly |= flight(j).phase == Flight::Phase::flying;
    if (others_fly) break;
    const SinkGate::State state = gate_->advance(now_ns, due_ns);
    if (state == SinkGate::State::cold || state == SinkGate::State::opening || state == SinkGate::State::waiting) break;
    at.phase = Flight::Phase::flying;
    if (meter_) at.given_ns = meter_->start();
    sent = true;
    Completion completion(shared_from_this(), at);
    if (state != SinkGate::State::open) {
      const Status why = gate_->failure();
      Delivery failed;
      failed.status = Status(why.code(), "the sink did not open: " + why.text(), why.native_code());
      completion(std::move(failed));
      continue;
    }
    const EventBatch batch = EventBatchAccess::again(at.batch, at.retries);
    try {
      gate_->sink().deliver(batch, std::move(completion));
    } catch (...) {  // the sink is not ours; its callback is gone, which is an answer
    }
  }
  return sent;
}

uint64_t Shard::target_events() const {
  const BatchOptions& batch = context_->options.batch;
  if (!batch.adaptive) return max_batch_events_;
  const double expected = rate_per_ns_ * batch.linger_us * 1'000;
  return expected < 2 ? 1 : std::min<uint64_t>(static_cast<uint64_t>(expected), max_batch_events_);
}

bool Shard::is_ripe(int64_t now_ns) const {
  return open_.closed || open_.count >= target_events() || is_draining() ||
         ring.claimed() - ring.released() >= ring.capacity() ||
         static_cast<int64_t>(hurry_until_.load(std::memory_order_acquire) - open_.first) > 0 ||
         now_ns - open_.since_ns >= int64_t{context_->options.batch.linger_us} * 1'000;
}

void Shard::take(int64_t now_ns) {
  if (open_.closed) return;
  lends_ ? take_lent(now_ns) : take_moved(now_ns);
}

void Shard::take_lent(int64_t now_ns) {
  // Events lie one behind the other up to the ring's end.
  const Ring::Run run = ring.scan(taken_, max_batch_events_ - open_.count, max_batch_bytes_ - open_.payload_bytes,
                                  open_.count == 0, last_timestamp_ns_);
  if (run.count == 0) {
    open_.closed = run.stopped_by_bytes;
    return;
  }
  if (open_.count == 0) {
    open_.slots = reinterpret_cast<const uint8_t*>(&ring.slot(run.first));
    open_.first = run.first;
    open_.since_ns = now_ns;
  }
  open_.count += run.count;
  open_.payload_bytes += run.payload_bytes;
  open_.spilled_bytes += run.spilled_bytes;
  open_.end = taken_ = run.first + run.count;
  open_.closed = run.stopped_by_bytes || run.at_wrap || open_.count >= max_batch_events_ ||
                 open_.payload_bytes >= max_batch_bytes_;
}

void Shard::take_moved(int64_t now_ns) {
  const bool evicted_meanwhile = context_->options.when_full == WhenFull::drop_oldest;
  while (!open_.closed) {
    if (!block_ || (block_->is_full() && open_.count == 0)) block_ = pool_->get();
    if (block_->is_full()) {
      open_.closed = true;
      break;
    }
    const uint32_t most =
        std::min({max_batch_events_ - open_.count, Block::kEvents - block_->count(), kTakeGroupEvents});
    Ring::Run run;
    {
      std::unique_lock<std::mutex> lock;
      if (evicted_meanwhile) lock = std::unique_lock(ring.take_mutex());
      const uint64_t from = ring.released();
      run = ring.scan(from, most, max_batch_bytes_ - open_.payload_bytes, open_.count == 0, last_timestamp_ns_);
      if (run.count == 0) {
        open_.closed = run.stopped_by_bytes;
        break;
      }
      if (open_.count == 0) {
        open_.slots = block_->slot(block_->count());
        open_.first = run.first;
        open_.since_ns = now_ns;
        open_.block = block_;
      }
      for (uint32_t i = 0; i < run.count; ++i) block_->take(ring.slot(run.first + i));
      ring.release(run.first + run.count, false);
    }
    if (run.spilled_bytes != 0) spilled_bytes.fetch_sub(run.spilled_bytes, std::memory_order_relaxed);
    open_.count += run.count;
    open_.payload_bytes += run.payload_bytes;
    open_.end = taken_ = run.first + run.count;
    open_.closed = run.stopped_by_bytes || open_.count >= max_batch_events_ || open_.payload_bytes >= max_batch_bytes_;
    if (retention_) retention_->publish(block_, block_->count());
    if (ring.claimed() - ring.released() <= ring.capacity() / 4 * 3) room.notify();
  }
}

/// The open batch becomes a flight.
void Shard::launch(int64_t now_ns) {
  if (!gate_) {
    add(delivered_, open_.count);
    add(batches_, 1);
    open_ = Open{};
    return;
  }
  Flight& at = *flights_[(first_flight_ + flying_) % flights_.size()];
  at.batch = EventBatchAccess::make(open_.slots, ring.slot_bytes(), open_.count, open_.payload_bytes,
                                    {context_->options.name, context_->epoch, id_});
  at.end = open_.end;
  at.spilled_bytes = open_.block ? 0 : open_.spilled_bytes;
  at.block = std::move(open_.block);
  at.phase = Flight::Phase::waiting;
  at.retries = 0;
  at.begun_ns = now_ns;
  at.not_before_ns = 0;
  ++flying_;
  open_ = Open{};
}

void Shard::measure(int64_t now_ns) {
  const int64_t passed_ns = now_ns - measured_ns_;
  if (passed_ns < kMeasureNs) return;
  const uint64_t claimed = ring.claimed();
  const double rate = static_cast<double>(claimed - measured_at_) / static_cast<double>(passed_ns);
  // Long silence says more than what was before it.
  rate_per_ns_ = passed_ns > 20 * kMeasureNs ? rate : (rate_per_ns_ + rate) / 2;
  measured_ns_ = now_ns;
  measured_at_ = claimed;
}

void Shard::update_settled() {
  const uint64_t settled = flying_ != 0       ? flight(0).batch.first_sequence()
                           : open_.count != 0 ? open_.first
                           : lends_           ? taken_
                                              : ring.released();
  if (settled == settled_.load(std::memory_order_relaxed)) return;
  settled_.store(settled, std::memory_order_release);
}

/// A draining shard's way to its end: everything settled, then its own sink closed.
bool Shard::advance_end(int64_t now_ns, int64_t& due_ns) {
  if (is_finished() || flying_ != 0 || open_.count != 0 || settled() != ring.claimed()) return false;
  if (gate_ && own_sink_) {
    if (close_begun_ns_ < 0 && gate_->state() != SinkGate::State::opening) {
      close_begun_ns_ = now_ns;
      gate_->begin_close(kCloseMs);
    }
    if (close_begun_ns_ < 0) return false;
    const bool closed = gate_->state() == SinkGate::State::closed;
    const int64_t until_ns = close_begun_ns_ + kCloseMs * 1'000'000;
    if (!closed && now_ns < until_ns) {
      due_ns = std::min(due_ns, until_ns);
      return false;
    }
    const Status result = closed ? gate_->close_result() : Status(StatusCode::busy, "the sink has not closed in time");
    if (!result) context_->record_failure(0, result.in(fmt::format("shard {}, close", id_)));
  }
  if (retention_) retention_->finish(ring.claimed());
  finished_.store(true, std::memory_order_release);
  return true;
}

uint64_t Shard::events_to_wait_for() const {
  if (open_.count == 0) return 1;
  const uint64_t wanted = std::max<uint64_t>(target_events(), open_.count + uint64_t{1}) - open_.count;
  const uint64_t can_come = ring.released() + ring.capacity() - next_to_take();
  return std::max<uint64_t>(std::min(wanted, can_come), 1);
}

void Shard::arm() {
  // While no batch can go out, an answer has to come first.
  flying_ == flights_.size() ? ring.wake_never() : ring.wake_at(next_to_take() + events_to_wait_for() - 1);
}

bool Shard::may_sleep() {
  return flying_ == flights_.size() || !ring.is_committed(next_to_take() + events_to_wait_for() - 1);
}

}  // namespace sluice::bus
