// SPDX-License-Identifier: Apache-2.0
// Requests that meet with storages that do not answer in time.
#include "handlers/late_reads.hpp"

#include <gtest/gtest.h>

#include "base/manual_loop.hpp"
#include "handlers/gather.hpp"

namespace sluice::handlers {
namespace {

using partition::Partition;

/// Never looked into: a name for what is read.
std::shared_ptr<Partition> some_partition() {
  auto owner = std::make_shared<int64_t>(0);
  return {owner, reinterpret_cast<Partition*>(owner.get())};
}

void finish(const std::shared_ptr<LateRead>& read) {
  read->done = true;
  if (const auto on_done = std::exchange(read->on_done, nullptr)) on_done();
}

class LateReadsTest : public ::testing::Test {
 protected:
  ManualLoop loop, other_loop;
  LateReads reads;
  std::shared_ptr<Partition> orders = some_partition(), payments = some_partition();
};

TEST_F(LateReadsTest, WhatWasLeftIsFoundOnceByWhoAsksForTheSame) {
  const auto read = std::make_shared<LateRead>();
  reads.leave(orders, 7, loop, read);
  EXPECT_EQ(reads.take(orders, 8, loop), nullptr);
  EXPECT_EQ(reads.take(payments, 7, loop), nullptr);
  EXPECT_EQ(reads.take(orders, 7, other_loop), nullptr);
  EXPECT_EQ(reads.take(orders, 7, loop), read);
  EXPECT_FALSE(read->on_done) << "it is its new owner's";
  EXPECT_EQ(reads.take(orders, 7, loop), nullptr);
  EXPECT_EQ(reads.size(), 0u);
}

TEST_F(LateReadsTest, AnOutcomeThatNobodyFetchesIsLetGoOf) {
  const auto read = std::make_shared<LateRead>();
  const auto pinned = std::make_shared<int>(0);
  read->outcome.lease = host::Lease(pinned);
  reads.leave(orders, 7, loop, read);
  loop.advance_ms(10 * LateReads::kKeptMs);
  loop.run_until_idle();
  EXPECT_EQ(reads.size(), 1u) << "it is under way: the storage's own deadline ends it";
  finish(read);
  loop.advance_ms(LateReads::kKeptMs - 1);
  loop.run_until_idle();
  EXPECT_EQ(reads.size(), 1u);
  loop.advance_ms(2);
  loop.run_until_idle();
  EXPECT_EQ(reads.size(), 0u);
}

TEST_F(LateReadsTest, OneThatWasTakenAndLeftAgainIsKeptAnew) {
  const auto read = std::make_shared<LateRead>();
  reads.leave(orders, 7, loop, read);
  ASSERT_EQ(reads.take(orders, 7, loop), read);
  reads.leave(orders, 7, loop, read);
  finish(read);
  EXPECT_EQ(reads.take(orders, 7, loop), read);
  loop.advance_ms(2 * LateReads::kKeptMs);
  loop.run_until_idle();
  EXPECT_EQ(reads.size(), 0u);
}

TEST_F(LateReadsTest, AReadThatTwoLeaveIsKeptOnce) {
  const auto first = std::make_shared<LateRead>(), second = std::make_shared<LateRead>();
  reads.leave(orders, 7, loop, first);
  reads.leave(orders, 7, loop, second);
  EXPECT_EQ(reads.size(), 1u);
  finish(second);
  loop.advance_ms(2 * LateReads::kKeptMs);
  loop.run_until_idle();
  EXPECT_EQ(reads.take(orders, 7, loop), first) << "the end of the other is not its own";
}

Task<int> after(Loop& loop, int64_t ms, int value) {
  co_await sleep_for(loop, ms);
  co_return value;
}

TEST(Gather, WhatIsLateIsAnsweredForAndGoesOn) {
  ManualLoop loop;
  std::vector<Task<int>> tasks;
  tasks.push_back(immediately(1));
  tasks.push_back(after(loop, 1'000, 2));
  tasks.push_back(after(loop, 10, 3));
  std::optional<std::vector<int>> answers;
  start(gather(std::move(tasks), loop, 100, -1), [&](std::vector<int> all) { answers = std::move(all); });
  loop.run_until_idle();
  EXPECT_FALSE(answers);
  loop.advance_ms(100);
  loop.run_until_idle();
  ASSERT_TRUE(answers);
  EXPECT_EQ(*answers, (std::vector<int>{1, -1, 3}));
  loop.advance_ms(1'000);
  loop.run_until_idle();
  EXPECT_EQ(loop.timers(), 0u);
}

TEST(Gather, DoesNotWaitForItsTimer) {
  ManualLoop loop;
  std::vector<Task<int>> tasks;
  tasks.push_back(after(loop, 10, 3));
  std::optional<std::vector<int>> answers;
  start(gather(std::move(tasks), loop, 100, -1), [&](std::vector<int> all) { answers = std::move(all); });
  loop.advance_ms(10);
  loop.run_until_idle();
  ASSERT_TRUE(answers);
  EXPECT_EQ(answers->front(), 3);
  EXPECT_EQ(loop.timers(), 0u);
}

}  // namespace
}  // namespace sluice::handlers
