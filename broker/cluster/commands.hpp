// SPDX-License-Identifier: Apache-2.0
// Commands of the metadata log, and their bytes. A command names the version of the object that it was decided on;
// whether it is accepted is decided by replay alone. Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/status.hpp"
#include "cluster/types.hpp"

namespace sluice::cluster {

/// This broker starts: the leader epoch of every partition that it led rises.
struct RegisterBroker {
  BrokerInfo broker;
};
/// A topic, its logs still to be made (ready_partitions 0). Refused if the name is taken.
struct CreateTopic {
  TopicInfo topic;
};
/// Adds partitions, their logs still to be made. Refused unless the topic has `version`.
struct AddPartitions {
  Uuid topic;
  uint64_t version = 0;
  std::vector<PartitionInfo> partitions;
};
/// The logs of the first `ready_partitions` partitions are there.
struct MarkReady {
  Uuid topic;
  int32_t ready_partitions = 0;
};
/// Takes the name away; the logs are still to be deleted.
struct DeleteTopic {
  Uuid topic;
};
/// The logs are gone.
struct ForgetTopic {
  Uuid topic;
};
/// The storage lost the log of the open extent: a new, empty one takes its place, the epoch rises. Sealed extents stay.
struct ReplaceExtent {
  Uuid topic;
  int32_t partition = 0;
  host::LogId lost{};
  Extent extent;
};
/// A block of producer ids for this broker. The answer is the first id.
struct AllocateProducerIds {
  int32_t count = 0;
};

// Snapshots only: state as it is.
struct PutTopic {
  TopicInfo topic;
};
struct PutState {
  int64_t next_producer_id = 0;
  std::vector<BrokerInfo> brokers;
};
struct PutDeletedLogs {
  std::vector<std::pair<std::string, host::LogId>> logs;  // storage and id
};

/// The partition's log is not what it was: a new leader epoch begins, unless `leader_epoch` is over already.
struct RaiseLeaderEpoch {
  Uuid topic;
  int32_t partition = 0;
  int32_t leader_epoch = 0;
};

// Settings and migrations. What changes extents names the leader epoch and the logs that it was decided on, which is as
// good as a version: an epoch is never gone back to, a log's id never used again. Refused (CONCURRENT_TRANSACTIONS, look
// again) if they are not as named.

/// The topic's settings and where it is to live. Refused unless it has `version`. Logs made ready for another target
/// than `migration`'s are dropped.
struct AlterTopic {
  Uuid topic;
  uint64_t version = 0;
  Configs configs;
  std::optional<Migration> migration;
};
/// The log that is to be written next, still to be made. One that was recorded before is dropped.
struct RecordNext {
  Uuid topic;
  int32_t partition = 0;
  int32_t leader_epoch = 0;
  host::LogId open{};
  Extent extent;
};
/// The open extent is sealed at `at`, its end; the recorded log is written from there on.
struct SwitchExtent {
  Uuid topic;
  int32_t partition = 0;
  int32_t leader_epoch = 0;
  host::LogId open{};
  host::LogId next{};
  int64_t at = 0;
};
/// The log that a run of sealed extents is to be copied into, still to be made. One that was recorded before is dropped.
struct RecordCopy {
  Uuid topic;
  int32_t partition = 0;
  int32_t leader_epoch = 0;
  ExtentCopy copy;
};
/// The copy is whole: it takes the place of what it was copied from, which is dropped.
struct NameCopy {
  Uuid topic;
  int32_t partition = 0;
  int32_t leader_epoch = 0;
  host::LogId log{};
};
/// A sealed extent has nothing above the log start, or its storage lost it.
struct DropExtent {
  Uuid topic;
  int32_t partition = 0;
  host::LogId log{};
};
/// Dropped logs are deleted.
struct ForgetLogs {
  Uuid topic;
  int32_t partition = 0;
  std::vector<host::LogId> logs;
};
/// Everything is on `target`. Refused if it is not.
struct FinishMigration {
  Uuid topic;
  std::string target;
};

using Command = std::variant<RegisterBroker, CreateTopic, AddPartitions, MarkReady, DeleteTopic, ForgetTopic,
                             ReplaceExtent, AllocateProducerIds, PutTopic, PutState, PutDeletedLogs, RaiseLeaderEpoch,
                             AlterTopic, RecordNext, SwitchExtent, RecordCopy, NameCopy, DropExtent, ForgetLogs,
                             FinishMigration>;

/// Which proposer waits for the answer: unique within one incarnation of a broker; all zero where nobody does.
struct CommandId {
  int32_t broker = 0;
  uint64_t incarnation = 0;
  uint64_t number = 0;
  bool operator==(const CommandId&) const = default;
};

/// In the oldest layout that can say it, so that a broker of an older level understands whatever it could have said
/// itself.
std::string encode(const CommandId& id, const Command& command);

/// UNSUPPORTED for a command above this broker's level, CORRUPT for malformed bytes.
Result<std::pair<CommandId, Command>> decode(std::string_view bytes);

}  // namespace sluice::cluster
