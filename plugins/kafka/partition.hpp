// SPDX-License-Identifier: Apache-2.0
// One partition at the other side, and what is known of its borders. Shared by all handles on it. Any thread.
//
// The end is the last stable offset: what read_committed shows. It is learned from questions, from what was read, and
// from acknowledged appends, and may be older than the truth, but never ahead of it by more than an open transaction.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

namespace sluice::kafka {

struct Marks {
  int64_t start = 0;
  int64_t end = 0;
};

class Partition {
 public:
  Partition(std::string topic, int32_t index) : topic_(std::move(topic)), index_(index) {}

  const std::string& topic() const { return topic_; }
  int32_t index() const { return index_; }

  /// {0, 0} before anything is known.
  Marks known() const {
    const std::lock_guard lock(mutex_);
    return known_;
  }
  /// A question about the borders goes out; give what it returns to answered().
  uint64_t asked() const {
    const std::lock_guard lock(mutex_);
    return changes_;
  }
  /// What the other side says counts, lower ends too, unless an append was acknowledged meanwhile.
  Marks answered(uint64_t asked, Marks marks) {
    const std::lock_guard lock(mutex_);
    if (asked != changes_) marks.end = std::max(marks.end, known_.end);
    known_ = marks;
    return known_;
  }
  /// Something was seen, or written, below `end`.
  void saw_end(int64_t end) {
    const std::lock_guard lock(mutex_);
    if (end <= known_.end) return;
    known_.end = end;
    ++changes_;
  }

  /// It is gone, and one that is made anew begins anew.
  void forget() {
    const std::lock_guard lock(mutex_);
    known_ = {};
    ++changes_;
    seen = false;
    seen_by_producer = 0;
  }

  /// The cluster said that it is there, and nothing to the contrary since.
  std::atomic<bool> seen{false};
  /// The generation of the producer that has seen it; 0: none, or it was gone meanwhile.
  std::atomic<uint64_t> seen_by_producer{0};
  /// Whether its topic keeps what was acknowledged through elections, when that was asked last; 0: never.
  std::atomic<bool> no_rollback{false};
  std::atomic<int64_t> keeping_asked_ns{0};
  /// Appends that were given up and may be on their way still. The writer's thread's.
  uint64_t given_up = 0;

 private:
  const std::string topic_;
  const int32_t index_;
  mutable std::mutex mutex_;
  Marks known_;           // guarded by mutex_
  uint64_t changes_ = 0;  // by others than answers; guarded by mutex_
};

using PartitionPtr = std::shared_ptr<Partition>;

/// The appends of one handle: when one fails, those of its run that are not with a producer yet are refused. Any
/// thread.
class Chain {
 public:
  void failed(uint64_t run) {
    uint64_t known = failed_.load();
    while (known < run && !failed_.compare_exchange_weak(known, run)) {
    }
  }
  /// 0 is no run, but an append that is alone.
  bool has_failed(uint64_t run) const { return run != 0 && run <= failed_.load(); }

 private:
  std::atomic<uint64_t> failed_{0};
};

using ChainPtr = std::shared_ptr<Chain>;

}  // namespace sluice::kafka
