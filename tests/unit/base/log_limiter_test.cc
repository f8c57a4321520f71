// SPDX-License-Identifier: Apache-2.0
#include "base/log_limiter.hpp"

#include <gtest/gtest.h>

namespace sluice {
namespace {

constexpr int64_t kStartMs = 1'000'000;

int64_t passed(LogLimiter& limiter, int64_t lines, int64_t at_ms) {
  int64_t count = 0;
  for (int64_t i = 0; i < lines; ++i) count += limiter.pass("x", at_ms) ? 1 : 0;
  return count;
}

TEST(LogLimiterTest, ABurstPassesThenASteadyRate) {
  LogLimiter limiter;
  EXPECT_EQ(passed(limiter, 1'000, kStartMs), LogLimiter::kBurstLines);
  EXPECT_EQ(passed(limiter, 1'000, kStartMs + 1'000), LogLimiter::kLinesPerSecond);
  EXPECT_EQ(passed(limiter, 1'000, kStartMs + 1'000'000), LogLimiter::kBurstLines) << "credit has a limit";
}

TEST(LogLimiterTest, TheNextLineTellsHowManyWereLeftOut) {
  LogLimiter limiter;
  passed(limiter, LogLimiter::kBurstLines + 7, kStartMs);
  EXPECT_EQ(limiter.pass("late", kStartMs + 1'000), "late (and 7 lines like it)");
  EXPECT_EQ(limiter.pass("later", kStartMs + 1'000), "later");
}

TEST(LogLimiterTest, AClockThatStandsOrGoesBackGivesNothing) {
  LogLimiter limiter;
  passed(limiter, LogLimiter::kBurstLines, kStartMs);
  EXPECT_FALSE(limiter.pass("x", kStartMs));
  EXPECT_FALSE(limiter.pass("x", kStartMs - 500'000));
  EXPECT_FALSE(limiter.pass("x", kStartMs));
}

}  // namespace
}  // namespace sluice
