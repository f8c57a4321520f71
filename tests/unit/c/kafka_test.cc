// SPDX-License-Identifier: Apache-2.0
// The C face on a real broker: a cluster that is shared, a sink that makes its topic, and sources on it.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include "../kafka/native_client.hpp"
#include "face.hpp"
#include "support/shared_sluiced.hpp"

namespace sluice::c::testing {
namespace {

using test::NativeClient;

class KafkaFace : public ::testing::Test {
 protected:
  KafkaFace() {
    const std::string& address = test::shared_sluiced(SLUICE_TEST_BROKER).address();
    bootstrap_ = fmt::format(R"("bootstrap": "{}")", address);
    native_.emplace(address);
    open_by(&sluice_cluster_open, fmt::format(R"({{"name": "k", {}}})", bootstrap_), cluster_);
  }
  std::string shared() const { return fmt::format(R"({{"name": "k", "handle": {}}})", cluster_.handle); }
  sluice_status partitions(std::string_view topic, int32_t& count) const {
    Failure failure;
    return sluice_cluster_partitions(cluster_, topic.data(), topic.size(), &count, &failure);
  }

  std::string bootstrap_;
  std::optional<NativeClient> native_;
  Owned cluster_;
};

TEST_F(KafkaFace, a_bus_writes_a_topic_that_a_consumer_reads) {
  Owned bus;
  open_bus(fmt::format(R"({{"shards": 2, "sink": {{"kind": "kafka", {}, "topic": "events", "create_partitions": 3,
                          "properties": {{"compression.codec": "lz4"}}}}}})",
                       bootstrap_),
           bus);
  std::vector<std::string> expected;
  for (int i = 0; i < 100; ++i) {
    expected.push_back(fmt::format("v{:02}", i));
    const std::string key = fmt::format("k{}", i % 7);
    const sluice_event one = event(key, expected.back());
    ASSERT_EQ(sluice_bus_ingest(bus, &one, nullptr), SLUICE_OK);
  }
  Failure failure;
  ASSERT_EQ(sluice_bus_flush(bus, 60'000, &failure), SLUICE_OK) << failure.text;
  ASSERT_EQ(sluice_bus_shutdown(bus, 60'000, &failure), SLUICE_OK) << failure.text;

  int32_t count = -1;
  EXPECT_EQ(partitions("events", count), SLUICE_OK);
  EXPECT_EQ(count, 3);
  EXPECT_EQ(partitions("absent", count), SLUICE_NOT_FOUND);
  EXPECT_EQ(partitions("a b", count), SLUICE_INVALID);

  Owned consumer;
  open_consumer(
      fmt::format(R"({{"clusters": [{}], "sources": [{{"kind": "kafka", "cluster": "k", "topic": "events"}}]}})",
                  shared()),
      "", consumer);
  std::vector<std::string> values = values_of(consumer, 100, 60'000);
  std::ranges::sort(values);
  EXPECT_EQ(values, expected);
}

TEST_F(KafkaFace, one_partition_is_read_and_another_added) {
  ASSERT_EQ(native_->create_topic("two", 2), RD_KAFKA_RESP_ERR_NO_ERROR);
  for (int32_t partition = 0; partition < 2; ++partition) {
    std::vector<test::NativeRecord> records(2);
    records[0].value = fmt::format("{}a", partition);
    records[1].value = fmt::format("{}b", partition);
    native_->produce("two", partition, std::move(records));
  }
  const auto source = [](int32_t partition, const char* more) {
    return fmt::format(R"({{"kind": "kafka", "cluster": "k", "topic": "two", "partition": {}{}}})", partition, more);
  };
  Owned consumer;
  open_consumer(fmt::format(R"({{"clusters": [{{"name": "k", {}}}], "sources": [{}]}})", bootstrap_, source(1, "")), "",
                consumer);
  EXPECT_EQ(values_of(consumer, 2, 60'000), (std::vector<std::string>{"1a", "1b"}));
  const std::string added = source(0, R"(, "start": {"position": 1})");
  Failure failure;
  uint32_t shard = 0;
  ASSERT_EQ(sluice_consumer_add(consumer, added.data(), added.size(), &shard, &failure), SLUICE_OK) << failure.text;
  EXPECT_EQ(shard, 1U);
  EXPECT_EQ(values_of(consumer, 1, 60'000), (std::vector<std::string>{"0b"}));
  const std::string all = R"({"kind": "kafka", "cluster": "k", "topic": "two"})";
  EXPECT_EQ(sluice_consumer_add(consumer, all.data(), all.size(), nullptr, &failure), SLUICE_INVALID) << failure.text;
  const std::string place = text_from([&](char* buffer, uint64_t capacity, uint64_t* needed) {
    return sluice_consumer_cursor(consumer, buffer, capacity, needed, nullptr);
  });
  EXPECT_EQ(sluice_consumer_close(consumer, 60'000, nullptr), SLUICE_OK);

  // Elsewhere, by the cursor, over connections that are shared.
  std::vector<test::NativeRecord> later(1);
  later[0].value = "1c";
  native_->produce("two", 1, std::move(later));
  Owned again;
  open_consumer(fmt::format(R"({{"clusters": [{}], "sources": [{{"kind": "kafka", "cluster": "k", "topic": "two"}}]}})",
                            shared()),
                place, again);
  EXPECT_EQ(values_of(again, 1, 60'000), (std::vector<std::string>{"1c"}));
}

TEST_F(KafkaFace, a_cluster_outlives_its_handle_in_its_consumers) {
  ASSERT_EQ(native_->create_topic("kept", 1), RD_KAFKA_RESP_ERR_NO_ERROR);
  Owned consumer;
  open_consumer(
      fmt::format(R"({{"clusters": [{}], "sources": [{{"kind": "kafka", "cluster": "k", "topic": "kept"}}]}})",
                  shared()),
      "", consumer);
  ASSERT_EQ(sluice_release(cluster_, nullptr), SLUICE_OK);
  int32_t count = -1;
  EXPECT_EQ(partitions("kept", count), SLUICE_NOT_FOUND);
  std::vector<test::NativeRecord> records(1);
  records[0].value = "x";
  native_->produce("kept", 0, std::move(records));
  EXPECT_EQ(values_of(consumer, 1, 60'000), (std::vector<std::string>{"x"}));
}

}  // namespace
}  // namespace sluice::c::testing
