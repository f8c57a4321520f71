// SPDX-License-Identifier: Apache-2.0
#include "cluster/cluster.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "cluster/extents.hpp"
#include "cluster/native.hpp"

namespace sluice::cluster {
namespace {

// The metadata log's id follows from the cluster's, so that every broker finds it without being told.
host::LogId metadata_log_id(const Uuid& cluster) {
  host::LogId id = cluster.bytes;
  constexpr std::string_view kMask = "sluice-metadata.";
  for (size_t i = 0; i < id.size(); ++i) id[i] = static_cast<uint8_t>(id[i] ^ static_cast<uint8_t>(kMask[i]));
  return id;
}

ClusterError storage_error(const Status& status) {
  switch (status.code()) {
    case StatusCode::invalid:
    case StatusCode::unsupported:
    case StatusCode::too_large:
      return {ErrorCode::kInvalidConfig, status.describe()};
    case StatusCode::denied:
      return {ErrorCode::kKafkaStorageError, status.describe()};
    case StatusCode::no_space:
      return {ErrorCode::kKafkaStorageError, status.describe()};
    case StatusCode::unavailable:
    case StatusCode::busy:
    case StatusCode::unknown:
      return {ErrorCode::kRequestTimedOut, status.describe()};
    default:
      return {ErrorCode::kKafkaStorageError, status.describe()};
  }
}

/// Counts what runs at the same time, and wakes the one who waits for all.
class Group {
  auto next() {
    return suspend_until<bool>(loop_, [this](Resumer<bool> resume) { waiter_ = [resume] { resume(true); }; });
  }

 public:
  Group(Loop& loop, int limit) : loop_(loop), limit_(limit) {}
  Task<void> room() {
    while (running_ >= limit_) co_await next();
  }
  Task<void> all() {
    while (running_ > 0) co_await next();
  }
  void run(Task<Status> task) {
    ++running_;
    start(std::move(task), [this](Status status) {
      --running_;
      if (!status.ok() && first_error_.ok()) first_error_ = std::move(status);
      if (auto waiter = std::exchange(waiter_, nullptr)) loop_.post([w = std::move(waiter)]() mutable { w(); });
    });
  }
  const Status& first_error() const { return first_error_; }

 private:
  Loop& loop_;
  const int limit_;
  int running_ = 0;
  Status first_error_;
  UniqueFunction<void()> waiter_;
};

}  // namespace

Cluster::Cluster(storage::Storages& storages, Loop& loop, ClusterOptions options)
    : storages_(storages), loop_(loop), options_(std::move(options)) {
  incarnation_ = options_.random() | 1;
  state_.decided = [this](const CommandId& id, const CommandResult& result) {
    if (id.broker == options_.broker_id && id.incarnation == incarnation_) {
      if (auto found = decisions_.find(id.number); found != decisions_.end()) found->second = result;
    }
  };
  state_.changed = [this](const TopicPtr& before, const TopicPtr& after) {
    for (const auto& f : listeners_) f(before, after);
  };
}

Cluster::~Cluster() = default;

void Cluster::note(int level, const std::string& text) const {
  if (options_.log) options_.log(level, text);
}

Status Cluster::health() const {
  return log_ ? log_->failure() : Status(StatusCode::unavailable, "metadata is not loaded");
}

// ---- Start

Status Cluster::bind() {
  auto internal = storages_.find(storages_.internal_storage());
  if (!internal || !internal->started()) {
    return Status(StatusCode::unavailable,
                  fmt::format("storage \"{}\", which is to hold the broker's own logs, is not started",
                              storages_.internal_storage()));
  }
  const host::Condition condition = internal->condition();
  if (condition.kind != SLUICE_KIND_LOG) {
    return Status(
        StatusCode::invalid,
        fmt::format("storage \"{}\" cannot hold the broker's own logs: it is of kind NATIVE", internal->name()));
  }
  for (const auto& storage : storages_.all()) {
    if (Status status = storage::may_hold_own_logs(*internal, *storage); !status.ok()) return status;
  }
  auto id = internal->bind(random_uuid(options_.random).bytes);
  if (!id) return id.error().in(internal->name());
  cluster_id_.bytes = *id;
  for (const auto& storage : storages_.all()) {
    if (storage == internal || !storage->started()) continue;
    Status status = bind_storage(*storage, cluster_id_);
    if (status.ok()) continue;
    if (storages_.is_required(storage->name())) return status;
    note(SLUICE_LOG_ERROR, fmt::format("{}; going on without it for now", status.describe()));
    static_cast<void>(storage->stop(kStopUnboundMs));
  }
  return Status();
}

Status bind_storage(host::Storage& storage, const Uuid& cluster_id) {
  auto bound = storage.bind(cluster_id.bytes);
  if (!bound) {
    if (bound.error().code() == StatusCode::unsupported) return Status();  // NATIVE: the engine's own
    return bound.error().in(storage.name());
  }
  if (*bound != cluster_id.bytes) {
    Uuid other;
    other.bytes = *bound;
    return Status(StatusCode::denied, fmt::format("storage \"{}\" belongs to cluster {}, not to this one, {}",
                                                  storage.name(), other.to_string(), cluster_id.to_string()));
  }
  return Status();
}

Task<Status> Cluster::start() {
  auto internal = storages_.find(storages_.internal_storage());
  host::LogDescriptor descriptor;
  descriptor.id = metadata_log_id(cluster_id_);
  descriptor.flags = SLUICE_LOG_SYNC | SLUICE_LOG_SEVERAL_WRITERS;
  descriptor.topic = "__cluster_metadata";
  Status status = co_await internal->create_log(descriptor, loop_);
  if (!status.ok()) co_return status.in("metadata log");
  auto log = internal->open(descriptor);
  if (!log) co_return log.error().in("metadata log");
  storage::ReplayedLogOptions options;
  options.name = "metadata";
  options.several_writers = true;
  options.writer = {options_.broker_id, incarnation_};
  options.clock = options_.clock;
  options.report = [this](const std::string& text) { note(SLUICE_LOG_WARNING, text); };
  log_ = std::make_shared<storage::ReplayedLog>(*log, state_, loop_, std::move(options));
  status = co_await log_->load();
  if (!status.ok()) co_return status;
  Command registered_command = RegisterBroker{{options_.broker_id, incarnation_, options_.rack}};
  auto registered = co_await propose(std::move(registered_command));
  if (!registered) co_return Status(StatusCode::unavailable, registered.error().text);
  co_return Status();
}

Task<void> Cluster::maintain() {
  if (maintaining_) co_return;
  maintaining_ = true;
  for (const auto& topic : state_.unfinished()) {
    if (busy_.contains(topic->id)) continue;
    Status status = co_await finish(topic);
    if (!status.ok())
      note(SLUICE_LOG_WARNING, fmt::format("topic \"{}\" stays unfinished: {}", topic->name, status.describe()));
  }
  for (const auto& topic : state_.with_dropped_logs()) {
    if (busy_.contains(topic->id)) continue;
    Status status = co_await delete_dropped_on_loop(topic);
    if (!status.ok())
      note(SLUICE_LOG_WARNING, fmt::format("topic \"{}\": dropped logs stay: {}", topic->name, status.describe()));
  }
  co_await undo_late_creations();
  co_await follow_native_topics();
  maintaining_ = false;
}

Task<void> Cluster::undo_late_creations() {
  for (const auto& storage : storages_.all()) {
    if (!storage->started() || storage->condition().kind != SLUICE_KIND_LOG) continue;
    const int64_t now = options_.clock->monotonic_ms();
    const auto due = list_due_ms_.find(storage->name());
    const bool first = due == list_due_ms_.end();
    if (!first && now < due->second) continue;
    auto logs = co_await storage->list_logs(loop_);
    if (!logs) {
      note(SLUICE_LOG_WARNING,
           fmt::format("storage \"{}\": its logs cannot be listed: {}", storage->name(), logs.error().describe()));
      continue;
    }
    list_due_ms_[storage->name()] = now + kListLogsEveryMs;
    size_t unknown = 0;
    for (const auto& entry : *logs) {
      if (entry.foreign || entry.id == metadata_log_id(cluster_id_) || state_.is_known_log(entry.id)) continue;
      if (state_.is_deleted_log(entry.id)) {
        host::LogDescriptor descriptor;
        descriptor.id = entry.id;
        descriptor.topic = entry.topic;
        descriptor.partition = entry.partition;
        Status status = co_await storage->delete_log(descriptor, loop_);
        if (!status.ok()) list_due_ms_[storage->name()] = now;
      } else if (first && ++unknown <= kMaxListedUnknownLogs) {
        note(SLUICE_LOG_WARNING,
             fmt::format("storage \"{}\" holds a log that metadata does not know: {}-{} (it is left alone)",
                         storage->name(), entry.topic, entry.partition));
      }
    }
    if (unknown > kMaxListedUnknownLogs) {
      note(SLUICE_LOG_WARNING, fmt::format("storage \"{}\" holds {} such logs in all", storage->name(), unknown));
    }
  }
}

void Cluster::close() {
  closing_ = true;
  if (log_) log_->close();
  for (const auto& weak : state_logs_) {
    if (auto log = weak.lock()) log->close();
  }
}

// ---- Proposing
// Commands are named before they are awaited: GCC 12 copies an aggregate that is made within a co_await bit by bit.

Task<ClusterResult<CommandResult>> Cluster::propose(Command command) {
  const CommandId id{options_.broker_id, incarnation_, next_command_++};
  decisions_.emplace(id.number, CommandResult{ErrorCode::kUnknownServerError, 0, nullptr});
  std::vector<std::string> records(1, encode(id, command));
  Status status = co_await suspend_until<Status>(loop_, [&](Resumer<Status> resume) {
    log_->append(std::move(records), loop_, [resume](Status s) { resume(std::move(s)); });
  });
  auto node = decisions_.extract(id.number);
  if (!status.ok())
    co_return tl::unexpected(
        ClusterError{ErrorCode::kRequestTimedOut, "metadata cannot be changed now: " + status.describe()});
  CommandResult result = node.mapped();
  co_return result;
}

host::LogId Cluster::new_log_id() {
  return random_uuid(options_.random).bytes;
}

PartitionInfo Cluster::new_partition(const std::string& storage) {
  PartitionInfo partition;
  partition.leader = options_.broker_id;
  partition.extents.push_back(Extent{storage, new_log_id(), 0, -1});
  return partition;
}

host::LogDescriptor Cluster::describe_log(const TopicInfo& topic, int32_t partition, const Extent& extent) {
  host::LogDescriptor descriptor;
  descriptor.id = extent.log;
  descriptor.flags = topic.internal ? SLUICE_LOG_SYNC : 0;
  descriptor.start_offset = extent.from;
  descriptor.topic = topic.name;
  descriptor.topic_id = topic.id.bytes;
  descriptor.partition = partition;
  descriptor.partition_count = static_cast<int32_t>(topic.partitions.size());
  for (const auto& [name, value] : topic.configs) {
    // To the adapter the name means that the topic is there already.
    if (name == kNativeAdoptedSetting || (name == kNativeNameSetting && !is_adopted(topic))) continue;
    descriptor.settings.emplace_back(name, value);
  }
  return descriptor;
}

Task<Status> Cluster::make_logs(TopicPtr topic, int32_t from) {
  Group group(loop_, kMaxStorageCallsInFlight);
  for (int32_t i = from; i < static_cast<int32_t>(topic->partitions.size()); ++i) {
    const Extent& extent = topic->partitions[static_cast<size_t>(i)].extents.back();
    auto storage = storages_.find(extent.storage);
    if (!storage || !storage->started()) {
      co_await group.all();
      co_return Status(StatusCode::unavailable, fmt::format("storage \"{}\" is not available", extent.storage));
    }
    co_await group.room();
    if (!group.first_error().ok()) break;
    group.run(storage->create_log(describe_log(*topic, i, extent), loop_));
  }
  co_await group.all();
  co_return group.first_error();
}

Task<Status> Cluster::delete_logs(TopicPtr topic) {
  Group group(loop_, kMaxStorageCallsInFlight);
  for (int32_t i = 0; i < static_cast<int32_t>(topic->partitions.size()); ++i) {
    std::vector<Extent> logs;
    for_each_log(topic->partitions[static_cast<size_t>(i)], [&](const Extent& extent) { logs.push_back(extent); });
    for (const Extent& extent : logs) {
      auto storage = storages_.find(extent.storage);
      if (!storage || !storage->started()) {
        co_await group.all();
        co_return Status(StatusCode::unavailable, fmt::format("storage \"{}\" is not available", extent.storage));
      }
      co_await group.room();
      group.run(storage->delete_log(describe_log(*topic, i, extent), loop_));
    }
  }
  co_await group.all();
  co_return group.first_error();
}

Task<Status> Cluster::finish(TopicPtr topic) {
  busy_.insert(topic->id);
  Status status;
  if (topic->deleting) {
    status = co_await delete_logs(topic);
    if (status.ok()) {
      Command forgotten_command = ForgetTopic{topic->id};
      auto forgotten = co_await propose(std::move(forgotten_command));
      if (!forgotten) status = Status(StatusCode::unavailable, forgotten.error().text);
    }
  } else {
    status = co_await make_logs(topic, topic->ready_partitions);
    if (status.ok()) {
      Command ready_command = MarkReady{topic->id, static_cast<int32_t>(topic->partitions.size())};
      auto ready = co_await propose(std::move(ready_command));
      if (!ready) status = Status(StatusCode::unavailable, ready.error().text);
    }
  }
  busy_.erase(topic->id);
  co_return status;
}

// ---- Changes

Task<ClusterResult<TopicPtr>> Cluster::create_topic(NewTopic topic, Executor& on) {
  co_await hop(loop_);
  auto result = co_await create_on_loop(std::move(topic));
  co_await hop(on);
  co_return result;
}

Task<ClusterResult<TopicPtr>> Cluster::create_on_loop(NewTopic wanted) {
  auto refuse = [](ErrorCode code, std::string text) { return tl::unexpected(ClusterError{code, std::move(text)}); };
  if (Status name = check_topic_name(wanted.name); !name.ok())
    co_return refuse(ErrorCode::kInvalidTopicException, name.text());
  if (state_.topic_in_any_state(wanted.name)) {
    co_return refuse(ErrorCode::kTopicAlreadyExists, fmt::format("Topic '{}' already exists.", wanted.name));
  }
  const bool adopts = wanted.configs.contains(kNativeNameSetting);
  int32_t count = wanted.partitions == -1 ? options_.default_partitions : wanted.partitions;
  if (count < 1 || count > kMaxPartitionsPerTopic) {
    co_return refuse(ErrorCode::kInvalidPartitions,
                     fmt::format("Number of partitions was set to {}: it must be from 1 to {}.", wanted.partitions,
                                 kMaxPartitionsPerTopic));
  }
  for (const auto& [name, value] : wanted.configs) {
    if (Status setting = check_topic_setting(name, value); !setting.ok())
      co_return refuse(ErrorCode::kInvalidConfig, setting.text());
  }
  const auto named = wanted.configs.find(kStorageSetting);
  const bool is_named = named != wanted.configs.end();
  const std::string& storage_name = wanted.internal ? storages_.internal_storage()
                                    : is_named      ? named->second
                                                    : storages_.route(wanted.name);
  if (!is_named && !storages_.find(storage_name)) {
    co_return refuse(
        ErrorCode::kKafkaStorageError,
        fmt::format("Storage \"{}\", where topic '{}' is routed, is not loaded.", storage_name, wanted.name));
  }
  const auto largest = wanted.configs.find(kMaxMessageBytesSetting);
  ClusterError unfit = check_storage(storage_name, wanted.configs, largest != wanted.configs.end());
  if (unfit.code != ErrorCode::kNone) co_return tl::unexpected(unfit);
  auto storage = storages_.find(storage_name);
  if (storage->condition().kind == SLUICE_KIND_NATIVE) {
    auto planned = co_await plan_native(wanted, storage);
    if (!planned) co_return tl::unexpected(planned.error());
    if (adopts) count = *planned;
  } else if (adopts) {
    co_return refuse(
        ErrorCode::kInvalidConfig,
        fmt::format("Invalid value {} for configuration {}: Storage \"{}\" is Sluice's own place: there are "
                    "no topics of others to adopt",
                    wanted.configs.at(std::string(kNativeNameSetting)), kNativeNameSetting, storage_name));
  }
  TopicInfo topic;
  topic.id = random_uuid(options_.random);
  topic.name = wanted.name;
  topic.configs = wanted.configs;
  topic.internal = wanted.internal;
  for (int32_t i = 0; i < count; ++i) topic.partitions.push_back(new_partition(storage_name));
  if (wanted.validate_only) co_return std::make_shared<const TopicInfo>(std::move(topic));

  Command created_command = CreateTopic{topic};
  auto created = co_await propose(std::move(created_command));
  if (!created) co_return tl::unexpected(created.error());
  if (created->error != ErrorCode::kNone)
    co_return refuse(created->error, fmt::format("Topic '{}' already exists.", wanted.name));
  Status status = co_await finish(created->topic);
  if (!status.ok()) {
    // What could not be made is taken back, so that the name is free again; maintain() deletes what there is.
    Command deleted_command = DeleteTopic{topic.id};
    auto deleted = co_await propose(std::move(deleted_command));
    if (deleted && deleted->topic) {
      Status gone = co_await finish(deleted->topic);
      if (!gone.ok())
        note(SLUICE_LOG_WARNING, fmt::format("topic \"{}\" stays to be deleted: {}", topic.name, gone.describe()));
    }
    ClusterError error = storage_error(status);
    co_return tl::unexpected(error);
  }
  co_return state_.topic_in_any_state(topic.id);
}

/// Checks what is asked of a storage of kind NATIVE, notes in the settings what is behind the topic, and gives the
/// number of partitions of one that is adopted.
Task<ClusterResult<int32_t>> Cluster::plan_native(NewTopic& wanted, std::shared_ptr<host::Storage> storage) {
  auto refuse = [](ErrorCode code, std::string text) { return tl::unexpected(ClusterError{code, std::move(text)}); };
  if (Status settings = check_native_settings(wanted.configs, storage->name()); !settings.ok())
    co_return refuse(ErrorCode::kInvalidConfig, settings.text());
  auto listed = co_await storage->list_logs(loop_);
  if (!listed) {
    ClusterError error = storage_error(listed.error());
    co_return tl::unexpected(error);
  }
  const auto named = wanted.configs.find(kNativeNameSetting);
  const bool adopts = named != wanted.configs.end();
  const std::string native = adopts ? named->second : wanted.name;
  const int32_t present = native_partitions(*listed, native);
  if (!adopts) {
    if (present > 0) {
      co_return refuse(
          ErrorCode::kTopicAlreadyExists,
          fmt::format("Storage \"{}\" holds a topic of the name '{}' that Sluice did not make: adopt it by the "
                      "setting {}.",
                      storage->name(), native, kNativeNameSetting));
    }
    wanted.configs.emplace(kNativeNameSetting, native);
    co_return 0;
  }
  const auto no = [&](std::string why) {
    return fmt::format("Invalid value {} for configuration {}: {}", native, kNativeNameSetting, why);
  };
  if (present == 0) {
    co_return refuse(ErrorCode::kInvalidConfig, no(fmt::format("Storage \"{}\" holds no such topic; it holds: {}",
                                                               storage->name(), native_names(*listed))));
  }
  for (const TopicPtr& topic : state_.topics()) {
    const auto other = topic->configs.find(kNativeNameSetting);
    if (other == topic->configs.end() || other->second != native) continue;
    if (topic->partitions.front().extents.back().storage != storage->name()) continue;
    co_return refuse(ErrorCode::kInvalidConfig, no(fmt::format("Topic '{}' stands for it already", topic->name)));
  }
  if (wanted.partitions != -1 && wanted.partitions != present) {
    co_return refuse(ErrorCode::kInvalidPartitions,
                     fmt::format("The adopted topic has {} partition(s), not {}.", present, wanted.partitions));
  }
  wanted.configs.insert_or_assign(std::string(kNativeAdoptedSetting), "true");
  co_return present;
}

/// Partitions that adopted topics got from others appear here.
Task<void> Cluster::follow_native_topics() {
  for (const auto& storage : storages_.all()) {
    if (!storage->started() || storage->condition().kind != SLUICE_KIND_NATIVE) continue;
    std::vector<TopicPtr> adopted;
    for (const TopicPtr& topic : state_.topics()) {
      if (is_adopted(*topic) && topic->partitions.front().extents.back().storage == storage->name())
        adopted.push_back(topic);
    }
    const int64_t now = options_.clock->monotonic_ms();
    const auto due = list_due_ms_.find(storage->name());
    if (adopted.empty() || (due != list_due_ms_.end() && now < due->second)) continue;
    list_due_ms_[storage->name()] = now + kFollowNativeEveryMs;
    auto listed = co_await storage->list_logs(loop_);
    if (!listed) continue;
    for (const TopicPtr& topic : adopted) {
      const int32_t present = native_partitions(*listed, topic->configs.find(kNativeNameSetting)->second);
      if (present <= static_cast<int32_t>(topic->partitions.size())) continue;
      ClusterError grown = co_await grow_on_loop(topic->name, present, false);
      note(grown.code == ErrorCode::kNone ? SLUICE_LOG_INFO : SLUICE_LOG_WARNING,
           fmt::format("topic \"{}\": storage \"{}\" has {} partitions of it now{}{}", topic->name, storage->name(),
                       present, grown.text.empty() ? "" : ": ", grown.text));
    }
  }
}

Task<ClusterError> Cluster::delete_topic(Uuid id, Executor& on) {
  co_await hop(loop_);
  ClusterError result = co_await delete_on_loop(id);
  co_await hop(on);
  co_return result;
}

Task<ClusterError> Cluster::delete_on_loop(Uuid id) {
  Command deleted_command = DeleteTopic{id};
  auto deleted = co_await propose(std::move(deleted_command));
  if (!deleted) co_return deleted.error();
  if (deleted->error != ErrorCode::kNone)
    co_return ClusterError{deleted->error, "This server does not host this topic."};
  if (!busy_.contains(id)) {
    Status status = co_await finish(deleted->topic);
    // The name is free; the logs are deleted when their storage is back.
    if (!status.ok())
      note(SLUICE_LOG_WARNING,
           fmt::format("topic \"{}\": logs stay to be deleted: {}", deleted->topic->name, status.describe()));
  }
  co_return ClusterError{};
}

Task<ClusterError> Cluster::add_partitions(std::string name, int32_t count, bool validate_only, Executor& on) {
  co_await hop(loop_);
  ClusterError result = co_await add_partitions_on_loop(std::move(name), count, validate_only);
  co_await hop(on);
  co_return result;
}

Task<ClusterError> Cluster::add_partitions_on_loop(std::string name, int32_t count, bool validate_only) {
  if (TopicPtr topic = state_.topic(name); topic && is_adopted(*topic)) {
    co_return ClusterError{ErrorCode::kInvalidRequest,
                           fmt::format("Topic '{}' is adopted: its partitions are made where it comes from, and appear "
                                       "here by themselves.",
                                       name)};
  }
  co_return co_await grow_on_loop(std::move(name), count, validate_only);
}

Task<ClusterError> Cluster::grow_on_loop(std::string name, int32_t count, bool validate_only) {
  for (int attempt = 0; attempt < kMaxProposals; ++attempt) {
    TopicPtr topic = state_.topic(name);
    if (!topic)
      co_return ClusterError{ErrorCode::kUnknownTopicOrPartition, "This server does not host this topic-partition."};
    const auto present = static_cast<int32_t>(topic->partitions.size());
    if (count == present)
      co_return ClusterError{ErrorCode::kInvalidPartitions, fmt::format("Topic already has {} partition(s).", present)};
    if (count < present) {
      co_return ClusterError{ErrorCode::kInvalidPartitions,
                             fmt::format("The topic {} currently has {} partition(s); {} would not be an increase.",
                                         name, present, count)};
    }
    if (count > kMaxPartitionsPerTopic) {
      co_return ClusterError{ErrorCode::kInvalidPartitions,
                             fmt::format("A topic may have {} partitions at most.", kMaxPartitionsPerTopic)};
    }
    if (validate_only) co_return ClusterError{};
    AddPartitions command{topic->id, topic->version, {}};
    // Next to the others, wherever the route would put a new topic now.
    const std::string storage(home_of(*topic));
    for (int32_t i = present; i < count; ++i) command.partitions.push_back(new_partition(storage));
    auto added = co_await propose(std::move(command));
    if (!added) co_return added.error();
    if (added->error == ErrorCode::kConcurrentTransactions) continue;
    if (added->error != ErrorCode::kNone)
      co_return ClusterError{added->error, "This server does not host this topic-partition."};
    Status status = co_await finish(added->topic);
    if (!status.ok()) {
      ClusterError error = storage_error(status);
      co_return error;
    }
    co_return ClusterError{};
  }
  co_return ClusterError{ErrorCode::kRequestTimedOut, "The topic is being changed by others."};
}

Task<ClusterResult<int64_t>> Cluster::next_producer_id(Executor& on) {
  co_await hop(loop_);
  ClusterResult<int64_t> result = 0;
  while (next_producer_id_ >= producer_ids_end_) {
    Command block_command = AllocateProducerIds{kProducerIdBlock};
    auto block = co_await propose(std::move(block_command));
    if (!block || block->error != ErrorCode::kNone) {
      result = tl::unexpected(block ? ClusterError{block->error, "no producer ids"} : block.error());
      break;
    }
    // Somebody who asked at the same time may have brought a block of his own: then this one is left unused.
    if (next_producer_id_ < producer_ids_end_) break;
    next_producer_id_ = block->value;
    producer_ids_end_ = block->value + kProducerIdBlock;
  }
  if (result) result = next_producer_id_++;
  co_await hop(on);
  co_return result;
}

Task<ClusterResult<TopicPtr>> Cluster::replace_lost_extent(Uuid topic, int32_t partition, host::LogId lost,
                                                           Executor& on) {
  co_await hop(loop_);
  auto result = co_await replace_on_loop(topic, partition, lost);
  co_await hop(on);
  co_return result;
}

Task<ClusterResult<TopicPtr>> Cluster::replace_on_loop(Uuid id, int32_t partition, host::LogId lost) {
  TopicPtr topic = state_.topic_in_any_state(id);
  if (!topic || topic->deleting || partition < 0 || static_cast<size_t>(partition) >= topic->partitions.size()) {
    co_return tl::unexpected(ClusterError{ErrorCode::kUnknownTopicOrPartition, "the topic is gone"});
  }
  const Extent open = topic->partitions[static_cast<size_t>(partition)].extents.back();
  if (open.log != lost) co_return topic;
  auto storage = storages_.find(open.storage);
  if (!storage || !storage->started()) {
    co_return tl::unexpected(
        ClusterError{ErrorCode::kKafkaStorageError, fmt::format("storage \"{}\" is not available", open.storage)});
  }
  if ((storage->condition().capabilities & SLUICE_CAP_DURABLE) != 0) {
    co_return tl::unexpected(
        ClusterError{ErrorCode::kKafkaStorageError,
                     fmt::format("storage \"{}\" says that the log of {}-{} is not there, although it is durable",
                                 open.storage, topic->name, partition)});
  }
  note(SLUICE_LOG_WARNING, fmt::format("{}-{}: storage \"{}\" forgot its records; the partition starts again, empty",
                                       topic->name, partition, open.storage));
  Command replaced_command = ReplaceExtent{id, partition, lost, Extent{open.storage, new_log_id(), open.from, -1}};
  auto replaced = co_await propose(std::move(replaced_command));
  if (!replaced) co_return tl::unexpected(replaced.error());
  if (replaced->error != ErrorCode::kNone) co_return tl::unexpected(ClusterError{replaced->error, "the topic is gone"});
  topic = replaced->topic;
  const Extent fresh = topic->partitions[static_cast<size_t>(partition)].extents.back();
  Status status = co_await storage->create_log(describe_log(*topic, partition, fresh), loop_);
  if (!status.ok()) {
    ClusterError error = storage_error(status);
    co_return tl::unexpected(error);
  }
  co_return topic;
}

Task<ClusterResult<TopicPtr>> Cluster::raise_leader_epoch(Uuid topic, int32_t partition, int32_t leader_epoch,
                                                          Executor& on) {
  co_await hop(loop_);
  auto result = co_await raise_on_loop(topic, partition, leader_epoch);
  co_await hop(on);
  co_return result;
}

Task<ClusterResult<TopicPtr>> Cluster::raise_on_loop(Uuid topic, int32_t partition, int32_t leader_epoch) {
  Command raise_command = RaiseLeaderEpoch{topic, partition, leader_epoch};
  auto raised = co_await propose(std::move(raise_command));
  if (!raised) co_return tl::unexpected(raised.error());
  if (raised->error != ErrorCode::kNone) co_return tl::unexpected(ClusterError{raised->error, "the topic is gone"});
  co_return raised->topic;
}

Task<Result<std::shared_ptr<storage::ReplayedLog>>> Cluster::open_state_log(TopicPtr topic, int32_t partition,
                                                                            storage::StateMachine& machine) {
  const auto at = static_cast<size_t>(partition);
  for (int attempt = 0; attempt < 2; ++attempt) {
    Uuid log_id;
    log_id.bytes = topic->partitions[at].extents.back().log;
    // An epoch has one writer: of two that fence with the same tokens, neither could be sure of anything.
    if (auto opened = opened_.find(log_id);
        opened != opened_.end() && opened->second == topic->partitions[at].leader_epoch) {
      auto raised = co_await raise_on_loop(topic->id, partition, opened->second);
      if (!raised) co_return fail(StatusCode::unavailable, raised.error().text);
      topic = *raised;
    }
    const PartitionInfo& info = topic->partitions[at];
    opened_[log_id] = info.leader_epoch;
    auto storage = storages_.find(info.extents.back().storage);
    if (!storage || !storage->started()) {
      co_return fail(StatusCode::unavailable,
                     fmt::format("storage \"{}\" is not available", info.extents.back().storage));
    }
    auto log = storage->open(describe_log(*topic, partition, info.extents.back()));
    if (!log) co_return fail(log.error());
    storage::ReplayedLogOptions options;
    options.name = fmt::format("{}-{}", topic->name, partition);
    options.leader_epoch = info.leader_epoch;
    options.writer = {options_.broker_id, incarnation_};
    options.clock = options_.clock;
    options.report = [this](const std::string& text) { note(SLUICE_LOG_WARNING, text); };
    auto state_log = std::make_shared<storage::ReplayedLog>(*log, machine, loop_, std::move(options));
    std::erase_if(state_logs_, [](const auto& known) { return known.expired(); });
    state_logs_.push_back(state_log);
    if (closing_) state_log->close();
    Status status = co_await state_log->load();
    if (status.ok()) co_return state_log;
    if (status.code() != StatusCode::not_found || attempt > 0) co_return fail(status);
    auto replaced = co_await replace_on_loop(topic->id, partition, info.extents.back().log);
    if (!replaced) co_return fail(StatusCode::unavailable, replaced.error().text);
    topic = *replaced;
  }
  co_return fail(StatusCode::internal, "unreachable");
}

}  // namespace sluice::cluster
