// SPDX-License-Identifier: Apache-2.0
// The cluster as the metadata log says it is: a deterministic state machine. Applied by one thread (the metadata log's
// loop), read by all.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <shared_mutex>
#include <unordered_map>

#include "cluster/commands.hpp"
#include "cluster/types.hpp"
#include "errors/error_code.hpp"
#include "storage/state_log.hpp"

namespace sluice::cluster {

/// What became of a command.
struct CommandResult {
  ErrorCode error = ErrorCode::kNone;
  int64_t value = 0;  // AllocateProducerIds: the first id
  TopicPtr topic;     // the topic as it is afterwards
};

class ClusterState final : public storage::StateMachine {
 public:
  /// Deleted logs are remembered, so that a late creation is undone when a listing shows it; the newest so many.
  static constexpr size_t kMaxDeletedLogs = 65'536;

  /// `decided` is called for every command with its result, `changed` for every topic that a command changed (before
  /// and after; either may be nullptr). Both on the applying thread, without locks held.
  std::function<void(const CommandId&, const CommandResult&)> decided;
  std::function<void(const TopicPtr& before, const TopicPtr& after)> changed;

  // ---- StateMachine
  void reset() override;
  Status apply(std::string_view record, int64_t offset, int64_t timestamp_ms) override;
  std::vector<std::string> snapshot() const override;

  // ---- Any thread
  /// Topics that clients may see: not being deleted, with at least one partition ready. nullptr otherwise.
  TopicPtr topic(std::string_view name) const;
  TopicPtr topic(const Uuid& id) const;
  /// Those, in order of names; `internal` ones only on request.
  std::vector<TopicPtr> topics(bool internal = false) const;
  /// Whatever state it is in, internal ones too; nullptr if the id is not known.
  TopicPtr topic_in_any_state(const Uuid& id) const;
  TopicPtr topic_in_any_state(std::string_view name) const;
  /// Topics whose logs are still to be made or deleted.
  std::vector<TopicPtr> unfinished() const;
  /// Topics on their way to another storage, not being deleted.
  std::vector<TopicPtr> migrating() const;
  /// Topics with logs that are dropped and not yet deleted, not being deleted themselves.
  std::vector<TopicPtr> with_dropped_logs() const;
  std::vector<BrokerInfo> brokers() const;
  bool is_deleted_log(const host::LogId& id) const;
  /// Ids of all logs of all topics.
  bool is_known_log(const host::LogId& id) const;

 private:
  CommandResult decide(const CommandId& id, const Command& command);
  CommandResult put(TopicInfo topic);
  void forget_log(const Extent& extent);
  template <class Change>
  CommandResult change_partition(const Uuid& topic, int32_t partition, Change change);
  std::vector<TopicPtr> topics_that(bool (*holds)(const TopicInfo&)) const;

  // state_extents.cc
  CommandResult alter_topic(const AlterTopic& c);
  CommandResult record_next(const RecordNext& c);
  CommandResult switch_extent(const SwitchExtent& c);
  CommandResult record_copy(const RecordCopy& c);
  CommandResult name_copy(const NameCopy& c);
  CommandResult drop_extent(const DropExtent& c);
  CommandResult forget_logs(const ForgetLogs& c);
  CommandResult finish_migration(const FinishMigration& c);

  mutable std::shared_mutex mutex_;
  std::map<std::string, Uuid, std::less<>> names_;
  std::unordered_map<Uuid, TopicPtr> topics_;
  std::map<int32_t, BrokerInfo> brokers_;
  int64_t next_producer_id_ = 0;
  std::deque<std::pair<std::string, host::LogId>> deleted_logs_;
  std::unordered_map<Uuid, uint32_t> deleted_ids_;      // of deleted_logs_
  std::unordered_map<Uuid, Uuid> logs_;                 // log id -> topic
  std::vector<std::pair<TopicPtr, TopicPtr>> changes_;  // of the command being applied
};

}  // namespace sluice::cluster
