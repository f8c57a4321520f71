// SPDX-License-Identifier: Apache-2.0
// Two shards merged by time and filtered, left in the middle, and taken up again from the text of a cursor.
#include "sluice/consumer.hpp"

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "sluice/memory_source.hpp"

namespace {

std::shared_ptr<sluice::MemorySource> make_shard(const std::string& id, int64_t first, int64_t step) {
  auto shard = std::make_shared<sluice::MemorySource>(id);
  for (int64_t i = 0; i < 10; ++i) {
    const std::string value = "{\"amount\": " + std::to_string(first + i * step) + "}";
    sluice::Record record;
    record.timestamp_ns = first + i * step;
    record.value = sluice::as_bytes(value);
    if (!shard->append(record)) return nullptr;
  }
  shard->seal();
  return shard;
}

}  // namespace

int main() {
  const auto filter = sluice::Filter::parse("value.amount >= 20");
  if (!filter) return std::printf("%s\n", filter.error().describe().c_str()), 1;
  const std::vector<std::shared_ptr<sluice::Source>> shards = {make_shard("north", 1, 10), make_shard("south", 5, 10)};
  sluice::ConsumerConfig config;
  config.order = sluice::MergeOrder::by_time;

  std::string stored;  // what a program keeps in a file or a database
  int records = 0;
  for (bool done = false; !done;) {
    sluice::Cursor place;
    if (!stored.empty()) {
      const auto decoded = sluice::Cursor::decode(stored);
      if (!decoded) return std::printf("%s\n", decoded.error().describe().c_str()), 1;
      place = *decoded;
    }
    // A new consumer each time, as after a crash.
    auto consumer = sluice::MergingConsumer::create(config, shards, place, sluice::predicate_of(*filter));
    if (!consumer) return std::printf("%s\n", consumer.error().describe().c_str()), 1;
    sluice::PollRequest request;
    request.max_records = 6;
    const auto response = (*consumer)->poll(request);
    if (!response) return std::printf("%s\n", response.error().describe().c_str()), 1;
    for (const sluice::MergedRecord& each : response->records) {
      std::printf("shard %u, position %lld: %.*s\n", each.shard, static_cast<long long>(each->position),
                  static_cast<int>(each->value->size()), reinterpret_cast<const char*>(each->value->data()));
      ++records;
    }
    for (const sluice::ShardNote& note : response->notes) {
      std::printf("  %s: %s\n", note.id.c_str(), std::string(sluice::condition_name(note.condition)).c_str());
    }
    stored = response->cursor.encode();  // once the records are dealt with
    done = response->done;
  }
  std::printf("%d records, then %s\n", records, stored.c_str());
  return records == 16 ? 0 : 1;
}
