// SPDX-License-Identifier: Apache-2.0
#include "net/loops.hpp"

#include "base/task.hpp"
#include "net_fixture.hpp"

namespace sluice::net {
namespace {

TEST(LoopPool, HasOneLoopPerCoreUnlessTold) {
  LoopPool all;
  EXPECT_EQ(all.size(), std::thread::hardware_concurrency());
  LoopPool three(3);
  EXPECT_EQ(three.size(), 3u);
}

TEST(LoopPool, PostsOfOneThreadRunInOrderOnTheLoopsThread) {
  LoopPool pool(2);
  std::vector<int> order;
  std::atomic<bool> done{false};
  for (int i = 0; i < 1000; ++i) {
    pool.at(1).post([&, i] {
      EXPECT_TRUE(pool.at(1).is_current());
      EXPECT_FALSE(pool.at(0).is_current());
      order.push_back(i);
      if (i == 999) done = true;
    });
  }
  EXPECT_FALSE(pool.at(1).is_current());
  ASSERT_TRUE(eventually([&] { return done.load(); }));
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(order[static_cast<size_t>(i)], i);
}

TEST(LoopPool, APostedJobNeverRunsBeforePostReturns) {
  LoopPool pool(1);
  std::atomic<bool> done{false};
  pool.at(0).post([&] {
    bool ran = false;
    pool.at(0).post([&] { done = true; });
    EXPECT_FALSE(done);
    ran = true;
    EXPECT_TRUE(ran);
  });
  EXPECT_TRUE(eventually([&] { return done.load(); }));
}

TEST(LoopPool, CoroutinesHopBetweenLoops) {
  LoopPool pool(2);
  std::atomic<int> hops{0};
  const auto travel = [&]() -> Task<void> {
    for (int i = 0; i < 100; ++i) {
      Loop& loop = pool.at(static_cast<size_t>(i % 2));
      co_await hop(loop);
      EXPECT_TRUE(loop.is_current());
      ++hops;
    }
  };
  start(travel());
  EXPECT_TRUE(eventually([&] { return hops == 100; }));
}

TEST(LoopPool, TimersRunInOrderNotEarlyAndNotWhenCancelled) {
  LoopPool pool(1);
  Loop& loop = pool.at(0);
  std::vector<std::string> order;
  std::atomic<bool> done{false};
  loop.post([&] {
    const int64_t start = loop.now_ms();
    const auto note = [&, start](const char* name, int64_t delay_ms) {
      return loop.call_after(delay_ms, [&, name, delay_ms, start] {
        EXPECT_GE(loop.now_ms() - start, delay_ms);
        order.emplace_back(name);
      });
    };
    note("40", 40);
    note("20", 20);
    const TimerId never = note("never", 30);
    note("0", 0);
    EXPECT_TRUE(loop.cancel(never));
    EXPECT_FALSE(loop.cancel(never));
    EXPECT_FALSE(loop.cancel(0));
    loop.call_after(60, [&] { done = true; });
  });
  ASSERT_TRUE(eventually([&] { return done.load(); }));
  EXPECT_EQ(order, (std::vector<std::string>{"0", "20", "40"}));
}

TEST(LoopPool, ATimerMaySetAndCancelTimers) {
  std::atomic<int> ticks{0};
  std::function<void()> tick;
  LoopPool pool(1);  // ends before what it uses
  Loop& loop = pool.at(0);
  tick = [&] {
    const TimerId other = loop.call_after(0, [&] { ticks += 1000; });
    if (++ticks < 50) loop.call_after(0, [&] { tick(); });
    EXPECT_TRUE(loop.cancel(other));
  };
  loop.post([&] { tick(); });
  EXPECT_TRUE(eventually([&] { return ticks == 50; }));
}

TEST(LoopPool, StopDestroysWhatIsLeftAndPostsAfterwardsAreDropped) {
  const auto witness = std::make_shared<int>(0);
  {
    LoopPool pool(1);
    std::atomic<bool> set{false};
    pool.at(0).post([&] {
      pool.at(0).call_after(1'000'000, [witness] {});
      set = true;
    });
    ASSERT_TRUE(eventually([&] { return set.load(); }));
    pool.stop();
    pool.stop();
    pool.at(0).post([witness] { FAIL() << "ran after stop"; });
  }
  EXPECT_EQ(witness.use_count(), 1);
}

}  // namespace
}  // namespace sluice::net
