// SPDX-License-Identifier: Apache-2.0
#include "bus/scaler.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace sluice::bus {
namespace {

ScaleOptions quick() {
  ScaleOptions options;
  options.enabled = true;
  options.sample_ms = 100;
  options.sustain_ms = 500;
  options.warm_up_ms = 1'000;
  options.cooldown_ms = 1'000;
  options.budget_changes = 4;
  options.budget_ms = 60'000;
  return options;
}

/// Feeds one load for a while as a bus would; carries decisions out.
struct Bench {
  explicit Bench(const ScaleOptions& options, uint32_t count) : scaler(options, 0), shards(count) {}
  void run(double fill, double events_per_s, int64_t for_ms) {
    for (const int64_t until = now_ms + for_ms; now_ms < until; now_ms += 100) {
      const ScaleDecision decision = scaler.observe({fill, events_per_s, shards}, now_ms);
      if (decision == ScaleDecision::stay) continue;
      decision == ScaleDecision::grow ? ++shards : --shards;
      scaler.changed(now_ms);
      ++changes;
      last_change_ms = now_ms;
    }
  }
  Scaler scaler;
  uint32_t shards;
  int64_t now_ms = 0;
  int changes = 0;
  int64_t last_change_ms = -1;
};

TEST(Scaler, B35_steady_load_keeps_the_shards_overload_adds_some) {
  Bench bench(quick(), 3);
  bench.run(0.02, 1'000'000, 5'000);  // a sink that keeps up: empty rings, and much to do
  EXPECT_EQ(bench.shards, 3U);
  bench.run(0.5, 1'000'000, 5'000);
  EXPECT_EQ(bench.shards, 3U);
  bench.run(0.95, 1'000'000, 3'000);
  EXPECT_GT(bench.shards, 3U);
}

TEST(Scaler, B35_nothing_changes_before_the_warm_up_or_within_the_cooldown) {
  Bench bench(quick(), 1);
  bench.run(1, 1e6, 900);
  EXPECT_EQ(bench.changes, 0);
  bench.run(1, 1e6, 200);
  EXPECT_EQ(bench.changes, 1);
  bench.run(1, 1e6, 900);
  EXPECT_EQ(bench.changes, 1);
  bench.run(1, 1e6, 200);
  EXPECT_EQ(bench.changes, 2);
}

TEST(Scaler, B35_numbers_that_are_none_change_nothing) {
  for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity(), -1.0}) {
    Bench bench(quick(), 2);
    bench.run(0.5, 1e6, 2'000);
    bench.run(bad, 0, 2'000);
    bench.run(0, bad, 2'000);
    EXPECT_EQ(bench.changes, 0) << bad;
    bench.run(0.95, 1e6, 3'000);
    EXPECT_GT(bench.shards, 2U) << "what came before " << bad << " counts on";
  }
}

TEST(Scaler, shrinks_when_idle_to_the_minimum_and_no_further_than_the_budget) {
  Bench bench(quick(), 9);
  bench.run(0, 0, 30'000);
  EXPECT_EQ(bench.shards, 5U) << "four changes a minute";
  bench.run(0, 0, 300'000);
  EXPECT_EQ(bench.shards, 1U);
}

TEST(Scaler, one_peak_between_calm_samples_is_not_overload) {
  Bench bench(quick(), 2);
  for (int i = 0; i < 50; ++i) {
    bench.run(1, 1e6, 100);
    bench.run(0.2, 1e6, 400);
  }
  EXPECT_EQ(bench.shards, 2U);
}

}  // namespace
}  // namespace sluice::bus
