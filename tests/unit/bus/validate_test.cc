// SPDX-License-Identifier: Apache-2.0
#include "bus/validate.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <functional>
#include <limits>
#include <string>

#include "test_sinks.hpp"

namespace sluice::bus {
namespace {

size_t count_of(const char* folder) {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

TEST(Validate, B03_each_field_is_checked_before_anything_is_opened) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  struct Case {
    const char* path;
    std::function<void(BusOptions&)> spoil;
  };
  std::vector<Case> cases = {
      {"bus.name", [](auto& o) { o.name.clear(); }},
      {"bus.name", [](auto& o) { o.name.assign(201, 'x'); }},
      {"bus.state_file", [](auto& o) { o.state_file = std::string("a\0b", 3); }},
      {"bus.shards", [](auto& o) { o.shards = kMaxBusShards + 1; }},
      {"bus.shards", [](auto& o) { o.shards = UINT32_MAX; }},
      {"bus.shards", [](auto& o) { o.scale.enabled = true, o.shards = 0; }},
      {"bus.capacity_events", [](auto& o) { o.capacity_events = 0; }},
      {"bus.capacity_events", [](auto& o) { o.capacity_events = UINT32_MAX; }},
      {"bus.capacity_events", [](auto& o) { o.capacity_events = 1U << 24, o.inline_bytes = 64U << 10; }},
      {"bus.inline_bytes", [](auto& o) { o.inline_bytes = 0; }},
      {"bus.inline_bytes", [](auto& o) { o.inline_bytes = UINT32_MAX; }},
      {"bus.max_event_bytes", [](auto& o) { o.max_event_bytes = 0; }},
      {"bus.max_event_bytes", [](auto& o) { o.max_event_bytes = UINT32_MAX; }},
      {"bus.max_spilled_bytes", [](auto& o) { o.max_spilled_bytes = 0; }},
      {"bus.max_spilled_bytes", [](auto& o) { o.max_spilled_bytes = UINT64_MAX; }},
      {"bus.threads", [](auto& o) { o.threads = 0; }},
      {"bus.threads", [](auto& o) { o.threads = UINT32_MAX; }},
      {"bus.routing", [](auto& o) { o.routing = static_cast<Route>(9); }},
      {"bus.route", [](auto& o) { o.routing = Route::custom; }},
      {"bus.route", [](auto& o) { o.route = [](const Event&, uint32_t) { return 0U; }; }},
      {"bus.when_full", [](auto& o) { o.when_full = static_cast<WhenFull>(9); }},
      {"bus.block_ms", [](auto& o) { o.block_ms = 0; }},
      {"bus.block_ms", [](auto& o) { o.block_ms = UINT32_MAX; }},
      {"bus.sample_one_in", [](auto& o) { o.sample_one_in = 0; }},
      {"bus.sample_one_in", [](auto& o) { o.sample_one_in = UINT32_MAX; }},
      {"bus.batch.max_events", [](auto& o) { o.batch.max_events = 0; }},
      {"bus.batch.max_events", [](auto& o) { o.batch.max_events = UINT32_MAX; }},
      {"bus.batch.max_bytes", [](auto& o) { o.batch.max_bytes = 0; }},
      {"bus.batch.max_bytes", [](auto& o) { o.batch.max_bytes = UINT64_MAX; }},
      {"bus.batch.linger_us", [](auto& o) { o.batch.linger_us = UINT32_MAX; }},
      {"bus.retry.retries", [](auto& o) { o.retry.retries = UINT32_MAX; }},
      {"bus.retry.first_ms", [](auto& o) { o.retry.first_ms = 0; }},
      {"bus.retry.longest_ms", [](auto& o) { o.retry.longest_ms = 0; }},
      {"bus.retry.longest_ms", [](auto& o) { o.retry.longest_ms = UINT32_MAX; }},
      {"bus.retry.longest_ms", [](auto& o) { o.retry.first_ms = 10, o.retry.longest_ms = 9; }},
      {"bus.max_in_flight", [](auto& o) { o.max_in_flight = 0; }},
      {"bus.max_in_flight", [](auto& o) { o.max_in_flight = UINT32_MAX; }},
      {"bus.retain_events", [](auto& o) { o.retain_events = UINT32_MAX; }},
      {"bus.sink", [](auto& o) { o.sink = nullptr; }},
      {"bus.sink_for_shard",
       [](auto& o) { o.sink_for_shard = [](uint64_t) { return Result<std::shared_ptr<Sink>>(); }; }},
      {"bus.scale.min_shards", [](auto& o) { o.scale.min_shards = 0; }},
      {"bus.scale.max_shards", [](auto& o) { o.scale.max_shards = UINT32_MAX; }},
      {"bus.scale.sample_ms", [](auto& o) { o.scale.sample_ms = 0; }},
      {"bus.scale.shrink_below", [](auto& o) { o.scale.shrink_below = o.scale.grow_above; }},
      {"bus.scale.sustain_ms", [](auto& o) { o.scale.sustain_ms = UINT32_MAX; }},
      {"bus.scale.warm_up_ms", [](auto& o) { o.scale.warm_up_ms = UINT32_MAX; }},
      {"bus.scale.cooldown_ms", [](auto& o) { o.scale.cooldown_ms = UINT32_MAX; }},
      {"bus.scale.budget_changes", [](auto& o) { o.scale.budget_changes = 0; }},
      {"bus.scale.budget_ms", [](auto& o) { o.scale.budget_ms = 0; }},
  };
  for (const double bad : {kNan, kInfinity, -kInfinity, -0.1, 1e300}) {
    cases.push_back({"bus.scale.grow_above", [bad](auto& o) { o.scale.grow_above = bad; }});
    cases.push_back({"bus.scale.shrink_below", [bad](auto& o) { o.scale.shrink_below = bad; }});
    cases.push_back({"bus.scale.shrink_events_per_s", [bad](auto& o) { o.scale.shrink_events_per_s = bad; }});
  }
  const auto sink = std::make_shared<TestSink>();
  BusOptions good = options_for(sink);
  EXPECT_TRUE(validate(good));
  good.scale.enabled = true;
  EXPECT_TRUE(validate(good));
  const size_t threads = count_of("/proc/self/task");
  const size_t files = count_of("/proc/self/fd");
  const std::string path = testing::TempDir() + "/bus-state-that-must-not-be-" + std::to_string(getpid());
  for (const Case& c : cases) {
    BusOptions options = options_for(sink);
    options.state_file = path;
    options.scale.enabled = std::string_view(c.path).starts_with("bus.scale");
    c.spoil(options);
    const auto bus = Bus::create(std::move(options));
    ASSERT_FALSE(bus) << c.path;
    EXPECT_EQ(bus.error().code(), StatusCode::invalid);
    EXPECT_TRUE(bus.error().text().starts_with(std::string(c.path) + ":")) << c.path << " but " << bus.error().text();
  }
  EXPECT_EQ(count_of("/proc/self/task"), threads);
  EXPECT_EQ(count_of("/proc/self/fd"), files);
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_EQ(sink->opens, 0U);
}

}  // namespace
}  // namespace sluice::bus
