// SPDX-License-Identifier: Apache-2.0
// A real bus in front of a real sink: threads that put events in, and what must be true of its numbers and of the
// target afterwards.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "../sources/world.hpp"
#include "sluice/bus.hpp"

namespace sluice::test {

inline constexpr int kProducers = 4;
inline constexpr int64_t kPatienceMs = 60'000;

inline std::unique_ptr<Bus> make_bus(std::shared_ptr<Sink> sink) {
  BusOptions options;
  options.name = "events";
  options.sink = std::move(sink);
  options.capacity_events = 1'024;
  options.batch.max_events = 100;
  options.block_ms = 60'000;
  options.retry.retries = 10'000;
  options.retry.first_ms = 5;
  options.retry.longest_ms = 50;
  options.log = [](std::string_view) {};
  auto bus = Bus::create(std::move(options));
  EXPECT_TRUE(bus) << bus.error().describe();
  return bus ? std::move(*bus) : nullptr;
}

/// Each producer puts in `count` events from its `first` on: its number as key, "NUMBER/I" as value.
inline void produce(Bus& bus, int first, int count) {
  std::vector<std::thread> producers;
  for (int producer = 0; producer < kProducers; ++producer) {
    producers.emplace_back([&, key = std::to_string(producer)] {
      for (int i = first; i < first + count; ++i) {
        const std::string value = key + "/" + std::to_string(i);
        Event event;
        event.key = as_bytes(key);
        event.value = as_bytes(value);
        EXPECT_EQ(bus.ingest(event), Outcome::queued);
      }
    });
  }
  for (std::thread& producer : producers) producer.join();
}

/// Nothing is pending, and every number adds up.
inline void expect_exact(const BusStats& stats, uint64_t accepted) {
  EXPECT_EQ(stats.accepted, accepted);
  EXPECT_EQ(stats.pending, 0u);
  EXPECT_EQ(stats.delivered + stats.dropped.all(), accepted);
  EXPECT_EQ(stats.offered, stats.accepted + stats.refused + stats.unrouted);
}

/// How often each value is there.
inline std::map<std::string, int> times_of(const std::vector<Kept>& records) {
  std::map<std::string, int> times;
  for (const Kept& kept : records) times[kept.value.value_or("null")] += 1;
  return times;
}

/// Each event once, and each key's in their order, where a key is in one shard of the source.
inline void expect_each_once_in_order(const std::vector<Kept>& records, int count) {
  EXPECT_EQ(records.size(), static_cast<size_t>(kProducers) * static_cast<size_t>(count));
  std::map<std::string, int> next;
  for (const Kept& kept : records) {
    int& wanted = next[kept.key.value_or("null")];
    ASSERT_EQ(kept.value, kept.key.value_or("null") + "/" + std::to_string(wanted));
    wanted += 1;
  }
}

}  // namespace sluice::test
