// SPDX-License-Identifier: Apache-2.0
#include "consumer/read_plan.hpp"

#include <algorithm>

namespace sluice::consumer {
namespace {

constexpr int64_t kMillisecondNs = 1'000'000;

}  // namespace

void ReadPlan::add(uint32_t shard, Place where) {
  shards_.resize(std::max<size_t>(shards_.size(), shard + 1));
  shards_[shard] = std::make_unique<Shard>();
  active_.push_back(shard);
  place(shard, where);
}

uint64_t ReadPlan::place(uint32_t number, Place where) {
  Shard& shard = *shards_[number];
  forget_buffers(shard);
  shard.where = where;
  shard.placed = where.kind == Place::Kind::position;
  shard.next = shard.placed ? where.value : 0;
  shard.lost_from = -1;
  shard.stale = shard.in_flight;
  shard.caught_up = shard.idle = shard.finished = shard.given_up = false;
  shard.drain_end = -1;
  shard.attempts = shard.idle_reads = 0;
  shard.not_before_ns = shard.failing_since_ns = 0;
  return ++shard.generation;
}

bool ReadPlan::revive(uint32_t number) {
  Shard& shard = *shards_[number];
  shard.attempts = 0;
  shard.not_before_ns = 0;
  return std::exchange(shard.given_up, false);
}

void ReadPlan::drop(uint32_t number) {
  Shard& shard = *shards_[number];
  forget_buffers(shard);
  if (shard.in_flight) used(shard.pooled) -= shard.reserved;
  active_.erase(std::find(active_.begin(), active_.end(), number));
  shards_[number] = nullptr;
}

uint64_t ReadPlan::halt(uint32_t number, int64_t position, Status cause, int64_t now_ns) {
  place(number, Place::position(position));
  Shard& shard = *shards_[number];
  shard.given_up = true;
  shard.cause = std::move(cause);
  shard.attempts = 1;
  shard.failing_since_ns = now_ns;
  return shard.generation;
}

void ReadPlan::forget_buffers(Shard& shard) {
  pool_used_ -= shard.pooled_bytes;
  guaranteed_used_ -= shard.bytes - shard.pooled_bytes;
  buffered_bytes_ -= shard.bytes;
  shard.pooled_bytes = shard.bytes = 0;
  shard.pages = 0;
}

uint64_t ReadPlan::guaranteed_bytes() const {
  // Shards that came later leave less for each than the earlier ones may have taken.
  const uint64_t half = limits_.budget_bytes / 2;
  return std::min(
      {limits_.page_bytes, half / std::max<size_t>(active_.size(), 1), half - std::min(half, guaranteed_used_)});
}

// splitmix64
uint64_t ReadPlan::random() {
  uint64_t x = random_ += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

std::optional<ReadOrder> ReadPlan::next(uint32_t number, int64_t now_ns) {
  if (number >= shards_.size() || shards_[number] == nullptr) return std::nullopt;
  Shard& shard = *shards_[number];
  ReadOrder order;
  order.shard = number;
  order.generation = shard.generation;
  if (shard.in_flight) {
    if (!shard.waiting || (now_ns < shard.wake_ns && !(shard.stale && !shard.woken))) return std::nullopt;
    shard.woken = true;
    shard.wake_ns = now_ns + kWakeAgainMs * kMillisecondNs;
    order.kind = ReadOrder::Kind::wake;
    return order;
  }
  if (shard.finished || shard.given_up || shard.paused || now_ns < shard.not_before_ns) return std::nullopt;
  shard.asking_end = shard.placed && shard.draining && shard.drain_end < 0;
  if (!shard.placed || shard.asking_end) {
    const bool by_time = !shard.placed && shard.where.kind == Place::Kind::time;
    order.kind = by_time ? ReadOrder::Kind::locate : ReadOrder::Kind::bounds;
    order.timestamp_ns = shard.where.value;
    order.at_end = shard.asking_end || shard.where.kind == Place::Kind::end;
    shard.waiting = shard.pooled = false;
    shard.reserved = 0;
  } else {
    if (shard.pages >= kMaxPagesAhead) return std::nullopt;
    shard.pooled = pool_used_ + limits_.page_bytes <= limits_.budget_bytes / 2;
    if (!shard.pooled && shard.pages > 0) return std::nullopt;
    shard.reserved = shard.pooled ? limits_.page_bytes : guaranteed_bytes();
    used(shard.pooled) += shard.reserved;
    const bool at_drain_end = shard.drain_end >= 0 && shard.next >= shard.drain_end;
    shard.waiting = (shard.caught_up || shard.idle) && !at_drain_end && limits_.wait_ms > 0;
    order.request.from = shard.next;
    order.request.wait_ms = shard.waiting ? limits_.wait_ms : 0;
    // What a page occupies is its bytes and its records: half of the memory for each.
    order.request.max_bytes = std::max<uint64_t>(shard.reserved / 2, 1);
    order.request.max_records =
        static_cast<uint32_t>(std::clamp<uint64_t>(shard.reserved / 2 / sizeof(Record), 1, limits_.page_records));
  }
  shard.in_flight = true;
  shard.stale = shard.woken = false;
  shard.asked_ns = now_ns;
  shard.wake_ns = now_ns + limits_.wait_ms * kMillisecondNs;
  return order;
}

void ReadPlan::due(int64_t now_ns, std::vector<ReadOrder>& orders) {
  if (active_.empty()) return;
  turn_ = (turn_ + 1) % active_.size();
  for (size_t i = 0; i < active_.size(); ++i) {
    const size_t at = turn_ + i < active_.size() ? turn_ + i : turn_ + i - active_.size();
    if (auto order = next(active_[at], now_ns)) orders.push_back(*order);
  }
}

int64_t ReadPlan::next_time_ns() const {
  int64_t earliest = INT64_MAX;
  for (const uint32_t number : active_) {
    const Shard& shard = *shards_[number];
    if (shard.in_flight) {
      if (shard.waiting) earliest = std::min(earliest, shard.stale && !shard.woken ? 0 : shard.wake_ns);
    } else if (shard.not_before_ns > 0 && !shard.finished && !shard.given_up && !shard.paused) {
      earliest = std::min(earliest, shard.not_before_ns);
    }
  }
  return earliest;
}

// False if nobody asks for the answer any more.
bool ReadPlan::end_flight(Shard& shard, uint64_t generation) {
  shard.in_flight = false;
  used(shard.pooled) -= shard.reserved;
  shard.reserved = 0;
  shard.not_before_ns = 0;
  return generation == shard.generation;
}

ReadNews ReadPlan::answered(uint32_t number, uint64_t generation, int64_t from, const Page& page, uint64_t bytes,
                            int64_t now_ns) {
  ReadNews news;
  if (shards_[number] == nullptr) return news;
  Shard& shard = *shards_[number];
  if (!end_flight(shard, generation)) return news;
  shard.attempts = 0;
  shard.failing_since_ns = 0;
  const bool progress = page.next > from;
  const bool was_caught_up = shard.caught_up;
  shard.next = page.next;
  shard.caught_up = page.finished || (page.end >= 0 ? page.next >= page.end : !progress);
  shard.finished = page.finished || (shard.drain_end >= 0 && page.next >= shard.drain_end);
  shard.idle = !progress;
  if (progress) {
    shard.idle_reads = 0;
  } else if (!shard.finished && !shard.woken && (shard.waiting || limits_.wait_ms == 0) &&
             now_ns - shard.asked_ns <= limits_.wait_ms * kMillisecondNs / 2) {
    // It was asked to wait and did not, or was not even asked.
    const int64_t delay_ms = std::min(int64_t{1} << std::min(shard.idle_reads++, 6u), kMaxIdleDelayMs);
    shard.not_before_ns = now_ns + delay_ms * kMillisecondNs;
  }
  if (!progress && !shard.finished && shard.caught_up == was_caught_up) return news;
  news.kind = ReadNews::Kind::page;
  news.caught_up = shard.caught_up;
  news.finished = shard.finished;
  news.pooled = shard.pooled;
  ++shard.pages;
  shard.bytes += bytes;
  buffered_bytes_ += bytes;
  used(shard.pooled) += bytes;
  if (shard.pooled) shard.pooled_bytes += bytes;
  return news;
}

ReadNews ReadPlan::located(uint32_t number, uint64_t generation, int64_t position) {
  ReadNews news;
  if (shards_[number] == nullptr) return news;
  Shard& shard = *shards_[number];
  if (!end_flight(shard, generation)) return news;
  if (shard.asking_end) {
    shard.attempts = 0;
    shard.failing_since_ns = 0;
    shard.drain_end = position;
    return news;
  }
  if (shard.lost_from >= 0 && position <= shard.lost_from) {
    // Nothing was lost: the place is beyond the end, which no retry mends.
    shard.placed = true;
    shard.next = std::exchange(shard.lost_from, -1);
    shard.given_up = true;
    ++shard.attempts;
    shard.failing_since_ns = shard.asked_ns;
    news.kind = ReadNews::Kind::given_up;
    return news;
  }
  shard.attempts = 0;
  shard.failing_since_ns = 0;
  shard.placed = true;
  shard.next = position;
  // What was known of the end was known at another place.
  shard.caught_up = shard.idle = false;
  news.kind = shard.lost_from >= 0 ? ReadNews::Kind::passed : ReadNews::Kind::placed;
  news.position = shard.lost_from >= 0 ? std::exchange(shard.lost_from, -1) : position;
  news.next = position;
  if (news.kind == ReadNews::Kind::passed) ++shard.pages;
  return news;
}

ReadNews ReadPlan::failed(uint32_t number, uint64_t generation, const Status& status, int64_t now_ns) {
  ReadNews news;
  if (shards_[number] == nullptr) return news;
  Shard& shard = *shards_[number];
  if (!end_flight(shard, generation)) return news;
  shard.cause = status;
  if (status.code() == StatusCode::out_of_range && limits_.pass_lost && shard.placed && !shard.asking_end) {
    shard.placed = false;
    shard.where = Place::start();
    shard.lost_from = shard.next;
    return news;
  }
  if (shard.failing_since_ns == 0) shard.failing_since_ns = shard.asked_ns;
  const auto delay_ms = retry_delay_ms(limits_.retry, status, Effect::repeatable, shard.attempts++, random());
  if (delay_ms) {
    shard.not_before_ns = now_ns + *delay_ms * kMillisecondNs;
    return news;
  }
  shard.given_up = true;
  news.kind = ReadNews::Kind::given_up;
  return news;
}

void ReadPlan::released(uint32_t number, uint64_t generation, uint64_t bytes, bool pooled) {
  if (shards_[number] == nullptr) return;
  Shard& shard = *shards_[number];
  if (generation != shard.generation) return;  // forgotten with its place
  --shard.pages;
  shard.bytes -= bytes;
  buffered_bytes_ -= bytes;
  used(pooled) -= bytes;
  if (pooled) shard.pooled_bytes -= bytes;
}

bool ReadPlan::has_more(uint32_t number) const {
  const Shard& shard = *shards_[number];
  return !shard.finished && !shard.given_up && !shard.caught_up;
}

void ReadPlan::note(int64_t now_ns, std::vector<ShardNote>& notes) const {
  for (const uint32_t number : active_) {
    const Shard& shard = *shards_[number];
    ShardNote note{};
    note.shard = number;
    if (shard.given_up || shard.attempts > 0) {
      note.condition = shard.given_up ? ShardCondition::failed : ShardCondition::retrying;
      note.cause = shard.cause;
      note.attempts = shard.attempts;
      note.elapsed_ns = std::max<int64_t>(now_ns - shard.failing_since_ns, 1);
    } else if (shard.in_flight && now_ns - shard.asked_ns >=
                                      (limits_.deadline_ms + (shard.waiting ? limits_.wait_ms : 0)) * kMillisecondNs) {
      note.condition = ShardCondition::stalled;
      note.elapsed_ns = now_ns - shard.asked_ns;
    } else {
      continue;
    }
    notes.push_back(std::move(note));
  }
}

}  // namespace sluice::consumer
