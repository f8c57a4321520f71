// SPDX-License-Identifier: Apache-2.0
#include "sluice/bus.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "test_sinks.hpp"

namespace sluice::bus {
namespace {

TEST(Bus, delivers_in_order_by_key) {
  const auto sink = std::make_shared<TestSink>();
  auto bus = make_bus(options_for(sink));
  constexpr int kEvents = 10'000;
  for (int i = 0; i < kEvents; ++i) {
    ASSERT_EQ(bus->ingest(event("key" + std::to_string(i % 17), std::to_string(i))), Outcome::queued);
  }
  ASSERT_TRUE(bus->flush(kPatienceMs)) << "flush";
  std::map<std::string, int> last;
  std::map<std::string, uint64_t> shard_of;
  std::map<uint64_t, int64_t> time_of;
  std::map<uint64_t, uint64_t> next_of;
  const auto seen = sink->seen();
  ASSERT_EQ(seen.size(), static_cast<size_t>(kEvents));
  for (const Seen& s : seen) {
    const int number = std::stoi(s.value);
    EXPECT_TRUE(!last.contains(s.key) || last[s.key] < number);
    last[s.key] = number;
    EXPECT_EQ(shard_of.emplace(s.key, s.shard).first->second, s.shard);
    EXPECT_EQ(next_of[s.shard]++, s.sequence);
    EXPECT_GT(s.timestamp_ns, time_of[s.shard]);
    time_of[s.shard] = s.timestamp_ns;
  }
  EXPECT_EQ(time_of.size(), 2U);
  const BusStats stats = bus->stats();
  EXPECT_EQ(stats.accepted, 10'000U);
  EXPECT_EQ(stats.delivered, 10'000U);
  EXPECT_EQ(stats.pending, 0U);
  EXPECT_TRUE(bus->shutdown(kPatienceMs));
  EXPECT_EQ(sink->opens, 1U);
  EXPECT_EQ(sink->closes, 1U);
  EXPECT_EQ(bus->health().level, BusHealth::Level::stopped);
}

TEST(Bus, batches_and_single_events_come_in_one_order) {
  const auto sink = std::make_shared<TestSink>();
  BusOptions options = options_for(sink);
  options.shards = 3;
  auto bus = make_bus(std::move(options));
  const std::array<std::string, 3> keys = {"a", "b", "c"};
  std::vector<std::string> values;
  for (int i = 0; i < 5'000; ++i) values.push_back(std::to_string(i));
  size_t at = 0;
  for (size_t step = 1; at < values.size(); step = step * 3 % 700 + 1) {
    std::vector<Event> batch;
    for (; batch.size() < step && at < values.size(); ++at) batch.push_back(event(keys[at % keys.size()], values[at]));
    const BatchOutcome outcome = bus->ingest(batch);
    ASSERT_EQ(outcome.queued, batch.size());
    ASSERT_EQ(outcome.index, batch.size());
  }
  ASSERT_TRUE(bus->drain(kPatienceMs));
  std::map<std::string, int> last;
  for (const Seen& s : sink->seen()) {
    EXPECT_TRUE(!last.contains(s.key) || last[s.key] < std::stoi(s.value));
    last[s.key] = std::stoi(s.value);
  }
  EXPECT_EQ(sink->seen().size(), values.size());
  EXPECT_TRUE(bus->shutdown(kPatienceMs));
}

TEST(Bus, large_events_raw_bytes_and_headers_arrive_whole) {
  const auto sink = std::make_shared<TestSink>();
  auto bus = make_bus(options_for(sink));
  const std::string large(200'000, 'x');
  const Header header{"traceparent", as_bytes("00-1")};
  EXPECT_EQ(bus->ingest({.key = as_bytes("k"), .value = as_bytes(large), .headers = {&header, 1}}), Outcome::queued);
  EXPECT_EQ(bus->ingest_raw(as_bytes("raw")), Outcome::queued);
  const std::string beyond((1 << 20) + 1, 'x');
  EXPECT_EQ(bus->ingest_raw(as_bytes(beyond)), Outcome::too_large);
  ASSERT_TRUE(bus->shutdown(kPatienceMs));
  std::multiset<size_t> sizes;
  for (const Seen& s : sink->seen()) sizes.insert(s.value.size());
  EXPECT_EQ(sizes, (std::multiset<size_t>{3, large.size()}));
  EXPECT_EQ(bus->stats().spilled, 1U);
  EXPECT_EQ(bus->ingest_raw(as_bytes("late")), Outcome::shutting_down);
}

TEST(Bus, sizes_at_the_end_of_a_slot_and_beyond_any_event_count_exactly) {
  const auto sink = std::make_shared<TestSink>();
  BusOptions options = options_for(sink);
  options.shards = 1;
  options.inline_bytes = 160;
  options.max_event_bytes = 162;
  auto bus = make_bus(std::move(options));
  const std::string text(200, 'x');
  const auto some = [&](size_t bytes) { return as_bytes(text).first(bytes); };
  std::vector<std::string> sent;
  uint64_t spilled = 0;
  for (const size_t total : {0, 1, 159, 160, 161, 162, 163}) {
    for (const size_t key_bytes : {size_t{0}, std::min<size_t>(10, total), total}) {
      Event now{.key = some(key_bytes), .value = some(total - key_bytes)};
      if (key_bytes == 0) now.key.reset();
      if (key_bytes == total) now.value.reset();
      const bool fits = total <= 162;
      EXPECT_EQ(bus->ingest(now), fits ? Outcome::queued : Outcome::too_large) << total;
      EXPECT_EQ(bus->ingest({&now, 1}).queued, fits ? 1U : 0U) << total;
      if (!fits) continue;
      spilled += total > 160 ? 2 : 0;
      for (int i = 0; i < 2; ++i) sent.push_back(text.substr(0, key_bytes) + '|' + text.substr(0, total - key_bytes));
    }
  }
  // Sizes that overflow what adds them up.
  for (const size_t most : {SIZE_MAX, SIZE_MAX / 2 + 1, size_t{kMaxEventBytes} + 1}) {
    const Bytes beyond(some(1).data(), most);
    EXPECT_EQ(bus->ingest({.key = beyond, .value = beyond}), Outcome::invalid);
    EXPECT_EQ(bus->ingest({.key = beyond, .value = some(1)}), Outcome::invalid);
    EXPECT_EQ(bus->ingest({.key = some(1), .value = beyond}), Outcome::invalid);
    EXPECT_EQ(bus->ingest_raw(beyond), Outcome::invalid);
  }
  EXPECT_EQ(bus->stats().spilled, spilled);
  EXPECT_EQ(bus->stats().accepted, sent.size());
  ASSERT_TRUE(bus->shutdown(kPatienceMs));
  std::vector<std::string> seen;
  for (const Seen& s : sink->seen()) seen.push_back(s.key + '|' + s.value);
  EXPECT_TRUE(seen == sent) << seen.size() << " came of " << sent.size();
}

TEST(Bus, B20_routing_among_none_is_an_error) {
  const auto sink = std::make_shared<TestSink>();
  BusOptions options = options_for(sink);
  options.shards = 0;
  auto bus = make_bus(std::move(options));
  EXPECT_EQ(bus->ingest_raw(as_bytes("x")), Outcome::no_route);
  EXPECT_EQ(describe(Outcome::no_route).code(), StatusCode::not_found);
  const std::vector<Event> batch(3, event("k", "v"));
  const BatchOutcome outcome = bus->ingest(batch);
  EXPECT_EQ(outcome.outcome, Outcome::no_route);
  EXPECT_EQ(outcome.index, 0U);
  EXPECT_EQ(bus->stats().unrouted, 4U);
  EXPECT_EQ(bus->stats().accepted, 0U);
  EXPECT_TRUE(bus->shutdown(kPatienceMs));
}

TEST(Bus, B15_every_element_of_a_batch_is_checked_before_any_is_taken) {
  const auto sink = std::make_shared<TestSink>();
  BusOptions options = options_for(sink);
  options.max_event_bytes = 1'000;
  auto bus = make_bus(std::move(options));
  const std::string large(1'001, 'x');
  std::vector<Event> batch(600, event("k", "v"));
  batch[577] = event("k", large);
  BatchOutcome outcome = bus->ingest(batch);
  EXPECT_EQ(outcome.outcome, Outcome::too_large);
  EXPECT_EQ(outcome.index, 577U);
  EXPECT_EQ(outcome.queued, 0U);
  const std::vector<Header> headers(kMaxEventHeaders + 1, Header{"h", std::nullopt});
  batch[577] = {.key = as_bytes("k"), .value = as_bytes("v"), .headers = headers};
  outcome = bus->ingest(batch);
  EXPECT_EQ(outcome.outcome, Outcome::invalid);
  EXPECT_EQ(outcome.index, 577U);
  EXPECT_EQ(bus->stats().accepted, 0U);
  EXPECT_TRUE(bus->shutdown(kPatienceMs));
  EXPECT_TRUE(sink->seen().empty());
}

}  // namespace
}  // namespace sluice::bus
