// SPDX-License-Identifier: Apache-2.0
// The consumer as applications use it: what it delivers, where its cursor is, what it says of its shards. One thread,
// and time that is real only where waiting is what is tested.
#include "sluice/consumer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <functional>
#include <map>
#include <set>
#include <stdexcept>

#include "consumer/scripted_source.hpp"
#include "sluice/memory_source.hpp"

namespace sluice {
namespace {

using testing::ScriptedSource;
using Kind = ScriptedSource::Kind;
using Sources = std::vector<std::shared_ptr<Source>>;
using Where = std::pair<uint32_t, int64_t>;  // shard, position

std::unique_ptr<MergingConsumer> consume(const ConsumerConfig& config, Sources sources, const Cursor& from = {},
                                         RecordPredicate filter = {}) {
  auto consumer = MergingConsumer::create(config, std::move(sources), from, std::move(filter));
  EXPECT_TRUE(consumer) << (consumer ? "" : consumer.error().describe());
  return std::move(*consumer);
}

std::vector<std::shared_ptr<ScriptedSource>> shards(size_t count, size_t records, int64_t step_ns = 0) {
  std::vector<std::shared_ptr<ScriptedSource>> shards;
  for (size_t i = 0; i < count; ++i) {
    shards.push_back(std::make_shared<ScriptedSource>("shard-" + std::to_string(i)));
    shards.back()->add_records(records, step_ns == 0 ? kNoTimestamp : static_cast<int64_t>(i), step_ns);
    shards.back()->seal();
  }
  return shards;
}

Sources as_sources(const std::vector<std::shared_ptr<ScriptedSource>>& shards) {
  return {shards.begin(), shards.end()};
}

// Everything until the end, each response by a consumer of its own that starts from the text of the cursor before, or
// all by the same one.
struct Drained {
  std::vector<Where> order;
  std::multiset<Where> records;
  uint64_t rejected = 0, corrupt = 0, late = 0;
  size_t polls = 0;
  std::string cursor;
};

Drained drain(const ConsumerConfig& config, const Sources& sources, size_t limit, bool restart,
              const std::function<bool(const Record&)>& filter = {}) {
  Drained drained;
  std::unique_ptr<MergingConsumer> consumer;
  Cursor cursor;
  for (bool done = false; !done && drained.polls < 100'000; ++drained.polls) {
    if (consumer == nullptr || restart) {
      consumer = nullptr;
      consumer = consume(config, sources, cursor, filter ? RecordPredicate(filter) : RecordPredicate());
    }
    PollRequest request;
    request.max_records = limit;
    auto response = consumer->poll(request);
    EXPECT_TRUE(response) << response.error().describe();
    if (!response) break;
    EXPECT_LE(response->records.size(), limit);
    for (const MergedRecord& each : response->records) {
      drained.order.emplace_back(each.shard, each->position);
      drained.records.emplace(each.shard, each->position);
    }
    drained.rejected += response->rejected;
    drained.corrupt += response->corrupt;
    drained.late += response->late;
    drained.cursor = response->cursor.encode();
    cursor = *Cursor::decode(drained.cursor);
    done = response->done;
  }
  return drained;
}

std::multiset<Where> all_of(size_t count, int64_t records) {
  std::multiset<Where> all;
  for (uint32_t i = 0; i < count; ++i) {
    for (int64_t position = 0; position < records; ++position) all.emplace(i, position);
  }
  return all;
}

TEST(Consumer, B02_a_cursor_passes_only_what_was_delivered_or_refused) {
  const struct {
    size_t shards, records, limit;
  } cases[] = {{2, 30, 5}, {4, 250, 10}, {8, 1000, 100}};
  for (const auto& each : cases) {
    for (const bool restart : {false, true}) {
      const auto drained = drain({}, as_sources(shards(each.shards, each.records)), each.limit, restart);
      EXPECT_EQ(drained.records, all_of(each.shards, static_cast<int64_t>(each.records)));
    }
  }
}

}  // namespace
}  // namespace sluice
