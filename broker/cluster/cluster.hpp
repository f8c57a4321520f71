// SPDX-License-Identifier: Apache-2.0
// The cluster as this broker takes part in it: ties the storages to the cluster, replays the metadata log, proposes
// changes and carries out what they ask of the storages: logs are recorded before they are made, and whatever was left
// half done, by this broker or a dead one, is finished.
//
// Proposing runs on one Loop; the functions may be awaited from any loop and come back to it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/clock.hpp"
#include "base/task.hpp"
#include "cluster/state.hpp"
#include "cluster/topic_config.hpp"
#include "storage/replayed_log.hpp"
#include "storage/storages.hpp"

namespace sluice::cluster {

struct ClusterOptions {
  int32_t broker_id = 1;
  std::string rack;
  Configs broker_configs;  // Kafka's properties as set, by their own names: defaults of topics
  int32_t default_partitions = 1;
  Clock* clock = &system_clock();
  /// Ids of topics, logs and incarnations: uniform 64 bit numbers. Loop thread.
  std::function<uint64_t()> random;
  /// A line for the operator: level as in the storage ABI. Any thread.
  std::function<void(int level, const std::string& text)> log;
};

/// A refusal in the protocol's words.
struct ClusterError {
  ErrorCode code = ErrorCode::kNone;
  std::string text;
};
template <class T>
using ClusterResult = tl::expected<T, ClusterError>;

/// Makes a topic's settings as they are to be from those it has, or says why not. May be called several times.
using ConfigChange = std::function<ClusterResult<Configs>(const Configs& present)>;

struct NewTopic {
  std::string name;
  int32_t partitions = -1;  // -1: the default
  Configs configs;
  bool internal = false;
  bool validate_only = false;
};

/// Ties a storage to a cluster. OK for one of kind NATIVE, which is the engine's own; DENIED for one that belongs to
/// another cluster. [blocks]
Status bind_storage(host::Storage& storage, const Uuid& cluster_id);

class Cluster {
 public:
  static constexpr int32_t kProducerIdBlock = 1'000;
  static constexpr int32_t kMaxPartitionsPerTopic = 100'000;
  static constexpr int kMaxStorageCallsInFlight = 64;
  static constexpr int kMaxProposals = 10;
  static constexpr size_t kMaxListedUnknownLogs = 10;
  /// Of a partition: migrations that are turned round again and again leave one or two each time.
  static constexpr size_t kMaxExtents = 64;
  static constexpr size_t kMaxDroppedLogs = 64;
  /// The logs of each storage are listed at start and every so often, for a creation may land long after it was given
  /// up.
  static constexpr int64_t kListLogsEveryMs = 600'000;
  /// How often adopted topics are looked at for new partitions.
  static constexpr int64_t kFollowNativeEveryMs = 10'000;
  static constexpr int64_t kStopUnboundMs = 5'000;

  /// All outlive it.
  Cluster(storage::Storages& storages, Loop& loop, ClusterOptions options);
  ~Cluster();

  // ---- Start, in this order
  /// [blocks] Ties every started LOG storage to the cluster; the internal storage says which cluster that is. One that
  /// is not required and cannot be tied is stopped.
  Status bind();
  /// Replays metadata and raises the epochs of what this broker led. Loop thread.
  Task<Status> start();
  /// Finishes what was left half done, and deletes logs that are listed although metadata says they are deleted. Loop
  /// thread; to be repeated every few seconds and after a storage came back.
  Task<void> maintain();
  /// The broker stops: nothing is tried again, so that whatever waits ends once the storages have. Loop thread.
  void close();

  // ---- Any thread
  const ClusterState& state() const { return state_; }
  const Uuid& cluster_id() const { return cluster_id_; }
  int32_t broker_id() const { return options_.broker_id; }
  const Configs& broker_configs() const { return options_.broker_configs; }
  const ClusterOptions& options() const { return options_; }
  uint64_t incarnation() const { return incarnation_; }
  TopicSettings settings_of(const TopicInfo& topic) const {
    return parse_topic_settings(topic.configs, options_.broker_configs);
  }
  storage::Storages& storages() { return storages_; }
  /// Ok while metadata can be changed; the reason for good when not.
  Status health() const;

  /// Called on the cluster's loop for every topic that changed (before, after; either may be nullptr). Set before
  /// start.
  void on_change(std::function<void(const TopicPtr& before, const TopicPtr& after)> f) {
    listeners_.push_back(std::move(f));
  }

  // ---- Changes; awaited from any loop, resume on `on`
  Task<ClusterResult<TopicPtr>> create_topic(NewTopic topic, Executor& on);
  Task<ClusterError> delete_topic(Uuid id, Executor& on);
  /// Grows to `count`.
  Task<ClusterError> add_partitions(std::string name, int32_t count, bool validate_only, Executor& on);
  Task<ClusterResult<int64_t>> next_producer_id(Executor& on);
  /// The storage lost the open extent's log (it is not durable): a new, empty one takes its place. Gives the topic as
  /// it is then.
  Task<ClusterResult<TopicPtr>> replace_lost_extent(Uuid topic, int32_t partition, host::LogId lost, Executor& on);
  /// The partition's log is not what it was, or is to be opened again: a new leader epoch begins, unless `leader_epoch`
  /// is over already. Gives the topic as it is then.
  Task<ClusterResult<TopicPtr>> raise_leader_epoch(Uuid topic, int32_t partition, int32_t leader_epoch, Executor& on);

  // ---- Settings and migrations (migration.cc); awaited from any loop, resume on `on`
  /// Changes the topic's settings. Another "sluice.storage" than where the topic lives starts a migration there; the one
  /// that a migration comes from turns it round, which is how it is cancelled.
  Task<ClusterResult<TopicPtr>> alter_topic(std::string name, ConfigChange change, bool validate_only, Executor& on);
  /// Records a new log on the migration's target, to be written next. Gives the topic as it is then.
  Task<ClusterResult<TopicPtr>> record_next(Uuid topic, int32_t partition, Executor& on);
  /// Records a new log on the migration's target, for the first run of extents that are not there; what is before
  /// `from`, where a batch begins, is not copied. Gives the topic as it is then.
  Task<ClusterResult<TopicPtr>> record_copy(Uuid topic, int32_t partition, int64_t from, Executor& on);
  /// Proposes a change of a topic and gives the topic as it is then. An error other than REQUEST_TIMED_OUT is the state
  /// machine's refusal; after REQUEST_TIMED_OUT the change has not happened and will not as long as health() is ok.
  Task<ClusterResult<TopicPtr>> change_topic(Command command, Executor& on);
  /// Deletes the logs that the topic dropped. UNAVAILABLE: some stay, maintain() tries again.
  Task<Status> delete_dropped_logs(Uuid topic, Executor& on);

  /// The descriptor that a partition's log was made with.
  static host::LogDescriptor describe_log(const TopicInfo& topic, int32_t partition, const Extent& extent);

  /// Opens and replays a log of the broker's own, partition `partition` of the internal topic `topic`, for `machine`.
  /// One that was opened before is opened under a new leader epoch, which ends the earlier writer. Loop thread.
  Task<Result<std::shared_ptr<storage::ReplayedLog>>> open_state_log(TopicPtr topic, int32_t partition,
                                                                     storage::StateMachine& machine);

 private:
  Task<ClusterResult<CommandResult>> propose(Command command);
  Task<ClusterResult<TopicPtr>> create_on_loop(NewTopic topic);
  Task<ClusterError> delete_on_loop(Uuid id);
  Task<ClusterResult<int32_t>> plan_native(NewTopic& wanted, std::shared_ptr<host::Storage> storage);
  Task<void> follow_native_topics();
  Task<ClusterError> add_partitions_on_loop(std::string name, int32_t count, bool validate_only);
  Task<ClusterError> grow_on_loop(std::string name, int32_t count, bool validate_only);
  Task<ClusterResult<TopicPtr>> replace_on_loop(Uuid topic, int32_t partition, host::LogId lost);
  Task<ClusterResult<TopicPtr>> raise_on_loop(Uuid topic, int32_t partition, int32_t leader_epoch);
  Task<ClusterResult<TopicPtr>> alter_on_loop(std::string name, ConfigChange change, bool validate_only);
  /// Where the topic is to go if its settings become `configs`.
  ClusterResult<std::optional<Migration>> planned_migration(const TopicInfo& topic, const Configs& configs) const;
  ClusterError check_changes(const TopicInfo& topic, Configs& configs) const;
  ClusterError check_storage(const std::string& name, const Configs& configs, bool with_size) const;
  Task<ClusterResult<TopicPtr>> record_next_on_loop(Uuid topic, int32_t partition);
  Task<ClusterResult<TopicPtr>> record_copy_on_loop(Uuid topic, int32_t partition, int64_t from);
  Task<ClusterResult<TopicPtr>> change_on_loop(Command command);
  Task<Status> delete_dropped_on_loop(TopicPtr topic);
  Task<Status> make_logs(TopicPtr topic, int32_t from);
  Task<Status> delete_logs(TopicPtr topic);
  Task<Status> finish(TopicPtr topic);
  Task<void> undo_late_creations();
  PartitionInfo new_partition(const std::string& storage);
  host::LogId new_log_id();
  void note(int level, const std::string& text) const;

  storage::Storages& storages_;
  Loop& loop_;
  ClusterOptions options_;
  Uuid cluster_id_;
  uint64_t incarnation_ = 0;
  ClusterState state_;
  std::shared_ptr<storage::ReplayedLog> log_;
  std::vector<std::function<void(const TopicPtr&, const TopicPtr&)>> listeners_;

  // Loop thread only.
  uint64_t next_command_ = 1;
  std::unordered_map<uint64_t, CommandResult> decisions_;  // of proposals under way
  std::unordered_set<Uuid> busy_;                          // topics whose logs are being made or deleted
  std::unordered_map<std::string, int64_t> list_due_ms_;   // by storage, monotonic; absent: not listed yet
  std::vector<std::weak_ptr<storage::ReplayedLog>> state_logs_;
  bool closing_ = false;
  std::unordered_map<Uuid, int32_t> opened_;  // state logs and the leader epoch they were last opened under
  bool maintaining_ = false;
  int64_t next_producer_id_ = 0;
  int64_t producer_ids_end_ = 0;
};

}  // namespace sluice::cluster
