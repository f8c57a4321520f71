// SPDX-License-Identifier: Apache-2.0
#include "checking_sink.hpp"

#include <algorithm>
#include <utility>

namespace sluice::soak {
namespace {

// One batch in so many.
constexpr uint64_t kTriedAgain = 700;
constexpr uint64_t kRefused = 2'000;
constexpr uint64_t kFailed = 3'000;

}  // namespace

SinkTraits CheckingSink::traits() const {
  SinkTraits traits;
  traits.ordered = plan_.ordered;
  return traits;
}

void CheckingSink::deliver(EventBatch batch, Delivered done) {
  if (held_.load(std::memory_order_acquire)) {
    const std::lock_guard lock(mutex_);
    if (held_.load(std::memory_order_relaxed)) {
      waiting_.push_back({batch, std::move(done)});
      return;
    }
  }
  answer(batch, std::move(done));
}

void CheckingSink::hold() {
  const std::lock_guard lock(mutex_);
  held_.store(true, std::memory_order_release);
}

void CheckingSink::release() {
  while (true) {
    std::unique_lock lock(mutex_);
    if (waiting_.empty()) {
      held_.store(false, std::memory_order_release);
      return;
    }
    Waiting first = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    answer(first.batch, std::move(first.done));
  }
}

bool CheckingSink::holds_any() const {
  const std::lock_guard lock(mutex_);
  return !waiting_.empty();
}

CheckingSink::Shard& CheckingSink::shard(uint64_t id) {
  const std::lock_guard lock(mutex_);
  auto& found = shards_[id];
  if (!found) {
    found = std::make_unique<Shard>();
    found->next_n.resize(plan_.order == Order::key ? kMaxProducers * kKeys : kMaxProducers);
    found->random = Random(plan_.seed ^ id * 0x9e3779b97f4a7c15);
  }
  return *found;
}

Delivery CheckingSink::judge(Shard& shard, size_t size) const {
  Delivery delivery;
  if (!plan_.failures || plan_.ordered) return delivery;
  const auto some = [&] { return static_cast<uint32_t>(shard.random.between(0, static_cast<int64_t>(size) - 1)); };
  if (shard.random.one_in(kTriedAgain)) {
    delivery.status = Status(shard.random.of({StatusCode::unavailable, StatusCode::busy}), "not now");
    delivery.settled = some();
  } else if (shard.random.one_in(kFailed)) {
    delivery.status = Status(shard.random.of({StatusCode::unknown, StatusCode::denied, StatusCode::internal}), "never");
    delivery.settled = some();
  } else if (shard.random.one_in(kRefused)) {
    delivery.refused = std::min(some(), uint32_t{3});
    delivery.refusal = Status(StatusCode::too_large, "not this one");
  }
  return delivery;
}

void CheckingSink::answer(const EventBatch& batch, Delivered done) {
  Delivery delivery;
  {
    Shard& of = shard(batch.origin().shard);
    const std::lock_guard lock(of.mutex);
    delivery = judge(of, batch.size());
    const size_t settled = delivery.status.ok() ? batch.size() : delivery.settled;
    const bool again = status_class(delivery.status.code()) == 300;
    look_at(of, batch, again ? settled : batch.size());
    of.taken.delivered += settled - delivery.refused;
    of.taken.refused += delivery.refused;
    (again ? of.taken.retried : of.taken.failed) += batch.size() - settled;
  }
  done(std::move(delivery));
}

/// The first `count` are dealt with now.
void CheckingSink::look_at(Shard& shard, const EventBatch& batch, size_t count) {
  const char* wrong = nullptr;
  Stamp at;
  for (size_t i = 0; i < count; ++i) {
    const Record record = batch[i];
    const auto stamp = stamp_of(record);
    if (!stamp || stamp->bus != plan_.bus) {
      wrong = "an event that nobody gave, or that was changed";
      continue;
    }
    const auto sequence = static_cast<uint64_t>(record.position);
    if (sequence < shard.next_sequence) wrong = "a sequence that was there already";
    uint64_t& next_n =
        shard.next_n[plan_.order == Order::key ? stamp->producer * kKeys + key_index(stamp->n) : stamp->producer];
    if (stamp->n < next_n && plan_.order != Order::none) wrong = "an event twice, or behind one that came later";
    if (wrong != nullptr) at = *stamp;
    shard.next_sequence = sequence + 1;
    next_n = stamp->n + 1;
    shard.taken.sum += mixed(*stamp);
  }
  if (wrong != nullptr) {
    verdict_.violated(
        who_, fmt::format("{}: bus {} ({}), shard {}, sequences {} to {}, attempt {}, event {} of producer {}", wrong,
                          plan_.bus, plan_.bus_text, batch.origin().shard, batch.first_sequence(),
                          batch.last_sequence(), batch.attempt(), at.n, at.producer));
  }
}

Taken CheckingSink::taken() const {
  const std::lock_guard lock(mutex_);
  Taken all;
  for (const auto& [id, of] : shards_) {
    const std::lock_guard inner(of->mutex);
    all.delivered += of->taken.delivered;
    all.refused += of->taken.refused;
    all.failed += of->taken.failed;
    all.retried += of->taken.retried;
    all.sum += of->taken.sum;
  }
  return all;
}

}  // namespace sluice::soak
