// SPDX-License-Identifier: Apache-2.0
#include "partition/epoch_budget.hpp"

#include <gtest/gtest.h>

namespace sluice::partition {
namespace {

TEST(EpochBudget, TheFirstFewAreFree) {
  EpochBudget budget;
  for (int i = 0; i < EpochBudget::kFreeRaises; ++i) {
    EXPECT_EQ(budget.wait_ms(1'000'000), 0);
    budget.raised(1'000'000);
  }
  EXPECT_EQ(budget.wait_ms(1'000'000), EpochBudget::kFirstPauseMs);
  EXPECT_EQ(budget.wait_ms(1'000'400), EpochBudget::kFirstPauseMs - 400);
  EXPECT_EQ(budget.wait_ms(1'000'000 + EpochBudget::kFirstPauseMs), 0);
}

TEST(EpochBudget, PausesDoubleUpToTheLongest) {
  EpochBudget budget;
  int64_t now = 0;
  for (int i = 0; i < EpochBudget::kFreeRaises; ++i) budget.raised(now);
  int64_t before = EpochBudget::kFirstPauseMs / 2;
  for (int i = 0; i < 100; ++i) {
    const int64_t pause = budget.wait_ms(now);
    EXPECT_EQ(pause, std::min(2 * before, EpochBudget::kMostPauseMs));
    before = pause;
    now += pause;
    budget.raised(now);
  }
  EXPECT_EQ(budget.raises(), EpochBudget::kFreeRaises + 100);
}

TEST(EpochBudget, AQuietTimeForgetsAll) {
  EpochBudget budget;
  for (int i = 0; i < 50; ++i) budget.raised(7);
  EXPECT_GT(budget.wait_ms(8), 0);
  EXPECT_EQ(budget.wait_ms(7 + EpochBudget::kForgetMs), 0);
  budget.raised(7 + EpochBudget::kForgetMs);
  EXPECT_EQ(budget.raises(), 1);
  EXPECT_EQ(budget.wait_ms(7 + EpochBudget::kForgetMs), 0);
}

}  // namespace
}  // namespace sluice::partition
