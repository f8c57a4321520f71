// SPDX-License-Identifier: Apache-2.0
// Membership: the classic protocol, event by event.
#include "group/group.hpp"

#include "support.hpp"

namespace sluice::group {
namespace {

using testing::CoordinatorTest;
using testing::join_request;
using testing::static_join;
using testing::subscription;

class GroupTest : public CoordinatorTest {
 protected:
  GroupTest() { start(); }
};

// --- joining ---

TEST_F(GroupTest, FirstJoinOfNewClientsOnlyGetsAMemberId) {
  JoinRequest request = join_request("g");
  request.require_known_member_id = true;
  auto first = join(request);
  EXPECT_EQ(first->error, ErrorCode::kMemberIdRequired);
  EXPECT_EQ(first->member_id, "client-id1");
  request.member_id = first->member_id;
  auto second = join(request);
  EXPECT_FALSE(second.has());
  pass_ms(3'200);
  EXPECT_EQ(second->error, ErrorCode::kNone);
  EXPECT_EQ(second->member_id, "client-id1");
}

TEST_F(GroupTest, AnIdThatIsNotUsedInTimeIsForgotten) {
  JoinRequest request = join_request("g");
  request.require_known_member_id = true;
  request.member_id = join(request)->member_id;
  pass_ms(10'100);
  EXPECT_EQ(join(request)->error, ErrorCode::kUnknownMemberId);
  EXPECT_EQ(coordinator->metrics().groups, 0u) << "a group that never had a member leaves nothing behind";
}

TEST_F(GroupTest, APromisedMemberHoldsUpTheRebalanceUntilItLeavesOrExpires) {
  const std::string member = stable_member("g");
  JoinRequest promised = join_request("g");
  promised.require_known_member_id = true;
  promised.member_id = join(promised)->member_id;
  auto rejoined = join(join_request("g", member));
  EXPECT_FALSE(rejoined.has());
  EXPECT_EQ(leave("g", promised.member_id), ErrorCode::kNone);
  EXPECT_EQ(rejoined->generation_id, 2);
}

TEST_F(GroupTest, StaticMembersNeedNoSecondJoin) {
  JoinRequest request = static_join("g", "i1");
  request.require_known_member_id = true;
  auto joined = join(request);
  pass_ms(3'200);
  EXPECT_EQ(joined->error, ErrorCode::kNone);
  EXPECT_EQ(joined->member_id, "i1-id1");
}

TEST_F(GroupTest, JoinsAreCheckedBeforeAnythingElse) {
  EXPECT_EQ(join(join_request(""))->error, ErrorCode::kInvalidGroupId);
  JoinRequest request = join_request("g");
  request.session_timeout_ms = 5'999;
  EXPECT_EQ(join(request)->error, ErrorCode::kInvalidSessionTimeout);
  request.session_timeout_ms = 1'800'001;
  EXPECT_EQ(join(request)->error, ErrorCode::kInvalidSessionTimeout);
  EXPECT_EQ(join(join_request("g", "nobody"))->error, ErrorCode::kUnknownMemberId);
  request = join_request("g");
  request.protocol_type = "";
  EXPECT_EQ(join(request)->error, ErrorCode::kInconsistentGroupProtocol);
  request = join_request("g");
  request.protocols.clear();
  EXPECT_EQ(join(request)->error, ErrorCode::kInconsistentGroupProtocol);
  EXPECT_EQ(coordinator->metrics().groups, 0u);
}

TEST_F(GroupTest, TheInitialDelayGrowsWhileMembersJoin) {
  auto a = join(join_request("g"));
  pass_ms(2'000);
  auto b = join(join_request("g"));
  pass_ms(2'000);
  EXPECT_FALSE(a.has()) << "somebody joined in the first round: there is a second";
  pass_ms(2'200);
  EXPECT_EQ(a->generation_id, 1);
  EXPECT_EQ(b->generation_id, 1);
  EXPECT_EQ(a->leader, b->leader);
  EXPECT_EQ(a->members.size(), 2u) << "the leader gets the members";
  EXPECT_TRUE(b->members.empty()) << "nobody else does";
  EXPECT_EQ(state("g"), "CompletingRebalance");
}

TEST_F(GroupTest, TheInitialDelayEndsWithTheRebalanceTimeout) {
  JoinRequest request = join_request("g");
  request.rebalance_timeout_ms = 7'000;
  auto first = join(request);
  for (int i = 0; i < 6; ++i) {
    pass_ms(1'000);
    join(request);
  }
  EXPECT_FALSE(first.has());
  pass_ms(4'000);
  EXPECT_TRUE(first.has());
}

TEST_F(GroupTest, WithoutInitialDelayTheFirstMemberStartsAtOnce) {
  options.group_initial_rebalance_delay_ms = 0;
  start();
  EXPECT_EQ(join(join_request("g"))->generation_id, 1);
}

TEST_F(GroupTest, TheProtocolIsVotedForAmongThoseThatAllSupport) {
  JoinRequest request = join_request("g");
  request.protocols = {{"a", "1"}, {"b", "2"}, {"c", "3"}};
  auto first = join(request);
  request.protocols = {{"c", "4"}, {"b", "5"}};
  auto second = join(request);
  request.protocols = {{"b", "6"}, {"c", "7"}};
  auto third = join(request);
  pass_ms(10'000);
  EXPECT_EQ(first->protocol_name, "b") << "two of three prefer b once a is out";
  EXPECT_EQ(first->protocol_type, "consumer");
  EXPECT_EQ(first->members.at(0).metadata, "2");
  EXPECT_TRUE(second.has() && third.has());
}

TEST_F(GroupTest, AMemberWithNothingInCommonIsRefused) {
  join(join_request("g"));
  JoinRequest request = join_request("g");
  request.protocols = {{"roundrobin", ""}};
  EXPECT_EQ(join(request)->error, ErrorCode::kInconsistentGroupProtocol);
  request = join_request("g");
  request.protocol_type = "connect";
  EXPECT_EQ(join(request)->error, ErrorCode::kInconsistentGroupProtocol);
}

TEST_F(GroupTest, GroupsHaveAGreatestSize) {
  options.group_max_size = 2;
  start();
  auto a = join(join_request("g"));
  auto b = join(join_request("g"));
  EXPECT_EQ(join(join_request("g"))->error, ErrorCode::kGroupMaxSizeReached);
  pass_ms(7'000);
  EXPECT_EQ(a->error, ErrorCode::kNone);
  EXPECT_EQ(join(join_request("g"))->error, ErrorCode::kGroupMaxSizeReached) << "in CompletingRebalance too";
}

TEST_F(GroupTest, PromisedMembersAreLimited) {
  options.max_pending_members = 1;
  start();
  JoinRequest request = join_request("g");
  request.require_known_member_id = true;
  EXPECT_EQ(join(request)->error, ErrorCode::kMemberIdRequired);
  EXPECT_EQ(join(request)->error, ErrorCode::kGroupMaxSizeReached);
}

// --- rebalances ---

TEST_F(GroupTest, ANewMemberStartsARebalanceAndTheGenerationRises) {
  const std::string member = stable_member("g");
  auto joined = join(join_request("g"));
  EXPECT_FALSE(joined.has());
  EXPECT_EQ(state("g"), "PreparingRebalance");
  EXPECT_EQ(heartbeat("g", 1, member), ErrorCode::kRebalanceInProgress);
  auto rejoined = join(join_request("g", member));
  EXPECT_EQ(rejoined->generation_id, 2);
  EXPECT_EQ(joined->generation_id, 2);
  EXPECT_EQ(joined->leader, member) << "the leader stays";
}

TEST_F(GroupTest, HeartbeatsDuringARebalanceKeepTheSession) {
  const std::string member = stable_member("g");
  auto joined = join(join_request("g"));
  for (int i = 0; i < 10; ++i) {
    pass_ms(5'000);
    EXPECT_EQ(heartbeat("g", 1, member), ErrorCode::kRebalanceInProgress);
  }
  EXPECT_FALSE(joined.has()) << "50 of 60 seconds, and the old member lives";
  pass_ms(10'200);
  EXPECT_EQ(joined->generation_id, 2) << "it did not join again in time";
  EXPECT_EQ(joined->leader, joined->member_id);
  EXPECT_EQ(heartbeat("g", 1, member), ErrorCode::kUnknownMemberId);
}

TEST_F(GroupTest, AMemberThatExpiresMidRebalanceLetsItComplete) {
  stable_member("g");
  auto joined = join(join_request("g"));
  pass_ms(10'200);
  EXPECT_EQ(joined->generation_id, 2);
  EXPECT_EQ(joined->members.size(), 1u);
}

TEST_F(GroupTest, TheRebalanceTimeoutIsTheLongestOfTheMembers) {
  JoinRequest patient = join_request("g");
  patient.rebalance_timeout_ms = 20'000;
  patient.session_timeout_ms = 30'000;
  auto a = join(patient);
  pass_ms(3'200);
  sync("g", 1, a->member_id, {{a->member_id, ""}});
  JoinRequest hasty = join_request("g");
  hasty.rebalance_timeout_ms = 1'000;
  auto b = join(hasty);
  pass_ms(19'000);
  EXPECT_FALSE(b.has());
  pass_ms(1'200);
  EXPECT_TRUE(b.has());
}

TEST_F(GroupTest, AFollowerThatJoinsAgainUnchangedGetsTheSameAnswer) {
  const Pair pair = stable_pair("g");
  auto again = join(join_request("g", pair.follower));
  EXPECT_EQ(again->generation_id, 1);
  EXPECT_EQ(again->leader, pair.leader);
  EXPECT_TRUE(again->members.empty());
  EXPECT_EQ(state("g"), "Stable");
}

TEST_F(GroupTest, TheLeaderOrAChangedFollowerThatJoinsAgainStartsARebalance) {
  const Pair pair = stable_pair("g");
  JoinRequest changed = join_request("g", pair.follower);
  changed.protocols[0].metadata = subscription({"orders", "returns"});
  auto follower = join(changed);
  EXPECT_EQ(state("g"), "PreparingRebalance");
  auto leader = join(join_request("g", pair.leader));
  EXPECT_EQ(leader->generation_id, 2);
  sync("g", 2, pair.follower);
  sync("g", 2, pair.leader, {});
  EXPECT_EQ(state("g"), "Stable");
  EXPECT_FALSE(join(join_request("g", pair.leader)).has());
  EXPECT_EQ(state("g"), "PreparingRebalance");
}

TEST_F(GroupTest, AMemberThatLostItsJoinAnswerGetsItAgainWhileOthersSync) {
  auto a = join(join_request("g"));
  pass_ms(3'200);
  auto again = join(join_request("g", a->member_id));
  EXPECT_EQ(again->generation_id, 1);
  EXPECT_EQ(again->members.size(), 1u);
  JoinRequest changed = join_request("g", a->member_id);
  changed.protocols[0].metadata = "other";
  EXPECT_EQ(join(changed)->generation_id, 2);
}

TEST_F(GroupTest, ASecondJoinOfAWaitingMemberAnswersTheFirst) {
  const std::string member = stable_member("g");
  auto joined = join(join_request("g"));
  // The member waits for one that was promised, and asks once more on a new connection.
  JoinRequest promised = join_request("g");
  promised.require_known_member_id = true;
  join(promised);
  auto first = join(join_request("g", member));
  EXPECT_FALSE(first.has());
  auto second = join(join_request("g", member));
  EXPECT_EQ(first->error, ErrorCode::kRebalanceInProgress);
  EXPECT_FALSE(second.has());
  pass_ms(10'200);
  EXPECT_EQ(second->error, ErrorCode::kNone);
  EXPECT_TRUE(joined.has());
}

TEST_F(GroupTest, ANewMemberExpiresWhileItWaits) {
  options.new_member_join_timeout_ms = 20'000;
  start();
  const std::string member = stable_member("g");
  auto joined = join(join_request("g"));
  for (int i = 0; i < 5; ++i) {
    pass_ms(4'200);
    heartbeat("g", 1, member);
  }
  EXPECT_EQ(joined->error, ErrorCode::kUnknownMemberId);
}

// --- syncing ---

TEST_F(GroupTest, SyncIsCheckedAsKafkaDoes) {
  EXPECT_EQ(sync("", 1, "m")->error, ErrorCode::kInvalidGroupId);
  EXPECT_EQ(sync("none", 1, "m")->error, ErrorCode::kUnknownMemberId);
  const std::string member = stable_member("g");
  EXPECT_EQ(sync("g", 1, "m")->error, ErrorCode::kUnknownMemberId);
  EXPECT_EQ(sync("g", 7, member)->error, ErrorCode::kIllegalGeneration);
  EXPECT_EQ(sync("g", 1, member, {}, "i1")->error, ErrorCode::kUnknownMemberId);
  auto again = sync("g", 1, member);
  EXPECT_EQ(again->assignment, "all") << "in Stable the assignment is given again";
  EXPECT_EQ(again->protocol_type, "consumer");
  EXPECT_EQ(again->protocol_name, "range");
  join(join_request("g"));
  EXPECT_EQ(sync("g", 1, member)->error, ErrorCode::kRebalanceInProgress);
}

TEST_F(GroupTest, SyncWithAnotherProtocolIsRefused) {
  const std::string member = stable_member("g");
  const auto sync_as = [&](const char* type, const char* name) {
    SyncRequest request;
    request.group_id = "g";
    request.generation_id = 1;
    request.member_id = member;
    request.protocol_type = type;
    request.protocol_name = name;
    testing::Answer<SyncResult> answer;
    coordinator->sync_group(std::move(request), executor, answer.callback());
    run();
    return answer->error;
  };
  EXPECT_EQ(sync_as("connect", "range"), ErrorCode::kInconsistentGroupProtocol);
  EXPECT_EQ(sync_as("consumer", "sticky"), ErrorCode::kInconsistentGroupProtocol);
  EXPECT_EQ(sync_as("consumer", "range"), ErrorCode::kNone);
}

TEST_F(GroupTest, MembersTheLeaderForgotGetAnEmptyAssignment) {
  auto a = join(join_request("g"));
  auto b = join(join_request("g"));
  pass_ms(7'000);
  auto follower = sync("g", 1, b->member_id);
  sync("g", 1, a->member_id, {{a->member_id, "x"}, {"stranger", "y"}});
  EXPECT_EQ(follower->error, ErrorCode::kNone);
  EXPECT_EQ(follower->assignment, "");
}

TEST_F(GroupTest, MembersThatDoNotSyncInTimeAreDropped) {
  auto a = join(join_request("g"));
  auto b = join(join_request("g"));
  pass_ms(7'000);
  auto leader = sync("g", 1, a->member_id, {});
  EXPECT_EQ(leader->error, ErrorCode::kNone);
  for (int i = 0; i < 12; ++i) {
    pass_ms(5'000);
    heartbeat("g", 1, a->member_id);
    heartbeat("g", 1, b->member_id);
  }
  pass_ms(200);
  EXPECT_EQ(heartbeat("g", 1, b->member_id), ErrorCode::kUnknownMemberId);
  EXPECT_EQ(heartbeat("g", 1, a->member_id), ErrorCode::kRebalanceInProgress);
}

TEST_F(GroupTest, WhenTheLeaderIsLostTheFollowersSyncFailsAndAnotherLeads) {
  auto a = join(join_request("g"));
  auto b = join(join_request("g"));
  pass_ms(7'000);
  auto follower = sync("g", 1, b->member_id);
  pass_ms(10'200);  // the leader neither syncs nor sends heartbeats
  EXPECT_EQ(follower->error, ErrorCode::kRebalanceInProgress);
  auto rejoined = join(join_request("g", b->member_id));
  EXPECT_EQ(rejoined->generation_id, 2);
  EXPECT_EQ(rejoined->leader, b->member_id);
  EXPECT_EQ(heartbeat("g", 2, a->member_id), ErrorCode::kUnknownMemberId);
}

TEST_F(GroupTest, AMemberWaitingForItsAssignmentDoesNotExpire) {
  auto a = join(join_request("g"));
  auto b = join(join_request("g"));
  pass_ms(7'000);
  auto follower = sync("g", 1, b->member_id);
  for (int i = 0; i < 5; ++i) {
    pass_ms(5'000);
    EXPECT_EQ(heartbeat("g", 1, a->member_id), ErrorCode::kNone) << "CompletingRebalance takes heartbeats";
  }
  EXPECT_FALSE(follower.has());
  sync("g", 1, a->member_id, {{b->member_id, "late"}});
  EXPECT_EQ(follower->assignment, "late");
  pass_ms(9'000);
  EXPECT_EQ(heartbeat("g", 1, b->member_id), ErrorCode::kNone) << "its session started with the answer";
}

TEST_F(GroupTest, AMemberThatLeavesWhileItWaitsIsAnswered) {
  auto a = join(join_request("g"));
  auto b = join(join_request("g"));
  EXPECT_FALSE(b.has());
  pass_ms(7'000);
  auto follower = sync("g", 1, b->member_id);
  EXPECT_EQ(leave("g", b->member_id), ErrorCode::kNone);
  EXPECT_EQ(follower->error, ErrorCode::kUnknownMemberId);
  EXPECT_EQ(state("g"), "PreparingRebalance");
  EXPECT_EQ(join(join_request("g", a->member_id))->generation_id, 2);
}

// --- sessions, heartbeats, leaving ---

TEST_F(GroupTest, HeartbeatIsCheckedAsKafkaDoes) {
  EXPECT_EQ(heartbeat("", 1, "m"), ErrorCode::kInvalidGroupId);
  EXPECT_EQ(heartbeat("none", 1, "m"), ErrorCode::kUnknownMemberId);
  const std::string member = stable_member("g");
  EXPECT_EQ(heartbeat("g", 1, "m"), ErrorCode::kUnknownMemberId);
  EXPECT_EQ(heartbeat("g", 0, member), ErrorCode::kIllegalGeneration);
  EXPECT_EQ(heartbeat("g", 1, member), ErrorCode::kNone);
}

TEST_F(GroupTest, SessionsRunOut) {
  const Pair pair = stable_pair("g");
  pass_ms(9'000);
  EXPECT_EQ(heartbeat("g", 1, pair.leader), ErrorCode::kNone);
  pass_ms(1'200);
  EXPECT_EQ(heartbeat("g", 1, pair.follower), ErrorCode::kUnknownMemberId);
  EXPECT_EQ(heartbeat("g", 1, pair.leader), ErrorCode::kRebalanceInProgress);
  EXPECT_EQ(coordinator->metrics().members_expired, 1u);
}

TEST_F(GroupTest, TheLastMemberLeavesAnEmptyGroupOfAHigherGeneration) {
  const std::string member = stable_member("g");
  EXPECT_EQ(leave("g", member), ErrorCode::kNone);
  EXPECT_EQ(state("g"), "Empty");
  auto joined = join(join_request("g"));
  pass_ms(3'200);
  EXPECT_EQ(joined->generation_id, 3);
}

TEST_F(GroupTest, LeavingIsAnsweredForEachMember) {
  const Pair pair = stable_pair("g", true);
  const LeaveResult result = coordinator->leave_group(
      {"g", {{"", "i1", ""}, {pair.leader, "i2", ""}, {"", "i9", ""}, {"nobody", std::nullopt, ""}}});
  ASSERT_EQ(result.error, ErrorCode::kNone);
  ASSERT_EQ(result.members.size(), 4u);
  EXPECT_EQ(result.members[0].error, ErrorCode::kNone) << "by instance id alone";
  EXPECT_EQ(result.members[1].error, ErrorCode::kFencedInstanceId);
  EXPECT_EQ(result.members[2].error, ErrorCode::kUnknownMemberId);
  EXPECT_EQ(result.members[3].error, ErrorCode::kUnknownMemberId);
  EXPECT_EQ(state("g"), "PreparingRebalance");
  EXPECT_EQ(leave("none", "m"), ErrorCode::kUnknownMemberId);
  EXPECT_EQ(leave("", "m"), ErrorCode::kInvalidGroupId);
}

// --- static members ---

TEST_F(GroupTest, AStaticFollowerRestartsWithoutARebalance) {
  const Pair pair = stable_pair("g", true);
  auto back = join(static_join("g", "i2"));
  EXPECT_EQ(back->error, ErrorCode::kNone);
  EXPECT_EQ(back->generation_id, 1);
  EXPECT_NE(back->member_id, pair.follower);
  EXPECT_EQ(back->leader, pair.leader);
  EXPECT_EQ(state("g"), "Stable");
  EXPECT_EQ(sync("g", 1, back->member_id, {}, "i2")->assignment, "second");
  EXPECT_EQ(heartbeat("g", 1, pair.leader, "i1"), ErrorCode::kNone) << "others notice nothing";
  EXPECT_EQ(heartbeat("g", 1, pair.follower, "i2"), ErrorCode::kFencedInstanceId);
  EXPECT_EQ(sync("g", 1, pair.follower, {}, "i2")->error, ErrorCode::kFencedInstanceId);
  EXPECT_EQ(join(static_join("g", "i2", pair.follower))->error, ErrorCode::kFencedInstanceId);
  EXPECT_EQ(leave("g", pair.follower, "i2"), ErrorCode::kFencedInstanceId);
  EXPECT_EQ(commit("g", 1, pair.follower, "orders", 1), ErrorCode::kUnknownMemberId);
}

TEST_F(GroupTest, AStaticLeaderOfAnOlderClientComesBackAsAFollower) {
  const Pair pair = stable_pair("g", true);
  auto back = join(static_join("g", "i1"));
  EXPECT_EQ(back->leader, pair.leader) << "its former id, so that it assigns nothing";
  EXPECT_NE(back->member_id, pair.leader);
  EXPECT_TRUE(back->members.empty());
  EXPECT_FALSE(back->skip_assignment);
  EXPECT_EQ(state("g"), "Stable");
}

TEST_F(GroupTest, AStaticLeaderThatCanSkipAssignmentIsToldSo) {
  stable_pair("g", true);
  JoinRequest request = static_join("g", "i1");
  request.supports_skip_assignment = true;
  auto back = join(request);
  EXPECT_EQ(back->leader, back->member_id);
  EXPECT_TRUE(back->skip_assignment);
  EXPECT_EQ(back->members.size(), 2u);
  request = static_join("g", "i2");
  request.supports_skip_assignment = true;
  auto follower = join(request);
  EXPECT_FALSE(follower->skip_assignment);
  EXPECT_EQ(follower->leader, back->member_id);
  EXPECT_TRUE(follower->members.empty());
}

TEST_F(GroupTest, AStaticMemberThatChangesTheChosenProtocolStartsARebalance) {
  options.group_initial_rebalance_delay_ms = 0;
  start();
  JoinRequest request = static_join("g", "i1");
  request.protocols = {{"range", ""}, {"sticky", ""}};
  auto joined = join(request);
  sync("g", 1, joined->member_id, {});
  request.protocols = {{"sticky", ""}, {"range", ""}};
  auto back = join(request);
  EXPECT_EQ(back->generation_id, 2);
  EXPECT_EQ(back->protocol_name, "sticky");
}

TEST_F(GroupTest, AStaticMemberReplacedMidRebalanceIsFenced) {
  auto first = join(static_join("g", "i1"));
  auto second = join(static_join("g", "i1"));
  EXPECT_EQ(first->error, ErrorCode::kFencedInstanceId);
  pass_ms(7'000);
  EXPECT_EQ(second->generation_id, 1);
  auto third = join(static_join("g", "i1"));
  EXPECT_EQ(third->generation_id, 2) << "in CompletingRebalance the leader may have been told the old id";
}

TEST_F(GroupTest, AStaticMemberThatStaysAwayIsKeptUntilItsSessionEnds) {
  JoinRequest durable = static_join("g", "i1");
  durable.session_timeout_ms = 120'000;
  auto a = join(durable);
  auto b = join(join_request("g"));
  pass_ms(7'000);
  sync("g", 1, b->member_id);
  sync("g", 1, a->member_id, {}, "i1");
  JoinRequest changed = join_request("g", b->member_id);
  changed.protocols[0].metadata = "changed";
  auto rejoined = join(changed);
  pass_ms(60'200);
  ASSERT_TRUE(rejoined.has()) << "the rebalance timeout has passed";
  EXPECT_EQ(rejoined->members.size(), 2u) << "the static member still counts";
  EXPECT_EQ(rejoined->leader, b->member_id) << "but cannot lead";
}

TEST_F(GroupTest, AnUnknownInstanceIsAnUnknownMember) {
  const std::string member = stable_member("g");
  EXPECT_EQ(heartbeat("g", 1, member, "i9"), ErrorCode::kUnknownMemberId);
  EXPECT_EQ(join(static_join("g", "i9", member))->error, ErrorCode::kUnknownMemberId);
}

// --- showing groups ---

TEST_F(GroupTest, DescribeShowsMembersAndHidesProtocolsUnlessStable) {
  const Pair pair = stable_pair("g", true);
  DescribedGroup group = coordinator->describe_group("g");
  EXPECT_EQ(group.error, ErrorCode::kNone);
  EXPECT_EQ(group.protocol_type, "consumer");
  EXPECT_EQ(group.protocol_data, "range");
  ASSERT_EQ(group.members.size(), 2u);
  EXPECT_EQ(group.members[0].member_id, pair.leader);
  EXPECT_EQ(group.members[0].group_instance_id, "i1");
  EXPECT_EQ(group.members[0].client_id, "client");
  EXPECT_EQ(group.members[0].client_host, "/127.0.0.1");
  EXPECT_EQ(group.members[0].metadata, subscription({"orders"}));
  EXPECT_EQ(group.members[0].assignment, "first");
  join(join_request("g"));
  group = coordinator->describe_group("g");
  EXPECT_EQ(group.state, "PreparingRebalance");
  EXPECT_EQ(group.protocol_data, "");
  EXPECT_EQ(group.members[0].assignment, "");
}

TEST_F(GroupTest, AMissingGroupIsDescribedAsDead) {
  const DescribedGroup group = coordinator->describe_group("none");
  EXPECT_EQ(group.error, ErrorCode::kGroupIdNotFound);
  EXPECT_EQ(group.state, "Dead");
  EXPECT_EQ(group.error_message, "Group none not found.");
}

TEST_F(GroupTest, ListFiltersByStateAndType) {
  stable_member("stable");
  join(join_request("joining"));
  EXPECT_EQ(commit("simple", -1, "", "orders", 3), ErrorCode::kNone);
  const auto ids = [&](const ListRequest& request) {
    std::vector<std::string> found;
    for (const ListedGroup& group : coordinator->list_groups(request).groups) found.push_back(group.group_id);
    std::sort(found.begin(), found.end());
    return found;
  };
  using Ids = std::vector<std::string>;
  EXPECT_EQ(ids({}), (Ids{"joining", "simple", "stable"}));
  EXPECT_EQ(ids({{"stable"}, {}}), Ids{"stable"});
  EXPECT_EQ(ids({{"Empty", "preparingrebalance"}, {"Classic"}}), (Ids{"joining", "simple"}));
  EXPECT_EQ(ids({{}, {"consumer"}}), Ids{});
  EXPECT_EQ(ids({{"Nonsense"}, {}}), Ids{});
}

TEST_F(GroupTest, DeleteGroupsAnswersInOrder) {
  stable_member("busy");
  EXPECT_EQ(commit("idle", -1, "", "orders", 3), ErrorCode::kNone);
  const std::vector<DeletedGroup> deleted = delete_groups({"none", "busy", "idle", "idle"});
  ASSERT_EQ(deleted.size(), 4u);
  EXPECT_EQ(deleted[0].error, ErrorCode::kGroupIdNotFound);
  EXPECT_EQ(deleted[1].error, ErrorCode::kNonEmptyGroup);
  EXPECT_EQ(deleted[2].error, ErrorCode::kNone);
  EXPECT_EQ(deleted[3].group_id, "idle");
  EXPECT_EQ(deleted[3].error, ErrorCode::kGroupIdNotFound);
  EXPECT_EQ(fetch("idle", "orders").offset, -1);
  EXPECT_EQ(state("idle"), "Dead");
  EXPECT_TRUE(delete_groups({}).empty());
}

}  // namespace
}  // namespace sluice::group
