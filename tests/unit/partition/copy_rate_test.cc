// SPDX-License-Identifier: Apache-2.0
#include "partition/copy_rate.hpp"

#include <gtest/gtest.h>

namespace sluice::partition {
namespace {

TEST(CopyRate, KeepsTheLimitOnAverage) {
  CopyRate rate;
  int64_t now = 1'000;
  uint64_t taken = 0;
  while (now < 61'000) {
    const int64_t wait = rate.take(100'000, 1'000'000, now);
    if (wait == 0) {
      taken += 100'000;
    } else {
      EXPECT_LE(wait, 100);
      now += wait;
    }
  }
  EXPECT_NEAR(static_cast<double>(taken), 60e6, 1e5);
}

TEST(CopyRate, TimeThatWasNotUsedIsLost) {
  CopyRate rate;
  EXPECT_EQ(rate.take(1'000, 1'000, 0), 0);
  EXPECT_EQ(rate.take(1'000, 1'000, 100'000), 0);
  EXPECT_EQ(rate.take(1'000, 1'000, 100'000), 1'000) << "a long rest allows no burst";
}

TEST(CopyRate, WithoutALimitThereIsNoWait) {
  CopyRate rate;
  EXPECT_EQ(rate.take(1 << 30, 1'000, 0), 0);
  EXPECT_GT(rate.take(1, 1'000, 0), 0);
  for (const int64_t limit : {int64_t{0}, int64_t{-1}, INT64_MIN}) EXPECT_EQ(rate.take(UINT64_MAX, limit, 0), 0);
  EXPECT_EQ(rate.take(1, 1'000, 0), 0) << "the limit that was taken away is not owed";
}

TEST(CopyRate, MeasuresWhatWasReachedLately) {
  CopyRate rate;
  EXPECT_EQ(rate.bytes_per_second(0), 0);
  for (int64_t now = 0; now < 30'000; now += 100) rate.copied(1'000, now);
  EXPECT_NEAR(static_cast<double>(rate.bytes_per_second(30'000)), 10'000, 500);
  for (int64_t now = 30'000; now < 60'000; now += 100) rate.copied(5'000, now);
  EXPECT_NEAR(static_cast<double>(rate.bytes_per_second(60'000)), 50'000, 2'500);
  EXPECT_EQ(rate.bytes_per_second(60'000 + 2 * CopyRate::kWindowMs), 0);
}

}  // namespace
}  // namespace sluice::partition
