// SPDX-License-Identifier: Apache-2.0
// The bus's events into a topic of a real broker: what arrives, what is counted, what is tried once.
#include "sluice/kafka_sink.hpp"

#include <fmt/format.h>

#include <functional>
#include <map>
#include <thread>

#include "../kafka/native_client.hpp"
#include "deliveries.hpp"
#include "sluice/kafka_source.hpp"
#include "support/kafka_server.hpp"
#include "support/shared_sluiced.hpp"
#include "support/tcp_proxy.hpp"

namespace sluice::test {
namespace {

class ToKafka : public testing::Test {
 protected:
  static KafkaServer& server() { return shared_sluiced(SLUICE_TEST_BROKER); }
  KafkaSinkSettings settings(int32_t partitions = 1) {
    static int made = 0;
    KafkaSinkSettings fresh;
    fresh.bootstrap = server().address();
    fresh.topic = fmt::format("events-{}", ++made);
    fresh.create_partitions = partitions;
    return fresh;
  }
  static std::unique_ptr<KafkaSink> sink(const KafkaSinkSettings& settings) {
    auto made = KafkaSink::make(settings);
    EXPECT_TRUE(made) << made.error().describe();
    return made ? std::move(*made) : nullptr;
  }
  std::vector<Kept> all_of(const std::string& topic) { return all_of(topic, server().address()); }
  static std::vector<Kept> all_of(const std::string& topic, const std::string& bootstrap) {
    KafkaClusterSettings reading;
    reading.bootstrap = bootstrap;
    const auto cluster = KafkaCluster::make(reading);
    EXPECT_TRUE(cluster);
    std::vector<Kept> all;
    auto sources = (*cluster)->sources(topic);
    EXPECT_TRUE(sources) << sources.error().describe();
    if (!sources) return all;
    for (auto& source : *sources) {
      for (Kept& kept : drain(*source).records) all.push_back(std::move(kept));
    }
    return all;
  }
};

TEST_F(ToKafka, S02_B34_events_arrive_as_they_are) {
  const auto given = settings();
  const auto one = sink(given);
  std::string every;
  for (int byte = 0; byte < 256; ++byte) every += static_cast<char>(byte);
  const Header headers[] = {{"tenant", as_bytes("a")},
                            {"tenant", as_bytes("b")},
                            {"null", std::nullopt},
                            {"empty", Bytes(as_bytes("").data(), size_t{0})}};
  bus::BatchBuilder builder;
  Event event;
  event.key = as_bytes(every);
  event.value = as_bytes(every);
  event.headers = headers;
  builder.add(event, 1'700'000'000'123'456'789);
  builder.add(Event{}, 1'700'000'000'124'000'000);
  Event empty;
  empty.key = Bytes(as_bytes("").data(), size_t{0});
  empty.value = Bytes(as_bytes("").data(), size_t{0});
  builder.add(empty, 1'700'000'000'125'000'000);
  const Delivery delivery = deliver(*one, builder.batch());
  EXPECT_TRUE(delivery.status.ok()) << delivery.status.describe();
  const auto records = all_of(given.topic);
  ASSERT_EQ(records.size(), 3u);
  EXPECT_EQ(records[0].key, every);
  EXPECT_EQ(records[0].value, every);
  const decltype(records[0].headers) expected = {
      {"tenant", "a"}, {"tenant", "b"}, {"null", std::nullopt}, {"empty", ""}};
  EXPECT_EQ(records[0].headers, expected);
  EXPECT_EQ(records[0].timestamp_ns, 1'700'000'000'123'000'000);
  EXPECT_EQ(records[1].value, std::nullopt);
  EXPECT_EQ(records[1].key, std::nullopt);
  EXPECT_EQ(records[2].value, "");
  EXPECT_EQ(records[2].key, "");
}

TEST_F(ToKafka, B10_sixteen_cold_batches_make_the_topic_once) {
  const auto given = settings(4);
  const auto one = sink(given);
  std::vector<std::unique_ptr<Batch>> batches;
  std::vector<std::future<Delivery>> deliveries;
  for (uint64_t shard = 0; shard < 16; ++shard) {
    batches.push_back(std::make_unique<Batch>(std::vector<std::string>{fmt::format("{}", shard)}, shard));
    deliveries.push_back(begin_delivery(*one, *batches.back()));
  }
  for (auto& delivery : deliveries) {
    const Delivery told = wait_for(delivery, never());
    EXPECT_TRUE(told.status.ok()) << told.status.describe();
  }
  EXPECT_EQ(one->counters().opened, 1u);
  EXPECT_EQ(all_of(given.topic).size(), 16u);
}

TEST_F(ToKafka, S03_everything_sent_is_settled_at_close) {
  const auto one = sink(settings(3));
  std::atomic<uint64_t> delivered{0}, failed{0};
  std::vector<std::unique_ptr<Batch>> batches;
  ASSERT_TRUE(open(*one).ok());
  for (uint64_t i = 0; i < 1'000; ++i) batches.push_back(std::make_unique<Batch>(std::vector<std::string>{"v"}, i));
  for (auto& batch : batches) {
    one->deliver(*batch, [&](const Delivery& delivery) { ++(delivery.status.ok() ? delivered : failed); });
  }
  EXPECT_TRUE(close(*one).ok());
  EXPECT_EQ(deliver(*one, *batches.front()).status.code(), StatusCode::fenced);
  EXPECT_EQ(delivered + failed, 1'000u);
  EXPECT_EQ(failed, 0u);
  const auto counts = one->counters();
  EXPECT_EQ(counts.sent, 1'000u);
  EXPECT_EQ(counts.delivered + counts.failed, 1'000u);
  EXPECT_EQ(counts.pending_bytes, 0u);
}

TEST_F(ToKafka, what_is_behind_a_batch_that_was_given_up_is_not_written_twice) {
  auto given = settings();
  given.partition = KafkaSinkSettings::Partition::by_shard;
  given.delivery_timeout_ms = 3'000;
  given.request_timeout_ms = 1'000;
  const auto one = sink(given);
  ASSERT_TRUE(deliver(*one, Batch({"before"})).status.ok());
  const Batch first({"first"}, 0), second({"second"}, 1), after({"after"}, 2);
  server().pause();
  auto told_first = begin_delivery(*one, first);
  // So much later that it is not overdue yet when the first is, and early enough to be sent at once.
  std::this_thread::sleep_for(std::chrono::milliseconds(900));
  auto told_second = begin_delivery(*one, second);
  EXPECT_EQ(wait_for(told_first, never()).status.code(), StatusCode::unknown);
  server().resume();
  const Delivery second_delivery = wait_for(told_second, never());
  EXPECT_TRUE(second_delivery.status.ok() || second_delivery.status.code() == StatusCode::unknown)
      << second_delivery.status.describe();
  EXPECT_TRUE(eventually([&] { return deliver(*one, after).status.ok(); }));
  std::map<std::string, int> found;
  for (const Kept& kept : all_of(given.topic)) ++found[kept.value.value_or("")];
  EXPECT_EQ(found["before"], 1);
  EXPECT_LE(found["first"], 1);
  EXPECT_LE(found["second"], 1);
  EXPECT_EQ(found["after"], 1);
}

/// A broker behind a proxy, and a sink that talks to it through that.
class ToKafkaThroughProxy : public ToKafka {
 protected:
  void SetUp() override {
    ASSERT_TRUE(own_.start());
    proxy_ = std::make_unique<TcpProxy>(own_.port());
    own_.kill();
    own_.set_arguments(
        {"--override", "auto.create.topics.enable=false", "--advertise", fmt::format("127.0.0.1:{}", proxy_->port())});
    const Status started = own_.start();
    ASSERT_TRUE(started) << started.describe();
    settings_ = settings();
    settings_.bootstrap = fmt::format("127.0.0.1:{}", proxy_->port());
    settings_.partition = KafkaSinkSettings::Partition::by_shard;
    settings_.delivery_timeout_ms = 3'000;
    settings_.properties["socket.timeout.ms"] = "7500";  // so that a connection outlives its batch
  }
  std::vector<std::string> values() const {
    std::vector<std::string> all;
    for (const Kept& kept : all_of(settings_.topic, settings_.bootstrap)) all.push_back(kept.value.value_or(""));
    return all;
  }

  KafkaServer own_{{.program = SLUICE_TEST_BROKER}};
  std::unique_ptr<TcpProxy> proxy_;
  KafkaSinkSettings settings_;
};

// A stopped broker takes requests from its sockets long after the sink gave them up.
TEST_F(ToKafkaThroughProxy, B12_what_was_given_up_never_comes_behind_what_came_later) {
  const auto one = sink(settings_);
  ASSERT_TRUE(deliver(*one, Batch({"before"})).status.ok());
  proxy_->hold_requests();
  const Delivery first = deliver(*one, Batch({"first", "first too"}));
  EXPECT_EQ(first.status.code(), StatusCode::unknown) << first.status.describe();
  EXPECT_EQ(first.settled, 0u);
  const Batch second({"second"});
  // Held until its time is over, or until `first` is answered.
  const Delivery held = deliver(*one, second);
  EXPECT_NE(held.status.code(), StatusCode::unknown) << held.status.describe();
  if (!held.status.ok()) {
    ASSERT_TRUE(eventually([&] { return one->counters().pending_bytes == 0; }));
    ASSERT_TRUE(deliver(*one, second).status.ok());
  }
  EXPECT_GT(proxy_->owed(), 0u);
  proxy_->release_requests();
  ASSERT_TRUE(eventually([&] { return proxy_->owed() == 0; }));
  ASSERT_TRUE(deliver(*one, Batch({"after"})).status.ok());
  EXPECT_EQ(values(), (std::vector<std::string>{"before", "first", "first too", "second", "after"}));
  const KafkaSinkCounters counters = one->counters();
  EXPECT_EQ(counters.sent, counters.delivered + counters.failed);
  EXPECT_EQ(counters.pending_bytes, 0u);
}

// What is sent late because of what was before it has all of its time, and is not UNKNOWN for want of it.
TEST_F(ToKafkaThroughProxy, what_was_held_has_its_time_when_it_is_sent) {
  const auto one = sink(settings_);
  ASSERT_TRUE(deliver(*one, Batch({"before"})).status.ok());
  proxy_->hold_requests();
  EXPECT_EQ(deliver(*one, Batch({"first"})).status.code(), StatusCode::unknown);
  const Batch second({"second"});
  auto told = begin_delivery(*one, second);
  // Half of its time is over when the first goes on, and what is left is not enough for two replies.
  std::this_thread::sleep_for(std::chrono::milliseconds(settings_.delivery_timeout_ms / 2));
  proxy_->delay_replies(settings_.delivery_timeout_ms / 3);
  proxy_->release_requests();
  const Delivery delivery = wait_for(told, never());
  EXPECT_TRUE(delivery.status.ok() || delivery.status.code() == StatusCode::unavailable) << delivery.status.describe();
}

TEST_F(ToKafkaThroughProxy, what_was_not_sent_may_be_tried_again) {
  const auto one = sink(settings_);
  ASSERT_TRUE(deliver(*one, Batch({"before"})).status.ok());
  own_.kill();
  proxy_->cut();  // so that the sink's connection ends before the batch comes
  const Batch batch({"away"});
  const Delivery away = deliver(*one, batch);
  EXPECT_EQ(away.status.code(), StatusCode::unavailable) << away.status.describe();
  ASSERT_TRUE(own_.start());
  ASSERT_TRUE(eventually([&] { return deliver(*one, batch).status.ok(); }));
  EXPECT_EQ(values(), (std::vector<std::string>{"before", "away"}));
}

TEST_F(ToKafkaThroughProxy, what_is_held_ends_with_its_time_or_with_the_sink) {
  const auto one = sink(settings_);
  const Batch here({"here"}, 0), first({"first"}, 1), second({"second"}, 1), beside({"beside"}, 2);
  ASSERT_TRUE(deliver(*one, here).status.ok());
  own_.pause();
  EXPECT_EQ(deliver(*one, first).status.code(), StatusCode::unknown);
  const Delivery late = deliver(*one, second);
  EXPECT_EQ(late.status.code(), StatusCode::unavailable) << late.status.describe();
  auto held = begin_delivery(*one, second), open = begin_delivery(*one, beside);
  EXPECT_EQ(close(*one, 100).code(), StatusCode::unavailable);
  EXPECT_EQ(wait_for(held, never()).status.code(), StatusCode::unavailable);
  EXPECT_FALSE(wait_for(open, never()).status.ok());
  const KafkaSinkCounters counters = one->counters();
  EXPECT_EQ(counters.sent, counters.delivered + counters.failed);
  EXPECT_EQ(counters.pending_bytes, 0u);
  own_.resume();
}

TEST_F(ToKafka, order_of_a_shard_is_kept) {
  auto given = settings(3);
  given.partition = KafkaSinkSettings::Partition::by_shard;
  const auto one = sink(given);
  for (uint64_t shard = 0; shard < 3; ++shard) {
    std::vector<std::string> values;
    for (int i = 0; i < 500; ++i) values.push_back(fmt::format("{}", i));
    const Batch batch(values, shard);
    ASSERT_TRUE(deliver(*one, batch).status.ok());
  }
  const auto records = all_of(given.topic);
  ASSERT_EQ(records.size(), 1'500u);
  for (size_t i = 0; i < records.size(); ++i) EXPECT_EQ(records[i].value, fmt::format("{}", i % 500));
}

TEST_F(ToKafka, an_event_that_the_topic_never_takes_is_refused_and_the_others_arrive) {
  const auto given = settings();
  const auto one = sink(given);
  std::vector<std::string> values(10, "v");
  values[4] = std::string(3 << 20, 'x');  // above message.max.bytes
  const Batch batch(values);
  const Delivery delivery = deliver(*one, batch);
  EXPECT_TRUE(delivery.status.ok()) << delivery.status.describe();
  EXPECT_EQ(delivery.refused, 1u);
  EXPECT_EQ(delivery.refusal.code(), StatusCode::too_large) << delivery.refusal.describe();
  EXPECT_EQ(all_of(given.topic).size(), 9u);
  EXPECT_EQ(flush(*one).code(), StatusCode::too_large);
  EXPECT_TRUE(flush(*one).ok());
}

TEST_F(ToKafka, B33_a_topic_that_is_not_there_is_told_and_flush_reports_it) {
  auto given = settings();
  given.create_partitions = 0;
  const auto one = sink(given);
  const Batch batch(std::vector<std::string>(10, "v"));
  const Delivery delivery = deliver(*one, batch);
  EXPECT_EQ(delivery.status.code(), StatusCode::not_found) << delivery.status.describe();
  EXPECT_EQ(flush(*one).code(), StatusCode::not_found);
}

TEST(ToKafkaFailures, nobody_there_is_unavailable_in_time) {
  KafkaSinkSettings given;
  given.bootstrap = fmt::format("127.0.0.1:{}", free_port());
  given.topic = "events";
  given.request_timeout_ms = 300;
  const auto made = KafkaSink::make(given);
  ASSERT_TRUE(made) << made.error().describe();
  EXPECT_EQ(open(**made).code(), StatusCode::unavailable);
  EXPECT_EQ((*made)->counters().opened, 1u);
}

TEST(ToKafkaSettings, B03_each_field_is_checked_and_named) {
  KafkaSinkSettings good;
  good.bootstrap = "127.0.0.1:1";
  good.topic = "events";
  const auto expect = [&](const std::string& field, const std::function<void(KafkaSinkSettings&)>& spoil) {
    KafkaSinkSettings bad = good;
    spoil(bad);
    const auto made = KafkaSink::make(bad);
    ASSERT_FALSE(made) << field;
    EXPECT_EQ(made.error().code(), StatusCode::invalid);
    EXPECT_EQ(made.error().text().rfind(field + ":", 0), 0u) << made.error().text();
  };
  expect("name", [](auto& settings) { settings.name = ""; });
  expect("bootstrap", [](auto& settings) { settings.bootstrap = ""; });
  expect("topic", [](auto& settings) { settings.topic = "a b"; });
  expect("properties.acks", [](auto& settings) { settings.properties["acks"] = "1"; });
  expect("create_partitions", [](auto& settings) { settings.create_partitions = -1; });
  expect("create_replication", [](auto& settings) { settings.create_replication = 0; });
  expect("partition", [](auto& settings) { settings.partition = static_cast<KafkaSinkSettings::Partition>(9); });
  for (const uint64_t bytes : {uint64_t{0}, UINT64_MAX}) {
    expect("max_pending_bytes", [&](auto& settings) { settings.max_pending_bytes = bytes; });
  }
  for (const int64_t ms : {int64_t{0}, INT64_MIN, INT64_MAX}) {
    expect("delivery_timeout_ms", [&](auto& settings) { settings.delivery_timeout_ms = ms; });
    expect("request_timeout_ms", [&](auto& settings) { settings.request_timeout_ms = ms; });
  }
}

}  // namespace
}  // namespace sluice::test
