// SPDX-License-Identifier: Apache-2.0
#include "bus/bus_clock.hpp"

#include <gtest/gtest.h>
#include <time.h>

#include <algorithm>

#include "test_sinks.hpp"

namespace sluice::bus {
namespace {

int64_t system_ns() {
  timespec t{};
  clock_gettime(CLOCK_REALTIME, &t);
  return static_cast<int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

TEST(BusClock, B14_is_within_a_millisecond_of_the_system_clock) {
  constexpr int kCalls = kSanitized ? 100'000 : 1'000'000;
  constexpr int64_t kMillisecondNs = 1'000'000;
  BusClock clock;
  int far = 0;
  for (int i = 0; i < kCalls; ++i) {
    const int64_t before = system_ns();
    const int64_t now = clock.now_ns();
    const int64_t after = system_ns();
    far += now < before - kMillisecondNs || now > after + kMillisecondNs;
  }
  EXPECT_EQ(far, 0);
  EXPECT_EQ(clock.failures(), 0U);
}

TEST(BusClock, S10_a_failing_clock_is_counted_and_time_goes_on) {
  std::atomic<bool> fails{false};
  BusClock clock([&] { return fails ? -1 : system_ns(); });
  const int64_t good = clock.now_ns();
  fails = true;
  ASSERT_TRUE(eventually([&] {
    static_cast<void>(clock.now_ns());
    return clock.failing();
  }));
  EXPECT_GT(clock.failures(), 0U);
  EXPECT_GT(clock.now_ns(), good);
  EXPECT_LT(clock.now_ns(), system_ns() + 1'000'000'000);
  fails = false;
  ASSERT_TRUE(eventually([&] {
    static_cast<void>(clock.now_ns());
    return !clock.failing();
  }));
}

TEST(Bus, B14_timestamps_of_a_shard_strictly_rise) {
  const auto sink = std::make_shared<TestSink>();
  sink->keeps = false;
  std::atomic<uint64_t> wrong{0};
  int64_t last = 0;  // the one shard's deliveries come one after the other
  sink->judge = [&](const EventBatch& batch) {
    batch.each([&](const Record& record) {
      wrong += record.timestamp_ns <= last;
      last = record.timestamp_ns;
    });
    return Delivery();
  };
  BusOptions options = options_for(sink);
  options.shards = 1;
  auto bus = make_bus(std::move(options));
  constexpr int kEach = kSanitized ? 10'000 : 250'000;
  const auto produce = [&] {
    for (int i = 0; i < kEach; ++i) EXPECT_EQ(bus->ingest_raw(as_bytes("x")), Outcome::queued);
  };
  std::thread other(produce);
  produce();
  other.join();
  const std::vector<Event> batch(250, event("k", "v"));
  for (int i = 0; i < kEach * 2 / 250; ++i) EXPECT_EQ(bus->ingest(batch).queued, batch.size());
  EXPECT_TRUE(bus->shutdown(kPatienceMs));
  EXPECT_EQ(sink->events, 4U * kEach);
  EXPECT_EQ(wrong, 0U);
  EXPECT_LT(std::abs(last - system_ns()), 60'000'000'000);
}

TEST(Bus, S10_a_clock_before_the_epoch_is_reported_and_order_kept) {
  const auto sink = std::make_shared<TestSink>();
  BusOptions options = options_for(sink);
  options.shards = 1;
  options.clock = [] { return int64_t{-5}; };
  auto bus = make_bus(std::move(options));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(bus->ingest(event("k", std::to_string(i))), Outcome::queued);
  EXPECT_TRUE(bus->drain(kPatienceMs));
  EXPECT_GT(bus->stats().clock_failures, 0U);
  EXPECT_EQ(bus->health().level, BusHealth::Level::degraded);
  const auto seen = sink->seen();
  ASSERT_EQ(seen.size(), 100U);
  for (size_t i = 0; i < seen.size(); ++i) {
    EXPECT_EQ(seen[i].value, std::to_string(i));
    EXPECT_GT(seen[i].timestamp_ns, i == 0 ? 0 : seen[i - 1].timestamp_ns);
  }
  EXPECT_TRUE(bus->shutdown(kPatienceMs));
}

}  // namespace
}  // namespace sluice::bus
