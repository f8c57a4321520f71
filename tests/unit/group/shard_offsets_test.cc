// SPDX-License-Identifier: Apache-2.0
// Committed offsets: who may commit, what is shown, deletion and expiry.
#include "support.hpp"

namespace sluice::group {
namespace {

using testing::CoordinatorTest;
using testing::FakeStateLog;
using testing::join_request;
using testing::static_join;
using testing::topic_id;

class OffsetsTest : public CoordinatorTest {
 protected:
  OffsetsTest() { start(); }
  testing::Answer<OffsetDeleteResult> delete_offsets(const std::string& group, const std::string& topic) {
    testing::Answer<OffsetDeleteResult> answer;
    coordinator->delete_offsets({group, {{topic, topic_id(1), {0}}}}, executor, answer.callback());
    run();
    return answer;
  }
  static constexpr int64_t kDayMs = 86'400'000;
  /// Days in large steps: for groups without members.
  void pass_days(int days) {
    for (int i = 0; i < days; ++i) {
      clock.advance_ms(kDayMs);
      coordinator->tick();
      run();
    }
  }
};

TEST_F(OffsetsTest, WhatIsCommittedIsFetched) {
  EXPECT_EQ(commit("g", -1, "", "orders", 42), ErrorCode::kNone);
  const FetchedPartition fetched = fetch("g", "orders");
  EXPECT_EQ(fetched.offset, 42);
  EXPECT_EQ(fetched.leader_epoch, 5);
  EXPECT_EQ(fetched.metadata, "note");
  EXPECT_EQ(fetched.error, ErrorCode::kNone);
}

TEST_F(OffsetsTest, UnknownGroupsAndPartitionsHaveNoOffsetAndNoError) {
  EXPECT_EQ(fetch("none", "orders").offset, -1);
  EXPECT_EQ(fetch("none", "orders").error, ErrorCode::kNone);
  commit("g", -1, "", "orders", 42);
  EXPECT_EQ(fetch("g", "returns").offset, -1);
  EXPECT_EQ(fetch("g", "returns").leader_epoch, -1);
}

TEST_F(OffsetsTest, NullTopicsMeansAll) {
  OffsetFetchRequest request;
  request.group_id = "g";
  EXPECT_TRUE(coordinator->fetch_offsets(request).topics.empty());
  commit("g", -1, "", "orders", 1);
  commit("g", -1, "", "returns", 2, topic_id(2));
  request.require_stable = true;
  const OffsetFetchResult all = coordinator->fetch_offsets(request);
  EXPECT_EQ(all.error, ErrorCode::kNone);
  ASSERT_EQ(all.topics.size(), 2u);
  EXPECT_EQ(all.topics[0].name, "orders");
  EXPECT_EQ(all.topics[1].id, topic_id(2));
  EXPECT_EQ(all.topics[1].partitions.at(0).offset, 2);
}

TEST_F(OffsetsTest, ASimpleConsumerMayCommitOnlyWhileTheGroupIsEmpty) {
  EXPECT_EQ(commit("g", -1, "", "orders", 1), ErrorCode::kNone);
  const std::string member = stable_member("g");
  EXPECT_EQ(commit("g", -1, "", "orders", 2), ErrorCode::kUnknownMemberId)
      << "so is altering an active group's offsets";
  EXPECT_EQ(commit("g", 1, member, "orders", 3), ErrorCode::kNone);
  leave("g", member);
  EXPECT_EQ(commit("g", -1, "", "orders", 4), ErrorCode::kNone);
  EXPECT_EQ(fetch("g", "orders").offset, 4);
}

TEST_F(OffsetsTest, MembersCommitInTheirGeneration) {
  EXPECT_EQ(commit("none", 1, "m", "orders", 1), ErrorCode::kIllegalGeneration);
  const std::string member = stable_member("g");
  EXPECT_EQ(commit("g", 1, "stranger", "orders", 1), ErrorCode::kUnknownMemberId);
  EXPECT_EQ(commit("g", 0, member, "orders", 1), ErrorCode::kIllegalGeneration);
  EXPECT_EQ(commit("g", -1, member, "orders", 1), ErrorCode::kIllegalGeneration);
  auto joined = join(join_request("g"));
  EXPECT_EQ(commit("g", 1, member, "orders", 7), ErrorCode::kNone) << "while preparing: the last word before rejoining";
  auto rejoined = join(join_request("g", member));
  EXPECT_EQ(commit("g", 2, member, "orders", 8), ErrorCode::kRebalanceInProgress) << "while completing";
  EXPECT_EQ(commit("g", 1, member, "orders", 8), ErrorCode::kIllegalGeneration);
  EXPECT_EQ(fetch("g", "orders").offset, 7);
}

TEST_F(OffsetsTest, StaticMembersCommitUnderTheirInstance) {
  const std::string member = stable_member("g", "i1");
  CommitRequest request = commit_request("g", 1, member, "orders", 5);
  request.group_instance_id = "i1";
  EXPECT_EQ(commit_async(request)->topics[0].partitions[0].error, ErrorCode::kNone);
  request.member_id = "somebody";
  EXPECT_EQ(commit_async(request)->topics[0].partitions[0].error, ErrorCode::kFencedInstanceId);
  request.group_instance_id = "i2";
  EXPECT_EQ(commit_async(request)->topics[0].partitions[0].error, ErrorCode::kUnknownMemberId);
}

TEST_F(OffsetsTest, CommitsKeepTheSessionAlive) {
  const std::string member = stable_member("g");
  for (int i = 0; i < 4; ++i) {
    pass_ms(8'000);
    EXPECT_EQ(commit("g", 1, member, "orders", i), ErrorCode::kNone);
  }
}

TEST_F(OffsetsTest, MetadataIsLimitedForEachPartition) {
  CommitRequest request = commit_request("g", -1, "", "orders", 1);
  request.topics[0].partitions.push_back({1, 2, -1, std::string(4'097, 'x')});
  request.topics[0].partitions.push_back({2, 3, -1, std::string(4'096, 'x')});
  request.topics.push_back({"returns", topic_id(2), {{0, 4, -1, ""}}});
  const CommitResult result = *commit_async(request).operator->();
  ASSERT_EQ(result.topics.size(), 2u);
  EXPECT_EQ(result.topics[0].partitions[0].error, ErrorCode::kNone);
  EXPECT_EQ(result.topics[0].partitions[1].error, ErrorCode::kOffsetMetadataTooLarge);
  EXPECT_EQ(result.topics[0].partitions[2].error, ErrorCode::kNone);
  EXPECT_EQ(result.topics[1].partitions[0].error, ErrorCode::kNone);
  EXPECT_EQ(fetch("g", "orders").offset, 1);
  EXPECT_EQ(coordinator->metrics().offsets, 3u);
  request = commit_request("void", -1, "", "orders", 1);
  request.topics[0].partitions[0].metadata = std::string(4'097, 'x');
  EXPECT_EQ(commit_async(request)->topics[0].partitions[0].error, ErrorCode::kOffsetMetadataTooLarge);
  EXPECT_EQ(state("void"), "Dead") << "nothing was committed: no group";
}

TEST_F(OffsetsTest, LargeCommitsAreCutIntoRecordsOfOneAppend) {
  options.max_record_bytes = 1'000;
  start();
  CommitRequest request = commit_request("g", -1, "", "orders", 0);
  for (int32_t partition = 1; partition < 200; ++partition) {
    request.topics[0].partitions.push_back({partition, partition, -1, "m"});
  }
  log->mode = FakeStateLog::Mode::held;
  auto answer = commit_async(request);
  EXPECT_EQ(log->held(), 1u);
  EXPECT_EQ(fetch("g", "orders").offset, -1) << "not durable: not shown";
  log->release();
  run();
  EXPECT_EQ(answer->topics[0].partitions.size(), 200u);
  EXPECT_GT(log->records().size(), 5u);
  EXPECT_EQ(coordinator->metrics().offsets, 200u);
}

TEST_F(OffsetsTest, AnswersComeWhenDurable) {
  log->mode = FakeStateLog::Mode::held;
  auto first = commit_async(commit_request("g", -1, "", "orders", 1));
  auto second = commit_async(commit_request("g", -1, "", "orders", 2));
  EXPECT_FALSE(first.has());
  log->release_one();
  run();
  EXPECT_TRUE(first.has());
  EXPECT_FALSE(second.has());
  EXPECT_EQ(fetch("g", "orders").offset, 1);
  log->release();
  run();
  EXPECT_EQ(fetch("g", "orders").offset, 2);
}

TEST_F(OffsetsTest, AFailedAppendIsAnErrorThatClientsUnderstand) {
  const auto commit_failing = [&](StatusCode code) {
    log->mode = FakeStateLog::Mode::failing;
    log->failure = Status(code, "test");
    return commit("g", -1, "", "orders", 9);
  };
  commit("g", -1, "", "orders", 1);
  EXPECT_EQ(commit_failing(StatusCode::unavailable), ErrorCode::kCoordinatorNotAvailable);
  EXPECT_EQ(commit_failing(StatusCode::no_space), ErrorCode::kCoordinatorNotAvailable);
  EXPECT_EQ(commit_failing(StatusCode::fenced), ErrorCode::kNotCoordinator);
  EXPECT_EQ(commit_failing(StatusCode::too_large), ErrorCode::kInvalidCommitOffsetSize);
  EXPECT_EQ(fetch("g", "orders").offset, 1);
  EXPECT_EQ(coordinator->metrics().appends_failed, 4u);
}

TEST_F(OffsetsTest, CommitsInFlightAreLimited) {
  options.max_commits_in_flight = 2;
  start();
  log->mode = FakeStateLog::Mode::held;
  auto first = commit_async(commit_request("g", -1, "", "orders", 1));
  auto second = commit_async(commit_request("g", -1, "", "orders", 2));
  EXPECT_EQ(commit("g", -1, "", "orders", 3), ErrorCode::kCoordinatorLoadInProgress);
  log->release();
  run();
  log->mode = FakeStateLog::Mode::immediate;
  EXPECT_EQ(commit("g", -1, "", "orders", 4), ErrorCode::kNone);
  EXPECT_EQ(coordinator->metrics().commits_refused_by_limit, 1u);
}

TEST_F(OffsetsTest, GroupsAreLimited) {
  options.max_groups_per_shard = 1;
  start();
  EXPECT_EQ(commit("a", -1, "", "orders", 1), ErrorCode::kNone);
  EXPECT_EQ(commit("b", -1, "", "orders", 1), ErrorCode::kPolicyViolation);
  EXPECT_EQ(join(join_request("b"))->error, ErrorCode::kGroupMaxSizeReached);
}

// --- topics that go and come back ---

TEST_F(OffsetsTest, ATopicCreatedAnewInheritsNoOffsets) {
  commit("g", -1, "", "orders", 42, topic_id(1));
  EXPECT_EQ(fetch("g", "orders", topic_id(2)).offset, -1) << "even before its deletion was heard of";
  coordinator->topics_deleted({{"orders", topic_id(1)}});
  run();
  EXPECT_EQ(fetch("g", "orders", topic_id(1)).offset, -1);
  EXPECT_EQ(coordinator->metrics().offsets, 0u);
  restart();
  EXPECT_EQ(fetch("g", "orders", topic_id(1)).offset, -1);
}

TEST_F(OffsetsTest, DeletionOfTopicsWaitsForTheShard) {
  commit("g", -1, "", "orders", 42);
  commit("g", -1, "", "returns", 1, topic_id(2));
  coordinator->shard_unavailable(0);
  coordinator->topics_deleted({{"orders", topic_id(1)}});
  coordinator->shard_loaded(0, *log);
  run();
  EXPECT_EQ(fetch("g", "orders").offset, -1);
  EXPECT_EQ(fetch("g", "returns", topic_id(2)).offset, 1);
}

TEST_F(OffsetsTest, DeletionOfATopicCatchesCommitsUnderWay) {
  log->mode = FakeStateLog::Mode::held;
  auto answer = commit_async(commit_request("g", -1, "", "orders", 42));
  coordinator->topics_deleted({{"orders", topic_id(1)}});
  log->release();
  run();
  EXPECT_EQ(coordinator->metrics().offsets, 0u);
}

// --- deletion ---

TEST_F(OffsetsTest, OffsetsOfASubscribedTopicCannotBeDeleted) {
  const std::string member = stable_member("g");
  commit("g", 1, member, "orders", 1);
  commit("g", 1, member, "returns", 2);
  EXPECT_EQ(delete_offsets("g", "orders")->topics.at(0).partitions.at(0).error, ErrorCode::kGroupSubscribedToTopic);
  EXPECT_EQ(fetch("g", "orders").offset, 1);
  EXPECT_EQ(delete_offsets("g", "returns")->topics.at(0).partitions.at(0).error, ErrorCode::kNone);
  EXPECT_EQ(fetch("g", "returns").offset, -1);
}

TEST_F(OffsetsTest, OffsetDeleteIsCheckedAsKafkaDoes) {
  EXPECT_EQ(delete_offsets("", "orders")->error, ErrorCode::kInvalidGroupId);
  EXPECT_EQ(delete_offsets("none", "orders")->error, ErrorCode::kGroupIdNotFound);
  JoinRequest request = join_request("workers");
  request.protocol_type = "connect";
  join(request);
  EXPECT_EQ(delete_offsets("workers", "orders")->error, ErrorCode::kNonEmptyGroup);
  commit("simple", -1, "", "orders", 1);
  EXPECT_EQ(delete_offsets("simple", "returns")->error, ErrorCode::kNone) << "what is not there is deleted";
  EXPECT_EQ(delete_offsets("simple", "orders")->error, ErrorCode::kNone);
  EXPECT_EQ(fetch("simple", "orders").offset, -1);
}

TEST_F(OffsetsTest, SubscriptionsThatCannotBeReadProtectEverything) {
  JoinRequest request = join_request("g");
  request.protocols[0].metadata = "?";
  auto joined = join(request);
  pass_ms(3'200);
  sync("g", 1, joined->member_id, {});
  commit("g", 1, joined->member_id, "returns", 2);
  EXPECT_EQ(delete_offsets("g", "returns")->topics.at(0).partitions.at(0).error, ErrorCode::kGroupSubscribedToTopic);
}

TEST_F(OffsetsTest, ADeletionThatFailsChangesNothing) {
  commit("g", -1, "", "orders", 1);
  log->mode = FakeStateLog::Mode::failing;
  EXPECT_EQ(delete_offsets("g", "orders")->error, ErrorCode::kCoordinatorNotAvailable);
  EXPECT_EQ(delete_groups({"g"}).at(0).error, ErrorCode::kCoordinatorNotAvailable);
  EXPECT_EQ(state("g"), "Empty");
  EXPECT_EQ(fetch("g", "orders").offset, 1);
}

TEST_F(OffsetsTest, AGroupBeingDeletedTakesNothingNew) {
  commit("g", -1, "", "orders", 1);
  log->mode = FakeStateLog::Mode::held;
  testing::Answer<std::vector<DeletedGroup>> deleted;
  coordinator->delete_groups({"g"}, executor, deleted.callback());
  EXPECT_EQ(commit("g", -1, "", "orders", 2), ErrorCode::kCoordinatorNotAvailable);
  EXPECT_EQ(join(join_request("g"))->error, ErrorCode::kCoordinatorNotAvailable);
  log->release();
  run();
  EXPECT_EQ(deleted->at(0).error, ErrorCode::kNone);
  log->mode = FakeStateLog::Mode::immediate;
  EXPECT_EQ(commit("g", -1, "", "orders", 2), ErrorCode::kNone);
}

// --- expiry ---

TEST_F(OffsetsTest, OffsetsOfSimpleConsumersExpireAfterTheirCommit) {
  commit("g", -1, "", "orders", 1);
  pass_days(6);
  commit("g", -1, "", "returns", 1);
  pass_days(2);
  EXPECT_EQ(fetch("g", "orders").offset, -1);
  EXPECT_EQ(fetch("g", "returns").offset, 1);
  pass_days(6);
  EXPECT_EQ(state("g"), "Dead") << "without offsets there is no group";
  EXPECT_EQ(coordinator->metrics().offsets_expired, 2u);
  restart();
  EXPECT_EQ(coordinator->metrics().groups, 0u);
}

TEST_F(OffsetsTest, OffsetsOfGroupsExpireAfterTheLastMemberLeft) {
  JoinRequest request = join_request("g");
  request.session_timeout_ms = 1'800'000;
  auto joined = join(request);
  pass_ms(3'200);
  const std::string member = joined->member_id;
  sync("g", 1, member, {});
  commit("g", 1, member, "orders", 1);
  for (int64_t left_ms = 8 * kDayMs; left_ms > 0; left_ms -= 1'700'000) {
    clock.advance_ms(1'700'000);
    coordinator->tick();
    ASSERT_EQ(heartbeat("g", 1, member), ErrorCode::kNone);
  }
  run();
  EXPECT_EQ(fetch("g", "orders").offset, 1) << "a group with members keeps them";
  leave("g", member);
  pass_days(6);
  restart();
  EXPECT_EQ(fetch("g", "orders").offset, 1);
  pass_days(2);
  EXPECT_EQ(fetch("g", "orders").offset, -1) << "the time without members counts through a restart";
  EXPECT_EQ(state("g"), "Dead");
}

TEST_F(OffsetsTest, ActiveGroupsKeepOffsetsOfSubscribedTopicsOnly) {
  options.offsets_retention_ms = 60'000;
  options.offsets_retention_check_interval_ms = 10'000;
  start();
  const std::string member = stable_member("g");
  commit("g", 1, member, "orders", 1);
  commit("g", 1, member, "returns", 2);
  for (int i = 0; i < 16; ++i) {
    pass_ms(5'000);
    ASSERT_EQ(heartbeat("g", 1, member), ErrorCode::kNone);
  }
  EXPECT_EQ(fetch("g", "orders").offset, 1);
  EXPECT_EQ(fetch("g", "returns").offset, -1);
  EXPECT_EQ(state("g"), "Stable");
}

TEST_F(OffsetsTest, OlderClientsAskForTheirOwnRetention) {
  CommitRequest request = commit_request("g", -1, "", "orders", 1);
  request.retention_time_ms = kDayMs;
  commit_async(request);
  request = commit_request("g", -1, "", "returns", 1);
  request.retention_time_ms = std::numeric_limits<int64_t>::max();
  commit_async(request);
  pass_days(2);
  EXPECT_EQ(fetch("g", "orders").offset, -1);
  pass_days(20);
  EXPECT_EQ(fetch("g", "returns").offset, 1);
}

TEST_F(OffsetsTest, ExpiryNeverTakesACommitUnderWay) {
  options.offsets_retention_ms = 60'000;
  options.offsets_retention_check_interval_ms = 10'000;
  start();
  commit("g", -1, "", "orders", 1);
  pass_ms(55'000);
  log->mode = FakeStateLog::Mode::held;
  auto answer = commit_async(commit_request("g", -1, "", "orders", 2));
  pass_ms(20'000);
  log->release();
  run();
  log->mode = FakeStateLog::Mode::immediate;
  pass_ms(20'000);
  EXPECT_EQ(fetch("g", "orders").offset, 2);
}

TEST_F(OffsetsTest, EmptyGroupsWithoutOffsetsGo) {
  leave("g", stable_member("g"));
  EXPECT_EQ(state("g"), "Empty");
  pass_ms(options.offsets_retention_check_interval_ms + 200);
  EXPECT_EQ(state("g"), "Dead");
}

}  // namespace
}  // namespace sluice::group
