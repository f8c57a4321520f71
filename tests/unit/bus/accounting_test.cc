// SPDX-License-Identifier: Apache-2.0
// Nothing is lost silently: accepted = pending + delivered + dropped, whatever happens.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "bus/bus_impl.hpp"
#include "test_sinks.hpp"

namespace sluice::bus {
namespace {

void expect_balanced(const BusStats& stats) {
  EXPECT_EQ(stats.accepted, stats.pending + stats.delivered + stats.dropped.all());
  EXPECT_EQ(stats.offered, stats.accepted + stats.refused + stats.unrouted);
}

TEST(Bus, B06_accepted_is_delivered_or_counted_across_shutdown) {
  constexpr int kRounds = kSanitized ? 30 : 1'000;
  constexpr int kProducers = 8;
  std::mt19937 random(6);
  for (int round = 0; round < kRounds; ++round) {
    const auto sink = std::make_shared<TestSink>();
    sink->keeps = false;
    BusOptions options = options_for(sink);
    options.capacity_events = 64;
    options.when_full = static_cast<WhenFull>(round % 5);
    auto bus = make_bus(std::move(options));
    std::atomic<uint64_t> accepted{0}, offered{0};
    std::atomic<bool> stop{false};
    std::vector<std::thread> producers;
    for (int p = 0; p < kProducers; ++p) {
      producers.emplace_back([&, p] {
        const std::string key = std::to_string(p);
        const std::vector<Event> batch(3, event(key, "v"));
        while (!stop) {
          const Outcome outcome = bus->ingest(event(key, "v"));
          const BatchOutcome batched = bus->ingest(batch);
          accepted += (outcome == Outcome::queued || outcome == Outcome::dropped) + batched.queued + batched.dropped;
          offered += 1 + batch.size();
          if (outcome == Outcome::shutting_down) break;
        }
      });
    }
    const uint64_t moment = random() % 300;
    eventually([&] { return accepted >= moment; });
    const Status status = bus->shutdown(kPatienceMs);
    stop = true;
    for (auto& producer : producers) producer.join();
    ASSERT_TRUE(status) << status.describe();
    const BusStats stats = bus->stats();
    expect_balanced(stats);
    ASSERT_EQ(stats.accepted, accepted);
    ASSERT_EQ(stats.offered, offered);
    ASSERT_EQ(stats.pending, 0U) << "round " << round << ": accepted " << stats.accepted << ", delivered "
                                 << stats.delivered << ", dropped " << stats.dropped.newest << " newest, "
                                 << stats.dropped.oldest << " oldest, " << stats.dropped.sampled
                                 << " sampled, by the sink " << sink->events;
    ASSERT_EQ(stats.delivered, sink->events);
    ASSERT_EQ(stats.accepted, stats.delivered + stats.dropped.all());
  }
}

TEST(Bus, B08_eviction_keeps_order_and_is_counted) {
  constexpr uint64_t kPushed = kSanitized ? 50'000 : 1'000'000;
  const auto sink = std::make_shared<TestSink>();
  sink->keeps = false;
  std::atomic<uint64_t> out_of_order{0};
  int64_t last = -1;
  sink->judge = [&](const EventBatch& batch) {
    batch.each([&](const Record& r) {
      int64_t number;
      std::memcpy(&number, r.value->data(), sizeof number);
      out_of_order += number <= last;
      last = number;
    });
    return Delivery();
  };
  BusOptions options = options_for(sink);
  options.shards = 1;
  options.capacity_events = 1'024;
  options.when_full = WhenFull::drop_oldest;
  auto bus = make_bus(std::move(options));
  for (uint64_t i = 0; i < kPushed; ++i) {
    ASSERT_EQ(bus->ingest_raw(Bytes(reinterpret_cast<const uint8_t*>(&i), sizeof i)), Outcome::queued);
    // The sink stands still now and then, so that there is something to evict.
    if (i % (kPushed / 4) == 0) sink->held = true;
    if (i % (kPushed / 4) == kPushed / 8) sink->release();
  }
  sink->release();
  ASSERT_TRUE(bus->shutdown(kPatienceMs));
  const BusStats stats = bus->stats();
  EXPECT_EQ(stats.accepted, kPushed);
  EXPECT_EQ(sink->events + stats.dropped.oldest, kPushed);
  EXPECT_GT(stats.dropped.oldest, 0U);
  EXPECT_EQ(stats.dropped.all(), stats.dropped.oldest);
  EXPECT_EQ(out_of_order, 0U);
  EXPECT_EQ(last, static_cast<int64_t>(kPushed) - 1) << "the newest are kept";
}

TEST(Bus, S19_capacity_is_as_configured_and_drops_are_seen) {
  const auto sink = std::make_shared<TestSink>();
  sink->held = true;
  BusOptions options = options_for(sink);
  options.shards = 1;
  options.capacity_events = 8;
  options.when_full = WhenFull::drop_newest;
  auto bus = make_bus(std::move(options));
  int queued = 0;
  for (int i = 0; i < 100; ++i) queued += bus->ingest(event("k", std::to_string(i))) == Outcome::queued;
  EXPECT_EQ(queued, 8);
  EXPECT_EQ(bus->stats().dropped.newest, 92U);
  sink->release();
  ASSERT_TRUE(bus->shutdown(kPatienceMs));
  EXPECT_EQ(sink->events, 8U);
  expect_balanced(bus->stats());
}

TEST(Bus, a_full_shard_blocks_fails_or_samples_as_told) {
  const auto sink = std::make_shared<TestSink>();
  sink->held = true;
  BusOptions options = options_for(sink);
  options.shards = 1;
  options.capacity_events = 8;
  options.when_full = WhenFull::fail;
  auto bus = make_bus(options);
  for (int i = 0; i < 8; ++i) EXPECT_EQ(bus->ingest(event("k", "v")), Outcome::queued);
  EXPECT_EQ(bus->ingest(event("k", "v")), Outcome::full);
  EXPECT_EQ(bus->stats().refused, 1U);
  sink->release();
  ASSERT_TRUE(bus->shutdown(kPatienceMs));

  sink->held = true;
  options.when_full = WhenFull::block;
  options.block_ms = 200;
  bus = make_bus(options);
  for (int i = 0; i < 8; ++i) EXPECT_EQ(bus->ingest(event("k", "v")), Outcome::queued);
  EXPECT_EQ(bus->ingest(event("k", "v")), Outcome::timed_out);
  const std::vector<Event> batch(300, event("k", "v"));
  const auto began = std::chrono::steady_clock::now();
  const BatchOutcome refused = bus->ingest(batch);
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::milliseconds(300 * options.block_ms / 3));
  EXPECT_EQ(refused.outcome, Outcome::timed_out);
  EXPECT_EQ(refused.queued, 0U);
  EXPECT_EQ(refused.index, 0U);
  EXPECT_EQ(bus->stats().refused, 301U);
  sink->release();
  ASSERT_TRUE(eventually([&] { return bus->stats().delivered > 0; }));
  EXPECT_EQ(bus->ingest(event("k", "v")), Outcome::queued);
  ASSERT_TRUE(bus->shutdown(kPatienceMs));

  sink->held = true;
  options.when_full = WhenFull::sample;
  options.sample_one_in = 10;
  options.capacity_events = 200;
  bus = make_bus(options);
  for (int i = 0; i < 600; ++i) static_cast<void>(bus->ingest(event("k", "v")));
  // The upper half takes one in ten of what came after the lower one was full.
  EXPECT_EQ(bus->stats().dropped.sampled, 450U);
  sink->release();
  ASSERT_TRUE(bus->shutdown(kPatienceMs));
  expect_balanced(bus->stats());
}

TEST(Bus, B25_counters_of_shards_and_unrouted_equal_the_totals_through_scaling) {
  constexpr int kCycles = kSanitized ? 20 : 100;
  const auto sink = std::make_shared<TestSink>();
  sink->keeps = false;
  BusOptions options = options_for(sink);
  options.shards = 1;
  options.capacity_events = 256;
  auto bus = make_bus(std::move(options));
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> offered{0}, queued{0};
  std::vector<std::thread> producers;
  for (int p = 0; p < 3; ++p) {
    producers.emplace_back([&] {
      std::vector<std::string> keys;
      for (int i = 0; i < 100; ++i) keys.push_back(std::to_string(i));
      std::vector<Event> batch;
      for (const auto& key : keys) batch.push_back(event(key, "value"));
      while (!stop) {
        const BatchOutcome outcome = bus->ingest(batch);
        queued += outcome.queued;
        offered += batch.size();
      }
    });
  }
  std::vector<uint64_t> ids = {0};
  for (int cycle = 0; cycle < kCycles; ++cycle) {
    const auto added = bus->add_shard();
    ASSERT_TRUE(added);
    ids.push_back(*added);
    // Now and then there is no shard at all.
    const size_t keep = cycle % 5 == 4 ? 0 : 1;
    while (ids.size() > keep) {
      ASSERT_TRUE(bus->remove_shard(ids.front()));
      ids.erase(ids.begin());
    }
    const BusStats stats = bus->stats();
    expect_balanced(stats);
  }
  const auto last = bus->add_shard();
  ASSERT_TRUE(last);
  ids.push_back(*last);
  stop = true;
  for (auto& producer : producers) producer.join();
  // One by one they go another way than in batches.
  for (const uint64_t id : ids) ASSERT_TRUE(bus->remove_shard(id));
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(bus->ingest(event("k", "v")), Outcome::no_route);
    ++offered;
  }
  ASSERT_TRUE(bus->shutdown(kPatienceMs));
  const BusStats stats = bus->stats();
  expect_balanced(stats);
  EXPECT_EQ(stats.offered, offered);
  EXPECT_EQ(stats.accepted, queued);
  EXPECT_EQ(stats.unrouted, offered - queued);
  EXPECT_EQ(stats.delivered, sink->events);
  EXPECT_EQ(stats.delivered, queued);
}

TEST(Bus, B17_destruction_without_shutdown_delivers_or_says_exactly_what_is_lost) {
  std::mutex mutex;
  std::string lines;
  for (const bool hangs : {false, true}) {
    const auto sink = std::make_shared<TestSink>();
    sink->held = hangs;
    BusOptions options = options_for(sink);
    options.log = [&](std::string_view line) {
      const std::lock_guard lock(mutex);
      lines += std::string(line) + "\n";
    };
    auto bus = make_bus(std::move(options));
    for (int i = 0; i < 1'000; ++i) ASSERT_EQ(bus->ingest(event("k", "v")), Outcome::queued);
    const uint64_t lost = Bus::lost_at_destruction();
    bus.reset();
    EXPECT_EQ(sink->events, hangs ? 0U : 1'000U);
    EXPECT_EQ(Bus::lost_at_destruction() - lost, hangs ? 1'000U : 0U);
    const std::lock_guard lock(mutex);
    EXPECT_NE(lines.find("destroyed without shutdown"), std::string::npos);
    EXPECT_EQ(lines.find("1000 events undelivered") != std::string::npos, hangs) << lines;
    sink->release();  // an answer that comes too late finds its memory there
  }
}

TEST(Bus, B19_sequences_never_wrap) {
  const auto sink = std::make_shared<TestSink>();
  BusOptions options = options_for(sink);
  options.shards = 1;
  options.when_full = WhenFull::fail;
  auto bus = Bus::Impl::create(std::move(options), UINT64_MAX - 2);
  ASSERT_TRUE(bus);
  std::vector<Outcome> outcomes;
  for (int i = 0; i < 3; ++i) outcomes.push_back((*bus)->ingest(event("k", "v")));
  EXPECT_EQ(outcomes, (std::vector{Outcome::queued, Outcome::queued, Outcome::exhausted}));
  EXPECT_EQ(status_class(describe(Outcome::exhausted).code()), 500);
  const std::vector<Event> batch(2, event("k", "v"));
  EXPECT_EQ((*bus)->ingest(batch).outcome, Outcome::exhausted);
  EXPECT_EQ((*bus)->health().level, BusHealth::Level::failing);
  ASSERT_TRUE((*bus)->shutdown(kPatienceMs));
  const auto seen = sink->seen();
  ASSERT_EQ(seen.size(), 2U);
  EXPECT_EQ(seen[0].sequence, UINT64_MAX - 2);
  EXPECT_EQ(seen[1].sequence, UINT64_MAX - 1);
}

TEST(Bus, S03_deliveries_in_the_background_are_tracked_and_awaited) {
  const auto sink = std::make_shared<TestSink>();
  sink->its_traits.ordered = true;
  sink->held = true;
  std::atomic<int> turn{0};
  sink->judge = [&](const EventBatch& batch) {
    Delivery delivery;
    if (turn++ % 3 == 2) delivery.status = Status(StatusCode::internal, "no");
    delivery.settled = 0;
    static_cast<void>(batch);
    return delivery;
  };
  BusOptions options = options_for(sink);
  options.batch.max_events = 7;
  options.max_in_flight = 3;
  options.shards = 1;
  auto bus = make_bus(std::move(options));
  for (int i = 0; i < 1'000; ++i) ASSERT_EQ(bus->ingest(event("k", "v")), Outcome::queued);
  ASSERT_TRUE(eventually([&] { return sink->waiting() == 3; }));
  std::atomic<bool> stop{false};
  std::thread answers([&] {  // the sink answers none of them by itself
    while (!stop) {
      EXPECT_LE(sink->waiting(), 3U);
      sink->answer_waiting();
      std::this_thread::yield();
    }
  });
  EXPECT_FALSE(bus->shutdown(kPatienceMs)) << "failures are told";
  EXPECT_EQ(sink->waiting(), 0U);
  stop = true;
  answers.join();
  const BusStats stats = bus->stats();
  EXPECT_EQ(stats.pending, 0U);
  EXPECT_GT(stats.dropped.failed, 0U);
  EXPECT_EQ(stats.delivered + stats.dropped.failed, 1'000U);
  EXPECT_EQ(stats.delivered, sink->events);
}

}  // namespace
}  // namespace sluice::bus
