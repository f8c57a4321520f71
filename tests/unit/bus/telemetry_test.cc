// SPDX-License-Identifier: Apache-2.0
// What telemetry hears of a bus is what stats() and health() say.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "../support/metrics.hpp"
#include "test_sinks.hpp"

namespace sluice::bus {
namespace {

using sluice::testing::sum;

constexpr int64_t kLongMs = 30'000;

void expect_equal(const TelemetrySnapshot& snapshot, const BusStats& stats) {
  const auto count = [&](std::string_view name, const Attributes& of = {}) {
    return static_cast<uint64_t>(sum(snapshot, name, of));
  };
  EXPECT_EQ(count("sluice.bus.accepted"), stats.accepted);
  EXPECT_EQ(count(semconv::kSentMessages), stats.delivered);
  EXPECT_EQ(count("sluice.bus.refused"), stats.refused);
  EXPECT_EQ(count("sluice.bus.unrouted"), stats.unrouted);
  EXPECT_EQ(count("sluice.bus.dropped"), stats.dropped.all());
  EXPECT_EQ(count("sluice.bus.dropped", {{"error.type", "failed"}}), stats.dropped.failed);
  EXPECT_EQ(count("sluice.bus.dropped", {{"error.type", "refused"}}), stats.dropped.refused);
  EXPECT_EQ(count("sluice.bus.dropped", {{"error.type", "newest"}}), stats.dropped.newest);
  for (const ShardCounts& shard : stats.shards) {
    const Attributes of = {{"messaging.destination.partition.id", std::to_string(shard.shard)}};
    EXPECT_EQ(count("sluice.bus.accepted", of), shard.accepted);
    EXPECT_EQ(count(semconv::kSentMessages, of), shard.delivered);
    EXPECT_EQ(count("sluice.bus.pending", of), shard.pending);
  }
}

TEST(BusTelemetry, CountsAreThoseOfTheBus) {
  const std::shared_ptr<Telemetry> telemetry = std::move(Telemetry::make().value());
  const auto sink = std::make_shared<TestSink>();
  std::atomic<bool> failing{false};
  sink->judge = [&](const EventBatch& batch) {
    Delivery delivery;
    if (failing) {
      delivery.status = Status(StatusCode::no_space, "the disk is full", 28);
    } else if (batch.first_sequence() == 0) {
      delivery.refused = 1;
      delivery.refusal = Status(StatusCode::too_large, "too large");
    }
    return delivery;
  };
  BusOptions options = options_for(sink);
  options.name = "orders";
  options.capacity_events = 64;
  options.when_full = WhenFull::drop_newest;
  options.telemetry = telemetry;
  auto bus = make_bus(std::move(options));
  for (int i = 0; i < 1'000; ++i) EXPECT_LE(bus->ingest(event(std::to_string(i), "v")), Outcome::dropped);
  ASSERT_TRUE(bus->drain(kLongMs));
  failing = true;
  for (int i = 0; i < 10; ++i) EXPECT_LE(bus->ingest(event(std::to_string(i), "v")), Outcome::dropped);
  ASSERT_TRUE(bus->drain(kLongMs));

  TelemetrySnapshot snapshot = telemetry->snapshot();
  BusStats stats = bus->stats();
  EXPECT_EQ(stats.dropped.refused, 2U);  // the first of each shard
  EXPECT_EQ(stats.dropped.failed, 10U);
  expect_equal(snapshot, stats);
  EXPECT_EQ(sum(snapshot, "sluice.bus.health"), static_cast<int64_t>(bus->health().level));
  EXPECT_EQ(sum(snapshot, "sluice.bus.shards", {{"sluice.state", "live"}}), 2);
  // Every delivery was timed, and every failure has its cause, where and how long.
  EXPECT_EQ(sum(snapshot, semconv::kOperationDuration, {{"messaging.system", "sluice.bus"}}),
            static_cast<int64_t>(sink->batches));
  EXPECT_EQ(sum(snapshot, "sluice.failures", {{"error.type", "too_large"}}), 2);
  EXPECT_EQ(sum(snapshot, "sluice.failures"), static_cast<int64_t>(snapshot.failures.size()));
  const FailureEvent& last = snapshot.failures.back();
  EXPECT_EQ(last.code, StatusCode::no_space);
  EXPECT_EQ(last.native_code, 28);
  EXPECT_EQ(last.shard.substr(0, 7), "orders/");
  EXPECT_GT(last.elapsed_ns, 0);

  // Shards that are gone are still in the sums, and so is the bus when it is gone.
  ASSERT_TRUE(bus->remove_shard(0));
  ASSERT_TRUE(eventually([&] { return bus->stats().shards.size() == 1; }));
  EXPECT_EQ(bus->ingest(event("k", "v")), Outcome::queued);
  ASSERT_TRUE(bus->drain(kLongMs));
  stats = bus->stats();
  expect_equal(telemetry->snapshot(), stats);
  EXPECT_FALSE(bus->shutdown(kLongMs));  // tells what failed
  EXPECT_EQ(bus->ingest(event("k", "v")), Outcome::shutting_down);
  bus.reset();
  snapshot = telemetry->snapshot();
  EXPECT_EQ(sum(snapshot, "sluice.bus.accepted"), static_cast<int64_t>(stats.accepted));
  EXPECT_EQ(sum(snapshot, semconv::kSentMessages), static_cast<int64_t>(stats.delivered));
  EXPECT_EQ(sum(snapshot, "sluice.bus.unrouted"), static_cast<int64_t>(stats.unrouted + 1));
  EXPECT_EQ(sum(snapshot, "sluice.bus.shards"), -1);
}

TEST(BusTelemetry, SnapshotsWhileShardsComeAndGoNeverFall) {
  const std::shared_ptr<Telemetry> telemetry = std::move(Telemetry::make().value());
  const auto sink = std::make_shared<TestSink>();
  sink->keeps = false;
  BusOptions options = options_for(sink);
  options.telemetry = telemetry;
  options.shards = 1;
  auto bus = make_bus(std::move(options));
  std::atomic<bool> over{false};
  std::thread reader([&] {
    int64_t before = 0;
    while (!over) {
      const int64_t now = sum(telemetry->snapshot(), "sluice.bus.accepted");
      EXPECT_GE(now, before);
      before = now;
    }
  });
  for (int cycle = 0; cycle < 30; ++cycle) {
    const auto added = bus->add_shard();
    ASSERT_TRUE(added);
    for (int i = 0; i < 100; ++i) EXPECT_EQ(bus->ingest(event(std::to_string(i), "v")), Outcome::queued);
    ASSERT_TRUE(bus->remove_shard(*added));
  }
  ASSERT_TRUE(bus->shutdown(kLongMs));
  over = true;
  reader.join();
  EXPECT_EQ(sum(telemetry->snapshot(), semconv::kSentMessages), 3'000);
}

}  // namespace
}  // namespace sluice::bus
