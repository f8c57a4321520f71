// SPDX-License-Identifier: Apache-2.0
// Random metadata from a seed.
#pragma once

#include <random>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "cluster/commands.hpp"

namespace sluice::cluster::testing {

class RandomMetadata {
 public:
  explicit RandomMetadata(uint32_t seed) : random_(seed) {}

  uint64_t below(uint64_t limit) { return random_() % limit; }
  bool chance(int percent) { return below(100) < static_cast<uint64_t>(percent); }

  /// One of few, so that commands meet.
  std::string name() { return "topic-" + std::to_string(below(12)); }
  Uuid uuid() {
    Uuid id;
    for (uint8_t& byte : id.bytes) byte = static_cast<uint8_t>(random_());
    return id;
  }
  Extent extent() {
    Extent result;
    result.storage = chance(50) ? "disk" : "memory";
    result.log = uuid().bytes;
    result.from = static_cast<int64_t>(random_());
    result.to = chance(50) ? -1 : static_cast<int64_t>(random_());
    return result;
  }
  PartitionInfo partition() {
    PartitionInfo result;
    result.leader = static_cast<int32_t>(below(3));
    result.leader_epoch = static_cast<int32_t>(below(1000));
    for (uint64_t i = 0; i <= below(3); ++i) result.extents.push_back(extent());
    return result;
  }
  ExtentCopy copy() { return {extent(), {uuid().bytes, uuid().bytes}}; }
  /// With whatever may be under way to it.
  PartitionInfo moving_partition() {
    PartitionInfo result = partition();
    if (chance(30)) result.next = extent();
    if (chance(30)) result.copy = copy();
    for (uint64_t i = below(3); i > 0; --i) result.dropped.push_back(extent());
    return result;
  }
  std::optional<Migration> migration() {
    return chance(50) ? std::optional<Migration>(Migration{"disk", "memory"}) : std::nullopt;
  }
  TopicInfo topic() {
    TopicInfo result;
    result.id = uuid();
    result.name = name();
    for (uint64_t i = below(3); i > 0; --i)
      result.configs["config." + std::to_string(below(9))] = std::string(below(20), 'v');
    result.internal = chance(20);
    result.version = random_();
    const bool moves = chance(50);
    for (uint64_t i = 0; i <= below(4); ++i) result.partitions.push_back(moves ? moving_partition() : partition());
    if (moves) result.migration = migration();
    result.ready_partitions = static_cast<int32_t>(below(result.partitions.size() + 1));
    return result;
  }
  BrokerInfo broker() { return {static_cast<int32_t>(below(3)), 1 + below(3), std::string(below(5), 'r')}; }

  /// One of each command, in the order of Command.
  std::vector<Command> one_of_each() {
    std::vector<Command> all;
    all.emplace_back(RegisterBroker{broker()});
    all.emplace_back(CreateTopic{topic()});
    all.emplace_back(AddPartitions{uuid(), random_(), {partition(), partition()}});
    all.emplace_back(MarkReady{uuid(), static_cast<int32_t>(random_())});
    all.emplace_back(DeleteTopic{uuid()});
    all.emplace_back(ForgetTopic{uuid()});
    all.emplace_back(ReplaceExtent{uuid(), static_cast<int32_t>(random_()), uuid().bytes, extent()});
    all.emplace_back(AllocateProducerIds{static_cast<int32_t>(below(5000))});
    all.emplace_back(PutTopic{topic()});
    all.emplace_back(PutState{static_cast<int64_t>(random_()), {broker(), broker()}});
    all.emplace_back(PutDeletedLogs{{{"disk", uuid().bytes}, {"", uuid().bytes}}});
    all.emplace_back(RaiseLeaderEpoch{uuid(), static_cast<int32_t>(random_()), static_cast<int32_t>(random_())});
    const Configs configs = {{"retention.ms", "1"}, {"sluice.storage", "memory"}};
    all.emplace_back(AlterTopic{uuid(), random_(), configs, migration()});
    all.emplace_back(RecordNext{uuid(), number(), number(), uuid().bytes, extent()});
    all.emplace_back(SwitchExtent{uuid(), number(), number(), uuid().bytes, uuid().bytes, number()});
    all.emplace_back(RecordCopy{uuid(), number(), number(), copy()});
    all.emplace_back(NameCopy{uuid(), number(), number(), uuid().bytes});
    all.emplace_back(DropExtent{uuid(), number(), uuid().bytes});
    all.emplace_back(ForgetLogs{uuid(), number(), {uuid().bytes, uuid().bytes}});
    all.emplace_back(FinishMigration{uuid(), "memory"});
    return all;
  }
  int32_t number() { return static_cast<int32_t>(random_()); }

  std::mt19937_64& generator() { return random_; }

 private:
  std::mt19937_64 random_;
};

}  // namespace sluice::cluster::testing
