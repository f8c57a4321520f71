// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "../support/metrics.hpp"
#include "limiter/bucket.hpp"
#include "sluice/limiter.hpp"

namespace sluice {
namespace {

class LocalLimiter : public ::testing::Test {
 protected:
  std::unique_ptr<RateLimiter> make(LimiterRate rate, size_t max_keys = 100) {
    LocalLimiterSettings settings;
    settings.rate = rate;
    settings.max_keys = max_keys;
    settings.now_ns = [this] { return now_ns_.load(); };
    return std::move(make_local_limiter(std::move(settings)).value());
  }
  std::atomic<int64_t> now_ns_{0};
};

TEST_F(LocalLimiter, EachKeyHasItsOwnBucket) {
  const auto limiter = make({10, 1'000, 2});
  EXPECT_TRUE(limiter->acquire("a", 2).allowed);
  const LimiterDecision refused = limiter->acquire("a");
  EXPECT_FALSE(refused.allowed);
  EXPECT_TRUE(refused.status.ok());
  EXPECT_EQ(refused.retry_after_ms, 100);
  EXPECT_TRUE(limiter->acquire("b").allowed);
  now_ns_ += 100'000'000;
  EXPECT_TRUE(limiter->acquire("a").allowed);
  EXPECT_EQ(limiter->counters().allowed, 3U);
  EXPECT_EQ(limiter->counters().refused, 1U);
}

TEST_F(LocalLimiter, ABatchIsDecidedInItsOrder) {
  const auto limiter = make({1, 1'000, 3});
  const std::vector<LimiterRequest> requests = {{"a", 2}, {"a", 2}, {"b", 4}, {"a", 1}, {"", 1}, {"c", 0}};
  std::vector<LimiterDecision> decisions(requests.size());
  limiter->acquire(requests, decisions);
  EXPECT_TRUE(decisions[0].allowed);
  EXPECT_FALSE(decisions[1].allowed);
  EXPECT_EQ(decisions[2].status.code(), StatusCode::too_large);
  EXPECT_TRUE(decisions[3].allowed);
  EXPECT_EQ(decisions[4].status.code(), StatusCode::invalid);
  EXPECT_EQ(decisions[5].status.code(), StatusCode::invalid);
  EXPECT_EQ(limiter->counters().invalid, 3U);

  const std::vector<LimiterRequest> many(kMaxLimiterBatch + 1, {"a", 1});
  std::vector<LimiterDecision> refused(many.size());
  limiter->acquire(many, refused);
  EXPECT_EQ(refused.back().status.code(), StatusCode::too_large);
  EXPECT_FALSE(refused.front().allowed);
}

TEST_F(LocalLimiter, S13_WithoutRoomForAKeyTheAnswerIsNo) {
  const auto limiter = make({1, 1'000, 1}, /*max_keys=*/2);
  EXPECT_TRUE(limiter->acquire("a").allowed);
  EXPECT_TRUE(limiter->acquire("b").allowed);
  const LimiterDecision refused = limiter->acquire("c");
  EXPECT_FALSE(refused.allowed);
  EXPECT_EQ(refused.status.code(), StatusCode::busy);
  EXPECT_EQ(limiter->counters().failed, 1U);
  EXPECT_FALSE(limiter->acquire("a").allowed) << "its bucket was kept";
  now_ns_ += 1'000'000'000;
  EXPECT_TRUE(limiter->acquire("c").allowed) << "a full bucket made room";
}

TEST_F(LocalLimiter, WhichBucketMakesRoomIsNotAMatterOfWhoAskedLast) {
  const auto limiter = make({1, 1'000, 3'600}, /*max_keys=*/2);
  EXPECT_TRUE(limiter->acquire("a", 3'600).allowed);
  EXPECT_TRUE(limiter->acquire("b", 1).allowed);
  now_ns_ += 2'000'000'000;
  EXPECT_TRUE(limiter->acquire("c", 1).allowed) << "b is full again";
  EXPECT_FALSE(limiter->acquire("a", 3'600).allowed) << "its bucket was kept";
  EXPECT_EQ(limiter->counters().failed, 0U);
}

// Against a model that looks at every bucket: there is room exactly if one of them is full.
TEST_F(LocalLimiter, ThereIsRoomExactlyWhileABucketIsFull) {
  constexpr size_t kRoom = 50;
  const LimiterRate rate{10, 1'000, 100};
  const auto limiter = make(rate, kRoom);
  std::map<std::string, limiter::TokenBucket> kept;
  std::minstd_rand random(11);
  size_t refused = 0;
  size_t replaced = 0;
  for (int i = 0; i < 50'000; ++i) {
    now_ns_ += static_cast<int64_t>(random() % 80'000'000);
    const std::string key = std::to_string(random() % 200);
    const uint64_t tokens = 1 + random() % 100;
    // Which of the full ones is given up cannot be told from outside, nor does it matter: all of them.
    if (!kept.contains(key) && kept.size() >= kRoom) {
      replaced += std::erase_if(kept, [&](auto each) { return each.second.full(rate, now_ns_); });
    }
    const LimiterDecision decision = limiter->acquire(key, tokens);
    if (!kept.contains(key) && kept.size() >= kRoom) {
      ++refused;
      ASSERT_EQ(decision.status.code(), StatusCode::busy) << i;
      continue;
    }
    ASSERT_TRUE(decision.status.ok()) << i << ": " << decision.status.describe();
    const auto bucket = kept.try_emplace(key, limiter::TokenBucket(rate, now_ns_)).first;
    ASSERT_EQ(decision.allowed, bucket->second.take(rate, tokens, now_ns_)) << i;
  }
  EXPECT_GT(refused, 1'000U);
  EXPECT_GT(replaced, 1'000U);
}

TEST_F(LocalLimiter, ThreadsTogetherGetNoMoreThanThereIs) {
  const auto limiter = make({1, 1'000, 5'000}, 10'000);
  std::vector<std::thread> threads;
  std::atomic<uint64_t> allowed{0};
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      for (int i = 0; i < 3'000; ++i) allowed += limiter->acquire("shared").allowed ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(allowed, 5'000U);
  EXPECT_EQ(limiter->counters().allowed, 5'000U);
  EXPECT_EQ(limiter->counters().refused, 7'000U);
}

TEST_F(LocalLimiter, TelemetryHearsWhatTheCountersSay) {
  const std::shared_ptr<Telemetry> telemetry = std::move(Telemetry::make().value());
  LocalLimiterSettings settings;
  settings.rate = {1, 1'000, 3};
  settings.max_keys = 1;
  settings.now_ns = [this] { return now_ns_.load(); };
  settings.name = "tenants";
  settings.telemetry = telemetry;
  auto limiter = std::move(make_local_limiter(settings).value());
  for (int i = 0; i < 5; ++i) static_cast<void>(limiter->acquire("a"));
  static_cast<void>(limiter->acquire("b"));
  for (int i = 0; i < 4; ++i) static_cast<void>(limiter->acquire("a", 4));
  for (int look = 0; look < 2; ++look) {
    const TelemetrySnapshot snapshot = telemetry->snapshot();
    const Attributes mine = {{"messaging.system", "sluice.limiter"}, {"messaging.destination.name", "tenants"}};
    EXPECT_EQ(testing::sum(snapshot, "sluice.limiter.allowed", mine), 3);
    EXPECT_EQ(testing::sum(snapshot, "sluice.limiter.refused", mine), 2);
    EXPECT_EQ(testing::sum(snapshot, "sluice.limiter.failed", mine), 1);
    EXPECT_EQ(testing::sum(snapshot, "sluice.limiter.invalid", mine), 4);
    limiter.reset();  // and it stays
  }
}

TEST_F(LocalLimiter, SettingsAreChecked) {
  LocalLimiterSettings settings;
  EXPECT_EQ(make_local_limiter(settings).error().code(), StatusCode::invalid);
  settings.rate = {1, 1, 1};
  settings.max_keys = 0;
  EXPECT_TRUE(make_local_limiter(settings).error().text().starts_with("limiter.max_keys"));
  settings.max_keys = SIZE_MAX;
  EXPECT_TRUE(make_local_limiter(settings).error().text().starts_with("limiter.max_keys"));
  settings.max_keys = 1;
  settings.name.clear();
  EXPECT_TRUE(make_local_limiter(settings).error().text().starts_with("limiter.name"));
}

}  // namespace
}  // namespace sluice
