// SPDX-License-Identifier: Apache-2.0
// merge_three REDIS NATS KAFKA DIRECTORY FILTER: one stream of the Redis stream "orders", the JetStream stream
// "ORDERS" and the Kafka topic "orders", by time, of what passes the filter; killed and started again it goes on.
#include <iostream>

#include "sluice/checkpoint.hpp"
#include "sluice/consumer.hpp"
#include "sluice/kafka_source.hpp"
#include "sluice/storage_source.hpp"

int main(int argc, char** argv) try {
  if (argc != 6) return std::cerr << "merge_three REDIS NATS KAFKA DIRECTORY FILTER\n", 2;
  auto redis = sluice::StorageHost::open({"redis", "redis", {{"address", argv[1]}, {"layout", "record"}}}).value();
  auto nats = sluice::StorageHost::open({"nats", "jetstream", {{"servers", argv[2]}, {"layout", "record"}}}).value();
  std::vector<std::shared_ptr<sluice::Source>> sources;
  sources.push_back(sluice::make_native_source(redis, {"orders"}).value());
  sources.push_back(sluice::make_native_source(nats, {"ORDERS"}).value());
  auto kafka = sluice::KafkaCluster::make({"kafka", argv[3]}).value();
  auto partitions = kafka->sources("orders").value();
  for (auto& partition : partitions) sources.push_back(std::move(partition));
  const auto store = sluice::CheckpointStore::open({argv[4]}).value();
  auto saved = store->newest("orders");
  if (!saved && saved.error().code() == sluice::StatusCode::not_found) saved = sluice::Checkpoint();  // the first start
  auto place = saved.value().id == 0 ? sluice::Cursor() : sluice::Cursor::decode(saved->cursor).value();
  auto filter = sluice::predicate_of(sluice::Filter::parse(argv[5]).value());
  const auto consumer = sluice::MergingConsumer::create({.order = sluice::MergeOrder::by_time}, std::move(sources),
                                                        place, std::move(filter));
  for (;;) {
    const auto response = consumer.value()->poll().value();
    for (auto& one : response.records) std::cout << sluice::as_text(one->value.value_or(sluice::Bytes())) << std::endl;
    if (response.cursor != place)
      saved->id = store->commit("orders", saved->id, (place = response.cursor).encode()).value();
    for (auto& note : response.notes)
      if (!note.cause.ok()) std::cerr << note.id << ": " << note.cause.describe() << std::endl;
    if (response.done) return 1;  // every shard has failed
  }
} catch (const tl::bad_expected_access<sluice::Status>& error) {
  return std::cerr << error.error().describe() << "\n", 1;
}
