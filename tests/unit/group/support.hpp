// SPDX-License-Identifier: Apache-2.0
// What the coordinator's tests stand on: an executor run by hand, a log in memory that completes at once, on demand or
// not at all, and a client's view of the coordinator in which every answer is recorded.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.hpp"
#include "group/coordinator.hpp"
#include "group/records.hpp"

namespace sluice::group::testing {

/// Jobs run when the test says so, on its thread.
class ManualExecutor final : public Executor {
 public:
  void post(Job job) override {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  void run() {
    for (;;) {
      Job job;
      {
        const std::lock_guard lock(mutex_);
        if (jobs_.empty()) return;
        job = std::move(jobs_.front());
        jobs_.pop_front();
      }
      job();
    }
  }

 private:
  std::mutex mutex_;
  std::deque<Job> jobs_;
};

class FakeStateLog final : public storage::StateLog {
 public:
  enum class Mode { immediate, held, failing };

  /// `records`: what it holds already, and its machine has applied.
  explicit FakeStateLog(storage::StateMachine& machine, std::vector<std::string> records = {})
      : machine_(machine), records_(std::move(records)) {}

  void append(std::vector<std::string> records, Executor& executor, UniqueFunction<void(Status)> done) override {
    const std::lock_guard lock(mutex_);
    if (mode == Mode::failing) return fail_one({std::move(records), &executor, std::move(done)}, failure);
    held_.push_back({std::move(records), &executor, std::move(done)});
    if (mode == Mode::immediate) release_all();
  }
  /// Makes what was appended while held durable, in order.
  void release() {
    const std::lock_guard lock(mutex_);
    release_all();
  }
  bool release_one() {
    const std::lock_guard lock(mutex_);
    if (held_.empty()) return false;
    release_front();
    return true;
  }
  /// What was appended while held never becomes durable.
  void refuse(const Status& status) {
    const std::lock_guard lock(mutex_);
    while (!held_.empty()) {
      fail_one(std::move(held_.front()), status);
      held_.pop_front();
    }
  }
  size_t held() const {
    const std::lock_guard lock(mutex_);
    return held_.size();
  }
  /// All that is durable.
  std::vector<std::string> records() const {
    const std::lock_guard lock(mutex_);
    return records_;
  }

  Mode mode = Mode::immediate;
  Status failure = Status(StatusCode::unavailable, "the test says so");

 private:
  struct Append {
    std::vector<std::string> records;
    Executor* executor;
    UniqueFunction<void(Status)> done;
  };
  void release_all() {
    while (!held_.empty()) release_front();
  }
  void release_front() {
    Append next = std::move(held_.front());
    held_.pop_front();
    for (const std::string& record : next.records) {
      const Status applied = machine_.apply(record, static_cast<int64_t>(records_.size()), 0);
      EXPECT_TRUE(applied.ok()) << applied.describe();
      records_.push_back(record);
    }
    next.executor->post([done = std::move(next.done)]() mutable { done(Status{}); });
  }
  static void fail_one(Append append, const Status& status) {
    append.executor->post([done = std::move(append.done), status]() mutable { done(status); });
  }

  storage::StateMachine& machine_;
  mutable std::mutex mutex_;
  std::deque<Append> held_;
  std::vector<std::string> records_;
};

/// An answer that may not have come yet; counts, so that a second one is seen.
template <class T>
class Answer {
 public:
  UniqueFunction<void(T)> callback() {
    return [state = state_](T value) {
      ++state->count;
      state->value = std::move(value);
    };
  }
  bool has() const { return state_->count > 0; }
  int count() const { return state_->count; }
  const T& get() const {
    EXPECT_EQ(state_->count, 1);
    return *state_->value;
  }
  const T* operator->() const { return &get(); }

 private:
  struct State {
    int count = 0;
    std::optional<T> value;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

/// Kafka's ConsumerProtocolSubscription of version 0.
inline std::string subscription(const std::vector<std::string>& topics) {
  std::string bytes(2, '\0');
  const auto number = [&](uint32_t value, int size) {
    for (int shift = 8 * (size - 1); shift >= 0; shift -= 8) bytes.push_back(static_cast<char>(value >> shift));
  };
  number(static_cast<uint32_t>(topics.size()), 4);
  for (const std::string& topic : topics) {
    number(static_cast<uint32_t>(topic.size()), 2);
    bytes += topic;
  }
  number(0xffffffff, 4);
  return bytes;
}

inline TopicId topic_id(uint8_t seed) {
  TopicId id;
  id.bytes.fill(seed);
  return id;
}

inline JoinRequest join_request(const std::string& group, const std::string& member_id = "") {
  JoinRequest request;
  request.group_id = group;
  request.member_id = member_id;
  request.client_id = "client";
  request.client_host = "/127.0.0.1";
  request.session_timeout_ms = 10'000;
  request.rebalance_timeout_ms = 60'000;
  request.protocol_type = "consumer";
  request.protocols = {{"range", subscription({"orders"})}};
  return request;
}

inline JoinRequest static_join(const std::string& group, const std::string& instance,
                               const std::string& member_id = "") {
  JoinRequest request = join_request(group, member_id);
  request.group_instance_id = instance;
  return request;
}

class CoordinatorTest : public ::testing::Test {
 protected:
  CoordinatorTest() { options.group_initial_rebalance_delay_ms = 3'000; }
  ~CoordinatorTest() override {
    if (coordinator) coordinator->stop();
  }

  /// A coordinator of one shard, loaded. Called by itself at first use; earlier by tests that change options.
  void start() {
    EXPECT_TRUE(options.validate().ok()) << options.validate().describe();
    coordinator = std::make_unique<GroupCoordinator>(options, 1, clock, executor,
                                                     [this] { return "id" + std::to_string(++last_member_); });
    log = std::make_unique<FakeStateLog>(coordinator->machine(0));
    coordinator->shard_loaded(0, *log);
  }
  /// A broker that ends without a word, and another that replays what was durable.
  void restart(bool through_snapshot = false) {
    std::vector<std::string> records = through_snapshot ? coordinator->machine(0).snapshot() : log->records();
    coordinator->stop();
    run();
    coordinator = std::make_unique<GroupCoordinator>(options, 1, clock, executor,
                                                     [this] { return "id" + std::to_string(++last_member_); });
    auto next = std::make_unique<FakeStateLog>(coordinator->machine(0), records);
    coordinator->machine(0).reset();
    for (const std::string& record : records) {
      ASSERT_TRUE(coordinator->machine(0).apply(record, 0, 0).ok());
    }
    log = std::move(next);
    coordinator->shard_loaded(0, *log);
  }

  void run() { executor.run(); }
  /// Lets time pass in small steps, as the app's timer does.
  void pass_ms(int64_t ms) {
    for (; ms > 0; ms -= 100) {
      clock.advance_ms(std::min<int64_t>(ms, 100));
      coordinator->tick();
      run();
    }
  }

  Answer<JoinResult> join(JoinRequest request) {
    Answer<JoinResult> answer;
    coordinator->join_group(std::move(request), executor, answer.callback());
    run();
    return answer;
  }
  Answer<SyncResult> sync(const std::string& group, int32_t generation, const std::string& member,
                          std::vector<MemberAssignment> assignments = {},
                          std::optional<std::string> instance = std::nullopt) {
    SyncRequest request;
    request.group_id = group;
    request.generation_id = generation;
    request.member_id = member;
    request.group_instance_id = std::move(instance);
    request.assignments = std::move(assignments);
    Answer<SyncResult> answer;
    coordinator->sync_group(std::move(request), executor, answer.callback());
    run();
    return answer;
  }
  ErrorCode heartbeat(const std::string& group, int32_t generation, const std::string& member,
                      std::optional<std::string> instance = std::nullopt) {
    return coordinator->heartbeat({group, generation, member, std::move(instance)});
  }
  ErrorCode leave(const std::string& group, const std::string& member,
                  std::optional<std::string> instance = std::nullopt) {
    const LeaveResult result = coordinator->leave_group({group, {{member, std::move(instance), "test"}}});
    run();
    if (result.error != ErrorCode::kNone) return result.error;
    return result.members.at(0).error;
  }
  Answer<CommitResult> commit_async(CommitRequest request) {
    Answer<CommitResult> answer;
    coordinator->commit_offsets(std::move(request), executor, answer.callback());
    run();
    return answer;
  }
  static CommitRequest commit_request(const std::string& group, int32_t generation, const std::string& member,
                                      const std::string& topic, int64_t offset, TopicId id = topic_id(1)) {
    CommitRequest request;
    request.group_id = group;
    request.generation_id = generation;
    request.member_id = member;
    request.topics = {{topic, id, {{0, offset, 5, "note"}}}};
    return request;
  }
  ErrorCode commit(const std::string& group, int32_t generation, const std::string& member, const std::string& topic,
                   int64_t offset, TopicId id = topic_id(1)) {
    return commit_async(commit_request(group, generation, member, topic, offset, id))
        ->topics.at(0)
        .partitions.at(0)
        .error;
  }
  FetchedPartition fetch(const std::string& group, const std::string& topic, TopicId id = topic_id(1)) {
    OffsetFetchRequest request;
    request.group_id = group;
    request.topics = {{{topic, id, {0}}}};
    const OffsetFetchResult result = coordinator->fetch_offsets(request);
    EXPECT_EQ(result.error, ErrorCode::kNone);
    return result.topics.at(0).partitions.at(0);
  }
  std::string state(const std::string& group) { return coordinator->describe_group(group).state; }
  std::vector<DeletedGroup> delete_groups(std::vector<std::string> ids) {
    Answer<std::vector<DeletedGroup>> answer;
    coordinator->delete_groups(std::move(ids), executor, answer.callback());
    run();
    return answer.get();
  }

  /// A member alone in its group, or the latest of several that rejoined in time; Stable afterwards.
  std::string stable_member(const std::string& group, std::optional<std::string> instance = std::nullopt) {
    JoinRequest request = join_request(group);
    request.group_instance_id = std::move(instance);
    auto joined = join(std::move(request));
    pass_ms(options.group_initial_rebalance_delay_ms + 200);
    EXPECT_EQ(joined->error, ErrorCode::kNone);
    auto synced = sync(group, joined->generation_id, joined->member_id, {{joined->member_id, "all"}});
    EXPECT_EQ(synced->error, ErrorCode::kNone);
    EXPECT_EQ(state(group), "Stable");
    return joined->member_id;
  }
  struct Pair {
    std::string leader;
    std::string follower;
  };
  /// Two members in generation 1, Stable. With instances "i1" and "i2" if static.
  Pair stable_pair(const std::string& group, bool is_static = false) {
    auto a = join(is_static ? static_join(group, "i1") : join_request(group));
    auto b = join(is_static ? static_join(group, "i2") : join_request(group));
    pass_ms(2 * options.group_initial_rebalance_delay_ms + 200);
    EXPECT_EQ(a->leader, a->member_id);
    auto follower = sync(group, 1, b->member_id);
    EXPECT_FALSE(follower.has());
    auto leader = sync(group, 1, a->member_id, {{a->member_id, "first"}, {b->member_id, "second"}});
    EXPECT_EQ(leader->assignment, "first");
    EXPECT_EQ(follower->assignment, "second");
    return {a->member_id, b->member_id};
  }

  Options options;
  ManualClock clock;
  ManualExecutor executor;
  std::unique_ptr<GroupCoordinator> coordinator;
  std::unique_ptr<FakeStateLog> log;

 private:
  int last_member_ = 0;
};

}  // namespace sluice::group::testing
