// SPDX-License-Identifier: Apache-2.0
#include "consumer/merge_state.hpp"

#include <algorithm>
#include <tuple>

namespace sluice::consumer {
namespace {

constexpr size_t kMaxRunRecords = 64;  // of one shard before the next has its turn

int64_t minus(int64_t value, int64_t by) {
  return value < INT64_MIN + by ? INT64_MIN : value - by;
}

}  // namespace

void MergeState::add(uint32_t number, std::string id, uint64_t generation) {
  shards_.resize(std::max<size_t>(shards_.size(), number + 1));
  auto shard = std::make_unique<Shard>();
  shard->number = number;
  shard->id = std::move(id);
  shard->generation = generation;
  active_.push_back(shard.get());
  shards_[number] = std::move(shard);
  rebuild_tree();
}

void MergeState::drop(uint32_t number) {
  if (!has(number)) return;
  keep_place(*shards_[number]);
  active_.erase(std::find(active_.begin(), active_.end(), shards_[number].get()));
  shards_[number] = nullptr;
  rebuild_tree();
}

// A place that it was sought to and that no response has told yet.
void MergeState::keep_place(const Shard& shard) {
  if (shard.written < 0 || shard.in_cursor) return;
  std::ignore = cursor_.set(shard.id, shard.written);
  slots_known_ = false;
}

void MergeState::rebuild_tree() {
  slots_known_ = false;
  turn_ = 0;
  tree_.reset(active_.size());
  for (size_t i = 0; i < active_.size(); ++i) {
    active_[i]->leaf = static_cast<uint32_t>(i);
    set_leaf(*active_[i]);
  }
}

void MergeState::clear(Shard& shard) {
  shard.pages.clear();
  shard.head = nullptr;
  shard.match = shard.index = 0;
  shard.leased_by = 0;
  shard.newest_ns = shard.time_ns = kNoTimestamp;
  shard.caught_up = shard.finished = shard.given_up = shard.passed_over = false;
  shard.holding_since_ns = 0;
  shard.rejected = shard.corrupt = shard.lost = 0;
  set_leaf(shard);
}

void MergeState::place(uint32_t number, uint64_t generation, int64_t position) {
  Shard& shard = *shards_[number];
  clear(shard);
  shard.generation = generation;
  shard.next = shard.inspected = shard.written = position;
  shard.in_cursor = false;
  if (shard.slot == SIZE_MAX) slots_known_ = false;
}

void MergeState::displace(uint32_t number, uint64_t generation) {
  Shard& shard = *shards_[number];
  keep_place(shard);
  clear(shard);
  shard.generation = generation;
  shard.next = shard.inspected = shard.written = -1;
}

void MergeState::set_absent(std::string_view id, int64_t position) {
  std::ignore = cursor_.set(id, position);
  slots_known_ = false;
}

void MergeState::forget(std::string_view id) {
  cursor_.erase(id);
  slots_known_ = false;
}

void MergeState::pause(uint32_t number, bool paused) {
  Shard& shard = *shards_[number];
  shard.paused = paused;
  shard.holding_since_ns = 0;
  set_leaf(shard);
}

void MergeState::set_given_up(uint32_t number, bool given_up) {
  Shard& shard = *shards_[number];
  shard.given_up = given_up;
  shard.holding_since_ns = 0;
}

void MergeState::push(uint32_t number, uint64_t generation, Inspected page) {
  if (!has(number) || shards_[number]->generation != generation) return;
  Shard& shard = *shards_[number];
  shard.caught_up = page.caught_up;
  shard.finished = page.finished;
  shard.newest_ns = std::max(shard.newest_ns, page.newest_ns);
  shard.inspected = page.page->next;
  if (page.page->next > page.from) {
    shard.passed_over = false;
    shard.holding_since_ns = 0;
  }
  page.generation = generation;
  shard.pages.push_back(std::move(page));
  if (shard.head == nullptr) {
    find_head(shard);
    set_leaf(shard);
  }
}

void MergeState::set_head(Shard& shard, const Record* record) {
  shard.head = record;
  shard.next = record->position;
  if (record->timestamp_ns != kNoTimestamp) shard.time_ns = record->timestamp_ns;
  // With many shards the next record of this one would have to come from memory each time.
  __builtin_prefetch(record + 1);
  __builtin_prefetch(reinterpret_cast<const char*>(record + 1) + 64);
}

// The next match from where the shard stands; pages and records that are passed on the way were refused or are gaps.
void MergeState::find_head(Shard& shard) {
  shard.head = nullptr;
  while (!shard.pages.empty()) {
    const Inspected& front = shard.pages.front();
    const std::vector<Record>& records = front.page->records;
    if (shard.match < (front.all ? records.size() : front.matches.size())) {
      const uint32_t index = front.all ? static_cast<uint32_t>(shard.match) : front.matches[shard.match];
      shard.rejected += index - shard.index;
      shard.index = index;
      set_head(shard, &records[index]);
      return;
    }
    shard.rejected += records.size() - shard.index;
    shard.corrupt += front.page->corrupt;
    shard.lost += front.lost;
    shard.next = front.page->next;
    released_.push_back({shard.number, front.generation, front.bytes, front.pooled});
    shard.pages.pop_front();
    shard.match = shard.index = 0;
    shard.leased_by = 0;
  }
}

uint64_t MergeState::key(const Shard& shard) const {
  return Tournament::key_of(limits_.order == MergeOrder::by_time ? shard.time_ns : shard.next);
}

// Whatever the shard brings yet may be merged behind keys up to this one.
uint64_t MergeState::bound(const Shard& shard) const {
  return Tournament::key_of(limits_.order == MergeOrder::by_time ? shard.newest_ns : shard.inspected);
}

void MergeState::set_leaf(const Shard& shard) {
  if (limits_.order == MergeOrder::unordered) return;
  tree_.set(shard.leaf, shard.head == nullptr || shard.paused ? Tournament::kAbsent : key(shard));
}

bool MergeState::fits(const Record& record, size_t max_records, uint64_t max_bytes, const Response& response) {
  const uint64_t bytes = record.bytes();
  if (response.records.empty()) {
    taken_bytes_ = bytes;
    return true;
  }
  if (response.records.size() >= max_records || taken_bytes_ >= max_bytes || bytes > max_bytes - taken_bytes_) {
    limit_reached_ = true;
    return false;
  }
  taken_bytes_ += bytes;
  return true;
}

void MergeState::deliver(Shard& shard, Response& response) {
  const Inspected& front = shard.pages.front();
  if (shard.leased_by != responses_) {
    response.leases.push_back(front.page);
    shard.leased_by = responses_;
  }
  bool late = false;
  if (limits_.order != MergeOrder::unordered) {
    const int64_t key = limits_.order == MergeOrder::by_time ? shard.head->timestamp_ns : shard.next;
    late = key != kNoTimestamp && key < minus(newest_, limits_.lateness_ns);
    newest_ = std::max(newest_, key);
    response.late += late ? 1 : 0;
  }
  response.records.push_back({shard.head, shard.number, late});
  ++shard.match;
  ++shard.index;
  if (front.all && shard.match < front.page->records.size()) {
    set_head(shard, shard.head + 1);
  } else {
    find_head(shard);
  }
}

void MergeState::take_in_turns(size_t max_records, uint64_t max_bytes, Response& response) {
  size_t live = 0;
  for (const Shard* shard : active_) live += shard->head != nullptr && !shard->paused ? 1 : 0;
  const size_t room = max_records - std::min(max_records, response.records.size());
  const size_t run = std::clamp<size_t>(room / std::max<size_t>(live, 1), 1, kMaxRunRecords);
  for (size_t idle = 0; idle < active_.size();) {
    Shard& shard = *active_[turn_];
    ++idle;
    for (size_t i = 0; i < run && shard.head != nullptr && !shard.paused; ++i) {
      if (!fits(*shard.head, max_records, max_bytes, response)) return;
      deliver(shard, response);
      idle = 0;
    }
    turn_ = turn_ + 1 == active_.size() ? 0 : turn_ + 1;
  }
}

uint64_t MergeState::barrier() const {
  uint64_t barrier = Tournament::kAbsent;
  for (const Shard* shard : active_) {
    if (may_hold(*shard)) barrier = std::min(barrier, bound(*shard));
  }
  return barrier;
}

// Whether one of the shards that hold a record of `key` back has done so for as long as it may.
bool MergeState::pass_over(uint64_t key, int64_t now_ns) {
  bool any = false;
  for (Shard* shard : active_) {
    if (!may_hold(*shard) || bound(*shard) >= key) continue;
    if (shard->holding_since_ns == 0) shard->holding_since_ns = std::max<int64_t>(now_ns, 1);
    const int64_t until_ns =
        shard->holding_since_ns + (shard->caught_up ? limits_.idle_hold_ns : limits_.stall_hold_ns);
    if (now_ns >= until_ns) {
      shard->passed_over = any = true;
    } else {
      next_time_ns_ = std::min(next_time_ns_, until_ns);
    }
  }
  return any;
}

void MergeState::take_in_order(size_t max_records, uint64_t max_bytes, int64_t now_ns, Response& response) {
  uint64_t barrier = this->barrier();
  for (;;) {
    const Tournament::Entry least = tree_.least();
    if (least.key == Tournament::kAbsent) return;
    if (least.key > barrier) {
      if (!pass_over(least.key, now_ns)) return;
      barrier = this->barrier();
      continue;
    }
    Shard& shard = *active_[least.leaf];
    if (!fits(*shard.head, max_records, max_bytes, response)) return;
    deliver(shard, response);
    set_leaf(shard);
    if (may_hold(shard)) barrier = std::min(barrier, bound(shard));
  }
}

bool MergeState::write_cursor() {
  bool moved = false;
  if (!slots_known_) {
    for (const Shard* shard : active_) {
      if (shard->next >= 0 && !cursor_.find(shard->id)) std::ignore = cursor_.set(shard->id, shard->next);
    }
    for (Shard* shard : active_) shard->slot = cursor_.find(shard->id).value_or(SIZE_MAX);
  }
  for (Shard* shard : active_) {
    if (shard->next < 0 || shard->slot == SIZE_MAX || (shard->in_cursor && shard->written == shard->next)) continue;
    moved |= shard->written != shard->next;
    shard->written = shard->next;
    shard->in_cursor = true;
    cursor_.set_at(shard->slot, shard->next);
  }
  slots_known_ = true;
  return moved;
}

bool MergeState::take(size_t max_records, uint64_t max_bytes, int64_t now_ns, Response& response) {
  if (response.records.empty() && response.leases.empty()) {
    ++responses_;
    taken_bytes_ = 0;
    response.records.reserve(std::min<size_t>(max_records, 4'096));
  }
  next_time_ns_ = INT64_MAX;
  limit_reached_ = false;
  if (limits_.order == MergeOrder::unordered) {
    take_in_turns(max_records, max_bytes, response);
  } else {
    take_in_order(max_records, max_bytes, now_ns, response);
  }
  const bool moved = write_cursor();
  has_records_ = false;
  for (size_t i = active_.size(); i-- > 0;) {
    Shard& shard = *active_[i];
    response.rejected += std::exchange(shard.rejected, 0);
    response.corrupt += std::exchange(shard.corrupt, 0);
    response.lost += std::exchange(shard.lost, 0);
    has_records_ |= shard.head != nullptr && !shard.paused;
    if (shard.finished && shard.pages.empty()) {
      finished_.push_back(shard.number);
      drop(shard.number);
    }
  }
  return moved;
}

void MergeState::note(int64_t now_ns, std::vector<ShardNote>& notes) const {
  for (const Shard* shard : active_) {
    ShardNote note{};
    note.shard = shard->number;
    note.elapsed_ns = 1;
    if (shard->head != nullptr && !shard->paused && limit_reached_) {
      note.condition = ShardCondition::capped;
    } else if (shard->passed_over || (shard->holding_since_ns > 0 && may_hold(*shard) && has_records_)) {
      note.condition = shard->passed_over ? ShardCondition::passed_over : ShardCondition::holding;
      note.elapsed_ns = std::max<int64_t>(now_ns - shard->holding_since_ns, 1);
    } else {
      continue;
    }
    notes.push_back(std::move(note));
  }
}

}  // namespace sluice::consumer
