// SPDX-License-Identifier: Apache-2.0
// Which shard is read next, from where, how much at once, and when again after a failure: the half of a consumer that
// works ahead of what is delivered. Knows no source and no clock: it is told what happened and when, and asked what to
// do. One thread at a time.
//
// Budget: half of it is a pool that reads ahead draw from, whoever comes first; the other half guarantees each shard
// that has nothing buffered one page, so that an order over many shards never waits for memory that others hold.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/retry.hpp"
#include "sluice/consumer.hpp"

namespace sluice::consumer {

struct ReadLimits {
  uint64_t budget_bytes = 64 << 20;
  uint64_t page_bytes = 1 << 20;
  uint32_t page_records = 1'024;
  int64_t wait_ms = 1'000;
  int64_t deadline_ms = 10'000;
  RetryPolicy retry;
  bool pass_lost = false;
};

/// Something to ask of a source now.
struct ReadOrder {
  enum class Kind { read, bounds, locate, wake };
  Kind kind = Kind::read;
  uint32_t shard = 0;
  uint64_t generation = 0;   // of the shard's place, rising with each seek
  PageRequest request;       // read
  int64_t timestamp_ns = 0;  // locate
  bool at_end = false;       // bounds: the end is wanted, else the start
};

/// What an answer means for the merge.
struct ReadNews {
  enum class Kind {
    nothing,   // not worth a look: an idle shard that stays idle, or an answer to what nobody asks any more
    page,      // take it
    placed,    // the shard begins at `position`
    passed,    // [position, next) is lost: pass it
    given_up,  // failed for good
  };
  Kind kind = Kind::nothing;
  int64_t position = 0;
  int64_t next = 0;
  bool caught_up = false;  // nothing more at the moment
  bool finished = false;   // nothing more ever
  bool pooled = false;     // page: which half of the budget it has
};

class ReadPlan {
 public:
  static constexpr uint32_t kMaxPagesAhead = 2;   // of one shard, read and not delivered
  static constexpr int64_t kWakeAgainMs = 50;     // a read may have been on its way when its source was woken
  static constexpr int64_t kMaxIdleDelayMs = 64;  // between reads of a source that does not wait

  ReadPlan(const ReadLimits& limits, uint64_t seed) : limits_(limits), random_(seed) {}

  /// `shard`: the next number that was never used.
  void add(uint32_t shard, Place place);
  /// Goes to another place; what is under way is for nothing. Gives the new generation.
  uint64_t place(uint32_t shard, Place place);
  uint64_t generation(uint32_t shard) const { return shards_[shard]->generation; }
  void pause(uint32_t shard, bool paused) { shards_[shard]->paused = paused; }
  /// Reads to the end that the shard has when it is asked next: what is under way may know an earlier one.
  void drain(uint32_t shard) { shards_[shard]->draining = true; }
  /// Tries again what was given up, or waits for its next retry. True if it was given up.
  bool revive(uint32_t shard);
  void drop(uint32_t shard);
  /// Gives the shard up for `cause`, to go on at `position` if it is revived; its generation changes.
  uint64_t halt(uint32_t shard, int64_t position, Status cause, int64_t now_ns);

  /// What to ask of this shard now, noted as asked; nullopt: nothing.
  std::optional<ReadOrder> next(uint32_t shard, int64_t now_ns);
  /// The same of all shards, beginning with another one each time.
  void due(int64_t now_ns, std::vector<ReadOrder>& orders);
  /// When due() has something to say without anything happening; INT64_MAX: never.
  int64_t next_time_ns() const;

  ReadNews answered(uint32_t shard, uint64_t generation, int64_t from, const Page& page, uint64_t bytes,
                    int64_t now_ns);
  ReadNews located(uint32_t shard, uint64_t generation, int64_t position);
  ReadNews failed(uint32_t shard, uint64_t generation, const Status& status, int64_t now_ns);
  /// A page was delivered or dropped.
  void released(uint32_t shard, uint64_t generation, uint64_t bytes, bool pooled);

  bool in_flight(uint32_t shard) const { return shards_[shard] != nullptr && shards_[shard]->in_flight; }
  bool given_up(uint32_t shard) const { return shards_[shard]->given_up; }
  bool finished(uint32_t shard) const { return shards_[shard]->finished; }
  /// More than what is buffered is known to be there, or it is not known that there is not.
  bool has_more(uint32_t shard) const;
  uint64_t buffered_bytes() const { return buffered_bytes_; }
  /// Adds what there is to say about failed, retrying and stalled shards; `id` and `position` are left to the caller.
  void note(int64_t now_ns, std::vector<ShardNote>& notes) const;

 private:
  struct Shard {
    uint64_t generation = 0;
    Place where;
    bool placed = false;
    int64_t next = 0;        // position of the next read
    int64_t lost_from = -1;  // retention took what is from here on
    bool in_flight = false;
    bool stale = false;     // the read under way is for nothing
    bool waiting = false;   // the read under way may wait
    bool woken = false;     // and was told not to
    int64_t wake_ns = 0;    // when to tell it so, or again
    bool pooled = false;    // the read under way has memory of the pool
    uint64_t reserved = 0;  // for the read under way
    int64_t asked_ns = 0;
    uint32_t pages = 0;  // buffered
    uint64_t pooled_bytes = 0;
    uint64_t bytes = 0;
    bool caught_up = false;
    bool idle = false;  // the last answer brought nothing
    bool finished = false;
    bool paused = false;
    bool draining = false;
    bool asking_end = false;  // the call under way asks where draining ends
    int64_t drain_end = -1;   // -1: not known yet
    bool given_up = false;
    uint32_t attempts = 0;    // that failed in a row
    uint32_t idle_reads = 0;  // that came back empty too soon
    int64_t not_before_ns = 0;
    int64_t failing_since_ns = 0;
    Status cause;
  };

  bool end_flight(Shard& shard, uint64_t generation);
  void forget_buffers(Shard& shard);
  uint64_t guaranteed_bytes() const;
  uint64_t& used(bool pooled) { return pooled ? pool_used_ : guaranteed_used_; }
  uint64_t random();

  ReadLimits limits_;
  uint64_t random_;
  std::vector<std::unique_ptr<Shard>> shards_;  // by number; null once dropped
  std::vector<uint32_t> active_;                // those that are not
  size_t turn_ = 0;
  uint64_t pool_used_ = 0;        // by pages, and by reads under way
  uint64_t guaranteed_used_ = 0;  // the same in the other half
  uint64_t buffered_bytes_ = 0;
};

}  // namespace sluice::consumer
