// SPDX-License-Identifier: Apache-2.0
// What commands do to settings and extents. A partition's extents change only in these ways, each of which names what it
// was decided on; a log leaves the partition only by way of `dropped`, where it stays until it is deleted.
#include <algorithm>

#include "cluster/extents.hpp"
#include "cluster/state.hpp"

namespace sluice::cluster {
namespace {

CommandResult refuse(ErrorCode error) {
  return {error, 0, nullptr};
}

/// What a command was decided on is not so any more.
constexpr ErrorCode kLookAgain = ErrorCode::kConcurrentTransactions;

void drop_next(PartitionInfo& partition) {
  if (partition.next) partition.dropped.push_back(*partition.next);
  partition.next.reset();
}

void drop_copy(PartitionInfo& partition) {
  if (partition.copy) partition.dropped.push_back(partition.copy->extent);
  partition.copy.reset();
}

bool is_open(const PartitionInfo& partition, const host::LogId& log) {
  return !partition.extents.empty() && partition.extents.back().log == log;
}

/// Where the sealed extents named by `logs` are, if they are neighbours in that order; the end if not.
std::vector<Extent>::iterator find_run(PartitionInfo& partition, const std::vector<host::LogId>& logs) {
  auto& extents = partition.extents;
  if (logs.empty() || extents.empty()) return extents.end();
  const auto same = [](const Extent& extent, const host::LogId& log) { return extent.log == log; };
  const auto sealed_end = extents.end() - 1;
  const auto found = std::search(extents.begin(), sealed_end, logs.begin(), logs.end(), same);
  return found == sealed_end ? extents.end() : found;
}

}  // namespace

/// `change(topic, partition)` gives the error that refuses the command, or changes the partition.
template <class Change>
CommandResult ClusterState::change_partition(const Uuid& id, int32_t index, Change change) {
  auto found = topics_.find(id);
  if (found == topics_.end() || found->second->deleting || index < 0 ||
      static_cast<size_t>(index) >= found->second->partitions.size()) {
    return refuse(ErrorCode::kUnknownTopicOrPartition);
  }
  TopicInfo next = *found->second;
  const ErrorCode error = change(next, next.partitions[static_cast<size_t>(index)]);
  if (error != ErrorCode::kNone) return {error, 0, found->second};
  if (next == *found->second) return {ErrorCode::kNone, 0, found->second};  // done by another
  ++next.version;
  return put(std::move(next));
}

CommandResult ClusterState::alter_topic(const AlterTopic& c) {
  auto found = topics_.find(c.topic);
  if (found == topics_.end() || found->second->deleting) return refuse(ErrorCode::kUnknownTopicOrPartition);
  if (found->second->version != c.version) return refuse(kLookAgain);
  TopicInfo next = *found->second;
  ++next.version;
  next.configs = c.configs;
  next.migration = c.migration;
  for (PartitionInfo& partition : next.partitions) {
    const auto unwanted = [&](const Extent& extent) { return !c.migration || extent.storage != c.migration->target; };
    if (partition.next && unwanted(*partition.next)) drop_next(partition);
    if (partition.copy && unwanted(partition.copy->extent)) drop_copy(partition);
  }
  return put(std::move(next));
}

CommandResult ClusterState::record_next(const RecordNext& c) {
  return change_partition(c.topic, c.partition, [&](TopicInfo& topic, PartitionInfo& partition) {
    if (partition.leader_epoch != c.leader_epoch || !is_open(partition, c.open)) return kLookAgain;
    if (!topic.migration || topic.migration->target != c.extent.storage) return kLookAgain;
    if (partition.next && partition.next->log == c.extent.log) return ErrorCode::kNone;
    drop_next(partition);
    partition.next = c.extent;
    return ErrorCode::kNone;
  });
}

CommandResult ClusterState::switch_extent(const SwitchExtent& c) {
  return change_partition(c.topic, c.partition, [&](TopicInfo&, PartitionInfo& partition) {
    if (partition.leader_epoch != c.leader_epoch || !is_open(partition, c.open)) return kLookAgain;
    if (!partition.next || partition.next->log != c.next || c.at < partition.extents.back().from) return kLookAgain;
    Extent sealed = partition.extents.back();
    sealed.to = c.at;
    partition.extents.pop_back();
    auto& place = sealed.from == sealed.to ? partition.dropped : partition.extents;  // an empty one is of no use
    place.push_back(std::move(sealed));
    partition.extents.push_back({partition.next->storage, partition.next->log, c.at, -1});
    partition.next.reset();
    return ErrorCode::kNone;
  });
}

CommandResult ClusterState::record_copy(const RecordCopy& c) {
  return change_partition(c.topic, c.partition, [&](TopicInfo& topic, PartitionInfo& partition) {
    if (partition.leader_epoch != c.leader_epoch) return kLookAgain;
    if (!topic.migration || topic.migration->target != c.copy.extent.storage) return kLookAgain;
    const auto run = find_run(partition, c.copy.replaces);
    if (run == partition.extents.end()) return kLookAgain;
    const Extent& last = run[static_cast<ptrdiff_t>(c.copy.replaces.size()) - 1];
    if (c.copy.extent.from < run->from || c.copy.extent.from >= last.to || c.copy.extent.to != last.to)
      return ErrorCode::kInvalidRequest;
    if (partition.copy && partition.copy->extent.log == c.copy.extent.log) return ErrorCode::kNone;
    drop_copy(partition);
    partition.copy = c.copy;
    return ErrorCode::kNone;
  });
}

CommandResult ClusterState::name_copy(const NameCopy& c) {
  return change_partition(c.topic, c.partition, [&](TopicInfo&, PartitionInfo& partition) {
    if (partition.leader_epoch != c.leader_epoch) return kLookAgain;
    if (!partition.copy || partition.copy->extent.log != c.log) return kLookAgain;
    const auto run = find_run(partition, partition.copy->replaces);
    if (run == partition.extents.end()) return kLookAgain;
    const auto end = run + static_cast<ptrdiff_t>(partition.copy->replaces.size());
    partition.dropped.insert(partition.dropped.end(), run, end);
    partition.extents.insert(partition.extents.erase(run, end), partition.copy->extent);
    partition.copy.reset();
    return ErrorCode::kNone;
  });
}

CommandResult ClusterState::drop_extent(const DropExtent& c) {
  return change_partition(c.topic, c.partition, [&](TopicInfo&, PartitionInfo& partition) {
    const auto run = find_run(partition, {c.log});
    if (run == partition.extents.end()) return ErrorCode::kNone;  // done by another
    partition.dropped.push_back(*run);
    partition.extents.erase(run);
    if (partition.copy) {
      std::erase(partition.copy->replaces, c.log);
      if (partition.copy->replaces.empty()) drop_copy(partition);
    }
    return ErrorCode::kNone;
  });
}

CommandResult ClusterState::forget_logs(const ForgetLogs& c) {
  return change_partition(c.topic, c.partition, [&](TopicInfo&, PartitionInfo& partition) {
    for (const host::LogId& log : c.logs) {
      const auto found = std::find_if(partition.dropped.begin(), partition.dropped.end(),
                                      [&](const Extent& extent) { return extent.log == log; });
      if (found == partition.dropped.end()) continue;
      forget_log(*found);
      partition.dropped.erase(found);
    }
    return ErrorCode::kNone;
  });
}

CommandResult ClusterState::finish_migration(const FinishMigration& c) {
  auto found = topics_.find(c.topic);
  if (found == topics_.end() || found->second->deleting) return refuse(ErrorCode::kUnknownTopicOrPartition);
  const TopicInfo& topic = *found->second;
  if (!topic.migration) return {ErrorCode::kNone, 0, found->second};
  const bool settled = std::all_of(topic.partitions.begin(), topic.partitions.end(),
                                   [&](const PartitionInfo& partition) { return is_settled(partition, c.target); });
  if (topic.migration->target != c.target || !settled) return refuse(kLookAgain);
  TopicInfo next = topic;
  ++next.version;
  next.migration.reset();
  return put(std::move(next));
}

}  // namespace sluice::cluster
