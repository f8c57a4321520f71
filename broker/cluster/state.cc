// SPDX-License-Identifier: Apache-2.0
#include "cluster/state.hpp"

#include <algorithm>
#include <mutex>

#include "cluster/extents.hpp"

namespace sluice::cluster {
namespace {

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;  // clang 16 does not deduce aggregates

Uuid as_uuid(const host::LogId& id) {
  Uuid result;
  result.bytes = id;
  return result;
}

bool visible(const TopicPtr& topic) {
  return topic && !topic->deleting && topic->ready_partitions > 0;
}

CommandResult refuse(ErrorCode error) {
  return {error, 0, nullptr};
}

}  // namespace

void ClusterState::reset() {
  std::unique_lock lock(mutex_);
  names_.clear();
  topics_.clear();
  brokers_.clear();
  next_producer_id_ = 0;
  deleted_logs_.clear();
  deleted_ids_.clear();
  logs_.clear();
}

Status ClusterState::apply(std::string_view record, int64_t, int64_t) {
  auto command = decode(record);
  if (!command) return command.error();
  CommandResult result;
  std::vector<std::pair<TopicPtr, TopicPtr>> changes;
  {
    std::unique_lock lock(mutex_);
    result = decide(command->first, command->second);
    changes.swap(changes_);
  }
  if (changed) {
    for (const auto& [before, after] : changes) changed(before, after);
  }
  if (decided) decided(command->first, result);
  return Status();
}

CommandResult ClusterState::put(TopicInfo topic) {
  auto& slot = topics_[topic.id];
  const TopicPtr before = slot;
  slot = std::make_shared<const TopicInfo>(std::move(topic));
  if (!slot->deleting) names_[slot->name] = slot->id;
  for (const auto& partition : slot->partitions) {
    for_each_log(partition, [&](const Extent& extent) { logs_[as_uuid(extent.log)] = slot->id; });
  }
  changes_.emplace_back(before, slot);
  return {ErrorCode::kNone, 0, slot};
}

void ClusterState::forget_log(const Extent& extent) {
  logs_.erase(as_uuid(extent.log));
  deleted_logs_.emplace_back(extent.storage, extent.log);
  ++deleted_ids_[as_uuid(extent.log)];
  while (deleted_logs_.size() > kMaxDeletedLogs) {
    auto oldest = deleted_ids_.find(as_uuid(deleted_logs_.front().second));
    if (--oldest->second == 0) deleted_ids_.erase(oldest);
    deleted_logs_.pop_front();
  }
}

CommandResult ClusterState::decide(const CommandId& id, const Command& command) {
  auto find = [&](const Uuid& topic) -> TopicPtr {
    auto found = topics_.find(topic);
    return found == topics_.end() ? nullptr : found->second;
  };
  // A process that was replaced by a later incarnation of the same broker has no say any more.
  if (auto broker = brokers_.find(id.broker); broker != brokers_.end() && id.incarnation != 0 &&
                                              !std::holds_alternative<RegisterBroker>(command) &&
                                              broker->second.incarnation != id.incarnation) {
    return refuse(ErrorCode::kStaleBrokerEpoch);
  }
  return std::visit(Overloaded{
                        [&](const RegisterBroker& c) {
                          brokers_[c.broker.id] = c.broker;
                          for (auto& [topic_id, topic] : topics_) {
                            bool led = false;
                            for (const auto& partition : topic->partitions)
                              led = led || partition.leader == c.broker.id;
                            if (!led) continue;
                            TopicInfo next = *topic;
                            ++next.version;
                            for (auto& partition : next.partitions) {
                              if (partition.leader == c.broker.id) ++partition.leader_epoch;
                            }
                            const TopicPtr before = topic;
                            topic = std::make_shared<const TopicInfo>(std::move(next));
                            changes_.emplace_back(before, topic);
                          }
                          return CommandResult{};
                        },
                        [&](const CreateTopic& c) {
                          if (names_.contains(c.topic.name) || topics_.contains(c.topic.id))
                            return refuse(ErrorCode::kTopicAlreadyExists);
                          if (c.topic.partitions.empty()) return refuse(ErrorCode::kInvalidPartitions);
                          return put(c.topic);
                        },
                        [&](const AddPartitions& c) {
                          const TopicPtr topic = find(c.topic);
                          if (!topic || topic->deleting) return refuse(ErrorCode::kUnknownTopicOrPartition);
                          if (topic->version != c.version) return refuse(ErrorCode::kConcurrentTransactions);
                          TopicInfo next = *topic;
                          ++next.version;
                          next.partitions.insert(next.partitions.end(), c.partitions.begin(), c.partitions.end());
                          return put(std::move(next));
                        },
                        [&](const MarkReady& c) {
                          const TopicPtr topic = find(c.topic);
                          if (!topic) return refuse(ErrorCode::kUnknownTopicOrPartition);
                          TopicInfo next = *topic;
                          next.ready_partitions =
                              std::max(next.ready_partitions,
                                       std::min(c.ready_partitions, static_cast<int32_t>(next.partitions.size())));
                          return put(std::move(next));
                        },
                        [&](const DeleteTopic& c) {
                          const TopicPtr topic = find(c.topic);
                          if (!topic || topic->deleting) return refuse(ErrorCode::kUnknownTopicOrPartition);
                          TopicInfo next = *topic;
                          next.deleting = true;
                          names_.erase(next.name);
                          return put(std::move(next));
                        },
                        [&](const ForgetTopic& c) {
                          const TopicPtr topic = find(c.topic);
                          if (!topic) return CommandResult{};
                          for (const auto& partition : topic->partitions)
                            for_each_log(partition, [&](const Extent& extent) { forget_log(extent); });
                          if (auto name = names_.find(topic->name); name != names_.end() && name->second == c.topic)
                            names_.erase(name);
                          topics_.erase(c.topic);
                          changes_.emplace_back(topic, nullptr);
                          return CommandResult{};
                        },
                        [&](const ReplaceExtent& c) {
                          const TopicPtr topic = find(c.topic);
                          if (!topic || topic->deleting || c.partition < 0 ||
                              static_cast<size_t>(c.partition) >= topic->partitions.size()) {
                            return refuse(ErrorCode::kUnknownTopicOrPartition);
                          }
                          TopicInfo next = *topic;
                          auto& partition = next.partitions[static_cast<size_t>(c.partition)];
                          if (partition.extents.empty()) return refuse(ErrorCode::kInvalidPartitions);
                          if (partition.extents.back().log != c.lost)
                            return CommandResult{ErrorCode::kNone, 0, topic};  // done by another
                          forget_log(partition.extents.back());
                          ++next.version;
                          ++partition.leader_epoch;
                          partition.extents.back() = c.extent;
                          return put(std::move(next));
                        },
                        [&](const RaiseLeaderEpoch& c) {
                          const TopicPtr topic = find(c.topic);
                          if (!topic || topic->deleting || c.partition < 0 ||
                              static_cast<size_t>(c.partition) >= topic->partitions.size()) {
                            return refuse(ErrorCode::kUnknownTopicOrPartition);
                          }
                          if (topic->partitions[static_cast<size_t>(c.partition)].leader_epoch != c.leader_epoch) {
                            return CommandResult{ErrorCode::kNone, 0, topic};  // over already
                          }
                          TopicInfo next = *topic;
                          ++next.version;
                          ++next.partitions[static_cast<size_t>(c.partition)].leader_epoch;
                          return put(std::move(next));
                        },
                        [&](const AllocateProducerIds& c) {
                          if (c.count <= 0) return refuse(ErrorCode::kInvalidRequest);
                          CommandResult result;
                          result.value = next_producer_id_;
                          next_producer_id_ += c.count;
                          return result;
                        },
                        [&](const AlterTopic& c) { return alter_topic(c); },
                        [&](const RecordNext& c) { return record_next(c); },
                        [&](const SwitchExtent& c) { return switch_extent(c); },
                        [&](const RecordCopy& c) { return record_copy(c); },
                        [&](const NameCopy& c) { return name_copy(c); },
                        [&](const DropExtent& c) { return drop_extent(c); },
                        [&](const ForgetLogs& c) { return forget_logs(c); },
                        [&](const FinishMigration& c) { return finish_migration(c); },
                        [&](const PutTopic& c) { return put(c.topic); },
                        [&](const PutState& c) {
                          next_producer_id_ = c.next_producer_id;
                          for (const auto& broker : c.brokers) brokers_[broker.id] = broker;
                          return CommandResult{};
                        },
                        [&](const PutDeletedLogs& c) {
                          for (const auto& [storage, log] : c.logs) {
                            deleted_logs_.emplace_back(storage, log);
                            ++deleted_ids_[as_uuid(log)];
                          }
                          return CommandResult{};
                        },
                    },
                    command);
}

std::vector<std::string> ClusterState::snapshot() const {
  constexpr size_t kLogsPerRecord = 1'000;
  std::shared_lock lock(mutex_);
  std::vector<std::string> records;
  PutState state;
  state.next_producer_id = next_producer_id_;
  for (const auto& [id, broker] : brokers_) state.brokers.push_back(broker);
  for (const auto& [id, topic] : topics_) records.push_back(encode({}, PutTopic{*topic}));
  for (size_t i = 0; i < deleted_logs_.size(); i += kLogsPerRecord) {
    PutDeletedLogs logs;
    for (size_t j = i; j < std::min(deleted_logs_.size(), i + kLogsPerRecord); ++j)
      logs.logs.push_back(deleted_logs_[j]);
    records.push_back(encode({}, std::move(logs)));
  }
  records.push_back(encode({}, std::move(state)));
  return records;
}

TopicPtr ClusterState::topic(std::string_view name) const {
  std::shared_lock lock(mutex_);
  auto found = names_.find(name);
  if (found == names_.end()) return nullptr;
  const TopicPtr& topic = topics_.at(found->second);
  return visible(topic) ? topic : nullptr;
}

TopicPtr ClusterState::topic(const Uuid& id) const {
  TopicPtr topic = topic_in_any_state(id);
  return visible(topic) ? topic : nullptr;
}

std::vector<TopicPtr> ClusterState::topics(bool internal) const {
  std::shared_lock lock(mutex_);
  std::vector<TopicPtr> result;
  for (const auto& [name, id] : names_) {
    const TopicPtr& topic = topics_.at(id);
    if (visible(topic) && (internal || !topic->internal)) result.push_back(topic);
  }
  return result;
}

TopicPtr ClusterState::topic_in_any_state(const Uuid& id) const {
  std::shared_lock lock(mutex_);
  auto found = topics_.find(id);
  return found == topics_.end() ? nullptr : found->second;
}

TopicPtr ClusterState::topic_in_any_state(std::string_view name) const {
  std::shared_lock lock(mutex_);
  auto found = names_.find(name);
  return found == names_.end() ? nullptr : topics_.at(found->second);
}

std::vector<TopicPtr> ClusterState::topics_that(bool (*holds)(const TopicInfo&)) const {
  std::shared_lock lock(mutex_);
  std::vector<TopicPtr> result;
  for (const auto& [id, topic] : topics_) {
    if (holds(*topic)) result.push_back(topic);
  }
  return result;
}

std::vector<TopicPtr> ClusterState::unfinished() const {
  return topics_that([](const TopicInfo& topic) {
    return topic.deleting || topic.ready_partitions < static_cast<int32_t>(topic.partitions.size());
  });
}

std::vector<TopicPtr> ClusterState::migrating() const {
  return topics_that([](const TopicInfo& topic) { return !topic.deleting && topic.migration.has_value(); });
}

std::vector<TopicPtr> ClusterState::with_dropped_logs() const {
  return topics_that([](const TopicInfo& topic) {
    return !topic.deleting && std::any_of(topic.partitions.begin(), topic.partitions.end(),
                                          [](const PartitionInfo& p) { return !p.dropped.empty(); });
  });
}

std::vector<BrokerInfo> ClusterState::brokers() const {
  std::shared_lock lock(mutex_);
  std::vector<BrokerInfo> result;
  for (const auto& [id, broker] : brokers_) result.push_back(broker);
  return result;
}

bool ClusterState::is_deleted_log(const host::LogId& id) const {
  std::shared_lock lock(mutex_);
  return deleted_ids_.contains(as_uuid(id));
}

bool ClusterState::is_known_log(const host::LogId& id) const {
  std::shared_lock lock(mutex_);
  return logs_.contains(as_uuid(id));
}

}  // namespace sluice::cluster
