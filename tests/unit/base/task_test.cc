// SPDX-License-Identifier: Apache-2.0
#include "base/task.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/manual_loop.hpp"
#include "base/thread_loop.hpp"

namespace sluice {
namespace {

Task<int> value(int v) {
  co_return v;
}
Task<int> sum(int depth) {
  if (depth == 0) co_return 0;
  co_return co_await sum(depth - 1) + co_await value(1);
}

TEST(Task, RunsWhenStartedAndNotBefore) {
  bool ran = false;
  auto make = [&]() -> Task<> {
    ran = true;
    co_return;
  };
  {
    Task<> never = make();
    EXPECT_FALSE(ran);
  }
  EXPECT_FALSE(ran);
  start(make());
  EXPECT_TRUE(ran);
}

TEST(Task, ValuesComeBackThroughNestedAwaits) {
  std::optional<int> result;
  start(sum(100), [&](int v) { result = v; });
  EXPECT_EQ(result, 100);
}

TEST(Task, MoveOnlyValues) {
  auto make = []() -> Task<std::unique_ptr<std::string>> { co_return std::make_unique<std::string>("moved"); };
  std::unique_ptr<std::string> result;
  start(make(), [&](std::unique_ptr<std::string> v) { result = std::move(v); });
  EXPECT_EQ(*result, "moved");
}

TEST(Task, SuspendsUntilResumedOnItsExecutor) {
  ManualLoop loop;
  std::optional<Resumer<int>> resumer;
  std::optional<int> result;
  auto run = [&]() -> Task<int> {
    auto init = [&](Resumer<int> r) { resumer = std::move(r); };
    co_return co_await suspend_until<int>(loop, init) + 1;
  };
  start(run(), [&](int v) {
    EXPECT_TRUE(loop.is_current());
    result = v;
  });
  EXPECT_FALSE(result);
  (*resumer)(41);
  EXPECT_FALSE(result);
  loop.run_until_idle();
  EXPECT_EQ(result, 42);
  (*resumer)(1);  // later calls do nothing
  EXPECT_EQ(loop.run_until_idle(), 0u);
}

TEST(Task, AnAnswerGivenAtOnceNeedsNoPost) {
  ManualLoop loop;
  std::optional<int> result;
  auto run = [&]() -> Task<int> {
    auto init = [](Resumer<int> r) { r(5); };
    co_return co_await suspend_until<int>(loop, init);
  };
  start(run(), [&](int v) { result = v; });
  EXPECT_EQ(result, 5);
  EXPECT_EQ(loop.queued(), 0u);
}

TEST(Task, ResumersRaceWithSuspension) {
  ThreadLoop loop;
  ThreadLoop other;
  for (int i = 0; i < 200; ++i) {
    std::atomic<int> result{0};
    auto run = [&]() -> Task<int> {
      auto init = [&](Resumer<int> r) {
        other.post([r] { r(7); });
      };
      co_return co_await suspend_until<int>(loop, init);
    };
    loop.post([&] { start(run(), [&](int v) { result = v; }); });
    while (result == 0) std::this_thread::yield();
    EXPECT_EQ(result, 7);
  }
  other.stop();
  loop.stop();
}

TEST(Task, HopGoesOnElsewhere) {
  ManualLoop first;
  ManualLoop second;
  std::vector<int> where;
  auto run = [&]() -> Task<> {
    where.push_back(first.is_current() ? 1 : second.is_current() ? 2 : 0);
    co_await hop(first);
    where.push_back(first.is_current() ? 1 : 0);
    co_await hop(second);
    where.push_back(second.is_current() ? 2 : 0);
  };
  start(run());
  first.run_until_idle();
  second.run_until_idle();
  EXPECT_EQ(where, (std::vector<int>{0, 1, 2}));
}

TEST(Task, DestroyingAnUnstartedOneDestroysWhatItHolds) {
  auto held = std::make_shared<int>(1);
  auto run = [](std::shared_ptr<int>) -> Task<> { co_return; };
  {
    Task<> task = run(held);
    EXPECT_EQ(held.use_count(), 2);
  }
  EXPECT_EQ(held.use_count(), 1);
}

}  // namespace
}  // namespace sluice
