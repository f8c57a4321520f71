// SPDX-License-Identifier: Apache-2.0
// All partitions of this broker, by topic and number: made when first asked for, told of changes of metadata, and
// visited every few seconds for retention and snapshots.
#pragma once

#include <memory>
#include <shared_mutex>
#include <unordered_map>
#include <vector>

#include "partition/partition.hpp"

namespace sluice::partition {

/// Thread-safe. `context` outlives it.
class Partitions {
 public:
  /// So many partitions are maintained at the same time.
  static constexpr size_t kMaintainedTogether = 8;
  static constexpr size_t kOpenedPerSweep = 50;

  explicit Partitions(PartitionContext& context) : context_(context) {}

  /// nullptr if the topic has no such partition that is ready.
  std::shared_ptr<Partition> find(const cluster::TopicPtr& topic, int32_t index);
  /// For Cluster::on_change.
  void changed(const cluster::TopicPtr& before, const cluster::TopicPtr& after);
  /// Retention and snapshots of what is loaded, and of a few that are not yet.
  Task<void> maintain(Loop& loop);
  /// Saves every state that changed (a clean stop).
  Task<void> save_all(Loop& loop);
  size_t size() const;
  PartitionContext& context() { return context_; }

 private:
  std::vector<std::shared_ptr<Partition>> all() const;
  Task<void> for_each(std::vector<std::shared_ptr<Partition>> partitions, Task<void> (Partition::*f)(Loop&),
                      Loop& loop);

  PartitionContext& context_;
  mutable std::shared_mutex mutex_;
  std::unordered_map<Uuid, std::vector<std::shared_ptr<Partition>>> partitions_;
};

}  // namespace sluice::partition
