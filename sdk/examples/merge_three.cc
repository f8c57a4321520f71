// SPDX-License-Identifier: Apache-2.0
// merge_three REDIS NATS KAFKA CURSOR_FILE FILTER: one stream of the Redis stream "orders", the JetStream stream
// "ORDERS" and the Kafka topic "orders", by time, of what passes the filter; killed and started again it goes on.
#include <fstream>
#include <iostream>
#include <iterator>

#include "sluice/consumer.hpp"
#include "sluice/filter.hpp"
#include "sluice/kafka_source.hpp"
#include "sluice/storage_source.hpp"

int main(int argc, char** argv) try {
  if (argc != 6) return std::cerr << "merge_three REDIS NATS KAFKA CURSOR_FILE FILTER\n", 2;
  const auto redis =
      sluice::StorageHost::open({"redis", "redis", {{"address", argv[1]}, {"layout", "record"}}}).value();
  const auto nats =
      sluice::StorageHost::open({"nats", "jetstream", {{"servers", argv[2]}, {"layout", "record"}}}).value();
  const auto kafka = sluice::KafkaCluster::make({"kafka", argv[3]}).value();
  std::vector<std::shared_ptr<sluice::Source>> sources;
  sources.push_back(sluice::make_native_source(redis, {"orders"}).value());
  sources.push_back(sluice::make_native_source(nats, {"ORDERS"}).value());
  auto partitions = kafka->sources("orders").value();
  for (auto& partition : partitions) sources.push_back(std::move(partition));

  std::ifstream saved(argv[4]);
  const std::string place{std::istreambuf_iterator<char>(saved), {}};
  const auto from = place.empty() ? sluice::Cursor() : sluice::Cursor::decode(place).value();
  sluice::ConsumerConfig config;
  config.order = sluice::MergeOrder::by_time;
  sluice::FilterEvaluator filter(sluice::Filter::parse(argv[5]).value());
  const auto consumer =
      sluice::MergingConsumer::create(config, std::move(sources), from, [&filter](const auto& record) {
        return filter.passes(record);
      }).value();
  while (true) {
    const auto response = consumer->poll().value();
    for (const auto& record : response.records)
      std::cout << sluice::as_text(record->value.value_or(sluice::Bytes())) << std::endl;
    std::ofstream(argv[4], std::ios::trunc) << response.cursor.encode();
  }
} catch (const std::exception& error) {
  return std::cerr << error.what() << "\n", 1;
}
