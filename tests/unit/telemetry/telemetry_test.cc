// SPDX-License-Identifier: Apache-2.0
#include "sluice/telemetry.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace sluice {
namespace {

class TelemetryTest : public ::testing::Test {
 protected:
  std::unique_ptr<Telemetry> make(size_t max_instruments = 100, size_t max_failures = 4) {
    TelemetrySettings settings;
    settings.max_instruments = max_instruments;
    settings.max_failures = max_failures;
    settings.monotonic_ns = [this] { return now_ns_; };
    settings.wall_ns = [this] { return 1'000'000 + now_ns_; };
    return std::move(Telemetry::make(std::move(settings)).value());
  }
  int64_t now_ns_ = 0;
};

// An adapter that cannot do what it is asked.
Status failing_append() {
  return Status(StatusCode::no_space, "segment 7: disk is full", 28);
}

TEST_F(TelemetryTest, AnInstrumentIsTheSameForTheSameNameAndAttributesInAnyOrder) {
  const auto telemetry = make();
  Counter& one = telemetry->counter("sent", {{"a", "1"}, {"b", "2"}});
  Counter& same = telemetry->counter("sent", {{"b", "2"}, {"a", "1"}});
  Counter& other = telemetry->counter("sent", {{"a", "1"}});
  EXPECT_EQ(&one, &same);
  EXPECT_NE(&one, &other);
  one.add(3);
  other.add();
  telemetry->gauge("depth").set(-5);
  telemetry->durations("wait").record_ns(1'000);
  const TelemetrySnapshot snapshot = telemetry->snapshot();
  ASSERT_EQ(snapshot.metrics.size(), 4U);
  EXPECT_EQ(snapshot.metrics[0].level, -5);
  EXPECT_EQ(snapshot.metrics[1].count, 1U);
  EXPECT_EQ(snapshot.metrics[2].count, 3U);
  EXPECT_EQ(snapshot.metrics[2].unit, "{message}");
  EXPECT_EQ(snapshot.metrics[3].durations.count, 1U);
}

TEST_F(TelemetryTest, S15_FailuresCarryCauseWhereAndHowLong) {
  const auto telemetry = make();
  const OperationMeter meter = telemetry->meter("append", "disk", "orders-3");
  const int64_t started = meter.start();
  now_ns_ += 1'500;
  meter.fail(started, failing_append());
  meter.fail(meter.start(), failing_append());  // within one tick of the clock
  const TelemetrySnapshot snapshot = telemetry->snapshot();
  ASSERT_EQ(snapshot.failures.size(), 2U);
  const FailureEvent& event = snapshot.failures[0];
  EXPECT_EQ(event.code, StatusCode::no_space);
  EXPECT_EQ(event.native_code, 28);
  EXPECT_EQ(event.text, "segment 7: disk is full");
  EXPECT_EQ(event.operation, "append");
  EXPECT_EQ(event.adapter, "disk");
  EXPECT_EQ(event.shard, "orders-3");
  EXPECT_EQ(event.elapsed_ns, 1'500);
  EXPECT_EQ(event.at_ns, 1'001'500);
  EXPECT_GT(snapshot.failures[1].elapsed_ns, 0);
  ASSERT_EQ(snapshot.metrics.size(), 2U);
  EXPECT_EQ(snapshot.metrics[0].name, semconv::kOperationDuration);
  EXPECT_EQ(snapshot.metrics[0].durations.count, 2U);
  EXPECT_EQ(snapshot.metrics[1].name, "sluice.failures");
  EXPECT_EQ(snapshot.metrics[1].count, 2U);
  EXPECT_EQ(snapshot.metrics[1].attributes.front(), (std::pair<std::string, std::string>("error.type", "no_space")));
}

TEST_F(TelemetryTest, AFailureWithoutCauseIsStillOne) {
  const auto telemetry = make();
  const OperationMeter meter = telemetry->meter("read", "redis", "s");
  meter.fail(meter.start(), Status());
  meter.succeed(meter.start());
  EXPECT_EQ(telemetry->snapshot().failures.at(0).code, StatusCode::internal);
  EXPECT_EQ(telemetry->snapshot().metrics.at(0).durations.count, 2U);
}

TEST_F(TelemetryTest, TheLastFailuresAreKeptAndTheOthersCounted) {
  const auto telemetry = make(100, /*max_failures=*/4);
  for (int i = 0; i < 10; ++i) {
    FailureEvent event;
    event.text = std::to_string(i) + std::string(2'000, i % 2 == 0 ? 'x' : '\xc3');
    telemetry->failure(std::move(event));
  }
  const TelemetrySnapshot snapshot = telemetry->snapshot();
  ASSERT_EQ(snapshot.failures.size(), 4U);
  EXPECT_EQ(snapshot.failures_forgotten, 6U);
  EXPECT_EQ(snapshot.failures[0].text.front(), '6');
  EXPECT_LE(snapshot.failures[0].text.size(), kMaxFailureTextBytes);
}

TEST_F(TelemetryTest, TooManyInstrumentsShareOne) {
  const auto telemetry = make(/*max_instruments=*/3);
  for (int i = 0; i < 10; ++i) telemetry->counter("c", {{"user", std::to_string(i)}}).add();
  const TelemetrySnapshot snapshot = telemetry->snapshot();
  ASSERT_EQ(snapshot.metrics.size(), 4U);
  uint64_t sum = 0;
  for (const Metric& metric : snapshot.metrics) sum += metric.count;
  EXPECT_EQ(sum, 10U);
  EXPECT_EQ(snapshot.metrics[0].attributes, (Attributes{{"otel.metric.overflow", "true"}}));
  EXPECT_EQ(snapshot.metrics[0].count, 7U);
}

TEST_F(TelemetryTest, ANameIsOfOneKind) {
  const auto telemetry = make();
  telemetry->counter("x").add();
  telemetry->gauge("x").set(1);
  telemetry->durations("x").record_ns(1);
  const TelemetrySnapshot snapshot = telemetry->snapshot();
  ASSERT_EQ(snapshot.metrics.size(), 2U);
  EXPECT_EQ(snapshot.metrics[0].name, "sluice.telemetry.conflicts");
  EXPECT_EQ(snapshot.metrics[0].count, 2U);
  EXPECT_EQ(snapshot.metrics[1].kind, Metric::Kind::counter);
}

TEST_F(TelemetryTest, ObserversAreAskedAndAddedUp) {
  const auto telemetry = make();
  uint64_t count = 3;
  const auto say = [&](Observations& to) {
    to.counter("sent", count, {{"b", "2"}, {"a", "1"}}, "By");
    to.gauge("depth", 4);
  };
  telemetry->counter("sent", {{"a", "1"}, {"b", "2"}}).add(10);
  const Observing one = telemetry->observe(say);
  {
    Observing two;
    two = telemetry->observe(say);
    const Observing moved = std::move(two);
    const TelemetrySnapshot snapshot = telemetry->snapshot();
    ASSERT_EQ(snapshot.metrics.size(), 2U);
    EXPECT_EQ(snapshot.metrics[0].name, "depth");
    EXPECT_EQ(snapshot.metrics[0].level, 8);
    EXPECT_EQ(snapshot.metrics[1].count, 16U);
    EXPECT_EQ(snapshot.metrics[1].unit, "{message}");  // the first to say it
    count = 5;
    EXPECT_EQ(telemetry->snapshot().metrics[1].count, 20U);
  }
  // The counter of the one that ended stays, its level goes.
  count = 6;
  const TelemetrySnapshot snapshot = telemetry->snapshot();
  EXPECT_EQ(snapshot.metrics[0].level, 4);
  EXPECT_EQ(snapshot.metrics[1].count, 21U);
}

TEST_F(TelemetryTest, ObservedSeriesAreBoundedAndOfOneKind) {
  const auto telemetry = make(/*max_instruments=*/3);
  const Observing observing = telemetry->observe([](Observations& to) {
    for (int i = 0; i < 10; ++i) to.counter("c", 1, {{"user", std::to_string(i)}});
    to.gauge("c", 1);
  });
  const TelemetrySnapshot snapshot = telemetry->snapshot();
  ASSERT_EQ(snapshot.metrics.size(), 4U);
  EXPECT_EQ(snapshot.metrics[0].attributes, (Attributes{{"otel.metric.overflow", "true"}}));
  EXPECT_EQ(snapshot.metrics[0].count, 7U);
  EXPECT_EQ(telemetry->counter("sluice.telemetry.conflicts", {}, "1").value(), 1U);
}

TEST_F(TelemetryTest, NoCountIsMissingOrThereTwiceWhileObserversEnd) {
  const auto telemetry = make();
  std::atomic<bool> over{false};
  std::thread reader([&] {
    uint64_t before = 0;
    while (!over) {
      const TelemetrySnapshot snapshot = telemetry->snapshot();
      const uint64_t now = snapshot.metrics.empty() ? 0 : snapshot.metrics[0].count;
      EXPECT_GE(now, before);
      EXPECT_LE(now, 200U);
      before = now;
    }
  });
  for (int i = 0; i < 200; ++i) {
    const Observing observing = telemetry->observe([](Observations& to) { to.counter("c", 1); });
  }
  over = true;
  reader.join();
  EXPECT_EQ(telemetry->counter("c").value(), 200U);
}

TEST_F(TelemetryTest, ThreadsLoseNothing) {
  const auto telemetry = make();
  Counter& counter = telemetry->counter("c");
  Durations& durations = telemetry->durations("d");
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 20; ++thread) {
    threads.emplace_back([&] {
      for (int i = 0; i < 5'000; ++i) {
        counter.add(2);
        durations.record_ns(i);
        if (i % 1'000 == 0) telemetry->counter("c", {{"i", std::to_string(i)}}).add();
      }
    });
  }
  for (int i = 0; i < 20; ++i) static_cast<void>(telemetry->snapshot());
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counter.value(), 200'000U);
  EXPECT_EQ(durations.counts().count, 100'000U);
  EXPECT_EQ(durations.counts().sum_ns, 20ULL * 4'999 * 5'000 / 2);
}

TEST(Durations, BucketsFollowEachOtherWithoutGaps) {
  EXPECT_EQ(DurationCounts::bucket_of(0), 0U);
  EXPECT_EQ(DurationCounts::bucket_of(UINT64_MAX), DurationCounts::kBuckets - 1);
  for (size_t bucket = 0; bucket + 1 < DurationCounts::kBuckets; ++bucket) {
    const uint64_t end = DurationCounts::end_of(bucket);
    EXPECT_EQ(DurationCounts::bucket_of(end - 1), bucket);
    EXPECT_EQ(DurationCounts::bucket_of(end), bucket + 1);
  }
  EXPECT_EQ(DurationCounts::end_of(DurationCounts::kBuckets - 1), UINT64_MAX);
  EXPECT_GT(DurationCounts::end_of(DurationCounts::kBuckets - 2), 130'000'000'000U);
}

TEST(Durations, QuantilesAreUpperBoundsWithinAQuarter) {
  Durations durations;
  EXPECT_EQ(durations.counts().quantile_ns(0.5), 0U);
  for (int64_t micros = 1; micros <= 10'000; ++micros) durations.record_ns(1'000 * micros);
  const DurationCounts counts = durations.counts();
  for (const double q : {0.1, 0.5, 0.9, 0.99, 0.999}) {
    const double exact = q * 10'000'000;
    EXPECT_GE(static_cast<double>(counts.quantile_ns(q)), exact);
    EXPECT_LE(static_cast<double>(counts.quantile_ns(q)), 1.26 * exact);
  }
  durations.record_ns(-7);
  EXPECT_EQ(durations.counts().buckets[0], 1U);
}

TEST(TelemetrySettings, AreChecked) {
  const auto text = [](TelemetrySettings settings) {
    const auto made = Telemetry::make(std::move(settings));
    return made ? "" : made.error().text().substr(0, made.error().text().find(':'));
  };
  TelemetrySettings settings;
  EXPECT_EQ(text(settings), "");
  settings.max_instruments = 0;
  EXPECT_EQ(text(settings), "telemetry.max_instruments");
  settings.max_instruments = SIZE_MAX;
  EXPECT_EQ(text(settings), "telemetry.max_instruments");
  settings = TelemetrySettings();
  settings.max_failures = 0;
  EXPECT_EQ(text(settings), "telemetry.max_failures");
}

}  // namespace
}  // namespace sluice
