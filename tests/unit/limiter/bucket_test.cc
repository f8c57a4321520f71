// SPDX-License-Identifier: Apache-2.0
#include "limiter/bucket.hpp"

#include <gtest/gtest.h>

#include <random>

namespace sluice::limiter {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;

TEST(TokenBucket, GivesItsBurstAndThenItsRate) {
  const LimiterRate rate{10, 1'000, 5};
  TokenBucket bucket(rate, 0);
  EXPECT_TRUE(bucket.take(rate, 5, 0));
  EXPECT_FALSE(bucket.take(rate, 1, 0));
  EXPECT_EQ(bucket.wait_ns(rate, 1, 0), kSecondNs / 10);
  EXPECT_FALSE(bucket.take(rate, 1, kSecondNs / 10 - 1));
  EXPECT_TRUE(bucket.take(rate, 1, kSecondNs / 10));
  EXPECT_FALSE(bucket.take(rate, 6, 100 * kSecondNs)) << "never more than the burst";
  EXPECT_TRUE(bucket.full(rate, 100 * kSecondNs));
  EXPECT_TRUE(bucket.take(rate, 5, 100 * kSecondNs));
}

TEST(TokenBucket, IsExactOverManySmallSteps) {
  // A third of a token per millisecond: nothing is lost to rounding.
  const LimiterRate rate{1, 3, 1'000'000};
  TokenBucket bucket(rate, 0);
  ASSERT_TRUE(bucket.take(rate, 1'000'000, 0));
  int64_t now = 0;
  uint64_t taken = 0;
  std::minstd_rand random(7);
  while (now < 3'000'000'000) {
    now = std::min<int64_t>(now + random() % 2'000'000, 3'000'000'000);
    while (bucket.take(rate, 1, now)) ++taken;
  }
  EXPECT_EQ(taken, 1'000U);
}

TEST(TokenBucket, AWaitIsNeitherTooShortNorTooLong) {
  const LimiterRate rate{7, 1'013, 50};
  TokenBucket bucket(rate, 0);
  std::minstd_rand random(3);
  int64_t now = 0;
  for (int i = 0; i < 10'000; ++i) {
    now += random() % 100'000'000;
    const uint64_t tokens = 1 + random() % 50;
    const int64_t wait = bucket.wait_ns(rate, tokens, now);
    TokenBucket copy = bucket;
    if (wait > 0) {
      EXPECT_FALSE(copy.take(rate, tokens, now + wait - 1));
    }
    EXPECT_TRUE(copy.take(rate, tokens, now + wait));
    static_cast<void>(bucket.take(rate, tokens, now));
  }
}

TEST(TokenBucket, KnowsWhenItIsFullAgain) {
  const LimiterRate rate{7, 1'013, 50};
  TokenBucket bucket(rate, 5);
  EXPECT_EQ(bucket.full_at_ns(rate), 5);
  std::minstd_rand random(4);
  int64_t now = 5;
  int64_t last = 5;
  for (int i = 0; i < 10'000; ++i) {
    now += random() % 100'000'000;
    const int64_t before = bucket.full_at_ns(rate);
    const bool was_full = bucket.full(rate, now);
    EXPECT_EQ(was_full, now >= before);
    if (!was_full) {
      EXPECT_EQ(bucket.full_at_ns(rate), before) << "time alone changes nothing";
    }
    if (!bucket.take(rate, 1 + random() % 50, now)) continue;
    const int64_t at = bucket.full_at_ns(rate);
    EXPECT_GT(at, last);
    last = at;
    TokenBucket copy = bucket;
    EXPECT_FALSE(copy.full(rate, at - 1));
    EXPECT_TRUE(copy.full(rate, at));
  }
}

TEST(TokenBucket, ExtremesDoNotOverflow) {
  const LimiterRate slow{1, kMaxLimiterPeriodMs, kMaxLimiterTokens};
  TokenBucket bucket(slow, INT64_MIN);
  EXPECT_TRUE(bucket.take(slow, kMaxLimiterTokens, INT64_MIN));
  EXPECT_EQ(bucket.wait_ns(slow, 1, INT64_MIN), kMaxLimiterPeriodMs * 1'000'000);
  EXPECT_EQ(bucket.wait_ns(slow, kMaxLimiterTokens, INT64_MIN), INT64_MAX);
  EXPECT_EQ(bucket.full_at_ns(slow), INT64_MAX);
  EXPECT_TRUE(bucket.take(slow, 1, INT64_MAX));
  EXPECT_EQ(fill_ms(slow), int64_t{kMaxLimiterTokens} * kMaxLimiterPeriodMs);
  const LimiterRate fast{kMaxLimiterTokens, 1, kMaxLimiterTokens};
  TokenBucket quick(fast, 0);
  EXPECT_TRUE(quick.take(fast, kMaxLimiterTokens, 0));
  EXPECT_EQ(quick.full_at_ns(fast), 1'000'000);
  TokenBucket early(fast, INT64_MIN);
  EXPECT_TRUE(early.take(fast, kMaxLimiterTokens, INT64_MIN));
  EXPECT_EQ(early.full_at_ns(fast), INT64_MIN + 1'000'000);
  EXPECT_TRUE(quick.take(fast, kMaxLimiterTokens, INT64_MAX));
}

TEST(TokenBucket, AClockThatGoesBackAddsNothing) {
  const LimiterRate rate{1, 1'000, 1};
  TokenBucket bucket(rate, 10 * kSecondNs);
  EXPECT_TRUE(bucket.take(rate, 1, 10 * kSecondNs));
  EXPECT_FALSE(bucket.take(rate, 1, 0));
  EXPECT_FALSE(bucket.take(rate, 1, 10 * kSecondNs));
  EXPECT_TRUE(bucket.take(rate, 1, 11 * kSecondNs));
}

TEST(TokenBucket, RatesAreCheckedFieldByField) {
  const auto text = [](LimiterRate rate) { return check(rate).text().substr(0, check(rate).text().find(':')); };
  EXPECT_EQ(text({0, 1, 1}), "limiter.rate.tokens");
  EXPECT_EQ(text({UINT64_MAX, 1, 1}), "limiter.rate.tokens");
  EXPECT_EQ(text({1, 0, 1}), "limiter.rate.period_ms");
  EXPECT_EQ(text({1, INT64_MAX, 1}), "limiter.rate.period_ms");
  EXPECT_EQ(text({1, 1, 0}), "limiter.rate.burst");
  EXPECT_EQ(text({1, 1, UINT64_MAX}), "limiter.rate.burst");
  EXPECT_EQ(text({1, 1, 1}), "");
}

}  // namespace
}  // namespace sluice::limiter
