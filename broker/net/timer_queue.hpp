// SPDX-License-Identifier: Apache-2.0
// Jobs ordered by deadline: a binary heap whose entries know their place, so that forgetting one costs as little as
// adding one and nothing is allocated once it has grown. Does no I/O and has no clock. One thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/loop.hpp"

namespace sluice::net {

class TimerQueue {
 public:
  /// Ids are not used again within 2^32 uses of one place in the queue; 0 is never one.
  TimerId add(int64_t deadline_ms, Job job);
  /// False if it was taken or cancelled before. The job is destroyed after the queue has settled: it may call back.
  bool cancel(TimerId id);
  /// The earliest deadline; INT64_MAX: no timer.
  int64_t next_deadline_ms() const;
  /// The earliest job whose deadline is not after `now_ms`; jobs of one deadline in the order they were added.
  std::optional<Job> take_due(int64_t now_ms);
  size_t size() const { return heap_.size(); }

 private:
  struct Slot {
    Job job;
    int64_t deadline_ms = 0;
    uint64_t order = 0;
    uint32_t generation = 1;
    size_t place = 0;  // in heap_
  };
  bool before(uint32_t a, uint32_t b) const;
  void set(size_t place, uint32_t slot);
  void sift_up(size_t place);
  void sift_down(size_t place);
  Job remove(uint32_t slot);

  std::vector<Slot> slots_;
  std::vector<uint32_t> free_slots_;
  std::vector<uint32_t> heap_;  // indexes of slots
  uint64_t next_order_ = 0;
};

}  // namespace sluice::net
