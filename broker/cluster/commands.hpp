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
/// The storage lost the log of the open extent: a new, empty one takes its place, the epoch rises.
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

using Command = std::variant<RegisterBroker, CreateTopic, AddPartitions, MarkReady, DeleteTopic, ForgetTopic,
                             ReplaceExtent, AllocateProducerIds, PutTopic, PutState, PutDeletedLogs, RaiseLeaderEpoch>;

/// Which proposer waits for the answer: unique within one incarnation of a broker; all zero where nobody does.
struct CommandId {
  int32_t broker = 0;
  uint64_t incarnation = 0;
  uint64_t number = 0;
  bool operator==(const CommandId&) const = default;
};

std::string encode(const CommandId& id, const Command& command);

/// UNSUPPORTED for a command above this broker's level, CORRUPT for malformed bytes.
Result<std::pair<CommandId, Command>> decode(std::string_view bytes);

}  // namespace sluice::cluster
