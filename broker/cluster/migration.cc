// SPDX-License-Identifier: Apache-2.0
// Changes of a topic's settings, and the metadata side of migrations: what is refused before it begins, and the commands
// that move a partition from log to log. Who moves the records is the partition, see partition/move.cc.
#include <fmt/format.h>

#include <charconv>

#include "cluster/cluster.hpp"
#include "cluster/extents.hpp"
#include "cluster/native.hpp"

namespace sluice::cluster {
namespace {

ClusterError gone() {
  return {ErrorCode::kUnknownTopicOrPartition, "This server does not host this topic-partition."};
}

ClusterError invalid(std::string_view name, std::string_view value, std::string why) {
  return {ErrorCode::kInvalidConfig, fmt::format("Invalid value {} for configuration {}: {}", value, name, why)};
}

/// The partition of a topic that moves; gone() where there is none.
ClusterResult<const PartitionInfo*> moving_partition(const TopicPtr& topic, int32_t index) {
  if (!topic || !topic->migration || index < 0 || static_cast<size_t>(index) >= topic->partitions.size())
    return tl::unexpected(gone());
  return &topic->partitions[static_cast<size_t>(index)];
}

/// Whether one more log may be dropped there; else what must be done first.
ClusterError check_dropped(const PartitionInfo& partition) {
  if (partition.dropped.size() < Cluster::kMaxDroppedLogs) return {};
  return {ErrorCode::kRequestTimedOut, fmt::format("{} dropped logs are to be deleted first", partition.dropped.size())};
}

uint64_t to_number(const std::string& text) {
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace

/// Settings that the topic has already are not judged again. What says which engine's topic this one stands for stays.
ClusterError Cluster::check_changes(const TopicInfo& topic, Configs& configs) const {
  for (const std::string_view fixed : {kNativeNameSetting, kNativeAdoptedSetting}) {
    const auto before = topic.configs.find(fixed);
    const auto after = configs.find(fixed);
    if (after != configs.end() && (before == topic.configs.end() || before->second != after->second))
      return invalid(fixed, after->second, "It is decided when the topic is made");
    if (before != topic.configs.end()) configs.insert(*before);
  }
  Configs changed;
  for (const auto& [setting, value] : configs) {
    const auto before = topic.configs.find(setting);
    if (before != topic.configs.end() && before->second == value) continue;
    if (Status valid = check_topic_setting(setting, value); !valid.ok())
      return {ErrorCode::kInvalidConfig, valid.text()};
    changed.emplace(setting, value);
  }
  if (is_native(topic)) {
    if (Status settings = check_native_settings(changed, home_of(topic)); !settings.ok())
      return {ErrorCode::kInvalidConfig, settings.text()};
  }
  return {};
}

/// Can a topic of these settings live there? `with_size`: its batches, as large as the settings allow, must fit.
ClusterError Cluster::check_storage(const std::string& name, const Configs& configs, bool with_size) const {
  auto storage = storages_.find(name);
  if (!storage) {
    std::vector<std::string> known;
    for (const auto& each : storages_.all()) known.push_back(each->name());
    return invalid(kStorageSetting, name,
                   fmt::format("There is no such storage; there are: {}", fmt::join(known, ", ")));
  }
  if (!storage->started())
    return {ErrorCode::kRequestTimedOut, fmt::format("Storage \"{}\" is not available.", name)};
  const uint64_t largest_unit = storage->condition().largest_unit;
  const std::string largest =
      effective_setting(*find_topic_setting(kMaxMessageBytesSetting), configs, options_.broker_configs).first;
  if (with_size && largest_unit != 0 && to_number(largest) > largest_unit) {
    return invalid(kMaxMessageBytesSetting, largest,
                   fmt::format("Storage \"{}\" takes at most {} bytes at once", name, largest_unit));
  }
  return {};
}

ClusterResult<std::optional<Migration>> Cluster::planned_migration(const TopicInfo& topic,
                                                                   const Configs& configs) const {
  const std::string home(home_of(topic));
  const auto setting = configs.find(kStorageSetting);
  // Without the setting the topic stays where it is: the routes are for new ones.
  if (setting == configs.end() || setting->second == home) return topic.migration;
  const std::string& target = setting->second;
  if (topic.migration) {
    if (target == topic.migration->source) return Migration{home, target};
    return tl::unexpected(invalid(
        kStorageSetting, target,
        fmt::format("A migration from \"{}\" to \"{}\" is under way; only \"{}\", which cancels it, can be set now",
                    topic.migration->source, home, topic.migration->source)));
  }
  auto refuse = [&](std::string why) { return tl::unexpected(invalid(kStorageSetting, target, std::move(why))); };
  if (ClusterError unfit = check_storage(target, configs, false); unfit.code != ErrorCode::kNone)
    return tl::unexpected(unfit);
  auto from = storages_.find(home);
  if (!from || !from->started())
    return tl::unexpected(
        ClusterError{ErrorCode::kRequestTimedOut, fmt::format("Storage \"{}\" is not available.", home)});
  if (from->condition().kind != SLUICE_KIND_LOG)
    return refuse(fmt::format("The topic cannot leave \"{}\", which is of kind NATIVE: its records are the engine's own", home));
  const host::Condition condition = storages_.find(target)->condition();
  if (condition.kind != SLUICE_KIND_LOG)
    return refuse("A storage of kind NATIVE numbers its records itself, and takes none that have their offsets");
  for (const PartitionInfo& partition : topic.partitions) {
    if (partition.extents.size() >= kMaxExtents)
      return refuse(fmt::format("A partition lies in {} logs already, which is the most", partition.extents.size()));
  }
  // What lies here is as large as this storage took it.
  const uint64_t here = from->condition().largest_unit;
  uint64_t largest = to_number(effective_setting(*find_topic_setting(kMaxMessageBytesSetting), configs, options_.broker_configs).first);
  if (here != 0) largest = std::min(largest, here);
  if (condition.largest_unit != 0 && largest > condition.largest_unit) {
    return refuse(fmt::format("It takes at most {} bytes at once, and the topic may hold batches of {}; set "
                              "max.message.bytes to {} or less first",
                              condition.largest_unit, largest, condition.largest_unit));
  }
  return Migration{home, target};
}

Task<ClusterResult<TopicPtr>> Cluster::alter_topic(std::string name, ConfigChange change, bool validate_only,
                                                   Executor& on) {
  co_await hop(loop_);
  auto result = co_await alter_on_loop(std::move(name), std::move(change), validate_only);
  co_await hop(on);
  co_return result;
}

Task<ClusterResult<TopicPtr>> Cluster::alter_on_loop(std::string name, ConfigChange change, bool validate_only) {
  for (int attempt = 0; attempt < kMaxProposals; ++attempt) {
    TopicPtr topic = state_.topic(name);
    if (!topic || topic->internal) {
      co_return tl::unexpected(
          ClusterError{ErrorCode::kUnknownTopicOrPartition, fmt::format("The topic '{}' does not exist.", name)});
    }
    auto configs = change(topic->configs);
    if (!configs) co_return tl::unexpected(configs.error());
    ClusterError wrong = check_changes(*topic, *configs);
    if (wrong.code != ErrorCode::kNone) co_return tl::unexpected(wrong);
    auto migration = planned_migration(*topic, *configs);
    if (!migration) co_return tl::unexpected(migration.error());
    const auto largest = configs->find(kMaxMessageBytesSetting);
    const auto before = topic->configs.find(kMaxMessageBytesSetting);
    const bool resized = largest != configs->end() &&
                         (before == topic->configs.end() || before->second != largest->second);
    if (resized) {
      ClusterError unfit = check_storage(std::string(home_of(*topic)), *configs, true);
      if (unfit.code != ErrorCode::kNone) co_return tl::unexpected(unfit);
    }
    if (validate_only || (*configs == topic->configs && *migration == topic->migration)) co_return topic;
    Command command = AlterTopic{topic->id, topic->version, std::move(*configs), *migration};
    auto altered = co_await propose(std::move(command));
    if (!altered) co_return tl::unexpected(altered.error());
    if (altered->error == ErrorCode::kConcurrentTransactions) continue;
    if (altered->error != ErrorCode::kNone) co_return tl::unexpected(ClusterError{altered->error, gone().text});
    co_return altered->topic;
  }
  co_return tl::unexpected(ClusterError{ErrorCode::kRequestTimedOut, "The topic is being changed by others."});
}

Task<ClusterResult<TopicPtr>> Cluster::change_topic(Command command, Executor& on) {
  co_await hop(loop_);
  auto result = co_await change_on_loop(std::move(command));
  co_await hop(on);
  co_return result;
}

Task<ClusterResult<TopicPtr>> Cluster::change_on_loop(Command command) {
  auto changed = co_await propose(std::move(command));
  if (!changed) co_return tl::unexpected(changed.error());
  if (changed->error == ErrorCode::kUnknownTopicOrPartition) {
    ClusterError error = gone();
    co_return tl::unexpected(error);
  }
  if (changed->error != ErrorCode::kNone)
    co_return tl::unexpected(ClusterError{changed->error, "The partition was changed by others meanwhile."});
  co_return changed->topic;
}

Task<ClusterResult<TopicPtr>> Cluster::record_next(Uuid topic, int32_t partition, Executor& on) {
  co_await hop(loop_);
  auto result = co_await record_next_on_loop(topic, partition);
  co_await hop(on);
  co_return result;
}

Task<ClusterResult<TopicPtr>> Cluster::record_next_on_loop(Uuid id, int32_t index) {
  TopicPtr topic = state_.topic_in_any_state(id);
  const auto found = moving_partition(topic, index);
  if (!found) co_return tl::unexpected(found.error());
  const PartitionInfo& partition = **found;
  ClusterError full = check_dropped(partition);
  if (full.code != ErrorCode::kNone) co_return tl::unexpected(full);
  Command command = RecordNext{id, index, partition.leader_epoch, partition.extents.back().log,
                               Extent{topic->migration->target, new_log_id(), 0, -1}};
  co_return co_await change_on_loop(std::move(command));
}

Task<ClusterResult<TopicPtr>> Cluster::record_copy(Uuid topic, int32_t partition, int64_t from, Executor& on) {
  co_await hop(loop_);
  auto result = co_await record_copy_on_loop(topic, partition, from);
  co_await hop(on);
  co_return result;
}

Task<ClusterResult<TopicPtr>> Cluster::record_copy_on_loop(Uuid id, int32_t index, int64_t from) {
  TopicPtr topic = state_.topic_in_any_state(id);
  const auto found = moving_partition(topic, index);
  if (!found) co_return tl::unexpected(found.error());
  const PartitionInfo& partition = **found;
  const std::vector<Extent> run = run_to_copy(partition, topic->migration->target);
  if (run.empty()) co_return topic;
  ClusterError full = check_dropped(partition);
  if (full.code != ErrorCode::kNone) co_return tl::unexpected(full);
  RecordCopy record{id, index, partition.leader_epoch, {}};
  record.copy.extent = Extent{topic->migration->target, new_log_id(), from, run.back().to};
  for (const Extent& extent : run) record.copy.replaces.push_back(extent.log);
  Command command = std::move(record);
  co_return co_await change_on_loop(std::move(command));
}

Task<Status> Cluster::delete_dropped_logs(Uuid id, Executor& on) {
  co_await hop(loop_);
  TopicPtr topic = state_.topic_in_any_state(id);
  Status status;
  if (topic && !topic->deleting) status = co_await delete_dropped_on_loop(std::move(topic));
  co_await hop(on);
  co_return status;
}

/// One that cannot be deleted does not hold up the others. Gives the first failure.
Task<Status> Cluster::delete_dropped_on_loop(TopicPtr topic) {
  Status first;
  for (int32_t i = 0; i < static_cast<int32_t>(topic->partitions.size()); ++i) {
    ForgetLogs forget{topic->id, i, {}};
    for (const Extent& extent : topic->partitions[static_cast<size_t>(i)].dropped) {
      auto storage = storages_.find(extent.storage);
      Status status(StatusCode::unavailable, fmt::format("storage \"{}\" is not available", extent.storage));
      if (storage && storage->started()) status = co_await storage->delete_log(describe_log(*topic, i, extent), loop_);
      if (status.ok()) {
        forget.logs.push_back(extent.log);
      } else if (first.ok()) {
        first = std::move(status);
      }
    }
    if (forget.logs.empty()) continue;
    Command command = std::move(forget);
    auto forgotten = co_await change_on_loop(std::move(command));
    if (!forgotten && first.ok()) first = Status(StatusCode::unavailable, forgotten.error().text);
  }
  co_return first;
}

}  // namespace sluice::cluster
