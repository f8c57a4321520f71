// SPDX-License-Identifier: Apache-2.0
// A bus over the Kafka sink and a broker of this test's own that is killed under it: every event that was accepted is
// in the topic once, or counted as failed.
#include <fmt/format.h>

#include "bus_world.hpp"
#include "sluice/kafka_sink.hpp"
#include "sluice/kafka_source.hpp"
#include "support/kafka_server.hpp"

namespace sluice::test {
namespace {

class BusToKafka : public testing::Test {
 protected:
  void SetUp() override {
    const Status started = server_.start();
    ASSERT_TRUE(started) << started.describe();
  }
  KafkaSinkSettings settings() const {
    KafkaSinkSettings made;
    made.bootstrap = server_.address();
    made.topic = "events";
    made.create_partitions = 1;
    return made;
  }
  static std::shared_ptr<KafkaSink> sink(KafkaSinkSettings settings) {
    auto made = KafkaSink::make(std::move(settings));
    EXPECT_TRUE(made) << made.error().describe();
    return made ? std::move(*made) : nullptr;
  }
  std::vector<Kept> all_of_topic() {
    KafkaClusterSettings reading;
    reading.bootstrap = server_.address();
    const auto cluster = KafkaCluster::make(reading);
    EXPECT_TRUE(cluster);
    const auto source = (*cluster)->source("events", 0);
    EXPECT_TRUE(source) << source.error().describe();
    return source ? drain(**source).records : std::vector<Kept>();
  }

  KafkaServer server_{{.program = SLUICE_TEST_BROKER}};
};

TEST_F(BusToKafka, a_broker_that_is_killed_and_comes_back_costs_no_event_and_doubles_none) {
  constexpr int kEvents = 2'000;
  const auto target = sink(settings());
  auto bus = make_bus(target);
  produce(*bus, 0, kEvents / 2);
  const Status flushed = bus->flush(kPatienceMs);
  ASSERT_TRUE(flushed) << flushed.describe();
  std::thread producing([&] { produce(*bus, kEvents / 2, kEvents / 2); });
  ASSERT_TRUE(comes_true([&] { return bus->stats().accepted > kProducers * kEvents / 2; }));
  server_.kill();
  const uint64_t delivered = bus->stats().delivered;
  const Status back = server_.start();
  producing.join();
  ASSERT_TRUE(back) << back.describe();
  const Status ended = bus->shutdown(kPatienceMs);
  EXPECT_TRUE(ended) << ended.describe();
  const BusStats stats = bus->stats();
  expect_exact(stats, kProducers * kEvents);
  EXPECT_EQ(stats.delivered, stats.accepted) << delivered << " were there when the broker was killed";
  const KafkaSinkCounters counters = target->counters();
  EXPECT_EQ(counters.sent, counters.delivered + counters.failed);
  EXPECT_EQ(counters.delivered, stats.delivered);
  EXPECT_EQ(counters.pending_bytes, 0u);
  expect_each_once_in_order(all_of_topic(), kEvents);
}

TEST_F(BusToKafka, what_outlives_the_patience_with_a_broker_is_counted_and_what_is_told_is_true) {
  constexpr int kEvents = 500;
  KafkaSinkSettings given = settings();
  given.delivery_timeout_ms = 5'000;
  given.request_timeout_ms = 2'000;
  const auto target = sink(given);
  auto bus = make_bus(target);
  produce(*bus, 0, kEvents);
  ASSERT_TRUE(bus->flush(kPatienceMs));
  server_.kill();
  for (int i = 0; i < 100; ++i) {
    const std::string value = fmt::format("away/{}", i);
    Event event;
    event.key = as_bytes("away");
    event.value = as_bytes(value);
    EXPECT_EQ(bus->ingest(event), Outcome::queued);
  }
  ASSERT_TRUE(comes_true([&] { return bus->health().level == BusHealth::Level::failing; }));
  const Status back = server_.start();
  ASSERT_TRUE(back) << back.describe();
  static_cast<void>(bus->shutdown(kPatienceMs));  // OK, or what failed on the way
  const BusStats stats = bus->stats();
  expect_exact(stats, kProducers * kEvents + 100);
  const auto times = times_of(all_of_topic());
  uint64_t there = 0;
  for (const auto& [value, count] : times) {
    EXPECT_EQ(count, 1) << value;
    there += 1;
  }
  // What failed may be there, since nobody could tell; what was delivered must be.
  EXPECT_GE(there, stats.delivered);
  EXPECT_LE(there, stats.delivered + stats.dropped.failed);
  for (int producer = 0; producer < kProducers; ++producer) {
    EXPECT_TRUE(times.contains(fmt::format("{}/{}", producer, kEvents - 1)));
  }
}

}  // namespace
}  // namespace sluice::test
