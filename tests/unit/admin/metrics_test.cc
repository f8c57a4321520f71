// SPDX-License-Identifier: Apache-2.0
#include "admin/metrics.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <thread>

namespace sluice::admin {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Registry, ExposesFamiliesByNameWithHelpAndType) {
  Registry registry;
  registry.counter("sluice_requests_total", "Requests.", {{"api", "fetch"}}).add(3);
  registry.counter("sluice_requests_total", "Requests.", {{"api", "produce"}}).add();
  registry.gauge("sluice_connections", "Open connections.").set(2.5);
  EXPECT_EQ(registry.expose(),
            "# HELP sluice_connections Open connections.\n"
            "# TYPE sluice_connections gauge\n"
            "sluice_connections 2.5\n"
            "# HELP sluice_requests_total Requests.\n"
            "# TYPE sluice_requests_total counter\n"
            "sluice_requests_total{api=\"fetch\"} 3\n"
            "sluice_requests_total{api=\"produce\"} 1\n");
}

TEST(Registry, TheSameNameAndLabelsAreTheSameMetric) {
  Registry registry;
  Counter& one = registry.counter("sluice_x_total", "X.", {{"a", "b"}});
  EXPECT_EQ(&one, &registry.counter("sluice_x_total", "X.", {{"a", "b"}}));
  EXPECT_NE(&one, &registry.counter("sluice_x_total", "X."));
}

TEST(Registry, HistogramsAreCumulative) {
  Registry registry;
  Histogram& histogram = registry.histogram("sluice_wait_seconds", "Waiting.", {0.1, 1}, {{"k", "v"}});
  for (const double value : {0.05, 0.1, 0.5, 7.0}) histogram.observe(value);
  const std::string text = registry.expose();
  EXPECT_THAT(text, HasSubstr("# TYPE sluice_wait_seconds histogram\n"
                              "sluice_wait_seconds_bucket{k=\"v\",le=\"0.1\"} 2\n"
                              "sluice_wait_seconds_bucket{k=\"v\",le=\"1\"} 3\n"
                              "sluice_wait_seconds_bucket{k=\"v\",le=\"+Inf\"} 4\n"
                              "sluice_wait_seconds_sum{k=\"v\"} 7.65\n"
                              "sluice_wait_seconds_count{k=\"v\"} 4\n"));
}

TEST(Registry, NumbersAndSourcesAreAskedEachTime) {
  Registry registry;
  double value = 1;
  registry.show_gauge("sluice_asked", "Asked.", [&] { return value; });
  registry.show_counter("sluice_asked_total", "Asked.", [&] { return value * 10; }, {{"a", "b"}});
  registry.show([&](Exposition& out) {
    registry.gauge("sluice_from_within", "No deadlock.");
    out.family("sluice_partitions", "Partitions.", MetricType::gauge);
    for (int i = 0; i < value; ++i) out.sample(i, {{"topic", std::to_string(i)}});
  });
  EXPECT_THAT(registry.expose(), HasSubstr("\nsluice_asked 1\n"));
  value = 2;
  EXPECT_THAT(registry.expose(), HasSubstr("\nsluice_asked 2\n"));
  EXPECT_THAT(registry.expose(), HasSubstr("sluice_asked_total{a=\"b\"} 20\n"));
  EXPECT_THAT(registry.expose(), HasSubstr("sluice_partitions{topic=\"1\"} 1\n"));
}

TEST(Registry, EscapesAndExtremes) {
  Registry registry;
  registry.gauge("sluice_a", "Back\\slash\nand \"quotes\".", {{"l", "a\\b\"c\nd"}}).set(std::nan(""));
  registry.gauge("sluice_b", "B.").set(std::numeric_limits<double>::infinity());
  registry.gauge("sluice_c", "C.").set(-std::numeric_limits<double>::infinity());
  registry.counter("sluice_d_total", "D.").add(1'000'000'007);
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
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; ++i) {
        registry.counter("sluice_shared_total", "Shared.").add();
        registry.histogram("sluice_h", "H.", {1, 2}).observe(i % 3);
        registry.gauge("sluice_g", "G.", {{"thread", std::to_string(t)}}).add(1);
        if (i % 100 == 0) registry.expose();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(registry.counter("sluice_shared_total", "Shared.").value(), 2000u);
}

}  // namespace
}  // namespace sluice::admin
