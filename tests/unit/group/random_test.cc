// SPDX-License-Identifier: Apache-2.0
// Random interleavings of clients, time, a slow and failing log, restarts and deletions. Whatever happens: every
// request is answered exactly once; acknowledged offsets never go back; the members of one generation agree; and a
// replay of the log, or of a snapshot, gives the state that the machine had.
#include <algorithm>
#include <map>
#include <random>

#include "group/durable_state.hpp"
#include "support.hpp"

namespace sluice::group {
namespace {

using testing::Answer;
using testing::CoordinatorTest;
using testing::FakeStateLog;
using testing::join_request;
using testing::topic_id;

class RandomTest : public CoordinatorTest, public ::testing::WithParamInterface<int> {
 protected:
  static constexpr int kGroups = 3;
  static constexpr int kClientsPerGroup = 4;
  static constexpr int kSteps = 2'000;

  struct Client {
    std::string group;
    std::optional<std::string> instance;
    std::string member_id;
    int32_t generation = -1;
    bool leads = false;
    std::vector<std::string> others;
    std::optional<Answer<JoinResult>> joining;
    std::optional<Answer<SyncResult>> syncing;
  };
  struct Commit {
    std::string group;
    int64_t offset;
    Answer<CommitResult> answer;
    bool is_counted = false;
  };

  RandomTest() : random_(static_cast<uint32_t>(GetParam())) {
    options.offsets_retention_check_interval_ms = 30'000;
    options.group_initial_rebalance_delay_ms = 500;
    for (int g = 0; g < kGroups; ++g) {
      for (int c = 0; c < kClientsPerGroup; ++c) {
        Client& client = clients_.emplace_back();
        client.group = "g" + std::to_string(g);
        if (c >= 2) client.instance = "i" + std::to_string(c);
      }
    }
    start();
  }

  uint32_t below(uint32_t n) { return static_cast<uint32_t>(random_() % n); }
  bool one_in(uint32_t n) { return below(n) == 0; }

  void begin_join(Client& client) {
    JoinRequest request = join_request(client.group, client.member_id);
    request.group_instance_id = client.instance;
    request.rebalance_timeout_ms = 15'000;
    request.require_known_member_id = one_in(2);
    request.supports_skip_assignment = one_in(2);
    if (one_in(5)) request.protocols[0].metadata += std::string(1, static_cast<char>('a' + below(3)));
    Answer<JoinResult> answer;
    joins_.push_back(answer);
    client.joining = answer;
    client.syncing.reset();
    coordinator->join_group(std::move(request), executor, answer.callback());
  }

  void begin_sync(Client& client) {
    SyncRequest request;
    request.group_id = client.group;
    request.generation_id = client.generation;
    request.member_id = client.member_id;
    request.group_instance_id = client.instance;
    if (client.leads) {
      for (const std::string& member : client.others) {
        request.assignments.push_back({member, member + "@" + std::to_string(client.generation)});
      }
    }
    Answer<SyncResult> answer;
    syncs_.push_back(answer);
    client.syncing = answer;
    coordinator->sync_group(std::move(request), executor, answer.callback());
  }

  void begin_commit(const Client& client) {
    const int64_t offset = ++last_offset_;
    CommitRequest request = commit_request(client.group, client.generation, client.member_id, "orders", offset);
    if (one_in(4)) {
      request.generation_id = -1;
      request.member_id.clear();
    }
    Answer<CommitResult> answer;
    commits_.push_back({client.group, offset, answer, false});
    coordinator->commit_offsets(std::move(request), executor, answer.callback());
  }

  void forget_membership(Client& client) {
    client.member_id.clear();
    client.generation = -1;
    client.joining.reset();
    client.syncing.reset();
  }

  /// A client takes note of what has been answered.
  void observe(Client& client) {
    if (client.joining && client.joining->has()) {
      const JoinResult result = client.joining->get();
      client.joining.reset();
      if (result.error == ErrorCode::kNone) {
        client.member_id = result.member_id;
        client.generation = result.generation_id;
        client.leads = result.leader == result.member_id;
        client.others.clear();
        for (const JoinedMember& member : result.members) client.others.push_back(member.member_id);
        EXPECT_GE(result.generation_id, 1);
        EXPECT_EQ(result.protocol_name, "range");
        EXPECT_EQ(client.leads, !result.members.empty());
      } else if (result.error == ErrorCode::kMemberIdRequired) {
        client.member_id = result.member_id;
      } else if (result.error != ErrorCode::kRebalanceInProgress) {
        forget_membership(client);
      }
    }
    if (client.syncing && client.syncing->has()) {
      const SyncResult result = client.syncing->get();
      client.syncing.reset();
      if (result.error == ErrorCode::kNone) {
        const std::string& assignment = result.assignment;
        const std::string expected = "@" + std::to_string(client.generation);
        EXPECT_TRUE(assignment.empty() || assignment.ends_with(expected)) << assignment << " in " << client.generation;
      }
    }
  }

  void check_offsets() {
    for (Commit& commit : commits_) {
      if (commit.is_counted || !commit.answer.has()) continue;
      commit.is_counted = true;
      if (commit.answer->topics[0].partitions[0].error == ErrorCode::kNone) {
        acknowledged_[commit.group] = std::max(acknowledged_[commit.group], commit.offset);
      }
    }
    for (const auto& [group, offset] : acknowledged_) {
      ASSERT_GE(fetch(group, "orders").offset, offset) << group;
    }
  }

  static std::vector<std::string> sorted(std::vector<std::string> records) {
    std::sort(records.begin(), records.end());
    return records;
  }

  void check_replay() {
    const std::vector<std::string> live = sorted(coordinator->machine(0).snapshot());
    DurableState replayed;
    for (const std::string& record : log->records()) ASSERT_TRUE(replayed.apply(record).ok());
    ASSERT_EQ(sorted(replayed.snapshot(options.max_record_bytes)), live);
    DurableState restored;
    for (const std::string& record : live) ASSERT_TRUE(restored.apply(record).ok());
    ASSERT_EQ(sorted(restored.snapshot(options.max_record_bytes)), live);
  }

  void restart_broker() {
    log->refuse(Status(StatusCode::unavailable, "killed"));
    run();
    // What Stable groups look like must not change; the others fall back to their last generation.
    std::map<std::string, DescribedGroup> before;
    for (int g = 0; g < kGroups; ++g) {
      DescribedGroup group = coordinator->describe_group("g" + std::to_string(g));
      if (group.state == "Stable") before[group.group_id] = std::move(group);
    }
    restart(one_in(2));
    for (const auto& [id, group] : before) {
      const DescribedGroup after = coordinator->describe_group(id);
      ASSERT_EQ(after.state, "Stable");
      ASSERT_EQ(after.members.size(), group.members.size());
      for (size_t i = 0; i < group.members.size(); ++i) {
        EXPECT_EQ(after.members[i].member_id, group.members[i].member_id);
        EXPECT_EQ(after.members[i].assignment, group.members[i].assignment);
      }
    }
    log->mode = FakeStateLog::Mode::immediate;
  }

  void step() {
    Client& client = clients_[below(static_cast<uint32_t>(clients_.size()))];
    switch (below(20)) {
      case 0:
      case 1:
      case 2:
      case 3:
        if (!client.joining || one_in(10)) begin_join(client);
        break;
      case 4:
      case 5:
      case 6:
      case 7:
        if (client.generation >= 0 && (!client.syncing || one_in(10))) begin_sync(client);
        break;
      case 8:
      case 9:
      case 10: {
        const ErrorCode error = heartbeat(client.group, client.generation, client.member_id, client.instance);
        if (error == ErrorCode::kUnknownMemberId || error == ErrorCode::kFencedInstanceId) forget_membership(client);
        break;
      }
      case 11:
      case 12:
        begin_commit(client);
        break;
      case 13:
        if (one_in(4)) {
          coordinator->leave_group({client.group, {{client.member_id, client.instance, ""}}});
          forget_membership(client);
        }
        break;
      case 14:
        if (one_in(4)) forget_membership(client);  // a client that dies without a word
        break;
      case 15:
        log->mode = one_in(2) ? FakeStateLog::Mode::held : FakeStateLog::Mode::immediate;
        if (log->mode == FakeStateLog::Mode::immediate) log->release();
        break;
      case 16:
        log->release_one();
        break;
      case 17:
        if (one_in(10)) log->refuse(Status(StatusCode::unavailable, "test"));
        break;
      case 18:
        if (one_in(20)) restart_broker();
        break;
      default:
        pass_ms(100 * (1 + below(20)));
    }
    run();
    for (Client& each : clients_) observe(each);
  }

  std::mt19937 random_;
  std::vector<Client> clients_;
  std::vector<Answer<JoinResult>> joins_;
  std::vector<Answer<SyncResult>> syncs_;
  std::deque<Commit> commits_;
  std::map<std::string, int64_t> acknowledged_;
  int64_t last_offset_ = 0;
};

TEST_P(RandomTest, EverythingIsAnsweredOnceAndNothingAcknowledgedIsLost) {
  for (int i = 0; i < kSteps; ++i) {
    step();
    if (HasFatalFailure()) return;
    if (i % 50 == 0) {
      check_offsets();
      check_replay();
    }
    if (HasFatalFailure()) return;
  }
  log->release();
  run();
  check_offsets();
  check_replay();
  coordinator->stop();
  run();
  for (const auto& answer : joins_) EXPECT_EQ(answer.count(), 1);
  for (const auto& answer : syncs_) EXPECT_EQ(answer.count(), 1);
  for (const auto& commit : commits_) EXPECT_EQ(commit.answer.count(), 1);
  EXPECT_GT(joins_.size(), 100u);
  EXPECT_GT(syncs_.size(), 50u);
  EXPECT_FALSE(acknowledged_.empty());
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomTest, ::testing::Range(1, 13));

}  // namespace
}  // namespace sluice::group
