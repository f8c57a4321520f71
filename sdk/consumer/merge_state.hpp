// SPDX-License-Identifier: Apache-2.0
// The merge: pages that the filter has looked through go in, responses come out. Knows no source, thread or clock. It
// keeps the one rule that everything rests on: a shard's place moves over records that were delivered or that the
// filter refused, and over nothing else, and never back but by a seek. Within a shard records come by position; an
// order concerns which shard is next.
//
// Ordered, a record may go when no shard can still bring one that belongs before it: each shard has one at hand, or has
// shown that it is beyond (bound()), or is at its end or failed, or has used up the time for which it may hold the
// others. One thread at a time.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "consumer/tournament.hpp"
#include "sluice/consumer.hpp"

namespace sluice::consumer {

/// A page after the filter.
struct Inspected {
  std::shared_ptr<const Page> page;
  int64_t from = 0;               // where it was read from
  std::vector<uint32_t> matches;  // indices of the records to deliver, unless `all`
  bool all = false;
  int64_t newest_ns = kNoTimestamp;  // of all records
  uint64_t bytes = 0;                // what it occupies of the budget
  bool pooled = false;               // see ReadPlan
  bool caught_up = false;            // there is nothing more at the moment
  bool finished = false;             // there is nothing more ever
  uint64_t lost = 0;                 // [from, next) is no longer there
  uint64_t generation = 0;           // of the shard's place when it was pushed
};

struct MergeLimits {
  MergeOrder order = MergeOrder::unordered;
  int64_t lateness_ns = 0;
  int64_t idle_hold_ns = 0;
  int64_t stall_hold_ns = 0;
};

/// Memory that a page no longer needs: for ReadPlan::released.
struct Released {
  uint32_t shard;
  uint64_t generation;
  uint64_t bytes;
  bool pooled;
};

class MergeState {
 public:
  MergeState(const MergeLimits& limits, Cursor from) : limits_(limits), cursor_(std::move(from)) {}

  void add(uint32_t shard, std::string id, uint64_t generation);
  /// The shard's place is `position`, under a new generation or the present one; what it had at hand is forgotten.
  void place(uint32_t shard, uint64_t generation, int64_t position);
  /// It is not known yet where it will be: nothing of it comes until place().
  void displace(uint32_t shard, uint64_t generation);
  /// An entry of a shard that this consumer does not have.
  void set_absent(std::string_view id, int64_t position);
  void forget(std::string_view id);
  void pause(uint32_t shard, bool paused);
  void set_given_up(uint32_t shard, bool given_up);
  /// Pages to come are of another generation; what is at hand stays.
  void set_generation(uint32_t shard, uint64_t generation) { shards_[shard]->generation = generation; }
  void drop(uint32_t shard);
  /// Forgets how far the order has come: records before that are not late.
  void restart_order() { newest_ = kNoTimestamp; }
  void push(uint32_t shard, uint64_t generation, Inspected page);

  /// Adds up to `max_records` and `max_bytes` (counting what `response` has) and all counters. Notes about capped,
  /// holding and passed-over shards are note()'s. True if the cursor moved.
  bool take(size_t max_records, uint64_t max_bytes, int64_t now_ns, Response& response);
  /// When a shard will have held the order for as long as it may; INT64_MAX: none does.
  int64_t next_time_ns() const { return next_time_ns_; }
  void note(int64_t now_ns, std::vector<ShardNote>& notes) const;
  /// Shards that came to their end since the last call; they are no longer here.
  std::vector<uint32_t> take_finished() { return std::exchange(finished_, {}); }
  std::vector<Released> take_released() { return std::exchange(released_, {}); }

  const Cursor& cursor() const { return cursor_; }
  const std::string& id(uint32_t shard) const { return shards_[shard]->id; }
  int64_t position(uint32_t shard) const { return shards_[shard]->next; }
  uint64_t generation(uint32_t shard) const { return shards_[shard]->generation; }
  bool has(uint32_t shard) const { return shard < shards_.size() && shards_[shard] != nullptr; }
  /// The last take() left records that the next one may have.
  bool has_records() const { return has_records_; }
  /// It ended because of a limit.
  bool limit_reached() const { return limit_reached_; }

 private:
  struct Shard {
    uint32_t number = 0;
    uint32_t leaf = 0;
    uint64_t generation = 0;
    std::string id;
    std::deque<Inspected> pages;
    const Record* head = nullptr;      // the next record to deliver, in the first page
    size_t match = 0;                  // and its index among the matches
    uint32_t index = 0;                // and among the records
    uint64_t leased_by = 0;            // the response that has the first page already
    int64_t next = -1;                 // the place; -1: not known yet
    int64_t written = -1;              // and as the last response knew it
    bool in_cursor = false;            // and as the cursor has it
    size_t slot = SIZE_MAX;            // its index in the cursor
    int64_t inspected = -1;            // end of what was pushed
    int64_t newest_ns = kNoTimestamp;  // of all records pushed
    int64_t time_ns = kNoTimestamp;    // of the head, or of the record before it that had one
    bool caught_up = false;
    bool finished = false;
    bool given_up = false;
    bool paused = false;
    bool passed_over = false;
    int64_t holding_since_ns = 0;  // 0: does not hold the order
    uint64_t rejected = 0;         // passed and not reported yet, as the next two
    uint64_t corrupt = 0;
    uint64_t lost = 0;
  };

  void set_head(Shard& shard, const Record* record);
  void find_head(Shard& shard);
  void deliver(Shard& shard, Response& response);
  void clear(Shard& shard);
  void keep_place(const Shard& shard);
  void rebuild_tree();
  void set_leaf(const Shard& shard);
  uint64_t key(const Shard& shard) const;
  uint64_t bound(const Shard& shard) const;
  static bool may_hold(const Shard& shard) {
    return shard.head == nullptr && !shard.passed_over && !shard.paused && !shard.given_up && !shard.finished;
  }
  bool fits(const Record& record, size_t max_records, uint64_t max_bytes, const Response& response);
  void take_in_turns(size_t max_records, uint64_t max_bytes, Response& response);
  void take_in_order(size_t max_records, uint64_t max_bytes, int64_t now_ns, Response& response);
  uint64_t barrier() const;
  bool pass_over(uint64_t key, int64_t now_ns);
  bool write_cursor();

  MergeLimits limits_;
  Cursor cursor_;
  bool slots_known_ = false;
  std::vector<std::unique_ptr<Shard>> shards_;  // by number; null where there is none any more
  std::vector<Shard*> active_;                  // by leaf
  Tournament tree_;
  size_t turn_ = 0;
  bool has_records_ = false;
  bool limit_reached_ = false;
  int64_t newest_ = kNoTimestamp;  // time or position of the newest record delivered
  int64_t next_time_ns_ = INT64_MAX;
  uint64_t responses_ = 0;
  uint64_t taken_bytes_ = 0;  // of the present response
  std::vector<uint32_t> finished_;
  std::vector<Released> released_;
};

}  // namespace sluice::consumer
