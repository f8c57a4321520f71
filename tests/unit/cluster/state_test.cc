// SPDX-License-Identifier: Apache-2.0
#include "cluster/state.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "support.hpp"

namespace sluice::cluster {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::RandomMetadata;
using ::testing::SizeIs;

class ClusterStateTest : public ::testing::Test {
 protected:
  ClusterStateTest() {
    state_.decided = [this](const CommandId&, const CommandResult& result) { result_ = result; };
    state_.changed = [this](const TopicPtr& before, const TopicPtr& after) { changes_.emplace_back(before, after); };
  }

  CommandResult apply(const Command& command, CommandId id = {1, 1, 1}) {
    changes_.clear();
    const Status status = state_.apply(encode(id, command), offset_++, 1'000);
    EXPECT_TRUE(status.ok()) << status.describe();
    return result_;
  }

  TopicInfo topic(const std::string& name, int partitions = 1) {
    TopicInfo result;
    result.id = random_.uuid();
    result.name = name;
    for (int i = 0; i < partitions; ++i) {
      PartitionInfo partition;
      partition.leader = 1;
      partition.extents.push_back({"disk", random_.uuid().bytes, 0, -1});
      result.partitions.push_back(partition);
    }
    return result;
  }
  TopicInfo create(const std::string& name, int partitions = 1) {
    const TopicInfo made = topic(name, partitions);
    EXPECT_EQ(apply(CreateTopic{made}).error, ErrorCode::kNone);
    EXPECT_EQ(apply(MarkReady{made.id, partitions}).error, ErrorCode::kNone);
    return made;
  }

  RandomMetadata random_{1};
  ClusterState state_;
  CommandResult result_;
  std::vector<std::pair<TopicPtr, TopicPtr>> changes_;
  int64_t offset_ = 0;
};

TEST_F(ClusterStateTest, TopicsShowOnceTheirLogsAreThere) {
  const TopicInfo orders = topic("orders", 2);
  const CommandResult made = apply(CreateTopic{orders});
  EXPECT_EQ(made.error, ErrorCode::kNone);
  EXPECT_EQ(*made.topic, orders);
  EXPECT_EQ(state_.topic("orders"), nullptr);
  EXPECT_THAT(state_.unfinished(), SizeIs(1));
  EXPECT_TRUE(state_.is_known_log(orders.partitions[1].extents[0].log));
  apply(MarkReady{orders.id, 1});
  ASSERT_NE(state_.topic("orders"), nullptr);
  EXPECT_EQ(state_.topic(orders.id), state_.topic("orders"));
  EXPECT_THAT(state_.unfinished(), SizeIs(1));
  apply(MarkReady{orders.id, 99});
  EXPECT_EQ(state_.topic("orders")->ready_partitions, 2) << "at most as many as there are";
  EXPECT_THAT(state_.unfinished(), IsEmpty());
  apply(MarkReady{orders.id, 1});
  EXPECT_EQ(state_.topic("orders")->ready_partitions, 2) << "never fewer";
  ASSERT_THAT(state_.topics(), SizeIs(1));
}

TEST_F(ClusterStateTest, NamesAreTakenOnce) {
  const TopicInfo first = create("orders");
  EXPECT_EQ(apply(CreateTopic{topic("orders")}).error, ErrorCode::kTopicAlreadyExists);
  TopicInfo same_id = topic("other");
  same_id.id = first.id;
  EXPECT_EQ(apply(CreateTopic{same_id}).error, ErrorCode::kTopicAlreadyExists);
  EXPECT_EQ(apply(CreateTopic{topic("none", 0)}).error, ErrorCode::kInvalidPartitions);
  EXPECT_THAT(changes_, IsEmpty());
}

TEST_F(ClusterStateTest, ADeletedNameIsFreeAtOnce) {
  const TopicInfo first = create("orders");
  EXPECT_EQ(apply(DeleteTopic{first.id}).error, ErrorCode::kNone);
  EXPECT_EQ(apply(DeleteTopic{first.id}).error, ErrorCode::kUnknownTopicOrPartition);
  EXPECT_EQ(state_.topic(first.id), nullptr);
  EXPECT_NE(state_.topic_in_any_state(first.id), nullptr);
  EXPECT_THAT(state_.unfinished(), SizeIs(1));
  const TopicInfo second = create("orders");
  EXPECT_EQ(state_.topic("orders")->id, second.id);
  // What the first one's deletion still does leaves the second alone.
  EXPECT_EQ(apply(MarkReady{first.id, 1}).error, ErrorCode::kNone);
  EXPECT_EQ(state_.topic("orders")->id, second.id);
  EXPECT_EQ(apply(ForgetTopic{first.id}).error, ErrorCode::kNone);
  ASSERT_THAT(changes_, SizeIs(1));
  EXPECT_EQ(changes_[0].first->id, first.id);
  EXPECT_EQ(changes_[0].second, nullptr);
  EXPECT_EQ(state_.topic("orders")->id, second.id);
  EXPECT_EQ(state_.topic_in_any_state(first.id), nullptr);
  const host::LogId& log = first.partitions[0].extents[0].log;
  EXPECT_TRUE(state_.is_deleted_log(log));
  EXPECT_FALSE(state_.is_known_log(log));
  EXPECT_EQ(apply(ForgetTopic{first.id}).error, ErrorCode::kNone) << "twice is once";
}

TEST_F(ClusterStateTest, PartitionsAreAddedToTheVersionTheyWereDecidedOn) {
  const TopicInfo orders = create("orders");
  const uint64_t version = state_.topic("orders")->version;
  EXPECT_EQ(apply(AddPartitions{orders.id, version + 1, topic("", 1).partitions}).error,
            ErrorCode::kConcurrentTransactions);
  EXPECT_EQ(apply(AddPartitions{orders.id, version, topic("", 2).partitions}).error, ErrorCode::kNone);
  EXPECT_EQ(state_.topic("orders")->partitions.size(), 3u);
  EXPECT_EQ(apply(AddPartitions{orders.id, version, topic("", 2).partitions}).error,
            ErrorCode::kConcurrentTransactions);
  EXPECT_EQ(apply(AddPartitions{random_.uuid(), 0, {}}).error, ErrorCode::kUnknownTopicOrPartition);
}

TEST_F(ClusterStateTest, EveryStartRaisesTheEpochsOfWhatTheBrokerLed) {
  create("one", 2);
  TopicInfo shared = topic("two", 2);
  shared.partitions[1].leader = 2;
  apply(CreateTopic{shared});
  apply(MarkReady{shared.id, 2});
  const auto epochs = [&](const std::string& name) {
    std::vector<int32_t> result;
    for (const auto& partition : state_.topic(name)->partitions) result.push_back(partition.leader_epoch);
    return result;
  };
  apply(RegisterBroker{{1, 10, "rack"}});
  EXPECT_THAT(epochs("one"), ElementsAre(1, 1));
  EXPECT_THAT(epochs("two"), ElementsAre(1, 0));
  EXPECT_THAT(changes_, SizeIs(2));
  apply(RegisterBroker{{1, 11, "rack"}});
  EXPECT_THAT(epochs("one"), ElementsAre(2, 2));
  apply(RegisterBroker{{3, 1, ""}});
  EXPECT_THAT(changes_, IsEmpty());
  EXPECT_THAT(state_.brokers(), ElementsAre(BrokerInfo{1, 11, "rack"}, BrokerInfo{3, 1, ""}));
}

TEST_F(ClusterStateTest, AReplacedIncarnationHasNoSay) {
  apply(RegisterBroker{{1, 10, ""}}, {1, 10, 1});
  EXPECT_EQ(apply(CreateTopic{topic("a")}, {1, 10, 2}).error, ErrorCode::kNone);
  apply(RegisterBroker{{1, 11, ""}}, {1, 11, 1});
  EXPECT_EQ(apply(CreateTopic{topic("b")}, {1, 10, 3}).error, ErrorCode::kStaleBrokerEpoch);
  EXPECT_EQ(state_.topic_in_any_state("b"), nullptr);
  EXPECT_EQ(apply(AllocateProducerIds{100}, {1, 10, 4}).error, ErrorCode::kStaleBrokerEpoch);
  EXPECT_EQ(apply(AllocateProducerIds{100}, {1, 11, 2}).value, 0) << "what was refused changed nothing";
  EXPECT_EQ(apply(CreateTopic{topic("c")}, {2, 1, 1}).error, ErrorCode::kNone) << "of a broker that is not known yet";
}

TEST_F(ClusterStateTest, ProducerIdsAreGivenOnce) {
  EXPECT_EQ(apply(AllocateProducerIds{1000}).value, 0);
  EXPECT_EQ(apply(AllocateProducerIds{10}).value, 1000);
  EXPECT_EQ(apply(AllocateProducerIds{1}).value, 1010);
}

TEST_F(ClusterStateTest, ALostLogIsReplacedOnce) {
  const TopicInfo orders = create("orders", 2);
  const host::LogId lost = orders.partitions[1].extents[0].log;
  const Extent fresh{"memory", random_.uuid().bytes, 7, -1};
  EXPECT_EQ(apply(ReplaceExtent{orders.id, 1, lost, fresh}).error, ErrorCode::kNone);
  const TopicPtr after = state_.topic("orders");
  EXPECT_THAT(after->partitions[1].extents, ElementsAre(fresh));
  EXPECT_EQ(after->partitions[1].leader_epoch, 1);
  EXPECT_EQ(after->partitions[0].leader_epoch, 0);
  EXPECT_TRUE(state_.is_deleted_log(lost));
  EXPECT_EQ(apply(ReplaceExtent{orders.id, 1, lost, {"memory", random_.uuid().bytes, 0, -1}}).error, ErrorCode::kNone);
  EXPECT_EQ(*state_.topic("orders"), *after) << "another one had done it";
  for (const int32_t partition : {-1, 2, INT32_MAX, INT32_MIN}) {
    EXPECT_EQ(apply(ReplaceExtent{orders.id, partition, lost, fresh}).error, ErrorCode::kUnknownTopicOrPartition);
  }
}

TEST_F(ClusterStateTest, AnEpochIsRaisedOnce) {
  const TopicInfo orders = create("orders", 2);
  const TopicPtr raised = apply(RaiseLeaderEpoch{orders.id, 1, 0}).topic;
  ASSERT_NE(raised, nullptr);
  EXPECT_EQ(raised->partitions[1].leader_epoch, 1);
  EXPECT_EQ(raised->partitions[0].leader_epoch, 0);
  EXPECT_GT(raised->version, orders.version) << "who decided on the old one must look again";
  EXPECT_EQ(apply(RaiseLeaderEpoch{orders.id, 1, 0}).topic, raised) << "another one had done it";
  EXPECT_EQ(apply(RaiseLeaderEpoch{orders.id, 1, 1}).topic->partitions[1].leader_epoch, 2);
  for (const int32_t partition : {-1, 2, INT32_MAX, INT32_MIN}) {
    EXPECT_EQ(apply(RaiseLeaderEpoch{orders.id, partition, 0}).error, ErrorCode::kUnknownTopicOrPartition);
  }
  EXPECT_EQ(apply(RaiseLeaderEpoch{random_.uuid(), 0, 0}).error, ErrorCode::kUnknownTopicOrPartition);
}

TEST_F(ClusterStateTest, InternalTopicsShowOnRequest) {
  create("b");
  create("a");
  TopicInfo internal = topic("__consumer_offsets");
  internal.internal = true;
  apply(CreateTopic{internal});
  apply(MarkReady{internal.id, 1});
  const auto names = [](const std::vector<TopicPtr>& topics) {
    std::vector<std::string> result;
    for (const TopicPtr& each : topics) result.push_back(each->name);
    return result;
  };
  EXPECT_THAT(names(state_.topics()), ElementsAre("a", "b"));
  EXPECT_THAT(names(state_.topics(true)), ElementsAre("__consumer_offsets", "a", "b"));
}

TEST_F(ClusterStateTest, StopsAtWhatItCannotRead) {
  create("a");
  std::string newer = encode({1, 1, 1}, DeleteTopic{state_.topic("a")->id});
  newer[1] = 42;
  EXPECT_EQ(state_.apply(newer, 9, 0).code(), StatusCode::unsupported);
  EXPECT_EQ(state_.apply("rubbish", 9, 0).code(), StatusCode::corrupt);
  EXPECT_NE(state_.topic("a"), nullptr);
}

TEST_F(ClusterStateTest, DeletedLogsAreRememberedUpToALimit) {
  TopicInfo wide = topic("wide", 1);
  wide.partitions[0].extents.clear();
  for (size_t i = 0; i < ClusterState::kMaxDeletedLogs + 10; ++i)
    wide.partitions[0].extents.push_back({"disk", random_.uuid().bytes, 0, 1});
  apply(CreateTopic{wide});
  apply(ForgetTopic{wide.id});
  const auto& extents = wide.partitions[0].extents;
  EXPECT_FALSE(state_.is_deleted_log(extents[0].log));
  EXPECT_FALSE(state_.is_deleted_log(extents[9].log));
  EXPECT_TRUE(state_.is_deleted_log(extents[10].log));
  EXPECT_TRUE(state_.is_deleted_log(extents.back().log));
}

TEST_F(ClusterStateTest, AMalformedCommandOfWellFormedBytesIsHarmless) {
  // A topic whose partition has no extent can only come from a broken writer.
  TopicInfo broken = topic("broken");
  broken.partitions[0].extents.clear();
  apply(CreateTopic{broken});
  apply(ReplaceExtent{broken.id, 0, random_.uuid().bytes, {"disk", random_.uuid().bytes, 0, -1}});
  apply(AllocateProducerIds{-1});
  apply(AllocateProducerIds{INT32_MAX});
  apply(MarkReady{broken.id, INT32_MIN});
}

/// Everything that is visible from outside, and the deterministic bytes of the rest.
struct Picture {
  explicit Picture(const ClusterState& state) : brokers(state.brokers()) {
    for (const TopicPtr& each : state.topics(true)) topics.push_back(*each);
    for (const TopicPtr& each : state.unfinished()) unfinished[each->name + each->id.to_string()] = *each;
    for (std::string& record : state.snapshot()) records.insert(std::move(record));
  }
  bool operator==(const Picture&) const = default;
  std::vector<TopicInfo> topics;
  std::map<std::string, TopicInfo> unfinished;
  std::vector<BrokerInfo> brokers;
  std::multiset<std::string> records;
};

/// A step of a migration that is mostly the right one for what the topic is.
Command moving_command(RandomMetadata& random, const Uuid& id, const TopicPtr& known) {
  if (known == nullptr) return FinishMigration{id, "memory"};
  const auto index = static_cast<int32_t>(random.below(known->partitions.size()));
  const PartitionInfo& partition = known->partitions[static_cast<size_t>(index)];
  const int32_t epoch = random.chance(90) ? partition.leader_epoch : partition.leader_epoch + 1;
  const std::string target = known->migration ? known->migration->target : "memory";
  const host::LogId open = partition.extents.back().log;
  switch (random.below(8)) {
    case 0:
      return AlterTopic{id, random.chance(80) ? known->version : random.below(9), {{"a", "b"}}, random.migration()};
    case 1:
      return RecordNext{id, index, epoch, open, {target, random.uuid().bytes, 0, -1}};
    case 2:
      return SwitchExtent{id, index, epoch, open, partition.next ? partition.next->log : random.uuid().bytes,
                          partition.extents.back().from + static_cast<int64_t>(random.below(2))};
    case 3: {
      if (partition.extents.size() < 2) return RecordCopy{id, index, epoch, random.copy()};
      const Extent& from = partition.extents[random.below(partition.extents.size() - 1)];
      return RecordCopy{id, index, epoch, {{target, random.uuid().bytes, from.from, from.to}, {from.log}}};
    }
    case 4:
      return NameCopy{id, index, epoch, partition.copy ? partition.copy->extent.log : random.uuid().bytes};
    case 5:
      return DropExtent{id, index, partition.extents[random.below(partition.extents.size())].log};
    case 6: {
      ForgetLogs forget{id, index, {random.uuid().bytes}};
      for (const Extent& extent : partition.dropped) forget.logs.push_back(extent.log);
      return forget;
    }
    default:
      return FinishMigration{id, target};
  }
}

class ClusterStateRandom : public ::testing::TestWithParam<int> {};

TEST_P(ClusterStateRandom, ASnapshotAndTheRestAreTheWhole) {
  RandomMetadata random(static_cast<uint32_t>(GetParam()));
  std::vector<std::string> log;
  ClusterState live;
  std::vector<Uuid> ids;
  std::vector<host::LogId> logs;
  for (int i = 0; i < 400; ++i) {
    Command command;
    const Uuid id = ids.empty() || random.chance(5) ? random.uuid() : ids[random.below(ids.size())];
    const TopicPtr known = live.topic_in_any_state(id);
    switch (random.below(17)) {
      case 0:
        command = RegisterBroker{random.broker()};
        break;
      case 1:
      case 2: {
        TopicInfo topic = random.topic();
        topic.ready_partitions = 0;
        ids.push_back(topic.id);
        for (const auto& partition : topic.partitions) {
          for (const auto& extent : partition.extents) logs.push_back(extent.log);
        }
        command = CreateTopic{std::move(topic)};
        break;
      }
      case 3:
        command =
            AddPartitions{id, known && random.chance(80) ? known->version : random.below(9), {random.partition()}};
        break;
      case 4:
        command = MarkReady{id, static_cast<int32_t>(random.below(6))};
        break;
      case 5:
        command = DeleteTopic{id};
        break;
      case 6:
        if (known != nullptr && !known->deleting) {
          const auto partition = random.below(known->partitions.size());
          command = ReplaceExtent{id, static_cast<int32_t>(partition), known->partitions[partition].extents.back().log,
                                  random.extent()};
        } else {
          command = ForgetTopic{id};
        }
        break;
      case 7:
        command = RaiseLeaderEpoch{id, static_cast<int32_t>(random.below(3)), static_cast<int32_t>(random.below(1000))};
        break;
      case 8:
        command = AllocateProducerIds{static_cast<int32_t>(random.below(1000))};
        break;
      default:
        command = moving_command(random, id, known);
        break;
    }
    const CommandId from{static_cast<int32_t>(random.below(3)), random.below(4), static_cast<uint64_t>(i)};
    log.push_back(encode(from, command));
    ASSERT_TRUE(live.apply(log.back(), i, 0).ok());
    if (i % 40 != 17) continue;
    // A broker that starts from a snapshot taken here, and one that replays all of it, come to the same state.
    ClusterState restored;
    for (const std::string& record : live.snapshot()) ASSERT_TRUE(restored.apply(record, 0, 0).ok());
    EXPECT_EQ(Picture(restored), Picture(live)) << "after " << i;
    for (const host::LogId& each : logs) {
      EXPECT_EQ(restored.is_known_log(each), live.is_known_log(each));
      EXPECT_EQ(restored.is_deleted_log(each), live.is_deleted_log(each));
    }
    ClusterState replayed;
    for (const std::string& record : log) ASSERT_TRUE(replayed.apply(record, 0, 0).ok());
    EXPECT_EQ(Picture(replayed), Picture(live));
    // From here on the restored one goes on in the place of the live one: both must decide alike.
    CommandResult of_live, of_restored;
    live.decided = [&](const CommandId&, const CommandResult& result) { of_live = result; };
    restored.decided = [&](const CommandId&, const CommandResult& result) { of_restored = result; };
    for (const std::string& record : log) {
      ASSERT_TRUE(live.apply(record, 0, 0).ok());
      ASSERT_TRUE(restored.apply(record, 0, 0).ok());
      EXPECT_EQ(of_live.error, of_restored.error);
      EXPECT_EQ(of_live.value, of_restored.value);
    }
    EXPECT_EQ(Picture(restored), Picture(live));
    live.reset();
    live.decided = nullptr;
    for (const std::string& record : log) ASSERT_TRUE(live.apply(record, 0, 0).ok());
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, ClusterStateRandom, ::testing::Range(0, 10));

}  // namespace
}  // namespace sluice::cluster
