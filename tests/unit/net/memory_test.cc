// SPDX-License-Identifier: Apache-2.0
// The memory budget and the pool of frames.
#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "net/frame.hpp"
#include "net/memory_budget.hpp"

namespace sluice::net {
namespace {

/// Runs jobs when told.
struct Jobs : Executor {
  void post(Job job) override { jobs.push_back(std::move(job)); }
  void run() {
    auto now = std::move(jobs);
    jobs.clear();
    for (auto& job : now) job();
  }
  std::vector<Job> jobs;
};

TEST(MemoryBudget, GrantsInOrderAndFramesInProgressFirst) {
  MemoryBudget budget(100);
  Jobs jobs;
  std::string order;
  EXPECT_TRUE(budget.try_reserve(100));
  EXPECT_FALSE(budget.try_reserve(1));
  const auto a = budget.wait(40, false, jobs, [&] { order += 'a'; });
  const auto b = budget.wait(40, false, jobs, [&] { order += 'b'; });
  const auto c = budget.wait(40, true, jobs, [&] { order += 'c'; });  // overdraws at once
  const auto d = budget.wait(40, true, jobs, [&] { order += 'd'; });
  EXPECT_EQ(order, "");
  jobs.run();
  EXPECT_EQ(order, "c");
  EXPECT_TRUE(c->overdrawn());
  EXPECT_EQ(budget.used(), 140);
  budget.release(50);  // 90 used
  jobs.run();
  EXPECT_EQ(order, "cd");
  EXPECT_FALSE(d->overdrawn());
  EXPECT_FALSE(budget.try_reserve(1));  // others came first
  budget.release(130);
  jobs.run();
  EXPECT_EQ(order, "cdab");
  EXPECT_EQ(budget.used(), 80);
  EXPECT_TRUE(budget.try_reserve(1));
}

TEST(MemoryBudget, OneOverdraftAtATime) {
  MemoryBudget budget(100);
  Jobs jobs;
  EXPECT_TRUE(budget.try_reserve(100));
  const auto a = budget.wait(1, true, jobs, [] {});
  const auto b = budget.wait(1, true, jobs, [] {});
  EXPECT_EQ(jobs.jobs.size(), 1u);
  budget.overdraw(50);
  budget.end_overdraft();
  EXPECT_EQ(jobs.jobs.size(), 2u);
  EXPECT_EQ(budget.used(), 152);
}

TEST(MemoryBudget, GivingUpLeavesNothingBehind) {
  MemoryBudget budget(100);
  Jobs jobs;
  EXPECT_TRUE(budget.try_reserve(100));
  const auto waits = budget.wait(10, false, jobs, [] {});
  const auto granted = budget.wait(10, true, jobs, [] {});
  EXPECT_EQ(budget.used(), 110);
  budget.give_up(*waits);
  budget.give_up(*granted);
  budget.give_up(*granted);
  EXPECT_EQ(budget.used(), 100);
  budget.release(100);
  EXPECT_EQ(budget.used(), 0);
  EXPECT_TRUE(budget.try_reserve(1));
  const auto next = budget.wait(10, true, jobs, [] {});  // the overdraft is free again
  EXPECT_EQ(budget.used(), 11);
}

TEST(MemoryBudget, NothingIsLostBetweenThreads) {
  MemoryBudget budget(1000);
  struct Inline : Executor {
    void post(Job job) override { job(); }
  } executor;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 5000; ++i) {
        const int64_t bytes = 1 + i % 700;
        if (budget.try_reserve(bytes)) {
          budget.release(bytes);
          continue;
        }
        const auto granted = std::make_shared<std::atomic<bool>>(false);
        const auto wait = budget.wait(bytes, i % 3 == 0, executor, [granted] { *granted = true; });
        if (i % 5 == 0) {
          budget.give_up(*wait);
          continue;
        }
        while (!*granted) std::this_thread::yield();
        if (wait->overdrawn()) budget.end_overdraft();
        budget.release(bytes);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(budget.used(), 0);
}

TEST(FramePool, MemoryIsUsedAgain) {
  const auto budget = std::make_shared<MemoryBudget>(int64_t{1} << 40);
  const auto pool = FramePool::create(budget);
  auto frame = pool->take(1'000'000);
  const uint8_t* where = frame->bytes().data();
  EXPECT_EQ(frame->size(), 1'000'000u);
  EXPECT_TRUE(budget->try_reserve(1000));
  frame->account(1000);
  frame.reset();
  EXPECT_EQ(budget->used(), 0);
  EXPECT_EQ(pool->idle_bytes(), size_t{1} << 20);
  frame = pool->take(900'000);
  EXPECT_EQ(frame->bytes().data(), where);
  EXPECT_EQ(pool->idle_bytes(), 0u);
}

TEST(FramePool, IsBoundedAndEmptiesItselfInQuietTimes) {
  const auto pool = FramePool::create(std::make_shared<MemoryBudget>(int64_t{1} << 40));
  std::vector<FramePtr> frames;
  for (int i = 0; i < 100; ++i) frames.push_back(pool->take(1 << 20));
  frames.push_back(pool->take(200 << 20));
  frames.push_back(pool->take(10));
  frames.push_back(pool->take(16 << 20));
  for (auto& frame : frames) frame->bytes().back() = 1;
  frames.clear();
  EXPECT_EQ(pool->idle_bytes(), FramePool::kMaxIdleBytes);
  pool->trim();  // begins to watch
  EXPECT_EQ(pool->idle_bytes(), FramePool::kMaxIdleBytes);
  for (int i = 0; i < 10; ++i) pool->trim();
  EXPECT_EQ(pool->idle_bytes(), 0u);
}

TEST(FramePool, OutlivesItsOwner) {
  auto pool = FramePool::create(std::make_shared<MemoryBudget>(int64_t{1} << 40));
  const auto frame = pool->take(100'000);
  pool.reset();
  frame->bytes().back() = 1;
}

}  // namespace
}  // namespace sluice::net
