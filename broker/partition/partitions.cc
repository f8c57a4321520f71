// SPDX-License-Identifier: Apache-2.0
#include "partition/partitions.hpp"

#include <mutex>

#include "cluster/native.hpp"
#include "partition/log_partition.hpp"
#include "partition/native_partition.hpp"

namespace sluice::partition {

std::shared_ptr<Partition> Partitions::find(const cluster::TopicPtr& topic, int32_t index) {
  if (!topic || index < 0 || index >= topic->ready_partitions) return nullptr;
  const auto at = static_cast<size_t>(index);
  {
    std::shared_lock lock(mutex_);
    auto found = partitions_.find(topic->id);
    if (found != partitions_.end() && at < found->second.size() && found->second[at]) return found->second[at];
  }
  std::unique_lock lock(mutex_);
  // Deleted meanwhile: the change may have come before this, and would leave the new one open for ever.
  cluster::TopicPtr now = context_.cluster.state().topic(topic->id);
  if (!now || index >= now->ready_partitions) return nullptr;
  auto& list = partitions_[topic->id];
  if (list.size() <= at) list.resize(at + 1);
  if (!list[at]) {
    if (cluster::is_native(*now)) {
      list[at] = std::make_shared<NativePartition>(context_, now, index);
    } else {
      list[at] = std::make_shared<LogPartition>(context_, now, index);
    }
  }
  return list[at];
}

void Partitions::changed(const cluster::TopicPtr& before, const cluster::TopicPtr& after) {
  const cluster::TopicPtr& known = after ? after : before;
  std::vector<std::shared_ptr<Partition>> told;
  {
    std::unique_lock lock(mutex_);
    auto found = partitions_.find(known->id);
    if (found == partitions_.end()) return;
    told = found->second;
    if (!after || after->deleting) partitions_.erase(found);
  }
  for (auto& partition : told) {
    if (partition) partition->update(after);
  }
}

std::vector<std::shared_ptr<Partition>> Partitions::all() const {
  std::shared_lock lock(mutex_);
  std::vector<std::shared_ptr<Partition>> result;
  for (const auto& [id, list] : partitions_) {
    for (const auto& partition : list) {
      if (partition) result.push_back(partition);
    }
  }
  return result;
}

size_t Partitions::size() const {
  return all().size();
}

Task<void> Partitions::for_each(std::vector<std::shared_ptr<Partition>> partitions, Task<void> (Partition::*f)(Loop&),
                                Loop& loop) {
  for (size_t i = 0; i < partitions.size(); i += kMaintainedTogether) {
    const size_t count = std::min(kMaintainedTogether, partitions.size() - i);
    size_t left = count;
    co_await suspend_until<bool>(loop, [&](Resumer<bool> resume) {
      for (size_t j = i; j < i + count; ++j) {
        start((partitions[j].get()->*f)(loop), [&left, resume] {
          if (--left == 0) resume(true);
        });
      }
    });
    co_await hop(loop);
  }
}

Task<void> Partitions::maintain(Loop& loop) {
  std::vector<std::shared_ptr<Partition>> loaded;
  size_t opened = 0;
  for (auto& partition : all()) {
    if (partition->loaded() || opened++ < kOpenedPerSweep) loaded.push_back(std::move(partition));
  }
  // Old records go also where nobody produces or reads.
  for (const auto& topic : context_.cluster.state().topics()) {
    for (int32_t i = 0; i < topic->ready_partitions && opened < kOpenedPerSweep; ++i) {
      {
        std::shared_lock lock(mutex_);
        auto found = partitions_.find(topic->id);
        if (found != partitions_.end() && static_cast<size_t>(i) < found->second.size() &&
            found->second[static_cast<size_t>(i)])
          continue;
      }
      if (auto partition = find(topic, i)) {
        loaded.push_back(std::move(partition));
        ++opened;
      }
    }
  }
  co_await for_each(std::move(loaded), &Partition::maintain, loop);
}

Task<void> Partitions::save_all(Loop& loop) {
  co_await for_each(all(), &Partition::save_state, loop);
}

}  // namespace sluice::partition
