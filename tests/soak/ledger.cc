// SPDX-License-Identifier: Apache-2.0
#include "ledger.hpp"

#include <utility>

namespace sluice::soak {

Ledger::Entry& Ledger::entry(const Stamp& stamp) {
  std::vector<Entry>& of = entries_[stamp.producer];
  if (of.size() <= stamp.n) of.resize(stamp.n + 1 + stamp.n / 2);
  return of[stamp.n];
}

void Ledger::violated(const Stamp& stamp, const char* what) {
  verdict_.violated(who_,
                    fmt::format("event {} of producer {} of bus {}: {}", stamp.n, stamp.producer, stamp.bus, what));
}

void Ledger::given(const EventBatch& batch) {
  const std::lock_guard lock(mutex_);
  for (size_t i = 0; i < batch.size(); ++i) {
    const Record record = batch[i];
    const auto stamp = stamp_of(record);
    if (!stamp || stamp->bus != bus_) {
      verdict_.violated(who_, fmt::format("bus {} delivers what nobody gave, at {}", bus_, record.position));
      continue;
    }
    Entry& at = entry(*stamp);
    if (at.state != State::absent && at.state != State::not_applied) violated(*stamp, "is delivered again");
    if (at.state == State::not_applied && batch.attempt() == 0)
      violated(*stamp, "comes again as if for the first time");
    at.sequence = static_cast<uint64_t>(record.position);
    at.shard = static_cast<uint32_t>(batch.origin().shard);
    at.state = State::undecided;
  }
}

void Ledger::told(const EventBatch& batch, const Delivery& delivery) {
  const std::lock_guard lock(mutex_);
  const size_t settled = delivery.status.ok() ? batch.size() : delivery.settled;
  if (settled > batch.size() || delivery.refused > settled) {
    return verdict_.violated(
        who_, fmt::format("{} events settled, {} refused, of {}", settled, delivery.refused, batch.size()));
  }
  delivered_ += settled - delivery.refused;
  refused_ += delivery.refused;
  if (delivery.refused > 0) mixed_delivered_ += settled - delivery.refused;
  const State rest = delivery.status.code() == StatusCode::unknown ? State::undecided : State::not_applied;
  for (size_t i = 0; i < batch.size(); ++i) {
    const auto stamp = stamp_of(batch[i]);
    if (!stamp) continue;
    entry(*stamp).state = i >= settled ? rest : delivery.refused > 0 ? State::mixed : State::delivered;
  }
}

void Ledger::found(const Stamp& stamp) {
  const std::lock_guard lock(mutex_);
  Entry& at = entry(stamp);
  if (at.found) violated(stamp, "is in the storage twice");
  if (at.state == State::absent) violated(stamp, "is in the storage and was never given to it");
  if (at.state == State::not_applied) violated(stamp, "is in the storage, whose sink said that it is not");
  if (!at.found && at.state != State::absent) {
    uint64_t& next = next_found_[at.shard];
    if (at.sequence < next) violated(stamp, "is in the storage behind one of its shard that came later");
    next = at.sequence + 1;
  }
  at.found = true;
}

void Ledger::check_complete() {
  const std::lock_guard lock(mutex_);
  uint64_t mixed_found = 0, missing = 0;
  Stamp first;
  for (uint32_t producer = 0; producer < entries_.size(); ++producer) {
    for (uint64_t n = 0; n < entries_[producer].size(); ++n) {
      const Entry& at = entries_[producer][n];
      mixed_found += at.state == State::mixed && at.found;
      if (at.state != State::delivered || at.found) continue;
      if (missing++ == 0) first = {bus_, producer, n};
    }
  }
  if (missing > 0) {
    violated(first, "was delivered and is not in the storage");
    verdict_.violated(who_, fmt::format("bus {}: {} events were delivered and are not in the storage", bus_, missing));
  }
  if (mixed_found < mixed_delivered_) {
    verdict_.violated(
        who_, fmt::format("bus {}: of batches with refused events {} are in the storage, {} were delivered", bus_,
                          mixed_found, mixed_delivered_));
  }
}

LedgerSums Ledger::sums() const {
  const std::lock_guard lock(mutex_);
  LedgerSums sums;
  sums.delivered = delivered_;
  sums.refused = refused_;
  for (const auto& of : entries_) {
    for (const Entry& at : of) {
      sums.not_applied += at.state == State::not_applied;
      sums.undecided += at.state == State::undecided;
      sums.mixed += at.state == State::mixed;
      sums.found += at.found;
      sums.found_undecided += at.found && at.state == State::undecided;
    }
  }
  return sums;
}

void LedgerSink::deliver(EventBatch batch, Delivered done) {
  ledger_->given(batch);
  inner_->deliver(batch, [ledger = ledger_, batch, done = std::move(done)](Delivery delivery) mutable {
    ledger->told(batch, delivery);
    done(std::move(delivery));
  });
}

}  // namespace sluice::soak
