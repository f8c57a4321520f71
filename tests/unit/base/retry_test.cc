// SPDX-License-Identifier: Apache-2.0
#include "base/retry.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

namespace sluice {
namespace {

TEST(Retry, B21_obeys_the_class_of_the_error) {
  const struct {
    StatusCode code;
    bool once, repeatable;
  } cases[] = {{StatusCode::invalid, false, false},   {StatusCode::out_of_range, false, false},
               {StatusCode::conflict, false, true},   {StatusCode::fenced, false, false},
               {StatusCode::unavailable, true, true}, {StatusCode::busy, true, true},
               {StatusCode::unknown, false, true},    {StatusCode::internal, false, false},
               {StatusCode::denied, false, false},    {StatusCode::corrupt, false, false},
               {StatusCode{399}, true, true},         {StatusCode{599}, false, false}};
  for (const auto& each : cases) {
    EXPECT_EQ(may_retry(Status(each.code), Effect::once), each.once) << static_cast<int>(each.code);
    EXPECT_EQ(may_retry(Status(each.code), Effect::repeatable), each.repeatable) << static_cast<int>(each.code);
  }
}

TEST(Retry, B21_delays_grow_and_are_jittered_and_end) {
  RetryPolicy policy;
  policy.max_retries = 6;
  policy.first_delay_ms = 10;
  policy.max_delay_ms = 100;
  policy.jitter_percent = 50;
  const Status status(StatusCode::unavailable);
  const int64_t most[] = {10, 20, 40, 80, 100, 100};
  for (uint32_t i = 0; i < 6; ++i) {
    int64_t lowest = INT64_MAX;
    int64_t highest = 0;
    for (uint64_t random = 0; random < 1'000; ++random) {
      const auto delay = retry_delay_ms(policy, status, Effect::once, i, random * 0x9e3779b97f4a7c15);
      ASSERT_TRUE(delay);
      lowest = std::min(lowest, *delay);
      highest = std::max(highest, *delay);
    }
    EXPECT_EQ(highest, most[i]);
    EXPECT_EQ(lowest, most[i] / 2);
  }
  EXPECT_EQ(retry_delay_ms(policy, status, Effect::once, 6, 0), std::nullopt);
}

// Of many draws after `retries` failures, with `advice_ms` in the status.
std::pair<int64_t, int64_t> least_and_most(const RetryPolicy& policy, int64_t advice_ms, uint32_t retries) {
  Status advised(StatusCode::busy);
  advised.set_retry_after_ms(advice_ms);
  std::pair<int64_t, int64_t> found{INT64_MAX, 0};
  for (uint64_t random = 0; random < 1'000; ++random) {
    const int64_t delay =
        retry_delay_ms(policy, advised, Effect::once, retries, random * 0x9e3779b97f4a7c15).value_or(-1);
    found = {std::min(found.first, delay), std::max(found.second, delay)};
  }
  return found;
}

TEST(Retry, B21_advice_is_waited_out_whatever_chance_says) {
  using Range = std::pair<int64_t, int64_t>;
  RetryPolicy policy;
  policy.first_delay_ms = 10;
  policy.max_delay_ms = 100;
  policy.jitter_percent = 50;
  EXPECT_EQ(least_and_most(policy, 50, 0), (Range{50, 75})) << "longer than the delay: chance on top";
  EXPECT_EQ(least_and_most(policy, 50, 3), (Range{50, 80})) << "within the delay: a floor";
  EXPECT_EQ(least_and_most(policy, 5, 3), (Range{40, 80})) << "below all that may come: of no effect";
  EXPECT_EQ(least_and_most(policy, 70, 0), (Range{70, 100})) << "no longer than the policy's limit";
  EXPECT_EQ(least_and_most(policy, INT64_MAX, 0), (Range{100, 100})) << "nor where the advice is longer";
  EXPECT_EQ(least_and_most(policy, INT64_MIN, 0), (Range{5, 10}));
  policy.jitter_percent = 100;
  EXPECT_EQ(least_and_most(policy, 30, 0), (Range{30, 60}));
  policy.jitter_percent = 0;
  EXPECT_EQ(least_and_most(policy, 30, 0), (Range{30, 30}));
}

}  // namespace
}  // namespace sluice
