// SPDX-License-Identifier: Apache-2.0
// Reads that took longer than the Fetch that began them could wait. What other partitions have goes out without them, and the
// client's next Fetch of the same partition and offset, over the same loop, finds the read where it was left: so a slow storage
// delays its own topics only, and is not asked again and again for what it is already looking for.
//
// Thread-safe; a LateRead itself belongs to one loop.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <tuple>

#include "base/loop.hpp"
#include "partition/partition.hpp"

namespace sluice::handlers {

/// A read under way, or its outcome. Loop thread.
struct LateRead {
  partition::ReadOutcome outcome;
  bool done = false;
  std::function<void()> on_done;  // once, when it is done
};

class LateReads {
 public:
  /// Beyond that, reads that are left are forgotten: their clients begin them anew.
  static constexpr size_t kMaxLateReads = 10'000;
  /// How long an outcome is kept, with the bytes that it pins, for a client that does not come back.
  static constexpr int64_t kKeptMs = 5'000;

  /// Leaves a read that is not done. Loop thread.
  void leave(const std::shared_ptr<partition::Partition>& partition, int64_t offset, Loop& loop, const std::shared_ptr<LateRead>& read);
  /// The read that was left, which is then nobody else's; nullptr: there is none. Loop thread.
  std::shared_ptr<LateRead> take(const std::shared_ptr<partition::Partition>& partition, int64_t offset, Loop& loop);
  size_t size() const;

 private:
  using Key = std::tuple<const partition::Partition*, int64_t, const Loop*>;
  void forget(const Key& key, const LateRead* read);

  mutable std::mutex mutex_;
  std::map<Key, std::shared_ptr<LateRead>> left_;  // guarded by mutex_
};

}  // namespace sluice::handlers
