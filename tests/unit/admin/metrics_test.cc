// SPDX-License-Identifier: Apache-2.0
#include "admin/metrics.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <limits>
#include <string>
#include <thread>
#include <vector>

namespace sluice::admin {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Registry, ExposesSourcesInTheirOrderWithHelpAndType) {
  Registry registry;
  registry.show([](Exposition& out) {
    out.family("sluice_requests_total", "Requests.", MetricType::counter);
    out.sample(3, {{"api", "fetch"}});
    out.sample(1, {{"api", "produce"}, {"user", "me"}});
  });
  registry.show([](Exposition& out) {
    out.family("sluice_connections", "Open connections.", MetricType::gauge);
    out.sample(2.5);
  });
  EXPECT_EQ(registry.expose(),
            "# HELP sluice_requests_total Requests.\n"
            "# TYPE sluice_requests_total counter\n"
            "sluice_requests_total{api=\"fetch\"} 3\n"
            "sluice_requests_total{api=\"produce\",user=\"me\"} 1\n"
            "# HELP sluice_connections Open connections.\n"
            "# TYPE sluice_connections gauge\n"
            "sluice_connections 2.5\n");
}

TEST(Registry, SourcesAreAskedEachTime) {
  Registry registry;
  int partitions = 1;
  bool shown = false;
  registry.show([&](Exposition& out) {
    out.family("sluice_partitions", "Partitions.", MetricType::gauge);
    for (int i = 0; i < partitions; ++i) out.sample(i, {{"topic", std::to_string(i)}});
    if (shown) return;
    shown = true;
    registry.show([](Exposition& more) {
      more.family("sluice_from_within", "No deadlock.", MetricType::gauge);
      more.sample(1);
    });
  });
  EXPECT_THAT(registry.expose(), Not(HasSubstr("topic=\"1\"")));
  partitions = 2;
  const std::string text = registry.expose();
  EXPECT_THAT(text, HasSubstr("sluice_partitions{topic=\"1\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("sluice_from_within 1\n"));
}

TEST(Registry, EscapesAndExtremes) {
  Registry registry;
  registry.show([](Exposition& out) {
    out.family("sluice_a", "Back\\slash\nand \"quotes\".", MetricType::gauge);
    out.sample(std::nan(""), {{"l", "a\\b\"c\nd"}});
    out.family("sluice_b", "B.", MetricType::gauge);
    out.sample(std::numeric_limits<double>::infinity());
    out.family("sluice_c", "C.", MetricType::gauge);
    out.sample(-std::numeric_limits<double>::infinity());
    out.family("sluice_d_total", "D.", MetricType::counter);
    out.sample(1'000'000'007);
  });
  const std::string text = registry.expose();
  EXPECT_THAT(text, HasSubstr("# HELP sluice_a Back\\\\slash\\nand \"quotes\".\n"));
  EXPECT_THAT(text, HasSubstr("sluice_a{l=\"a\\\\b\\\"c\\nd\"} NaN\n"));
  EXPECT_THAT(text, HasSubstr("sluice_b +Inf\n"));
  EXPECT_THAT(text, HasSubstr("sluice_c -Inf\n"));
  EXPECT_THAT(text, HasSubstr("sluice_d_total 1000000007\n"));
}

TEST(Registry, ASourceWithoutEndIsCutOff) {
  Registry registry;
  registry.show([](Exposition& out) {
    out.family("sluice_much", "Much.", MetricType::gauge);
    for (int i = 0; i < 1000; ++i) out.sample(i, {{"l", std::string(100'000, 'x')}});
  });
  const std::string text = registry.expose();
  EXPECT_LT(text.size(), Exposition::kMaxBytes + 200'000);
  EXPECT_THAT(text.substr(text.size() - 200), HasSubstr("sluice_metrics_truncated 1\n"));
  EXPECT_THAT(Registry().expose(), Not(HasSubstr("truncated")));
}

TEST(Registry, IsThreadSafe) {
  Registry registry;
  std::atomic<int> asked{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        registry.show([&](Exposition&) { ++asked; });
        registry.expose();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  asked = 0;
  registry.expose();
  EXPECT_EQ(asked, 200);
}

}  // namespace
}  // namespace sluice::admin
