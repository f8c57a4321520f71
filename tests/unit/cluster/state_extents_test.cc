// SPDX-License-Identifier: Apache-2.0
// What commands do to extents: a partition on its way from disk to memory, step by step, and each step refused when it
// was decided on something that is not so any more.
#include "cluster/state.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cluster/extents.hpp"
#include "support.hpp"

namespace sluice::cluster {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::RandomMetadata;

constexpr ErrorCode kLookAgain = ErrorCode::kConcurrentTransactions;

class StateExtents : public ::testing::Test {
 protected:
  void SetUp() override {
    TopicInfo topic;
    topic.id = random_.uuid();
    topic.name = "t";
    topic.partitions.push_back({1, 0, {{"disk", random_.uuid().bytes, 0, -1}}});
    ASSERT_EQ(apply(CreateTopic{topic}), ErrorCode::kNone);
    ASSERT_EQ(apply(MarkReady{topic.id, 1}), ErrorCode::kNone);
    id_ = topic.id;
  }

  ErrorCode apply(const Command& command) {
    ErrorCode error = ErrorCode::kUnknownServerError;
    state_.decided = [&](const CommandId&, const CommandResult& result) { error = result.error; };
    EXPECT_TRUE(state_.apply(encode({}, command), 0, 0).ok());
    state_.decided = nullptr;
    return error;
  }
  const TopicInfo& topic() {
    now_ = state_.topic_in_any_state(id_);
    return *now_;
  }
  const PartitionInfo& partition() { return topic().partitions[0]; }
  const Extent& open() { return partition().extents.back(); }

  ErrorCode migrate(const std::string& from, const std::string& to) {
    return apply(AlterTopic{id_, topic().version, {{"sluice.storage", to}}, Migration{from, to}});
  }
  Extent fresh(const std::string& storage) { return {storage, random_.uuid().bytes, 0, -1}; }
  void record_next(const std::string& storage) {
    ASSERT_EQ(apply(RecordNext{id_, 0, partition().leader_epoch, open().log, fresh(storage)}), ErrorCode::kNone);
  }
  ErrorCode switch_at(int64_t at) {
    const PartitionInfo now = partition();
    return apply(SwitchExtent{id_, 0, now.leader_epoch, now.extents.back().log, now.next->log, at});
  }
  RecordCopy copy_of(std::vector<Extent> run, const std::string& storage) {
    RecordCopy command{id_, 0, partition().leader_epoch, {fresh(storage), {}}};
    command.copy.extent.from = run.front().from;
    command.copy.extent.to = run.back().to;
    for (const Extent& extent : run) command.copy.replaces.push_back(extent.log);
    return command;
  }
  ErrorCode name_copy() {
    return apply(NameCopy{id_, 0, partition().leader_epoch, partition().copy->extent.log});
  }
  void forget_dropped() {
    ForgetLogs forget{id_, 0, {}};
    for (const Extent& extent : partition().dropped) forget.logs.push_back(extent.log);
    ASSERT_EQ(apply(forget), ErrorCode::kNone);
  }

  RandomMetadata random_{1};
  ClusterState state_;
  Uuid id_;
  TopicPtr now_;
};

TEST_F(StateExtents, AWholeMigration) {
  const Extent first = open();
  EXPECT_THAT(state_.migrating(), IsEmpty());
  ASSERT_EQ(migrate("disk", "memory"), ErrorCode::kNone);
  EXPECT_EQ(state_.migrating().size(), 1u);
  EXPECT_EQ(home_of(topic()), "memory");
  EXPECT_EQ(apply(FinishMigration{id_, "memory"}), kLookAgain);

  record_next("memory");
  const Extent next = *partition().next;
  EXPECT_TRUE(state_.is_known_log(next.log)) << "before it is made";
  EXPECT_THAT(partition().extents, ElementsAre(first)) << "nothing is written elsewhere yet";
  ASSERT_EQ(switch_at(100), ErrorCode::kNone);
  const Extent sealed{"disk", first.log, 0, 100};
  EXPECT_THAT(partition().extents, ElementsAre(sealed, Extent{"memory", next.log, 100, -1}));
  EXPECT_EQ(partition().leader_epoch, 0);
  EXPECT_EQ(partition().next, std::nullopt);
  EXPECT_EQ(apply(FinishMigration{id_, "memory"}), kLookAgain);

  ASSERT_EQ(run_to_copy(partition(), "memory").size(), 1u);
  ASSERT_EQ(apply(copy_of({sealed}, "memory")), ErrorCode::kNone);
  const Extent copy = partition().copy->extent;
  EXPECT_TRUE(state_.is_known_log(copy.log));
  EXPECT_THAT(partition().extents, ElementsAre(sealed, open())) << "not before it is whole";
  ASSERT_EQ(name_copy(), ErrorCode::kNone);
  EXPECT_THAT(partition().extents, ElementsAre(copy, open()));
  EXPECT_THAT(partition().dropped, ElementsAre(sealed));
  EXPECT_EQ(state_.with_dropped_logs().size(), 1u);
  EXPECT_EQ(apply(FinishMigration{id_, "memory"}), kLookAgain) << "a log is still to be deleted";

  forget_dropped();
  EXPECT_TRUE(state_.is_deleted_log(first.log));
  EXPECT_FALSE(state_.is_known_log(first.log));
  EXPECT_EQ(apply(FinishMigration{id_, "disk"}), kLookAgain);
  EXPECT_EQ(apply(FinishMigration{id_, "memory"}), ErrorCode::kNone);
  EXPECT_EQ(topic().migration, std::nullopt);
  EXPECT_EQ(home_of(topic()), "memory");
  EXPECT_EQ(apply(FinishMigration{id_, "memory"}), ErrorCode::kNone) << "twice is once";
}

TEST_F(StateExtents, AnEmptyLogIsNotSealedButDropped) {
  const Extent first = open();
  ASSERT_EQ(migrate("disk", "memory"), ErrorCode::kNone);
  record_next("memory");
  ASSERT_EQ(switch_at(0), ErrorCode::kNone);
  EXPECT_EQ(partition().extents.size(), 1u);
  EXPECT_EQ(open().storage, "memory");
  ASSERT_EQ(partition().dropped.size(), 1u);
  EXPECT_EQ(partition().dropped[0].log, first.log);
}

TEST_F(StateExtents, TurningRoundDropsWhatWasMadeReady) {
  ASSERT_EQ(migrate("disk", "memory"), ErrorCode::kNone);
  record_next("memory");
  const Extent next = *partition().next;
  ASSERT_EQ(migrate("memory", "disk"), ErrorCode::kNone);
  EXPECT_EQ(partition().next, std::nullopt);
  EXPECT_THAT(partition().dropped, ElementsAre(next));
  forget_dropped();
  EXPECT_EQ(apply(FinishMigration{id_, "disk"}), ErrorCode::kNone) << "nothing had moved";

  // After the switch what came since is on the target: it goes back by a switch and a copy of its own.
  ASSERT_EQ(migrate("disk", "memory"), ErrorCode::kNone);
  record_next("memory");
  ASSERT_EQ(switch_at(10), ErrorCode::kNone);
  ASSERT_EQ(apply(copy_of(run_to_copy(partition(), "memory"), "memory")), ErrorCode::kNone);
  const Extent copy = partition().copy->extent;
  ASSERT_EQ(migrate("memory", "disk"), ErrorCode::kNone);
  EXPECT_EQ(partition().copy, std::nullopt);
  EXPECT_THAT(partition().dropped, ElementsAre(copy));
  record_next("disk");
  ASSERT_EQ(switch_at(30), ErrorCode::kNone);
  const auto run = run_to_copy(partition(), "disk");
  ASSERT_EQ(run.size(), 1u);
  EXPECT_EQ(run[0].from, 10);
  EXPECT_EQ(run[0].to, 30);
  ASSERT_EQ(apply(copy_of(run, "disk")), ErrorCode::kNone);
  ASSERT_EQ(name_copy(), ErrorCode::kNone);
  forget_dropped();
  EXPECT_EQ(apply(FinishMigration{id_, "disk"}), ErrorCode::kNone);
  EXPECT_EQ(partition().extents.size(), 3u);
  for (const Extent& extent : partition().extents) EXPECT_EQ(extent.storage, "disk");
}

TEST_F(StateExtents, WhatWasDecidedOnAnotherStateIsRefused) {
  const host::LogId stranger = random_.uuid().bytes;
  EXPECT_EQ(apply(RecordNext{id_, 0, 0, open().log, fresh("memory")}), kLookAgain) << "it does not migrate";
  EXPECT_EQ(apply(AlterTopic{id_, topic().version + 1, {}, Migration{"disk", "memory"}}), kLookAgain);
  ASSERT_EQ(migrate("disk", "memory"), ErrorCode::kNone);
  EXPECT_EQ(apply(RecordNext{id_, 0, 0, open().log, fresh("disk")}), kLookAgain) << "elsewhere";
  EXPECT_EQ(apply(RecordNext{id_, 0, 1, open().log, fresh("memory")}), kLookAgain);
  EXPECT_EQ(apply(RecordNext{id_, 0, 0, stranger, fresh("memory")}), kLookAgain);
  record_next("memory");
  const host::LogId first = open().log;
  const host::LogId next = partition().next->log;
  EXPECT_EQ(apply(SwitchExtent{id_, 0, 1, first, next, 5}), kLookAgain);
  EXPECT_EQ(apply(SwitchExtent{id_, 0, 0, stranger, next, 5}), kLookAgain);
  EXPECT_EQ(apply(SwitchExtent{id_, 0, 0, first, stranger, 5}), kLookAgain);
  EXPECT_EQ(apply(SwitchExtent{id_, 0, 0, first, next, -1}), kLookAgain);
  record_next("memory");
  EXPECT_EQ(apply(SwitchExtent{id_, 0, 0, first, next, 5}), kLookAgain) << "another log was recorded since";
  ASSERT_EQ(switch_at(5), ErrorCode::kNone);
  EXPECT_EQ(apply(SwitchExtent{id_, 0, 0, first, next, 5}), kLookAgain) << "it was switched since";

  const auto run = run_to_copy(partition(), "memory");
  RecordCopy copy = copy_of(run, "memory");
  copy.leader_epoch = 9;
  EXPECT_EQ(apply(copy), kLookAgain);
  copy = copy_of(run, "disk");
  EXPECT_EQ(apply(copy), kLookAgain);
  copy = copy_of(run, "memory");
  copy.copy.replaces = {open().log};
  EXPECT_EQ(apply(copy), kLookAgain) << "the open extent is not copied";
  copy.copy.replaces = {};
  EXPECT_EQ(apply(copy), kLookAgain);
  copy = copy_of(run, "memory");
  copy.copy.extent.to = 4;
  EXPECT_EQ(apply(copy), ErrorCode::kInvalidRequest) << "it would hide records";
  EXPECT_EQ(apply(NameCopy{id_, 0, 0, stranger}), kLookAgain);
  ASSERT_EQ(apply(copy_of(run, "memory")), ErrorCode::kNone);
  EXPECT_EQ(apply(NameCopy{id_, 0, 1, partition().copy->extent.log}), kLookAgain);
  EXPECT_EQ(apply(NameCopy{id_, 0, 0, stranger}), kLookAgain);
  for (const int32_t index : {-1, 1, INT32_MAX, INT32_MIN}) {
    EXPECT_EQ(apply(DropExtent{id_, index, stranger}), ErrorCode::kUnknownTopicOrPartition);
    EXPECT_EQ(apply(ForgetLogs{id_, index, {stranger}}), ErrorCode::kUnknownTopicOrPartition);
  }
}

TEST_F(StateExtents, DroppedExtentsLeaveTheCopyToo) {
  ASSERT_EQ(migrate("disk", "memory"), ErrorCode::kNone);
  record_next("memory");
  ASSERT_EQ(switch_at(10), ErrorCode::kNone);
  ASSERT_EQ(migrate("memory", "disk"), ErrorCode::kNone);
  record_next("disk");
  ASSERT_EQ(switch_at(20), ErrorCode::kNone);
  ASSERT_EQ(migrate("disk", "redis"), ErrorCode::kNone);
  record_next("redis");
  ASSERT_EQ(switch_at(30), ErrorCode::kNone);
  const auto run = run_to_copy(partition(), "redis");
  ASSERT_EQ(run.size(), 3u) << "neighbours are copied into one";
  ASSERT_EQ(apply(copy_of(run, "redis")), ErrorCode::kNone);
  EXPECT_EQ(apply(DropExtent{id_, 0, open().log}), ErrorCode::kNone);
  EXPECT_EQ(partition().extents.size(), 4u) << "the open one stays";
  ASSERT_EQ(apply(DropExtent{id_, 0, run[0].log}), ErrorCode::kNone);
  EXPECT_THAT(partition().copy->replaces, ElementsAre(run[1].log, run[2].log));
  ASSERT_EQ(name_copy(), ErrorCode::kNone);
  EXPECT_EQ(partition().extents.size(), 2u);
  EXPECT_EQ(partition().dropped.size(), 3u);

  // When nothing is left of what was copied, the copy goes too.
  ASSERT_EQ(apply(DropExtent{id_, 0, partition().extents[0].log}), ErrorCode::kNone);
  forget_dropped();
  ASSERT_EQ(migrate("redis", "disk"), ErrorCode::kNone);
  record_next("disk");
  ASSERT_EQ(switch_at(40), ErrorCode::kNone);
  ASSERT_EQ(apply(copy_of(run_to_copy(partition(), "disk"), "disk")), ErrorCode::kNone);
  const Extent copy = partition().copy->extent;
  const Extent gone = partition().extents[0];
  ASSERT_EQ(apply(DropExtent{id_, 0, gone.log}), ErrorCode::kNone);
  EXPECT_EQ(partition().copy, std::nullopt);
  EXPECT_THAT(partition().dropped, ElementsAre(gone, copy));
  EXPECT_EQ(apply(DropExtent{id_, 0, gone.log}), ErrorCode::kNone) << "twice is once";
}

TEST_F(StateExtents, ALostOpenLogLeavesTheSealedOnes) {
  ASSERT_EQ(migrate("disk", "memory"), ErrorCode::kNone);
  record_next("memory");
  ASSERT_EQ(switch_at(10), ErrorCode::kNone);
  const Extent sealed = partition().extents[0];
  const Extent lost = open();
  const Extent instead{"memory", random_.uuid().bytes, 10, -1};
  ASSERT_EQ(apply(ReplaceExtent{id_, 0, lost.log, instead}), ErrorCode::kNone);
  EXPECT_THAT(partition().extents, ElementsAre(sealed, instead));
  EXPECT_EQ(partition().leader_epoch, 1);
  EXPECT_TRUE(state_.is_deleted_log(lost.log));
  EXPECT_FALSE(state_.is_deleted_log(sealed.log));
}

TEST_F(StateExtents, ADeletedTopicsLogsAreAllForgotten) {
  ASSERT_EQ(migrate("disk", "memory"), ErrorCode::kNone);
  record_next("memory");
  ASSERT_EQ(switch_at(10), ErrorCode::kNone);
  ASSERT_EQ(apply(copy_of(run_to_copy(partition(), "memory"), "memory")), ErrorCode::kNone);
  std::vector<host::LogId> logs;
  for_each_log(partition(), [&](const Extent& extent) { logs.push_back(extent.log); });
  EXPECT_EQ(logs.size(), 3u);
  ASSERT_EQ(apply(DeleteTopic{id_}), ErrorCode::kNone);
  EXPECT_THAT(state_.migrating(), IsEmpty());
  EXPECT_EQ(apply(FinishMigration{id_, "memory"}), ErrorCode::kUnknownTopicOrPartition);
  ASSERT_EQ(apply(ForgetTopic{id_}), ErrorCode::kNone);
  for (const host::LogId& log : logs) EXPECT_TRUE(state_.is_deleted_log(log));
}

}  // namespace
}  // namespace sluice::cluster
