// SPDX-License-Identifier: Apache-2.0
// The writer of a log: queue, units, and who is told what. What follows a failure is in log_settle.cc.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "host/log_impl.hpp"

namespace sluice::host {
namespace {

constexpr size_t kKeptCopyBytes = 1 << 20;  // of a unit's buffer for bytes that nobody owns, between uses

bool may_have_landed(const Status& status) {
  // Only UNKNOWN and OK leave the possibility; a status of a class that does not exist promises nothing.
  const int32_t of = status_class(status.code());
  return of != 100 && of != 200 && of != 300 && of != 500;
}

}  // namespace

void Queued::tell(AppendOutcome outcome) {
  UniqueFunction<void(AppendOutcome)> done = std::move(entry.done);
  if (done) done(std::move(outcome));
}

// ---- A unit

void Unit::reset() {
  result.prepare();
  request = sluice_append{};
  request.size = sizeof request;
  reserved_bytes = 0;
}

void Unit::fill(uint64_t token, int64_t at) {
  request.token = token;
  request.at = at;
  list(false);
}

void Unit::fill_native(uint64_t run) {
  request.run = run;
  list(true);  // the engine gives the offsets
  results.assign(batches.size(), sluice_batch_result{});
  result.value.batches = results.data();
}

/// `count_up`: the offsets of the batches do, from 0; else they are those of the entries.
void Unit::list(bool count_up) {
  uint64_t unowned = 0;
  for (const Queued& queued : entries) {
    request.bytes += queued.entry.bytes.size();
    if (!queued.entry.owner) unowned += queued.entry.bytes.size();
    if (queued.entry.sync) request.flags |= SLUICE_APPEND_SYNC;
  }
  copies.reserve(unowned);  // so that it does not move below
  int64_t next = 0;
  for (const Queued& queued : entries) {
    const AppendEntry& entry = queued.entry;
    const uint8_t* data = entry.bytes.data();
    if (!entry.owner) {
      const size_t place = copies.size();
      copies.insert(copies.end(), entry.bytes.begin(), entry.bytes.end());
      data = copies.data() + place;
    }
    const int64_t base = count_up ? next : entry.base_offset;
    const int64_t last = base + (entry.last_offset - entry.base_offset);
    next = last + 1;
    batches.push_back({data, entry.bytes.size(), base, last, entry.max_timestamp, entry.record_count, 0});
  }
  request.batches = batches.data();
  request.batch_count = static_cast<uint32_t>(batches.size());
}

void Unit::release() {
  storage().return_bytes(reserved_bytes);
  entries.clear();
  batches.clear();
  results.clear();
  copies.clear();
  if (copies.capacity() > kKeptCopyBytes) copies = {};
}

void Unit::finished() {
  const std::shared_ptr<LogImpl> keep = log->shared_from_this();
  Executor* here = entries.front().executor;
  keep->unit_ended(CallRef<Unit>(this), here);
  keep->advance(here);
}

std::string Unit::fault(sluice_status status) {
  const sluice_append_result& r = result.value;
  if (!result.intact()) return "wrote behind the end of sluice_append_result";
  if (storage().is_native()) {
    if (status != SLUICE_OK) return {};
    for (size_t i = 0; i < results.size(); ++i) {
      if (results[i].last_offset < results[i].first_offset)
        return fmt::format("gave no offsets for batch {} of the unit", i);
    }
    return {};
  }
  if (status == SLUICE_OK && r.end != end())
    return fmt::format("OK with the end {}, the unit ends at {}", r.end, end());
  if (status == SLUICE_CONFLICT && r.end == at())
    return fmt::format("CONFLICT though the end is {}, as asked for", r.end);
  if (status == SLUICE_CONFLICT && r.token != request.token)
    return "CONFLICT with another token in force: FENCED goes first";
  if (status == SLUICE_FENCED && r.token == request.token)
    return "FENCED though the token in force is the one that was sent";
  return {};
}

// ---- Queueing

/// Why nothing can be appended now. With the lock held.
Status LogImpl::writable() const {
  if ((descriptor_.source.flags & SLUICE_LOG_SEVERAL_WRITERS) != 0) {
    return Status(StatusCode::invalid, "several write this log: only append_at can");
  }
  if (fenced_) return Status(StatusCode::fenced, fmt::format("another writer holds log {}", descriptor_.source.topic));
  if (!acquired_ || !acquires_.empty()) return Status(StatusCode::unavailable, "the log has not been acquired");
  if (!storage_->admits()) return storage_->refusal();
  return {};
}

WritePosition LogImpl::position() const {
  std::lock_guard lock(mutex_);
  return {tail_, generation_};
}

Status LogImpl::enqueue(AppendEntry entry, uint64_t generation, Executor& executor) {
  const uint64_t size = entry.bytes.size();
  if (size == 0 || entry.last_offset < entry.base_offset || entry.last_offset == INT64_MAX || !entry.done) {
    return Status(StatusCode::invalid, "a batch needs bytes, offsets in order and somebody to be told");
  }
  std::lock_guard lock(mutex_);
  if (Status refusal = writable(); !refusal.ok()) return refusal;
  if (generation != generation_) {
    return Status(StatusCode::conflict,
                  fmt::format("numbered in generation {} of the log, which is at {}", generation, generation_));
  }
  const bool native = storage_->is_native();
  if (!native && entry.base_offset < tail_) {
    return Status(StatusCode::invalid,
                  fmt::format("the batch begins at {}, before the log's end {}", entry.base_offset, tail_));
  }
  if (size > storage_->largest_unit()) {
    return Status(StatusCode::too_large, fmt::format("a batch of {} bytes; storage {} takes {} at most", size,
                                                     storage_->name(), storage_->largest_unit()));
  }
  if (queue_.size() - queue_head_ >= kMaxQueuedBatches) {
    storage_->metrics().refused_busy.fetch_add(1);
    return Status(StatusCode::busy, fmt::format("{} batches wait to be appended already", kMaxQueuedBatches));
  }
  if (!storage_->reserve_bytes(size)) {
    return Status(StatusCode::busy,
                  fmt::format("the bytes that storage {} may have in flight are spent", storage_->name()));
  }
  if (!native) tail_ = entry.last_offset + 1;
  queue_.push_back({std::move(entry), &executor});
  return {};
}

void LogImpl::send() {
  const std::shared_ptr<LogImpl> keep = shared_from_this();  // a done callback may drop the caller's last reference
  advance(nullptr);
}

// ---- What comes next

/// Starts whatever is due, if nothing is under way, and tells callers what has been found out. Without the lock.
void LogImpl::advance(Executor* here) {
  for (;;) {
    Lock lock(mutex_);
    if (phase_ != Phase::idle) break;
    const bool may_append = acquired_ && !fenced_;
    const bool fence_due = unsettled_ || !acquires_.empty() || (may_append && fence_now_ != nullptr);
    if (!fence_due && !fence_waiters_.empty()) {
      const std::vector<Resumer<Status>> waiters = std::exchange(fence_waiters_, {});
      lock.unlock();
      for (const Resumer<Status>& waiter : waiters) waiter(Status());
      continue;
    }
    bool ended = false;
    if (unsettled_) {
      ended = begin_fence(lock, FenceFor::settle, *unsettled_->entries.front().executor, here);
    } else if (!acquires_.empty()) {
      ended = begin_acquire(lock, here);
    } else if (may_append && (has_queued() || fence_now_ != nullptr)) {
      const bool native = storage_->is_native();
      const bool stale = !native && incarnation_ != storage_->incarnation();
      if (fence_first_ || stale || fence_now_ != nullptr) {
        ended = begin_fence(lock, FenceFor::again, has_queued() ? *queue_[queue_head_].executor : *fence_now_, here);
      } else if (native && !has_room()) {
        break;
      } else {
        ended = begin_unit(lock, native, here);
      }
    } else {
      break;
    }
    if (!ended) break;
    deliver(here);
  }
  deliver(here);
}

/// NATIVE: takes a place for one more append. With the lock held.
bool LogImpl::has_room() {
  if (!flights_.empty() && flights_.back().run != run()) return false;  // what became of the last run is not known yet
  return storage_->begin_flight(flights_.size());
}

/// Sends the head of the queue as one unit. Gives the lock back; true if the unit has ended already, or if there may be
/// room for another.
bool LogImpl::begin_unit(Lock& lock, bool native, Executor* here) {
  phase_ = Phase::appending;
  CallRef<Unit> unit = storage_->calls().take<Unit>(shared_from_this());
  unit->log = this;
  const uint64_t most_bytes = storage_->gathered_bytes();
  size_t count = 0;
  uint64_t bytes = 0;
  while (queue_head_ + count < queue_.size() && count < kMaxUnitBatches) {
    const uint64_t size = queue_[queue_head_ + count].entry.bytes.size();
    if (count > 0 && bytes + size > most_bytes) break;
    bytes += size;
    ++count;
  }
  unit->reserved_bytes = bytes;
  if (queue_head_ == 0 && count == queue_.size()) {
    unit->entries.swap(queue_);  // both keep their capacity
  } else {
    const auto first = queue_.begin() + static_cast<ptrdiff_t>(queue_head_);
    std::move(first, first + static_cast<ptrdiff_t>(count), std::back_inserter(unit->entries));
    queue_head_ += count;
    if (queue_head_ == queue_.size()) {
      queue_.clear();
      queue_head_ = 0;
    }
  }
  if (native) return begin_native_unit(lock, std::move(unit), here);
  const uint64_t token = token_;
  const int64_t at = end_;
  lock.unlock();

  unit->fill(token, at);
  Unit* u = unit.get();
  const bool ended = u->issue(*u->entries.front().executor, storage_->call_deadline_ns(), [this, u] {
    return storage_->api().append(handle_, u->ticket(), &u->request, &u->result.value);
  });
  if (ended) unit_ended(std::move(unit), here);
  return ended;
}

bool LogImpl::begin_native_unit(Lock& lock, CallRef<Unit> unit, Executor* here) {
  const uint64_t of = run();
  Flight& flight = flights_.emplace_back();
  flight.sent = unit.get();
  flight.run = of;
  lock.unlock();

  unit->fill_native(of);
  Unit* u = unit.get();
  const bool ended = u->issue(*u->entries.front().executor, storage_->call_deadline_ns(), [this, u] {
    return storage_->api().append(handle_, u->ticket(), &u->request, &u->result.value);
  });
  lock.lock();
  phase_ = Phase::idle;
  lock.unlock();
  if (ended) unit_ended(std::move(unit), here);
  return true;
}

void LogImpl::unit_ended(CallRef<Unit> unit, Executor* here) {
  Status status = unit->conclude();
  StorageMetrics& metrics = storage_->metrics();
  if (status.ok()) {
    metrics.appends.fetch_add(1);
    metrics.append_bytes.fetch_add(unit->request.bytes);
  } else {
    metrics.append_errors.fetch_add(1);
  }
  Lock lock(mutex_);
  if (!unit->results.empty()) return native_unit_ended(std::move(unit), std::move(status), here);
  phase_ = Phase::idle;
  if (!status.ok()) return unit_failed(lock, std::move(unit), std::move(status), here);
  end_ = unit->end();
  possible_end_ = end_;
  acknowledged_ = end_;
  saw_end(end_);
  tell_unit(std::move(unit), Status(), here);
}

/// With the lock held.
void LogImpl::native_unit_ended(CallRef<Unit> unit, Status status, Executor* here) {
  const auto flight =
      std::find_if(flights_.begin(), flights_.end(), [&](const Flight& each) { return each.sent == unit.get(); });
  flight->unit = std::move(unit);
  flight->status = std::move(status);
  while (!flights_.empty() && flights_.front().unit) {
    Flight first = std::move(flights_.front());
    flights_.pop_front();
    storage_->end_flight();
    flight_ended(std::move(first), here);
  }
}

/// With the lock held, all before it told.
void LogImpl::flight_ended(Flight flight, Executor* here) {
  const Status status = flight.status;
  if (status.ok()) {
    for (const sluice_batch_result& batch : flight.unit->results) end_ = std::max(end_, batch.last_offset + 1);
    tail_ = end_;
    possible_end_ = end_;
    acknowledged_ = end_;
    saw_end(end_);
  }
  Delivery& delivery = tell_unit(std::move(flight.unit), std::move(flight.status), here);
  delivery.dropped = std::move(flight.behind.dropped);
  delivery.dropped_outcome = std::move(flight.behind.dropped_outcome);
  // What was queued since the first of a run failed is not behind those that fail now. What is dropped is told after
  // all that was sent.
  if (status.ok() || flight.run != run()) return;
  drop_queue(flights_.empty() ? delivery : flights_.back().behind, StatusCode::unavailable,
             fmt::format("not sent, because an append before it failed: {}", status.describe()));
}

/// With the lock held.
void LogImpl::unit_failed(Lock&, CallRef<Unit> unit, Status status, Executor* here) {
  const std::string behind = fmt::format("not sent, because an append before it failed: {}", status.describe());
  if (may_have_landed(status)) {
    unsettled_ = std::move(unit);
    settle_deadline_ns_ = storage_->timers().now_ns() + kSettleDeadlineMs * 1'000'000;
    settle_pause_ms_ = kFirstSettlePauseMs;
    return;
  }
  const sluice_append_result& result = unit->result.value;
  Executor* on = unit->entries.front().executor;
  if (status.code() == StatusCode::fenced && result.token > token_) {
    fenced_ = true;
    drop_queue(tell_unit(std::move(unit), std::move(status), here), StatusCode::fenced, behind);
    return;
  }
  if (status.code() == StatusCode::fenced || status.code() == StatusCode::conflict) {
    // Nobody took over, and yet our token or our end is not the log's: the storage went back in time, or somebody
    // writes who should not. The fence tells, and it is not put off.
    remarks_.push_back(
        {fmt::format("log {}: an append at {} with token {:#x} found the end {} and the token {:#x}",
                     descriptor_.source.topic, unit->at(), unit->request.token, result.end, result.token)});
    fence_first_ = true;
    fence_now_ = on;
    status = Status(StatusCode::unavailable, status.describe());
  } else if (status_class(status.code()) == 300 && status.code() != StatusCode::busy) {
    fence_first_ = true;
  }
  drop_queue(tell_unit(std::move(unit), std::move(status), here), StatusCode::unavailable, behind);
}

// ---- Telling callers

/// With the lock held. `here` nullptr: the unit ended inside send(), so that its callers may be told there.
LogImpl::Delivery& LogImpl::tell_unit(CallRef<Unit> unit, Status status, Executor* here) {
  Delivery& delivery = deliveries_.emplace_back();
  delivery.executor = unit->entries.front().executor;
  if (here == nullptr) delivery.thread = std::this_thread::get_id();
  delivery.outcome.status = std::move(status);
  delivery.outcome.log_end = end_;
  delivery.unit = std::move(unit);
  return delivery;
}

/// With the lock held.
void LogImpl::drop_queue(Delivery& with, StatusCode code, const std::string& why) {
  ++generation_;
  tail_ = end_;
  with.outcome.log_end = end_;
  if (!has_queued()) return;
  with.dropped_outcome.status = Status(code, why);
  with.dropped_outcome.log_end = end_;
  with.dropped.assign(std::make_move_iterator(queue_.begin() + static_cast<ptrdiff_t>(queue_head_)),
                      std::make_move_iterator(queue_.end()));
  queue_.clear();
  queue_head_ = 0;
}

/// With the lock held.
void LogImpl::drop_queue(StatusCode code, const std::string& why) {
  Delivery none;
  Delivery& delivery = has_queued() ? deliveries_.emplace_back() : none;
  if (has_queued()) delivery.executor = queue_[queue_head_].executor;
  drop_queue(delivery, code, why);
}

/// Says what was found out with the lock held, which it gives back meanwhile.
void LogImpl::say_remarks(Lock& lock) {
  if (remarks_.empty()) return;
  const std::vector<Remark> remarks = std::exchange(remarks_, {});
  lock.unlock();
  for (const Remark& remark : remarks) {
    storage_->say(SLUICE_LOG_ERROR, remark.text);
    Checker* checker = storage_->checker();
    if (remark.breach && checker != nullptr) checker->breach(*storage_, "append", remark.text);
  }
  lock.lock();
}

/// Tells callers in order, each group on its executor. One thread at a time does so; others leave theirs to it.
void LogImpl::deliver(Executor* here) {
  Lock lock(mutex_);
  say_remarks(lock);
  while (!delivering_ && !deliveries_.empty()) {
    Delivery& next = deliveries_.front();
    delivering_ = true;
    if (next.executor != here && next.thread != std::this_thread::get_id()) {
      Executor* on = next.executor;
      lock.unlock();
      on->post([self = shared_from_this(), on] {
        {
          Lock again(self->mutex_);
          self->delivering_ = false;
        }
        self->deliver(on);
      });
      return;
    }
    {
      Delivery mine = std::move(next);
      deliveries_.pop_front();
      lock.unlock();
      run_delivery(mine);
    }
    lock.lock();
    delivering_ = false;
  }
}

void LogImpl::run_delivery(Delivery& delivery) {
  if (delivery.unit) {
    Unit& unit = *delivery.unit;
    const bool native = delivery.outcome.status.ok() && !unit.results.empty();
    for (size_t i = 0; i < unit.entries.size(); ++i) {
      AppendOutcome outcome = delivery.outcome;
      outcome.first_offset = native ? unit.results[i].first_offset : unit.entries[i].entry.base_offset;
      outcome.last_offset = native ? unit.results[i].last_offset : unit.entries[i].entry.last_offset;
      unit.entries[i].tell(std::move(outcome));
    }
  }
  uint64_t bytes = 0;
  for (Queued& dropped : delivery.dropped) {
    bytes += dropped.entry.bytes.size();
    AppendOutcome outcome = delivery.dropped_outcome;
    outcome.first_offset = dropped.entry.base_offset;
    outcome.last_offset = dropped.entry.last_offset;
    dropped.tell(std::move(outcome));
  }
  storage_->return_bytes(bytes);
}

}  // namespace sluice::host
