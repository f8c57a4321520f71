// SPDX-License-Identifier: Apache-2.0
// Consumers over scripted sources, and what they deliver until the end.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "consumer/scripted_source.hpp"
#include "sluice/consumer.hpp"

namespace sluice::testing {

using Kind = ScriptedSource::Kind;
using Sources = std::vector<std::shared_ptr<Source>>;
using Where = std::pair<uint32_t, int64_t>;  // shard, position

inline std::unique_ptr<MergingConsumer> consume(const ConsumerConfig& config, Sources sources, const Cursor& from = {},
                                                RecordPredicate filter = {}) {
  auto consumer = MergingConsumer::create(config, std::move(sources), from, std::move(filter));
  EXPECT_TRUE(consumer) << (consumer ? "" : consumer.error().describe());
  return std::move(*consumer);
}

inline std::vector<std::shared_ptr<ScriptedSource>> shards(size_t count, size_t records, int64_t step_ns = 0) {
  std::vector<std::shared_ptr<ScriptedSource>> shards;
  for (size_t i = 0; i < count; ++i) {
    shards.push_back(std::make_shared<ScriptedSource>("shard-" + std::to_string(i)));
    shards.back()->add_records(records, step_ns == 0 ? kNoTimestamp : static_cast<int64_t>(i), step_ns);
    shards.back()->seal();
  }
  return shards;
}

inline Sources as_sources(const std::vector<std::shared_ptr<ScriptedSource>>& shards) {
  return {shards.begin(), shards.end()};
}

/// Polls until the consumer says that it is done, and shows each response to `see`. Ends at the first failure.
template <class See>
void poll_to_end(MergingConsumer& consumer, See&& see, const PollRequest& request = {}) {
  for (bool done = false; !done;) {
    const auto response = consumer.poll(request);
    ASSERT_TRUE(response) << response.error().describe();
    done = response->done;
    see(*response);
  }
}
inline std::multiset<Where> rest_of(MergingConsumer& consumer) {
  std::multiset<Where> records;
  poll_to_end(consumer, [&](const Response& response) {
    for (const MergedRecord& each : response.records) records.emplace(each.shard, each->position);
  });
  return records;
}
inline size_t count_rest(MergingConsumer& consumer) {
  return rest_of(consumer).size();
}

/// Everything until the end, each response by a consumer of its own that starts from the text of the cursor before, or
/// all by the same one.
struct Drained {
  std::vector<Where> order;
  std::multiset<Where> records;
  uint64_t rejected = 0, corrupt = 0, late = 0;
  size_t polls = 0;
  std::string cursor;
};

inline Drained drain(const ConsumerConfig& config, const Sources& sources, size_t limit, bool restart,
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

inline std::multiset<Where> all_of(size_t count, int64_t records) {
  std::multiset<Where> all;
  for (uint32_t i = 0; i < count; ++i) {
    for (int64_t position = 0; position < records; ++position) all.emplace(i, position);
  }
  return all;
}

}  // namespace sluice::testing
