// SPDX-License-Identifier: Apache-2.0
// Many threads at once on one coordinator, with a log that completes on a thread of its own: for ThreadSanitizer, and
// to see that every request is answered once however they interleave.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <random>
#include <thread>

#include "support.hpp"

namespace sluice::group {
namespace {

using testing::join_request;
using testing::topic_id;

class ThreadExecutor final : public Executor {
 public:
  ThreadExecutor() : thread_([this] { work(); }) {}
  ~ThreadExecutor() override {
    {
      const std::lock_guard lock(mutex_);
      is_ending_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  void post(Job job) override {
    {
      const std::lock_guard lock(mutex_);
      jobs_.push_back(std::move(job));
    }
    changed_.notify_one();
  }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return is_ending_ || !jobs_.empty(); });
      if (jobs_.empty()) return;
      Job job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      job();
      job = Job();
      lock.lock();
    }
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  bool is_ending_ = false;
  std::thread thread_;
};

/// Applies and completes on its own thread, as an engine does.
class ThreadLog final : public storage::StateLog {
 public:
  explicit ThreadLog(storage::StateMachine& machine) : machine_(machine) {}
  void append(std::vector<std::string> records, Executor& executor, UniqueFunction<void(Status)> done) override {
    thread_.post([this, batch = std::move(records), &executor, then = std::move(done)]() mutable {
      for (const std::string& record : batch) EXPECT_TRUE(machine_.apply(record, 0, 0).ok());
      executor.post([answer = std::move(then)]() mutable { answer(Status{}); });
    });
  }

 private:
  storage::StateMachine& machine_;
  ThreadExecutor thread_;
};

TEST(HammerTest, EveryRequestIsAnsweredOnce) {
  constexpr size_t kShards = 2;
  constexpr int kThreads = 4;
  constexpr int kRounds = 400;
  Options options;
  options.group_min_session_timeout_ms = 1;
  options.group_initial_rebalance_delay_ms = 0;
  options.offsets_retention_ms = 20;
  options.offsets_retention_check_interval_ms = 5;
  ThreadExecutor internal;
  ThreadExecutor client_loop;
  std::atomic<int> asked{0};
  std::atomic<int> answered{0};
  {
    GroupCoordinator coordinator(options, kShards, system_clock(), internal);
    std::vector<std::unique_ptr<ThreadLog>> logs;
    for (size_t i = 0; i < kShards; ++i) {
      logs.push_back(std::make_unique<ThreadLog>(coordinator.machine(i)));
      coordinator.shard_loaded(i, *logs.back());
    }
    std::atomic<bool> is_done{false};
    std::thread ticker([&] {
      while (!is_done) {
        coordinator.tick();
        coordinator.metrics();
        for (size_t i = 0; i < kShards; ++i) static_cast<void>(coordinator.machine(i).snapshot());
        std::this_thread::yield();
      }
    });
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        std::mt19937 random(static_cast<uint32_t>(t));
        for (int i = 0; i < kRounds; ++i) {
          const std::string group = "g" + std::to_string(random() % 3);
          JoinRequest request = join_request(group);
          request.session_timeout_ms = 50;
          request.rebalance_timeout_ms = 50;
          if (random() % 2 == 0) request.group_instance_id = "i" + std::to_string(random() % 3);
          ++asked;
          coordinator.join_group(std::move(request), client_loop, [&, group](const JoinResult& joined) {
            if (joined.error != ErrorCode::kNone) {
              ++answered;
              return;
            }
            SyncRequest sync{group, joined.generation_id, joined.member_id, {}, {}, {}, {}};
            sync.assignments = {{joined.member_id, "a"}};
            ++asked;
            coordinator.sync_group(std::move(sync), client_loop, [&](const SyncResult&) { ++answered; });
            CommitRequest commit{group, joined.generation_id, joined.member_id, {}, -1, {}};
            commit.topics = {{"orders", topic_id(1), {{0, 1, -1, ""}}}};
            ++asked;
            coordinator.commit_offsets(std::move(commit), client_loop, [&](const CommitResult&) { ++answered; });
            coordinator.heartbeat({group, joined.generation_id, joined.member_id, {}});
            ++answered;  // last, so that both counts are equal only when nothing is to come
          });
          switch (random() % 8) {
            case 0:
              ++asked;
              coordinator.delete_groups({group}, client_loop, [&](const std::vector<DeletedGroup>&) { ++answered; });
              break;
            case 1:
              ++asked;
              coordinator.delete_offsets({group, {{"orders", topic_id(1), {0}}}}, client_loop,
                                         [&](const OffsetDeleteResult&) { ++answered; });
              break;
            case 2:
              coordinator.topics_deleted({{"orders", topic_id(1)}});
              break;
            case 3:
              coordinator.list_groups({});
              coordinator.describe_group(group);
              break;
            case 4: {
              ++asked;
              CommitRequest commit{"simple" + group, -1, "", {}, -1, {}};
              commit.topics = {{"orders", topic_id(1), {{0, i, -1, ""}}}};
              coordinator.commit_offsets(std::move(commit), client_loop, [&](const CommitResult&) { ++answered; });
              break;
            }
            case 5:
              coordinator.fetch_offsets({group, {}, -1, {}, true});
              break;
            case 6:
              if (random() % 20 == 0) {
                const size_t shard = random() % kShards;
                coordinator.shard_unavailable(shard);
                coordinator.shard_loaded(shard, *logs[shard]);
              }
              break;
            default:
              std::this_thread::yield();
          }
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    is_done = true;
    ticker.join();
    coordinator.stop();
    logs.clear();  // runs what they still hold
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (answered != asked && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  }
  EXPECT_EQ(answered, asked);
  EXPECT_GT(asked, kThreads * kRounds);
}

}  // namespace
}  // namespace sluice::group
