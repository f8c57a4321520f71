// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "face.hpp"

namespace sluice::c::testing {
namespace {

using ::testing::HasSubstr;

// Nothing is gained within a test.
constexpr std::string_view kFive = R"({"kind": "local", "tokens": 1, "period_ms": 86400000, "burst": 5})";

sluice_limiter_counts stats(sluice_handle limiter) {
  sluice_limiter_counts counts{};
  counts.size = sizeof counts;
  EXPECT_EQ(sluice_limiter_stats(limiter, &counts, nullptr), SLUICE_OK);
  return counts;
}

TEST(LimiterFace, a_bucket_gives_what_it_has) {
  Owned limiter;
  open_by(&sluice_limiter_open, kFive, limiter);
  sluice_limiter_decision decision{};
  ASSERT_EQ(sluice_limiter_acquire(limiter, "a", 1, 4, &decision, nullptr), SLUICE_OK);
  EXPECT_EQ(decision.allowed, 1U);
  ASSERT_EQ(sluice_limiter_acquire(limiter, "a", 1, 2, &decision, nullptr), SLUICE_OK);
  EXPECT_EQ(decision.allowed, 0U);
  EXPECT_GT(decision.retry_after_ms, 0);
  const sluice_limiter_request requests[] = {{span("a"), 1}, {span("b"), 5}, {span("a"), 1}};
  sluice_limiter_decision decisions[3];
  ASSERT_EQ(sluice_limiter_acquire_batch(limiter, requests, 3, decisions, nullptr), SLUICE_OK);
  EXPECT_EQ(decisions[0].allowed, 1U);
  EXPECT_EQ(decisions[1].allowed, 1U);
  EXPECT_EQ(decisions[2].allowed, 0U);
  EXPECT_EQ(stats(limiter).allowed, 3U);
  EXPECT_EQ(stats(limiter).refused, 2U);
}

TEST(LimiterFace, S13_whatever_is_wrong_is_refused) {
  Owned limiter;
  open_by(&sluice_limiter_open, kFive, limiter);
  sluice_limiter_decision decisions[3] = {{1, 0, 0}, {1, 0, 0}, {1, 0, 0}};
  Failure failure;
  EXPECT_EQ(sluice_limiter_acquire(0, "a", 1, 1, decisions, &failure), SLUICE_NOT_FOUND);
  EXPECT_EQ(decisions[0].allowed, 0U);
  decisions[0].allowed = 1;
  EXPECT_EQ(sluice_limiter_acquire(limiter, nullptr, 1, 1, decisions, &failure), SLUICE_INVALID);
  EXPECT_EQ(decisions[0].allowed, 0U);
  EXPECT_EQ(sluice_limiter_acquire(limiter, "a", 1, 1, nullptr, &failure), SLUICE_INVALID);
  EXPECT_EQ(sluice_limiter_acquire(limiter, "a", 1, 6, decisions, &failure), SLUICE_TOO_LARGE);
  EXPECT_EQ(decisions[0].allowed, 0U);
  EXPECT_EQ(decisions[0].status, SLUICE_TOO_LARGE);

  const sluice_limiter_request malformed[] = {{span("a"), 1}, {{nullptr, 4}, 1}, {span("a"), 1}};
  EXPECT_EQ(sluice_limiter_acquire_batch(limiter, malformed, 3, decisions, &failure), SLUICE_INVALID);
  EXPECT_EQ(failure.index, 1);
  for (const auto& decision : decisions) EXPECT_EQ(decision.allowed, 0U);
  const sluice_limiter_request senseless[] = {{span("a"), 1}, {span("a"), 0}, {span("a"), 1}};
  EXPECT_EQ(sluice_limiter_acquire_batch(limiter, senseless, 3, decisions, &failure), SLUICE_INVALID);
  EXPECT_EQ(failure.index, 1);
  EXPECT_EQ(decisions[0].allowed, 1U);
  EXPECT_EQ(decisions[1].allowed, 0U);
  EXPECT_EQ(decisions[2].allowed, 1U);
  EXPECT_EQ(sluice_limiter_acquire_batch(limiter, nullptr, 3, decisions, &failure), SLUICE_INVALID);
  EXPECT_EQ(sluice_limiter_acquire_batch(limiter, senseless, UINT64_MAX, decisions, &failure), SLUICE_TOO_LARGE);

  // A Redis that is not there.
  Owned shared;
  open_by(&sluice_limiter_open,
          R"({"kind": "redis", "tokens": 1, "burst": 1, "host": "127.0.0.1", "port": 1, "timeout_ms": 1000})", shared);
  decisions[0].allowed = 1;
  EXPECT_EQ(sluice_limiter_acquire(shared, "a", 1, 1, decisions, &failure), SLUICE_UNAVAILABLE) << failure.text;
  EXPECT_EQ(decisions[0].allowed, 0U);
  EXPECT_EQ(stats(shared).failed, 1U);
}

TEST(LimiterFace, B03_each_wrong_setting_is_named) {
  struct Case {
    std::string_view config;
    const char* expected;
  };
  for (const Case& wrong :
       {Case{R"({"tokens": 0, "burst": 1})", "tokens"}, Case{R"({"tokens": 1, "burst": 0})", "burst"},
        Case{R"({"tokens": 1, "burst": 1, "period_ms": 0})", "period_ms"},
        Case{R"({"tokens": -1, "burst": 1})", "tokens"},
        Case{R"({"tokens": 1, "burst": 1, "port": 6379})", "port: there is no such setting"},
        Case{R"({"kind": "redis", "tokens": 1, "burst": 1, "port": 70000})", "port"},
        Case{R"({"kind": "moon"})", "kind"}, Case{R"({"tokens": 1, "burst": 1, "max_keys": 0})", "max_keys"}}) {
    sluice_handle limiter = 0;
    Failure failure;
    EXPECT_EQ(sluice_limiter_open(wrong.config.data(), wrong.config.size(), &limiter, &failure), SLUICE_INVALID)
        << wrong.config;
    EXPECT_THAT(std::string(failure.text), HasSubstr(wrong.expected)) << wrong.config;
  }
}

TEST(LimiterFace, B01_requests_race_with_release) {
  race_with_release(
      100,
      [] {
        sluice_handle limiter = 0;
        EXPECT_EQ(sluice_limiter_open(kFive.data(), kFive.size(), &limiter, nullptr), SLUICE_OK);
        return limiter;
      },
      [](sluice_handle limiter) {
        sluice_limiter_decision decision{};
        return sluice_limiter_acquire(limiter, "a", 1, 1, &decision, nullptr);
      },
      [](sluice_handle) {}, [](sluice_status) { return false; });
}

}  // namespace
}  // namespace sluice::c::testing
