// SPDX-License-Identifier: Apache-2.0
// Partitions of a real broker as sources: what comes back, where reads end, and what is said when something is wrong.
#include <fmt/format.h>

#include <atomic>
#include <cstdlib>
#include <limits>
#include <set>
#include <sstream>

#include "../kafka/native_client.hpp"
#include "sluice/consumer.hpp"
#include "sluice/kafka_source.hpp"
#include "sources/kafka_client.hpp"
#include "support/kafka_server.hpp"
#include "support/server_process.hpp"
#include "support/shared_sluiced.hpp"
#include "support/tcp_proxy.hpp"
#include "world.hpp"

namespace sluice::test {
namespace {

std::shared_ptr<KafkaCluster> open_cluster(const std::string& bootstrap, KafkaClusterSettings settings = {}) {
  settings.bootstrap = bootstrap;
  auto cluster = KafkaCluster::make(std::move(settings));
  EXPECT_TRUE(cluster) << cluster.error().describe();
  return cluster ? *cluster : nullptr;
}

class KafkaSource : public testing::Test {
 protected:
  static KafkaServer& server() { return shared_sluiced(SLUICE_TEST_BROKER); }
  /// A topic of this test's own.
  std::string topic(int32_t partitions = 1) {
    static int made = 0;
    const std::string name = fmt::format("topic-{}", ++made);
    EXPECT_EQ(native_.create_topic(name, partitions), RD_KAFKA_RESP_ERR_NO_ERROR);
    return name;
  }
  std::unique_ptr<Source> source(const std::string& topic, int32_t partition = 0) {
    auto made = cluster_->source(topic, partition);
    EXPECT_TRUE(made) << made.error().describe();
    return made ? std::move(*made) : nullptr;
  }
  void produce(const std::string& topic, int from, int to, size_t size = 0) {
    std::vector<NativeRecord> records(static_cast<size_t>(to - from));
    for (int i = from; i < to; ++i) {
      NativeRecord& record = records[static_cast<size_t>(i - from)];
      record.value = fmt::format("{}", i);
      if (size > record.value->size()) record.value->resize(size, '.');
      record.timestamp = 1'600'000'000'000 + 10 * i;
    }
    native_.produce(topic, 0, std::move(records));
  }

  const NativeClient native_{server().address()};
  std::shared_ptr<KafkaCluster> cluster_ = open_cluster(server().address());
};

TEST_F(KafkaSource, S02_B34_headers_nulls_times_and_every_byte_come_back) {
  const std::string name = topic();
  std::string every;
  for (int byte = 0; byte < 256; ++byte) every += static_cast<char>(byte);
  std::vector<NativeRecord> records(5);
  records[0].key = records[0].value = every;
  records[0].headers = {{"traceparent", "00-1-2-01"},
                        {"tenant", "a"},
                        {"tenant", "b"},
                        {"null", std::nullopt},
                        {"empty", ""},
                        {"every", every},
                        {"tenant", "a"}};
  records[1].value = "null";
  records[2].key = records[2].value = "";
  records[3].value = "\xff\xfe\x80";
  native_.produce(name, 0, records);
  const Drained drained = drain(*source(name));
  ASSERT_EQ(drained.records.size(), 5u);
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(drained.records[i].position, static_cast<int64_t>(i));
    EXPECT_EQ(drained.records[i].key, records[i].key) << i;
    EXPECT_EQ(drained.records[i].value, records[i].value) << i;
    EXPECT_EQ(drained.records[i].headers, records[i].headers) << i;
    EXPECT_EQ(drained.records[i].timestamp_ns, 1'600'000'000'000'000'000);
  }
}

TEST_F(KafkaSource, pages_obey_their_limits_and_any_place_can_be_read) {
  const std::string name = topic();
  produce(name, 0, 3'000, 100);
  const auto from_start = source(name);
  for (const uint32_t limit : {7u, 512u, 10'000u}) {
    const Drained drained = drain(*from_start, 0, limit, limit == 512 ? 10'000 : 1 << 20);
    ASSERT_EQ(drained.records.size(), 3'000u);
    for (size_t i = 0; i < 3'000; ++i) ASSERT_EQ(drained.records[i].position, static_cast<int64_t>(i));
    EXPECT_GE(drained.pages, limit == 512 ? 30u : 1u);
  }
  for (const int64_t from : {2'999, 0, 1'500, 1'501, 1'499, 2'000}) {
    const auto page = read(*from_start, from, 3);
    ASSERT_TRUE(page) << page.error().describe();
    ASSERT_FALSE(page->records.empty());
    EXPECT_EQ(page->records[0].position, from);
  }
  const auto found = bounds(*from_start);
  ASSERT_TRUE(found) << found.error().describe();
  EXPECT_EQ(found->start, 0);
  EXPECT_EQ(found->end, 3'000);
  const int64_t ns = 1'000'000;
  EXPECT_EQ(*locate(*from_start, 0), 0);
  EXPECT_EQ(*locate(*from_start, (1'600'000'000'000 + 70) * ns), 7);
  EXPECT_EQ(*locate(*from_start, (1'600'000'000'000 + 70) * ns + 1), 8);
  EXPECT_EQ(*locate(*from_start, std::numeric_limits<int64_t>::max() / 2), 3'000);
}

TEST_F(KafkaSource, B36_a_page_in_the_middle_of_a_backlog_is_not_the_end) {
  const std::string name = topic();
  produce(name, 0, 3'000);
  const auto one = source(name);
  int64_t next = 0;
  while (next < 3'000) {
    const auto page = read(*one, next, 100);
    ASSERT_TRUE(page) << page.error().describe();
    next = page->next;
    if (next < 3'000) {
      EXPECT_TRUE(page->end == -1 || page->end > next) << page->end << " at " << next;
    }
  }
  const auto nothing = read(*one, 3'000);
  ASSERT_TRUE(nothing);
  EXPECT_EQ(nothing->end, 3'000);
}

TEST_F(KafkaSource, B29_a_removed_partition_is_read_to_its_end) {
  const std::string name = topic();
  produce(name, 0, 3'000);
  const std::shared_ptr<Source> one = source(name);
  for (const int64_t from : {0, 1'500}) {
    Cursor cursor;
    ASSERT_TRUE(cursor.set(one->id(), from));
    ConsumerConfig config;
    config.page_records = 100;
    auto consumer = MergingConsumer::create(config, {one}, cursor);
    ASSERT_TRUE(consumer) << consumer.error().describe();
    PollRequest request;
    request.wait_ms = 0;
    ASSERT_TRUE((*consumer)->poll(request));  // begins to read
    ASSERT_TRUE((*consumer)->remove_shard(one->id()));
    request.wait_ms = 1'000;
    ASSERT_TRUE(comes_true([&] {
      const auto response = (*consumer)->poll(request);
      return response && std::any_of(response->notes.begin(), response->notes.end(),
                                     [](const ShardNote& note) { return note.condition == ShardCondition::finished; });
    }));
    EXPECT_EQ((*consumer)->cursor().next(one->id()), 3'000);
  }
}

TEST_F(KafkaSource, headers_count_towards_the_bytes_of_a_page) {
  const std::string name = topic();
  std::vector<NativeRecord> records(20);
  for (auto& record : records) {
    record.value = "v";
    record.headers = {{"large", std::string(10'000, 'x')}};
  }
  native_.produce(name, 0, records);
  const auto one = source(name);
  int64_t next = 0;
  while (next < 20) {
    const auto page = read(*one, PageRequest{.from = next, .max_bytes = 50'000});
    ASSERT_TRUE(page) << page.error().describe();
    uint64_t bytes = 0;
    for (const Record& record : page->records) {
      EXPECT_EQ(record.position, next++);
      EXPECT_EQ(record.headers.count(), 1);
      bytes += record.bytes();
    }
    EXPECT_LE(bytes, 50'000u);
    EXPECT_EQ(page->next, next);
  }
  EXPECT_EQ(read(*one, PageRequest{.from = 0, .max_bytes = 1})->records.size(), 1u);
}

TEST_F(KafkaSource, S01_the_example_prints_what_all_partitions_hold) {
  const std::string name = topic(2);
  std::set<std::string> wanted;
  for (int32_t partition = 0; partition < 2; ++partition) {
    std::vector<NativeRecord> records(3);
    for (int i = 0; i < 3; ++i) {
      records[static_cast<size_t>(i)].value = fmt::format("v{}", i);
      wanted.insert(fmt::format("kafka:{}/{} {} v{}", name, partition, i, i));
    }
    native_.produce(name, partition, std::move(records));
  }
  std::istringstream printed(
      output_of({example("SLUICE_KAFKA_SOURCE", SLUICE_TEST_KAFKA_SOURCE), server().address(), name}));
  std::set<std::string> lines;
  for (std::string line; std::getline(printed, line);) EXPECT_TRUE(lines.insert(line).second) << line;
  EXPECT_EQ(lines, wanted);
}

TEST_F(KafkaSource, out_of_range_says_what_there_is) {
  const std::string name = topic();
  produce(name, 0, 10);
  const auto one = source(name);
  const auto beyond = read(*one, 11);
  ASSERT_FALSE(beyond);
  EXPECT_EQ(beyond.error().code(), StatusCode::out_of_range) << beyond.error().describe();
  EXPECT_NE(beyond.error().text().find("0 to 10"), std::string::npos) << beyond.error().text();
  const auto again = read(*one, 3);
  ASSERT_TRUE(again) << again.error().describe();
  EXPECT_EQ(again->records.front().position, 3);
}

TEST_F(KafkaSource, a_missing_topic_or_partition_is_not_found) {
  const auto absent = source("no-such-topic");
  const auto page = read(*absent, 0);
  ASSERT_FALSE(page);
  EXPECT_EQ(page.error().code(), StatusCode::not_found) << page.error().describe();
  const auto sources = cluster_->sources("no-such-topic");
  ASSERT_FALSE(sources);
  EXPECT_EQ(sources.error().code(), StatusCode::not_found) << sources.error().describe();
  const std::string name = topic();
  const auto beyond = source(name, 1);
  EXPECT_EQ(read(*beyond, 0).error().code(), StatusCode::not_found);
}

TEST_F(KafkaSource, partitions_are_listed_as_they_come) {
  const std::string name = topic(2);
  auto all = cluster_->sources(name);
  ASSERT_TRUE(all) << all.error().describe();
  ASSERT_EQ(all->size(), 2u);
  EXPECT_EQ((*all)[1]->id(), fmt::format("kafka:{}/1", name));
  ASSERT_EQ(native_.grow_topic(name, 3), RD_KAFKA_RESP_ERR_NO_ERROR);
  ASSERT_TRUE(comes_true([&] {
    auto promise = std::make_shared<std::promise<Result<int32_t>>>();
    auto future = promise->get_future();
    cluster_->count_partitions(name, [promise](Result<int32_t> count) { promise->set_value(std::move(count)); });
    const auto count = value_of(future);
    return count && *count == 3;
  }));
}

TEST_F(KafkaSource, a_read_waits_for_what_is_produced_next_and_can_be_woken) {
  const std::string name = topic();
  const auto one = source(name);
  PageRequest request;
  request.wait_ms = 60'000;
  for (int i = 0; i < 5; ++i) {
    request.from = i;
    auto waiting = begin_read(*one, request);
    produce(name, i, i + 1);
    const auto page = value_of(waiting);
    ASSERT_TRUE(page) << page.error().describe();
    ASSERT_EQ(page->records.size(), 1u);
    EXPECT_EQ(as_text(*page->records[0].value), fmt::format("{}", i));
  }
  const auto nothing = read(*one, 5, 10, 30);
  ASSERT_TRUE(nothing);
  EXPECT_TRUE(nothing->records.empty());
  EXPECT_EQ(nothing->next, 5);
  EXPECT_EQ(nothing->end, 5);
  request.from = 5;
  auto woken = begin_read(*one, request);
  one->wake();
  const auto page = value_of(woken);
  ASSERT_TRUE(page);
  EXPECT_EQ(page->next, 5);
}

TEST_F(KafkaSource, one_partition_is_read_at_several_places) {
  const std::string name = topic();
  produce(name, 0, 500);
  std::vector<std::unique_ptr<Source>> readers;
  for (size_t i = 0; i < KafkaCluster::kMaxReadersOfOnePartition; ++i) readers.push_back(source(name));
  const auto refused = cluster_->source(name, 0);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), StatusCode::busy);
  for (size_t i = 0; i < readers.size(); ++i) {
    const auto page = read(*readers[i], static_cast<int64_t>(10 * i), 5);
    ASSERT_TRUE(page) << page.error().describe();
    EXPECT_EQ(page->records[0].position, static_cast<int64_t>(10 * i));
  }
  readers.pop_back();
  EXPECT_TRUE(cluster_->source(name, 0)) << "its place is free again";
}

// On Apache Kafka, where KAFKA_JARS says where its jars are: the producer's transactions are its own.
TEST(KafkaSourceOnApache, committed_records_only_or_all_of_them) {
  const char* jars = std::getenv("KAFKA_JARS");
  if (jars == nullptr) GTEST_SKIP() << "KAFKA_JARS is not set: Apache Kafka is not at hand";
  KafkaSettings apache;
  apache.program = SLUICE_TEST_APACHE_START;
  apache.jars = jars;
  KafkaServer server(apache);
  ASSERT_TRUE(server.start());
  const NativeClient native(server.address());
  const std::string name = "orders";
  ASSERT_EQ(native.create_topic(name, 1), RD_KAFKA_RESP_ERR_NO_ERROR);
  const auto cluster = open_cluster(server.address());
  std::vector<NativeRecord> records(3);
  for (auto& record : records) record.value = "kept";
  native.produce(name, 0, records, {}, NativeClient::Transaction::commit);
  for (auto& record : records) record.value = "aborted";
  native.produce(name, 0, records, {}, NativeClient::Transaction::abort);
  const Drained drained = drain(**cluster->source(name, 0));
  EXPECT_EQ(drained.records.size(), 3u);
  EXPECT_EQ(drained.next, 8) << "two markers and the aborted are gaps";
  KafkaClusterSettings settings;
  settings.read_committed = false;
  const auto every = open_cluster(server.address(), settings);
  EXPECT_EQ(drain(**every->source(name, 0)).records.size(), 6u);
}

TEST_F(KafkaSource, bytes_of_a_page_outlive_source_and_cluster) {
  const std::string name = topic();
  produce(name, 0, 100);
  auto one = source(name);
  auto page = read(*one, 0);
  ASSERT_TRUE(page);
  PageRequest request;
  request.from = 100;
  request.wait_ms = 60'000;
  auto waiting = begin_read(*one, request);
  cluster_.reset();
  EXPECT_EQ(value_of(waiting).error().code(), StatusCode::fenced);
  EXPECT_EQ(read(*one, 0).error().code(), StatusCode::fenced);
  one.reset();
  for (size_t i = 0; i < page->records.size(); ++i) {
    EXPECT_EQ(as_text(*page->records[i].value), fmt::format("{}", page->records[i].position));
  }
}

TEST_F(KafkaSource, a_small_read_ahead_does_not_stall) {
  const std::string name = topic();
  produce(name, 0, 20'000, 1'000);
  KafkaClusterSettings settings;
  settings.read_ahead_bytes = 256 << 10;
  const auto small = open_cluster(server().address(), settings);
  const auto one = small->source(name, 0);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(drain(**one).records.size(), 20'000u);
  // librdkafka looks again a second after its queue was full: 80 times, if nobody told it.
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(30));
}

TEST_F(KafkaSource, reads_go_on_when_the_broker_is_back) {
  const std::string name = topic();
  produce(name, 0, 100);
  const auto one = source(name);
  int64_t next = read(*one, 0, 50)->next;
  server().kill();
  auto stalled = begin_read(*one, PageRequest{.from = 100, .wait_ms = 60'000});
  ASSERT_TRUE(server().start());
  produce(name, 100, 120);
  const auto late = value_of(stalled);
  ASSERT_TRUE(late || late.error().code() == StatusCode::unavailable) << late.error().describe();
  std::vector<Kept> all;
  ASSERT_TRUE(comes_true([&] {
    const auto page = read(*one, next);
    if (!page) return false;
    for (const Record& record : page->records) all.push_back(keep(record));
    next = page->next;
    return next == 120;
  }));
  ASSERT_EQ(all.size(), 70u);
  for (size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i].position, static_cast<int64_t>(50 + i));
}

TEST_F(KafkaSource, B32_an_outage_at_the_end_is_told_and_passes) {
  const std::string name = topic();
  produce(name, 0, 10);
  KafkaClusterSettings settings;
  settings.request_timeout_ms = 3'000;
  const auto cluster = open_cluster(server().address(), settings);
  const auto one = cluster->source(name, 0);
  const auto another = cluster->source(name, 0);
  for (const auto* each : {&one, &another}) {
    ASSERT_EQ(drain(***each).records.size(), 10u);
  }
  server().kill();
  for (const auto* each : {&one, &another}) {  // what one found does not hide it from the other
    Result<Page> page;
    ASSERT_TRUE(comes_true([&] { return !(page = read(***each, 10)); }));
    EXPECT_EQ(page.error().code(), StatusCode::unavailable) << page.error().describe();
  }
  EXPECT_EQ(bounds(**one).error().code(), StatusCode::unavailable);
  EXPECT_EQ(locate(**one, 0).error().code(), StatusCode::unavailable);
  ASSERT_TRUE(server().start());
  for (const auto* each : {&one, &another}) {
    ASSERT_TRUE(comes_true([&] { return bounds(***each).has_value(); }));
  }
  produce(name, 10, 11);
  for (const auto* each : {&one, &another}) {
    Result<Page> page;  // the last trouble may be told first
    ASSERT_TRUE(comes_true([&] { return (page = read(***each, 10, 10, 1'000)) && !page->records.empty(); }));
    EXPECT_EQ(page->records.size(), 1u);
  }
}

// What the connections say, as partitions hear it.
// A client that gets over a refusal by itself does not cost all of its shards.
TEST(KafkaTrouble, B32_one_tells_of_a_refusal) {
  sources::KafkaTrouble trouble;
  EXPECT_FALSE(trouble.claim_refusal(0));
  trouble.heard(RD_KAFKA_RESP_ERR__AUTHENTICATION, "a first");
  EXPECT_FALSE(trouble.claim_refusal(trouble.count())) << "records came after it";
  EXPECT_TRUE(trouble.claim_refusal(0));
  EXPECT_FALSE(trouble.claim_refusal(0));
  EXPECT_EQ(trouble.last(0).code(), StatusCode::denied) << "which is still why nobody answers";
  trouble.heard(RD_KAFKA_RESP_ERR__AUTHENTICATION, "a second");
  EXPECT_TRUE(trouble.claim_refusal(0));
}

TEST(KafkaTrouble, B32_is_over_for_who_found_so_and_not_for_others) {
  sources::KafkaTrouble trouble;
  EXPECT_TRUE(trouble.last(0).ok());
  trouble.heard(RD_KAFKA_RESP_ERR__TRANSPORT, "refused");
  const uint64_t one = trouble.count();
  trouble.settle(one);
  EXPECT_TRUE(trouble.last(one).ok());
  EXPECT_EQ(trouble.last(0).code(), StatusCode::unavailable);
  trouble.heard(RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, "all down");
  EXPECT_NE(trouble.last(one).text().find("refused"), std::string::npos) << "why they are down";
  trouble.heard(RD_KAFKA_RESP_ERR__AUTHENTICATION, "who are you");
  trouble.heard(RD_KAFKA_RESP_ERR__TRANSPORT, "closed");
  EXPECT_EQ(trouble.last(one).code(), StatusCode::denied) << "what follows from a refusal";
  const uint64_t told = trouble.count();
  trouble.heard(RD_KAFKA_RESP_ERR__TRANSPORT, "refused again");
  EXPECT_EQ(trouble.last(told).code(), StatusCode::unavailable) << "once it was told";
  EXPECT_EQ(trouble.settled(), one);
}

TEST(KafkaSourceFailures, nobody_there_is_unavailable_in_time) {
  KafkaClusterSettings settings;
  settings.request_timeout_ms = 2'000;
  const auto cluster = open_cluster(fmt::format("127.0.0.1:{}", free_port()), settings);
  const auto one = cluster->source("orders", 0);
  const auto page = read(**one, 0);
  ASSERT_FALSE(page);
  EXPECT_EQ(page.error().code(), StatusCode::unavailable) << page.error().describe();
  EXPECT_NE(page.error().text().find("refused"), std::string::npos) << page.error().text();
  EXPECT_EQ(bounds(**one).error().code(), StatusCode::unavailable);
  EXPECT_EQ(locate(**one, 0).error().code(), StatusCode::unavailable);
}

TEST(KafkaSettings, B03_each_field_is_checked_and_named) {
  KafkaClusterSettings good;
  good.bootstrap = "127.0.0.1:1";
  const auto expect = [&](const std::string& field, const std::function<void(KafkaClusterSettings&)>& spoil) {
    KafkaClusterSettings bad = good;
    spoil(bad);
    const auto made = KafkaCluster::make(bad);
    ASSERT_FALSE(made) << field;
    EXPECT_EQ(made.error().code(), StatusCode::invalid);
    EXPECT_EQ(made.error().text().rfind(field + ":", 0), 0u) << made.error().text();
  };
  expect("name", [](auto& settings) { settings.name = "a/b"; });
  expect("bootstrap", [](auto& settings) { settings.bootstrap = " ,"; });
  expect("properties.allow.auto.create.topics",
         [](auto& settings) { settings.properties["allow.auto.create.topics"] = "true"; });
  expect("properties.group.id", [](auto& settings) { settings.properties["group.id"] = "g"; });
  expect("properties.no.such", [](auto& settings) { settings.properties["no.such"] = "1"; });
  expect("properties.fetch.wait.max.ms", [](auto& settings) { settings.properties["fetch.wait.max.ms"] = "NaN"; });
  for (const int64_t ms : {int64_t{0}, INT64_MIN, INT64_MAX}) {
    expect("request_timeout_ms", [&](auto& settings) { settings.request_timeout_ms = ms; });
  }
  for (const uint64_t bytes : {uint64_t{0}, UINT64_MAX}) {
    expect("read_ahead_bytes", [&](auto& settings) { settings.read_ahead_bytes = bytes; });
  }
  const auto cluster = KafkaCluster::make(good);
  ASSERT_TRUE(cluster);
  EXPECT_EQ((*cluster)->source("a b", 0).error().code(), StatusCode::invalid);
  EXPECT_EQ((*cluster)->source("a", -1).error().code(), StatusCode::invalid);
}

}  // namespace
}  // namespace sluice::test
