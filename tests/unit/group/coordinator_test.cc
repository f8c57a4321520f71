// SPDX-License-Identifier: Apache-2.0
// Shards: loading, failing, stopping, restarts, and what happens while a record is on its way to the log.
#include "group/coordinator.hpp"

#include <chrono>
#include <set>
#include <thread>
#include <utility>

#include "support.hpp"

namespace sluice::group {
namespace {

using testing::CoordinatorTest;
using testing::FakeStateLog;
using testing::join_request;
using testing::static_join;
using testing::topic_id;

class GroupCoordinatorTest : public CoordinatorTest {
 protected:
  GroupCoordinatorTest() { start(); }
};

TEST(ShardOfTest, AsJavaHashes) {
  EXPECT_EQ(shard_of("", 50), 0u);
  EXPECT_EQ(shard_of("abc", 1'000'000), 96'354u);
  EXPECT_EQ(shard_of("polygenelubricants", 7), 0u) << "hash code -2147483648";
  EXPECT_EQ(shard_of("test-group", 1'000'000'000), 627'841'412u);
  EXPECT_EQ(shard_of("\xc3\xa9", 1'000'000), 0xe9u) << "one UTF-16 unit";
  EXPECT_EQ(shard_of("\xf0\x9f\x98\x80", 1'000'000'000), (0xd83du * 31 + 0xde00u) % 1'000'000'000);
  EXPECT_EQ(shard_of("\xff", 1'000'000), 0xfffdu) << "not UTF-8: as Java would read it";
}

TEST(RandomMemberSuffixTest, IsAUuid) {
  std::set<std::string> seen;
  for (int i = 0; i < 1'000; ++i) {
    const std::string id = random_member_suffix();
    ASSERT_EQ(id.size(), 36u);
    EXPECT_EQ(id[14], '4');
    EXPECT_TRUE(seen.insert(id).second);
  }
}

TEST_F(GroupCoordinatorTest, UntilLoadedEverythingIsRefused) {
  GroupCoordinator cold(options, 1, clock, executor);
  testing::Answer<JoinResult> joined;
  cold.join_group(join_request("g"), executor, joined.callback());
  testing::Answer<SyncResult> synced;
  cold.sync_group({"g", 1, "m", {}, {}, {}, {}}, executor, synced.callback());
  testing::Answer<CommitResult> committed;
  cold.commit_offsets(commit_request("g", -1, "", "orders", 1), executor, committed.callback());
  testing::Answer<std::vector<DeletedGroup>> deleted;
  cold.delete_groups({"g"}, executor, deleted.callback());
  testing::Answer<OffsetDeleteResult> offsets_deleted;
  cold.delete_offsets({"g", {}}, executor, offsets_deleted.callback());
  run();
  constexpr ErrorCode kLoading = ErrorCode::kCoordinatorLoadInProgress;
  EXPECT_EQ(joined->error, kLoading);
  EXPECT_EQ(synced->error, kLoading);
  EXPECT_EQ(committed->topics[0].partitions[0].error, kLoading);
  EXPECT_EQ(deleted->at(0).error, kLoading);
  EXPECT_EQ(offsets_deleted->error, kLoading);
  EXPECT_EQ(cold.heartbeat({"g", 1, "m", {}}), kLoading);
  EXPECT_EQ(cold.leave_group({"g", {{"m", {}, ""}}}).error, kLoading);
  EXPECT_EQ(cold.fetch_offsets({"g", {}, -1, {}, false}).error, kLoading);
  EXPECT_EQ(cold.describe_group("g").error, kLoading);
  EXPECT_EQ(cold.list_groups({}).error, kLoading);
  EXPECT_EQ(cold.tick(), GroupCoordinator::kNoDeadline);
}

TEST_F(GroupCoordinatorTest, ALogThatFailsAnswersEverythingThatWaits) {
  auto joined = join(join_request("g"));
  log->mode = FakeStateLog::Mode::held;
  auto committed = commit_async(commit_request("h", -1, "", "orders", 1));
  coordinator->shard_unavailable(0);
  run();
  EXPECT_EQ(joined->error, ErrorCode::kCoordinatorNotAvailable);
  EXPECT_EQ(heartbeat("g", 1, "m"), ErrorCode::kCoordinatorNotAvailable);
  EXPECT_FALSE(committed.has()) << "the log has it: the log decides";
  log->refuse(Status(StatusCode::unavailable, "test"));
  run();
  EXPECT_EQ(committed->topics[0].partitions[0].error, ErrorCode::kCoordinatorNotAvailable);
  log->mode = FakeStateLog::Mode::immediate;
  coordinator->shard_loaded(0, *log);
  EXPECT_FALSE(join(join_request("g")).has());
}

TEST_F(GroupCoordinatorTest, StoppingAnswersEverythingAndMayBeRepeated) {
  auto joined = join(join_request("g"));
  coordinator->stop();
  coordinator->stop();
  run();
  EXPECT_EQ(joined->error, ErrorCode::kCoordinatorNotAvailable);
  EXPECT_EQ(join(join_request("g"))->error, ErrorCode::kCoordinatorNotAvailable);
  coordinator->shard_loaded(0, *log);
  EXPECT_EQ(heartbeat("g", 1, "m"), ErrorCode::kCoordinatorNotAvailable);
}

TEST_F(GroupCoordinatorTest, AResetTakesAShardOutOfService) {
  auto joined = join(join_request("g"));
  coordinator->machine(0).reset();
  run();
  EXPECT_EQ(joined->error, ErrorCode::kNotCoordinator);
  EXPECT_EQ(heartbeat("g", 1, "m"), ErrorCode::kCoordinatorLoadInProgress);
}

TEST_F(GroupCoordinatorTest, RecordsThatCannotBeReadStopTheReplay) {
  EXPECT_FALSE(coordinator->machine(0).apply("\x07\x00what is this", 0, 0).ok());
}

// --- restarts ---

TEST_F(GroupCoordinatorTest, MembersGoOnAfterARestart) {
  for (const bool through_snapshot : {false, true}) {
    const std::string group = through_snapshot ? "snapshot" : "log";
    const Pair pair = stable_pair(group, true);
    EXPECT_EQ(commit(group, 1, pair.leader, "orders", 42), ErrorCode::kNone);
    restart(through_snapshot);
    EXPECT_EQ(state(group), "Stable");
    EXPECT_EQ(heartbeat(group, 1, pair.leader, "i1"), ErrorCode::kNone);
    EXPECT_EQ(sync(group, 1, pair.follower, {}, "i2")->assignment, "second");
    EXPECT_EQ(commit(group, 1, pair.follower, "orders", 43), ErrorCode::kNone);
    EXPECT_EQ(fetch(group, "orders").offset, 43);
    EXPECT_EQ(join(static_join(group, "i2"))->generation_id, 1) << "static members are still known";
    EXPECT_EQ(join(static_join(group, "i1", pair.leader)).has(), false) << "and so is who leads";
  }
}

TEST_F(GroupCoordinatorTest, AnUnchangedFollowerThatJoinsAfterARestartIsRecognised) {
  const Pair pair = stable_pair("g");
  restart();
  EXPECT_EQ(join(join_request("g", pair.follower))->generation_id, 1);
}

TEST_F(GroupCoordinatorTest, SessionsStartAnewAtARestart) {
  const std::string member = stable_member("g");
  pass_ms(9'000);
  restart();
  pass_ms(9'000);
  EXPECT_EQ(heartbeat("g", 1, member), ErrorCode::kNone);
  pass_ms(10'200);
  EXPECT_EQ(heartbeat("g", 1, member), ErrorCode::kUnknownMemberId);
  EXPECT_EQ(state("g"), "Empty");
}

TEST_F(GroupCoordinatorTest, GenerationsOnlyRiseThroughRestarts) {
  leave("g", stable_member("g"));
  restart();
  EXPECT_EQ(state("g"), "Empty");
  auto joined = join(join_request("g"));
  pass_ms(3'200);
  EXPECT_EQ(joined->generation_id, 3);
}

TEST_F(GroupCoordinatorTest, AGroupAboveALoweredLimitRebalances) {
  stable_pair("g");
  options.group_max_size = 1;
  restart();
  EXPECT_EQ(state("g"), "PreparingRebalance");
}

// --- records under way ---

TEST_F(GroupCoordinatorTest, SyncIsAnsweredWhenTheAssignmentIsDurable) {
  auto a = join(join_request("g"));
  auto b = join(join_request("g"));
  pass_ms(7'000);
  log->mode = FakeStateLog::Mode::held;
  auto leader = sync("g", 1, a->member_id, {{a->member_id, "A"}, {b->member_id, "B"}});
  auto follower = sync("g", 1, b->member_id);
  EXPECT_FALSE(leader.has() || follower.has());
  EXPECT_EQ(state("g"), "CompletingRebalance");
  auto again = sync("g", 1, a->member_id, {{a->member_id, "changed its mind"}});
  EXPECT_EQ(leader->error, ErrorCode::kRebalanceInProgress) << "a later sync took its place";
  EXPECT_EQ(log->held(), 1u) << "the first assignment stands";
  log->release();
  run();
  EXPECT_EQ(again->assignment, "A");
  EXPECT_EQ(follower->assignment, "B");
}

TEST_F(GroupCoordinatorTest, AnAssignmentThatCannotBeStoredStartsAnotherRebalance) {
  auto a = join(join_request("g"));
  pass_ms(3'200);
  log->mode = FakeStateLog::Mode::failing;
  log->failure = Status(StatusCode::too_large, "test");
  EXPECT_EQ(sync("g", 1, a->member_id, {{a->member_id, "A"}})->error, ErrorCode::kUnknownServerError);
  EXPECT_EQ(state("g"), "PreparingRebalance");
  log->failure = Status(StatusCode::unavailable, "test");
  EXPECT_EQ(join(join_request("g", a->member_id))->generation_id, 2);
  EXPECT_EQ(sync("g", 2, a->member_id, {})->error, ErrorCode::kCoordinatorNotAvailable);
  log->mode = FakeStateLog::Mode::immediate;
  EXPECT_EQ(join(join_request("g", a->member_id))->generation_id, 3);
  EXPECT_EQ(sync("g", 3, a->member_id, {{a->member_id, "A"}})->assignment, "A");
}

TEST_F(GroupCoordinatorTest, ARebalanceOvertakesAnAssignmentUnderWay) {
  auto a = join(join_request("g"));
  pass_ms(3'200);
  log->mode = FakeStateLog::Mode::held;
  auto leader = sync("g", 1, a->member_id, {{a->member_id, "A"}});
  auto b = join(join_request("g"));
  EXPECT_EQ(leader->error, ErrorCode::kRebalanceInProgress);
  log->release();
  run();
  EXPECT_EQ(state("g"), "PreparingRebalance") << "the record of generation 1 changes nothing any more";
  EXPECT_EQ(join(join_request("g", a->member_id))->generation_id, 2);
}

TEST_F(GroupCoordinatorTest, AnOldGenerationsRecordDoesNotAnswerTheNewOne) {
  auto a = join(join_request("g"));
  pass_ms(3'200);
  log->mode = FakeStateLog::Mode::held;
  sync("g", 1, a->member_id, {{a->member_id, "old"}});
  auto b = join(join_request("g"));
  EXPECT_EQ(join(join_request("g", a->member_id))->generation_id, 2);
  auto follower = sync("g", 2, b->member_id);
  log->release();
  run();
  EXPECT_FALSE(follower.has());
  EXPECT_EQ(state("g"), "CompletingRebalance");
  auto leader = sync("g", 2, a->member_id, {{b->member_id, "new"}});
  log->release();
  run();
  EXPECT_EQ(follower->assignment, "new");
  EXPECT_EQ(leader->assignment, "");
}

TEST_F(GroupCoordinatorTest, AStaticMembersNewIdIsDurableBeforeItIsTold) {
  const Pair pair = stable_pair("g", true);
  log->mode = FakeStateLog::Mode::held;
  auto back = join(static_join("g", "i2"));
  EXPECT_FALSE(back.has());
  log->release();
  run();
  const std::string member = back->member_id;
  restart();
  EXPECT_EQ(heartbeat("g", 1, member, "i2"), ErrorCode::kNone);
  EXPECT_EQ(heartbeat("g", 1, pair.follower, "i2"), ErrorCode::kFencedInstanceId);
}

TEST_F(GroupCoordinatorTest, AStaticMembersNewIdThatCannotBeStoredIsTakenBack) {
  const Pair pair = stable_pair("g", true);
  log->mode = FakeStateLog::Mode::failing;
  EXPECT_EQ(join(static_join("g", "i1"))->error, ErrorCode::kCoordinatorNotAvailable);
  EXPECT_EQ(heartbeat("g", 1, pair.leader, "i1"), ErrorCode::kNone);
  log->mode = FakeStateLog::Mode::immediate;
  auto back = join(static_join("g", "i1"));
  EXPECT_EQ(back->leader, pair.leader);
}

TEST_F(GroupCoordinatorTest, ARebalanceOvertakesAStaticMembersReturn) {
  const Pair pair = stable_pair("g", true);
  log->mode = FakeStateLog::Mode::held;
  auto back = join(static_join("g", "i2"));
  auto leader = join(static_join("g", "i1", pair.leader));
  EXPECT_EQ(back->generation_id, 2) << "both are there: no need to wait";
  EXPECT_EQ(leader->generation_id, 2);
  log->refuse(Status(StatusCode::unavailable, "test"));
  run();
  EXPECT_EQ(heartbeat("g", 2, back->member_id, "i2"), ErrorCode::kNone);
}

/// While its first append is still on the way in, another thread commits as well.
class OvertakenLog final : public storage::StateLog {
 public:
  OvertakenLog(storage::StateLog& target, UniqueFunction<void()> overtake)
      : target_(target), overtake_(std::move(overtake)) {}
  void append(std::vector<std::string> records, Executor& executor, UniqueFunction<void(Status)> done) override {
    if (overtake_) std::thread(std::exchange(overtake_, nullptr)).join();
    target_.append(std::move(records), executor, std::move(done));
  }

 private:
  storage::StateLog& target_;
  UniqueFunction<void()> overtake_;
};

TEST_F(GroupCoordinatorTest, RecordsReachTheLogInTheOrderOfTheirDecisions) {
  testing::Answer<CommitResult> second;
  OvertakenLog overtaken(*log, [&] {
    coordinator->commit_offsets(commit_request("g", -1, "", "orders", 2), executor, second.callback());
  });
  coordinator->shard_loaded(0, overtaken);
  EXPECT_EQ(commit("g", -1, "", "orders", 1), ErrorCode::kNone);
  EXPECT_TRUE(second.has());
  EXPECT_EQ(fetch("g", "orders").offset, 2) << "committed later: it stays";
  coordinator->stop();
}

TEST_F(GroupCoordinatorTest, S16_CallbacksMayCallTheCoordinator) {
  testing::Answer<JoinResult> joined;
  coordinator->join_group(join_request("g"), executor, [&](JoinResult result) {
    coordinator->heartbeat({"g", result.generation_id, result.member_id, {}});
    coordinator->list_groups({});
    coordinator->metrics();
    coordinator->tick();
    coordinator->leave_group({"g", {{result.member_id, {}, ""}}});
    coordinator->delete_groups({"g"}, executor, [&](std::vector<DeletedGroup>) { coordinator->stop(); });
    joined.callback()(std::move(result));
  });
  pass_ms(3'200);
  EXPECT_TRUE(joined.has());
  EXPECT_EQ(heartbeat("g", 1, "m"), ErrorCode::kCoordinatorNotAvailable);
}

TEST_F(GroupCoordinatorTest, TickSaysWhenToComeBack) {
  EXPECT_EQ(coordinator->tick(), GroupCoordinator::kNoDeadline);
  const int64_t at = clock.monotonic_ms();
  join(join_request("g"));
  EXPECT_EQ(coordinator->tick(), at + 3'000);
}

TEST_F(GroupCoordinatorTest, ManyGroupsCostNothingWhileNothingIsDue) {
  for (int i = 0; i < 10'000; ++i) {
    coordinator->commit_offsets(commit_request("g" + std::to_string(i), -1, "", "orders", i), executor,
                                [](const CommitResult&) {});
  }
  run();
  EXPECT_EQ(coordinator->metrics().groups, 10'000u);
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 100'000; ++i) coordinator->tick();
  const auto took = std::chrono::steady_clock::now() - begin;
  EXPECT_LT(took, std::chrono::seconds(5)) << "100,000 ticks; a scan each would take minutes";
}

TEST_F(GroupCoordinatorTest, GroupsSpreadOverShards) {
  GroupCoordinator several(options, 4, clock, executor);
  std::vector<std::unique_ptr<FakeStateLog>> logs;
  for (size_t i = 0; i < several.shard_count(); ++i) {
    logs.push_back(std::make_unique<FakeStateLog>(several.machine(i)));
    if (i != 3) several.shard_loaded(i, *logs.back());
  }
  std::vector<std::string> ids;
  for (int i = 0; i < 40; ++i) {
    ids.push_back("g" + std::to_string(i));
    several.commit_offsets(commit_request(ids.back(), -1, "", "orders", i), executor, [](const CommitResult&) {});
  }
  run();
  const ListResult listed = several.list_groups({});
  EXPECT_EQ(listed.error, ErrorCode::kCoordinatorLoadInProgress);
  EXPECT_GT(listed.groups.size(), 20u);
  EXPECT_LT(listed.groups.size(), 40u);
  testing::Answer<std::vector<DeletedGroup>> deleted;
  several.delete_groups(ids, executor, deleted.callback());
  run();
  ASSERT_EQ(deleted->size(), 40u);
  for (size_t i = 0; i < ids.size(); ++i) {
    EXPECT_EQ(deleted->at(i).group_id, ids[i]);
    EXPECT_EQ(deleted->at(i).error,
              shard_of(ids[i], 4) == 3 ? ErrorCode::kCoordinatorLoadInProgress : ErrorCode::kNone);
  }
  several.stop();
}

}  // namespace
}  // namespace sluice::group
