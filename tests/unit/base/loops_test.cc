// SPDX-License-Identifier: Apache-2.0
// ManualLoop and ThreadLoop.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "base/manual_loop.hpp"
#include "base/thread_loop.hpp"

namespace sluice {
namespace {

template <class Condition>
bool eventually(Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

TEST(ManualLoop, RunsJobsInOrderWhenTurned) {
  ManualLoop loop;
  std::vector<int> ran;
  loop.post([&] {
    ran.push_back(1);
    loop.post([&] { ran.push_back(3); });
  });
  loop.post([&] { ran.push_back(2); });
  EXPECT_TRUE(ran.empty());
  EXPECT_EQ(loop.queued(), 2u);
  EXPECT_EQ(loop.run_until_idle(), 3u);
  EXPECT_EQ(ran, (std::vector<int>{1, 2, 3}));
}

TEST(ManualLoop, TimersFireOnItsOwnClock) {
  ManualLoop loop(1000);
  std::vector<int64_t> fired;
  const auto note = [&] { fired.push_back(loop.now_ms()); };
  loop.call_after(20, note);
  loop.call_after(10, [&] {
    note();
    loop.call_after(5, note);
  });
  const TimerId cancelled = loop.call_after(12, note);
  EXPECT_TRUE(loop.cancel(cancelled));
  EXPECT_FALSE(loop.cancel(cancelled));
  loop.advance_ms(9);
  EXPECT_TRUE(fired.empty());
  loop.advance_ms(100);
  EXPECT_EQ(fired, (std::vector<int64_t>{1010, 1015, 1020}));
  EXPECT_EQ(loop.now_ms(), 1109);
  EXPECT_EQ(loop.timers(), 0u);
}

TEST(ManualLoop, ATimerOfZeroWaitsToBeTurned) {
  ManualLoop loop;
  bool fired = false;
  loop.call_after(0, [&] { fired = true; });
  EXPECT_FALSE(fired);
  loop.run_until_idle();
  EXPECT_TRUE(fired);
}

TEST(ManualLoop, KnowsWhetherItRuns) {
  ManualLoop loop;
  bool inside = false;
  EXPECT_FALSE(loop.is_current());
  loop.post([&] { inside = loop.is_current(); });
  loop.run_until_idle();
  EXPECT_TRUE(inside);
  EXPECT_FALSE(loop.is_current());
}

TEST(ManualLoop, PostsFromOtherThreadsArrive) {
  ManualLoop loop;
  std::vector<std::thread> threads;
  int ran = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 100; ++i) loop.post([&] { ++ran; });
    });
  }
  while (ran < 400) loop.run_until_idle();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ran, 400);
}

TEST(ThreadLoop, RunsJobsOnItsThreadInOrder) {
  ThreadLoop loop("tested");
  std::vector<int> ran;
  std::atomic<bool> done{false};
  EXPECT_FALSE(loop.is_current());
  for (int i = 0; i < 100; ++i) {
    loop.post([&, i] {
      EXPECT_TRUE(loop.is_current());
      ran.push_back(i);
      if (i == 99) done = true;
    });
  }
  ASSERT_TRUE(eventually([&] { return done.load(); }));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(ran[static_cast<size_t>(i)], i);
}

TEST(ThreadLoop, TimersFireInOrderAndCanBeCancelled) {
  ThreadLoop loop;
  std::vector<int> fired;
  std::atomic<bool> done{false};
  loop.post([&] {
    const int64_t start = loop.now_ms();
    loop.call_after(20, [&, start] {
      EXPECT_GE(loop.now_ms() - start, 20);
      fired.push_back(2);
      done = true;
    });
    loop.call_after(5, [&] { fired.push_back(1); });
    const TimerId never = loop.call_after(10, [&] { fired.push_back(3); });
    EXPECT_TRUE(loop.cancel(never));
    EXPECT_FALSE(loop.cancel(never));
  });
  ASSERT_TRUE(eventually([&] { return done.load(); }));
  EXPECT_EQ(fired, (std::vector<int>{1, 2}));
}

TEST(ThreadLoop, StopRunsWhatWasPostedAndDestroysTheRest) {
  auto held = std::make_shared<int>(0);
  {
    ThreadLoop loop;
    for (int i = 0; i < 1000; ++i) loop.post([held] { ++*held; });
    loop.post([&loop, held] { loop.call_after(3'600'000, [held] { ++*held; }); });
    loop.stop();
    EXPECT_EQ(*held, 1000);
    loop.post([held] { ++*held; });
    loop.stop();
  }
  EXPECT_EQ(*held, 1000);
  EXPECT_EQ(held.use_count(), 1);
}

}  // namespace
}  // namespace sluice
