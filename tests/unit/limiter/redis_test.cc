// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <chrono>
#include <thread>
#include <vector>

#include "../support/metrics.hpp"
#include "sluice/limiter.hpp"
#include "support/redis_server.hpp"

namespace sluice {
namespace {

using test::RedisServer;
using test::RedisSettings;
using Clock = std::chrono::steady_clock;

class RedisLimiter : public ::testing::Test {
 protected:
  void start_server(RedisSettings settings = {}) {
    settings.appendonly = false;
    server = std::make_unique<RedisServer>(std::move(settings));
    const Status started = server->start();
    ASSERT_TRUE(started.ok()) << started.describe();
  }
  RedisLimiterSettings settings(LimiterRate rate) const {
    RedisLimiterSettings made;
    made.rate = rate;
    made.port = server->port();
    made.timeout_ms = 5'000;
    return made;
  }
  std::unique_ptr<RateLimiter> make(LimiterRate rate) const {
    return std::move(make_redis_limiter(settings(rate)).value());
  }
  // Until the connection is back.
  static bool works_again(RateLimiter& limiter) {
    for (const auto deadline = Clock::now() + std::chrono::seconds(30); Clock::now() < deadline;) {
      const LimiterDecision decision = limiter.acquire("again");
      if (decision.status.ok()) return true;
      EXPECT_FALSE(decision.allowed);
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }

  std::unique_ptr<RedisServer> server;
};

TEST_F(RedisLimiter, GivesItsBurstAndThenItsRateToAllThatShareIt) {
  start_server();
  const LimiterRate rate{1, 60'000, 10};
  const auto one = make(rate);
  const auto two = make(rate);
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(one->acquire("k").allowed) << one->acquire("k").status.describe();
    ASSERT_TRUE(two->acquire("k").allowed);
  }
  const LimiterDecision refused = one->acquire("k", 2);
  EXPECT_FALSE(refused.allowed);
  EXPECT_TRUE(refused.status.ok()) << refused.status.describe();
  EXPECT_GT(refused.retry_after_ms, 60'000);
  EXPECT_LE(refused.retry_after_ms, 120'000);
  EXPECT_FALSE(two->acquire("k").allowed);
  EXPECT_TRUE(two->acquire("other").allowed);
  const int64_t expires_ms = std::stol(server->cli({"PTTL", "sluice:limit:k"}));
  EXPECT_GT(expires_ms, 500'000);
  EXPECT_LE(expires_ms, 601'000);
}

TEST_F(RedisLimiter, TelemetryHearsOfEveryTrip) {
  start_server();
  const std::shared_ptr<Telemetry> telemetry = std::move(Telemetry::make().value());
  RedisLimiterSettings made = settings({1, 60'000, 3});
  made.name = "tenants";
  made.telemetry = telemetry;
  const auto limiter = std::move(make_redis_limiter(made).value());
  ASSERT_TRUE(limiter->acquire("k", 3).allowed);
  EXPECT_FALSE(limiter->acquire("k").allowed);
  server->kill();
  EXPECT_FALSE(limiter->acquire("k").allowed);
  const TelemetrySnapshot snapshot = telemetry->snapshot();
  const Attributes mine = {{"messaging.destination.name", "tenants"}};
  EXPECT_EQ(testing::sum(snapshot, "sluice.limiter.allowed", mine), 1);
  EXPECT_EQ(testing::sum(snapshot, "sluice.limiter.refused", mine), 1);
  EXPECT_EQ(testing::sum(snapshot, "sluice.limiter.failed", mine), 1);
  EXPECT_EQ(testing::sum(snapshot, semconv::kOperationDuration, {{"messaging.operation.name", "acquire"}}), 3);
  EXPECT_EQ(testing::sum(snapshot, "sluice.failures", {{"error.type", "unavailable"}}), 1);
}

TEST_F(RedisLimiter, TokensComeBackWithTime) {
  start_server();
  const auto limiter = make({10, 1'000, 10});
  ASSERT_TRUE(limiter->acquire("k", 10).allowed);
  LimiterDecision decision = limiter->acquire("k");
  const auto begin = Clock::now();
  for (const auto deadline = begin + std::chrono::seconds(30); !decision.allowed && Clock::now() < deadline;) {
    EXPECT_LE(decision.retry_after_ms, 100);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    decision = limiter->acquire("k");
  }
  EXPECT_TRUE(decision.allowed);
}

TEST_F(RedisLimiter, ABatchIsOneCommand) {
  start_server();
  const auto limiter = make({1, 60'000, 3});
  ASSERT_TRUE(limiter->acquire("warm").allowed);
  server->cli({"CONFIG", "RESETSTAT"});
  const std::vector<LimiterRequest> requests = {{"a", 2}, {"a", 2}, {"b", 4}, {"a", 1}, {"c", 3}};
  std::vector<LimiterDecision> decisions(requests.size());
  limiter->acquire(requests, decisions);
  EXPECT_TRUE(decisions[0].allowed) << decisions[0].status.describe();
  EXPECT_FALSE(decisions[1].allowed);
  EXPECT_EQ(decisions[2].status.code(), StatusCode::too_large);
  EXPECT_TRUE(decisions[3].allowed);
  EXPECT_TRUE(decisions[4].allowed);
  const std::string stats = server->cli({"INFO", "commandstats"});
  EXPECT_NE(stats.find("cmdstat_evalsha:calls=1,"), std::string::npos) << stats;
  EXPECT_EQ(stats.find("cmdstat_eval:"), std::string::npos) << stats;
}

TEST_F(RedisLimiter, AServerThatForgotTheScriptIsToldAgain) {
  start_server();
  const auto limiter = make({1, 60'000, 3});
  ASSERT_TRUE(limiter->acquire("k").allowed);
  server->cli({"SCRIPT", "FLUSH"});
  EXPECT_TRUE(limiter->acquire("k").allowed);
  server->kill();
  ASSERT_TRUE(server->start().ok());
  ASSERT_TRUE(works_again(*limiter));
}

TEST_F(RedisLimiter, AConnectionThatTheServerClosedIsMadeAnew) {
  start_server();
  const auto limiter = make({1, 60'000, 3});
  ASSERT_TRUE(limiter->acquire("k").allowed);
  server->cli({"CLIENT", "KILL", "TYPE", "normal"});
  const auto others = [&] { return server->cli({"CLIENT", "LIST"}).find('\n') != std::string::npos; };
  for (const auto deadline = Clock::now() + std::chrono::seconds(30); others() && Clock::now() < deadline;) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_TRUE(limiter->acquire("k").allowed);
}

TEST_F(RedisLimiter, S13_WhenTheServerFailsTheAnswerIsNo) {
  start_server();
  auto made = settings({1'000, 1'000, 1'000});
  made.timeout_ms = 2'000;
  const auto limiter = std::move(make_redis_limiter(made).value());
  ASSERT_TRUE(works_again(*limiter));
  uint64_t failed = limiter->counters().failed;
  const auto refused = [&](const char* key, StatusCode code) {
    const LimiterDecision decision = limiter->acquire(key);
    EXPECT_FALSE(decision.allowed);
    EXPECT_EQ(decision.status.code(), code) << decision.status.describe();
    EXPECT_EQ(limiter->counters().failed, ++failed);
  };
  // A key of something else's.
  server->cli({"SET", "sluice:limit:text", "x"});
  refused("text", StatusCode::internal);
  server->cli({"CONFIG", "SET", "maxmemory", "1"});
  refused("no memory", StatusCode::unavailable);
  server->cli({"CONFIG", "SET", "maxmemory", "0"});
  EXPECT_TRUE(limiter->acquire("k").allowed);

  server->pause();
  const auto begin = Clock::now();
  refused("stopped", StatusCode::unavailable);
  EXPECT_GE(Clock::now() - begin, std::chrono::milliseconds(1'990));
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(10));
  server->resume();
  ASSERT_TRUE(works_again(*limiter));
  failed = limiter->counters().failed;

  server->kill();
  for (int i = 0; i < 20; ++i) refused("killed", StatusCode::unavailable);
  ASSERT_TRUE(server->start().ok());
  ASSERT_TRUE(works_again(*limiter));
}

TEST_F(RedisLimiter, S13_AWrongPasswordIsNo) {
  RedisSettings with_password;
  with_password.password = "right";
  start_server(with_password);
  auto made = settings({1, 1'000, 1});
  made.password = "wrong";
  EXPECT_EQ(make_redis_limiter(made).value()->acquire("k").status.code(), StatusCode::denied);
  made.password.clear();
  const auto without = std::move(make_redis_limiter(made).value());
  EXPECT_EQ(without->acquire("k").status.code(), StatusCode::denied);
  EXPECT_EQ(without->counters().failed, 1U);
  made.password = "right";
  EXPECT_TRUE(make_redis_limiter(made).value()->acquire("k").allowed);
}

TEST_F(RedisLimiter, ThreadsShareOneConnection) {
  start_server();
  const auto limiter = make({1, 86'400'000, 500});
  std::atomic<uint64_t> allowed{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) allowed += limiter->acquire("k").allowed ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(allowed, 500U);
  EXPECT_EQ(limiter->counters().refused, 300U);
}

TEST(RedisLimiterSettings, AreCheckedFieldByField) {
  const auto refused = [](auto change) {
    RedisLimiterSettings settings;
    settings.rate = {1, 1, 1};
    change(settings);
    const auto made = make_redis_limiter(settings);
    return made ? "" : made.error().text().substr(0, made.error().text().find(':'));
  };
  EXPECT_EQ(refused([](auto&) {}), "");
  EXPECT_EQ(refused([](auto& s) { s.rate.tokens = 0; }), "limiter.rate.tokens");
  EXPECT_EQ(refused([](auto& s) { s.host.clear(); }), "limiter.host");
  EXPECT_EQ(refused([](auto& s) { s.port = 0; }), "limiter.port");
  EXPECT_EQ(refused([](auto& s) { s.username = "u"; }), "limiter.password");
  EXPECT_EQ(refused([](auto& s) { s.prefix.assign(257, 'p'); }), "limiter.prefix");
  EXPECT_EQ(refused([](auto& s) { s.timeout_ms = 0; }), "limiter.timeout_ms");
  EXPECT_EQ(refused([](auto& s) { s.timeout_ms = INT64_MAX; }), "limiter.timeout_ms");
  EXPECT_EQ(refused([](auto& s) { s.max_reconnect_ms = 1; }), "limiter.max_reconnect_ms");
}

}  // namespace
}  // namespace sluice
