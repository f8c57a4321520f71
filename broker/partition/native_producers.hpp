// SPDX-License-Identifier: Apache-2.0
// What a partition on a NATIVE storage remembers of its idempotent producers, as long as it is in memory: the last five
// batches of each, so that a retry of one that was stored gets the offset of the first try. It is best effort, and told
// so: a broker that was restarted, or an append whose outcome nobody knows, lets a retry land twice. Sequences are not
// compared with each other: what others wrote to the engine has none.
//
// No I/O, no clock, no lock: the partition guards it.
#pragma once

#include <cstdint>
#include <deque>
#include <unordered_map>
#include <vector>

#include "partition/producer_state.hpp"

namespace sluice::partition {

class NativeProducers {
 public:
  static constexpr size_t kRememberedBatches = 5;
  static constexpr size_t kMaxProducers = 100'000;

  /// A judgement of a batch that wants to be appended.
  struct Verdict {
    enum class Kind { accept, duplicate, pending_duplicate, fenced } kind = Kind::accept;
    int64_t base_offset = -1;  // duplicate: where the first try went
  };
  /// fenced: a later epoch of this producer was seen.
  Verdict check(const records::BatchInfo& batch) const;
  /// The batch was queued. Only after check() accepted it. `now_ms` is wall time.
  void add(const records::BatchInfo& batch, int64_t now_ms);
  /// Gives `done` the fate of the batch that `batch` repeats. Only after check() said pending_duplicate.
  void wait_for(const records::BatchInfo& batch, ProduceDone done);
  /// The queued batch is stored. Gives those that wait for it.
  std::vector<ProduceDone> stored(const records::BatchInfo& batch, int64_t base_offset);
  /// It is not, or nobody knows: forgotten, so that a retry is stored. Gives those that wait for it.
  std::vector<ProduceDone> dropped(const records::BatchInfo& batch);
  /// Forgets producers that were last seen before `before_ms`, but for those with batches under way.
  void expire(int64_t before_ms);
  size_t size() const { return producers_.size(); }

 private:
  struct Batch {
    int16_t epoch = -1;
    int32_t first_sequence = 0;
    int32_t last_sequence = 0;
    int64_t base_offset = -1;  // -1: under way
    std::vector<ProduceDone> waiting;
  };
  struct Producer {
    int16_t epoch = -1;
    int64_t last_seen_ms = 0;
    std::deque<Batch> batches;  // oldest first
  };
  static bool same(const Batch& known, const records::BatchInfo& batch);
  Batch* find(const records::BatchInfo& batch);
  void make_room();

  std::unordered_map<int64_t, Producer> producers_;
};

}  // namespace sluice::partition
