// SPDX-License-Identifier: Apache-2.0
#include "handlers/late_reads.hpp"

namespace sluice::handlers {

void LateReads::leave(const std::shared_ptr<partition::Partition>& partition, int64_t offset, Loop& loop,
                      const std::shared_ptr<LateRead>& read) {
  const Key key(partition.get(), offset, &loop);
  // It keeps the partition, so that the key stays its own, and once it is done it is not kept for long.
  read->on_done = [this, key, partition, &loop, watched = std::weak_ptr<LateRead>(read)] {
    loop.call_after(kKeptMs, [this, key, partition, watched] {
      if (const auto kept = watched.lock()) forget(key, kept.get());
    });
  };
  const std::lock_guard lock(mutex_);
  if (left_.size() < kMaxLateReads) left_.try_emplace(key, read);
}

std::shared_ptr<LateRead> LateReads::take(const std::shared_ptr<partition::Partition>& partition, int64_t offset, Loop& loop) {
  const std::lock_guard lock(mutex_);
  const auto found = left_.find(Key(partition.get(), offset, &loop));
  if (found == left_.end()) return nullptr;
  auto read = std::move(found->second);
  left_.erase(found);
  read->on_done = nullptr;
  return read;
}

size_t LateReads::size() const {
  const std::lock_guard lock(mutex_);
  return left_.size();
}

void LateReads::forget(const Key& key, const LateRead* read) {
  std::shared_ptr<LateRead> gone;  // what it pins is let go of without the lock
  const std::lock_guard lock(mutex_);
  const auto found = left_.find(key);
  if (found == left_.end() || found->second.get() != read) return;
  gone = std::move(found->second);
  left_.erase(found);
}

}  // namespace sluice::handlers
