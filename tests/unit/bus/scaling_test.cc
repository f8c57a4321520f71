// SPDX-License-Identifier: Apache-2.0
// Shards that come and go, subscribers that read them, and what a state file keeps.
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <thread>

#include "../support/folder.hpp"
#include "test_sinks.hpp"

namespace sluice::bus {
namespace {

class StateFile {
 public:
  std::string path() const { return folder_.path() + "/state"; }

 private:
  test::Folder folder_;
};

Result<Page> read(Source& source, int64_t from, uint32_t max_records = 1'000, int64_t wait_ms = 0) {
  std::mutex mutex;
  std::condition_variable turned;
  std::optional<Result<Page>> answer;
  source.read({.from = from, .max_records = max_records, .wait_ms = wait_ms}, [&](Result<Page> page) {
    const std::lock_guard lock(mutex);
    answer = std::move(page);
    turned.notify_all();
  });
  std::unique_lock lock(mutex);
  if (!turned.wait_for(lock, std::chrono::milliseconds(kPatienceMs), [&] { return answer.has_value(); })) std::abort();
  return std::move(*answer);
}

TEST(Bus, B07_ids_of_shards_are_never_used_again) {
  const StateFile state;
  std::set<uint64_t> ids;
  uint64_t epoch = 0;
  for (int start = 0; start < 3; ++start) {
    BusOptions options = options_for(std::make_shared<TestSink>());
    options.state_file = state.path();
    options.shards = 0;
    options.capacity_events = 16;
    auto bus = make_bus(options);
    EXPECT_GT(bus->stats().epoch, epoch);
    epoch = bus->stats().epoch;
    std::vector<uint64_t> live;
    for (const int goal : {10, 1, 10}) {
      while (live.size() < static_cast<size_t>(goal)) {
        const auto id = bus->add_shard();
        ASSERT_TRUE(id);
        EXPECT_TRUE(ids.insert(*id).second) << *id << " was used before";
        live.push_back(*id);
      }
      for (; live.size() > static_cast<size_t>(goal); live.pop_back()) ASSERT_TRUE(bus->remove_shard(live.back()));
    }
    const auto second = Bus::create(options);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code(), StatusCode::conflict);
    EXPECT_TRUE(bus->shutdown(kPatienceMs));
  }
  EXPECT_EQ(ids.size(), 3U * 19);
}

TEST(Bus, B26_no_event_has_the_identity_of_another_across_restarts) {
  const StateFile state;
  std::set<std::tuple<uint64_t, uint64_t, uint64_t>> known;  // what a sink that deduplicates would keep
  std::mutex mutex;
  uint64_t discarded = 0;
  for (int start = 0; start < 3; ++start) {
    const auto sink = std::make_shared<TestSink>();
    sink->judge = [&](const EventBatch& batch) {
      const std::lock_guard lock(mutex);
      batch.each([&](const Record& r) {
        discarded +=
            !known.emplace(batch.origin().epoch, batch.origin().shard, static_cast<uint64_t>(r.position)).second;
      });
      return Delivery();
    };
    BusOptions options = options_for(sink);
    options.state_file = state.path();
    auto bus = make_bus(std::move(options));
    for (int i = 0; i < 10; ++i) ASSERT_EQ(bus->ingest(event(std::to_string(i), "new")), Outcome::queued);
    EXPECT_TRUE(bus->shutdown(kPatienceMs));
  }
  EXPECT_EQ(known.size(), 30U);
  EXPECT_EQ(discarded, 0U);
}

TEST(Bus, B09_a_draining_shard_is_finished_after_its_last_event_and_not_before) {
  for (int round = 0; round < 30; ++round) {
    const auto sink = std::make_shared<TestSink>();
    sink->keeps = false;
    BusOptions options = options_for(sink);
    options.capacity_events = 512;
    options.block_ms = 20;  // else all producers may stand before one shard, and the other has nothing to deliver
    std::atomic<bool> early{false};
    Bus* the_bus = nullptr;
    options.on_change = [&](const ShardChange& change) {
      if (change.what != ShardChange::What::finished) return;
      for (const ShardCounts& counts : the_bus->stats().shards)
        early = early || (counts.shard == change.shard && counts.pending != 0);
    };
    auto bus = make_bus(std::move(options));
    the_bus = bus.get();
    std::atomic<bool> stop{false};
    std::atomic<uint64_t> queued{0}, looks{0};
    std::vector<std::thread> threads;
    for (int p = 0; p < 3; ++p) {
      threads.emplace_back([&, p] {
        for (int i = 0; !stop; ++i) queued += bus->ingest(event(std::to_string(i * 3 + p), "v")) == Outcome::queued;
      });
    }
    threads.emplace_back([&] {  // looks at the numbers all the time, which must reset nothing
      while (!stop) {
        for (const ShardCounts& counts : bus->stats().shards) early = early || (counts.finished && counts.pending != 0);
        ++looks;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    });
    ASSERT_TRUE(eventually([&] { return queued > 100; }));
    const bool stalls = round % 2 != 0;
    sink->held = stalls;
    if (stalls) {
      ASSERT_TRUE(eventually([&] { return sink->waiting() == 2; }));
    }
    ASSERT_TRUE(bus->remove_shard(0));
    if (stalls) {
      const uint64_t seen_idle = looks;
      ASSERT_TRUE(eventually([&] { return looks >= seen_idle + 5; }));
      EXPECT_EQ(bus->stats().shards.size(), 2U) << "a batch of the removed shard is still out";
      sink->release();
    }
    ASSERT_TRUE(eventually([&] {
      const auto shards = bus->stats().shards;
      return shards.size() == 1 && shards[0].shard == 1;
    }));
    stop = true;
    for (auto& thread : threads) thread.join();
    EXPECT_TRUE(bus->shutdown(kPatienceMs));
    EXPECT_EQ(sink->events, queued);
    EXPECT_EQ(bus->stats().delivered, queued);
    EXPECT_FALSE(early);
  }
}

TEST(Bus, B09_a_shard_whose_last_batch_is_with_the_sink_is_not_finished) {
  const auto sink = std::make_shared<TestSink>();
  sink->held = true;
  BusOptions options = options_for(sink);
  options.shards = 1;
  auto bus = make_bus(std::move(options));
  ASSERT_EQ(bus->ingest(event("k", "v")), Outcome::queued);
  ASSERT_TRUE(eventually([&] { return sink->waiting() == 1; }));
  ASSERT_TRUE(bus->remove_shard(0));
  EXPECT_FALSE(eventually([&] { return bus->stats().shards.empty() || bus->stats().shards[0].finished; }, 100));
  sink->release();
  EXPECT_TRUE(eventually([&] { return bus->stats().shards.empty(); }));
  EXPECT_TRUE(bus->shutdown(kPatienceMs));
  EXPECT_EQ(bus->stats().delivered, 1U);
}

TEST(Bus, B29_a_removed_shard_stays_readable_until_it_is_read_to_its_end) {
  BusOptions options = options_for(nullptr);
  options.retain_events = 10'000;
  options.shards = 2;
  auto bus = make_bus(std::move(options));
  std::set<std::string> wanted;
  for (int i = 0; i < 1'000; ++i) {
    const std::string value = std::to_string(i);
    ASSERT_EQ(bus->ingest(event(value, value)), Outcome::queued);
    wanted.insert(value);
  }
  ASSERT_TRUE(bus->remove_shard(0));
  ASSERT_TRUE(bus->drain(kPatienceMs));
  ASSERT_TRUE(eventually([&] { return bus->stats().shards.front().finished; }));
  EXPECT_EQ(bus->subscribable(), (std::vector<uint64_t>{0, 1}));
  ASSERT_TRUE(bus->shutdown(kPatienceMs));
  for (const uint64_t id : {0, 1}) {
    auto source = bus->subscribe(id);
    ASSERT_TRUE(source);
    int64_t at = 0;
    for (bool finished = false; !finished;) {
      const auto page = read(**source, at, 70);
      ASSERT_TRUE(page);
      for (const Record& record : page->records) wanted.erase(std::string(as_text(*record.value)));
      at = page->next;
      finished = page->finished;
    }
  }
  EXPECT_TRUE(wanted.empty()) << wanted.size() << " disappeared";
  EXPECT_TRUE(bus->subscribable().empty());
}

TEST(Bus, subscribers_read_what_is_retained_wait_for_more_and_learn_what_gave_way) {
  BusOptions options = options_for(nullptr);
  options.retain_events = 300;
  options.shards = 1;
  options.capacity_events = 4'096;
  auto bus = make_bus(std::move(options));
  auto source = bus->subscribe(0);
  ASSERT_TRUE(source);
  EXPECT_EQ(bus->subscribe(99).error().code(), StatusCode::not_found);
  auto empty = read(**source, 0);
  ASSERT_TRUE(empty);
  EXPECT_TRUE(empty->records.empty());
  EXPECT_EQ(empty->next, 0);
  // A read that waits is answered by the next event, by its time, or by wake().
  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_EQ(bus->ingest(event("k", "0")), Outcome::queued);
  });
  auto waited = read(**source, 0, 10, kPatienceMs);
  later.join();
  ASSERT_TRUE(waited);
  ASSERT_EQ(waited->records.size(), 1U);
  EXPECT_TRUE(read(**source, 1, 10, 5)->records.empty());
  std::atomic<bool> woken{false};
  std::thread waker([&] {
    while (!woken) {  // a wake reaches those who wait already
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      (*source)->wake();
    }
  });
  EXPECT_TRUE(read(**source, 1, 10, kPatienceMs / 2)->records.empty());
  woken = true;
  waker.join();

  const auto lease = waited->lease;
  const std::string big(1'000, 'b');
  for (int i = 1; i < 1'000; ++i)
    ASSERT_EQ(bus->ingest(event("k", i % 10 == 0 ? big : std::to_string(i))), Outcome::queued);
  ASSERT_TRUE(bus->drain(kPatienceMs));
  EXPECT_EQ(read(**source, 1).error().code(), StatusCode::out_of_range);
  EXPECT_EQ(read(**source, 1'001).error().code(), StatusCode::out_of_range);
  Result<SourceBounds> bounds;
  (*source)->bounds([&](Result<SourceBounds> b) { bounds = std::move(b); });
  EXPECT_EQ(bounds->start, 700);
  EXPECT_EQ(bounds->end, 1'000);
  EXPECT_EQ(bus->stats().shards[0].subscribable, 300U);
  int64_t at = 700;
  while (at < 1'000) {
    const auto page = read(**source, at, 33);
    ASSERT_TRUE(page);
    for (const Record& record : page->records) {
      EXPECT_EQ(record.position, at);
      EXPECT_EQ(as_text(*record.value), at % 10 == 0 ? big : std::to_string(at));
      Result<int64_t> found;
      (*source)->locate(record.timestamp_ns, [&](Result<int64_t> p) { found = std::move(p); });
      EXPECT_EQ(*found, at);
      ++at;
    }
    EXPECT_EQ(page->next, at);
  }
  EXPECT_EQ(as_text(*waited->records[0].value), "0") << "a page lives as long as its lease";
  EXPECT_EQ(bus->stats().delivered, 1'000U);
  EXPECT_TRUE(bus->shutdown(kPatienceMs));
}

TEST(Bus, S19_what_is_retained_is_bounded_in_bytes_too) {
  BusOptions options = options_for(nullptr);
  options.retain_events = 100'000;
  options.shards = 1;
  options.max_spilled_bytes = 4 << 20;
  auto bus = make_bus(std::move(options));
  const std::string large(64 << 10, 'x');
  for (int i = 0; i < 500; ++i) ASSERT_EQ(bus->ingest_raw(as_bytes(large)), Outcome::queued);
  ASSERT_TRUE(bus->drain(kPatienceMs));
  const uint64_t kept = bus->stats().shards[0].subscribable;
  EXPECT_LE(kept * large.size(), (4U << 20) + (2U << 20)) << kept;
  EXPECT_GE(kept, 16U);
  auto source = bus->subscribe(0);
  ASSERT_TRUE(source);
  EXPECT_EQ(read(**source, 0).error().code(), StatusCode::out_of_range);
  EXPECT_TRUE(read(**source, static_cast<int64_t>(500 - kept)));
  EXPECT_TRUE(bus->shutdown(kPatienceMs));
}

TEST(Bus, B35_shards_follow_the_load_and_stay_under_a_steady_one) {
  const auto sink = std::make_shared<TestSink>();
  sink->keeps = false;
  BusOptions options = options_for(sink);
  options.shards = 2;
  options.capacity_events = 64;
  options.when_full = WhenFull::drop_newest;
  options.scale = {.enabled = true,
                   .min_shards = 1,
                   .max_shards = 4,
                   .sample_ms = 5,
                   .sustain_ms = 300,  // the load's thread may be late
                   .warm_up_ms = 500,
                   .cooldown_ms = 20};
  options.scale.shrink_events_per_s = 50;
  auto bus = make_bus(std::move(options));
  const auto live = [&] {
    size_t count = 0;
    for (const ShardCounts& counts : bus->stats().shards) count += !counts.draining;
    return count;
  };
  std::atomic<bool> stop{false};
  std::thread load([&] {
    while (!stop) {
      for (int i = 0; i < 20; ++i) static_cast<void>(bus->ingest_raw(as_bytes("x")));
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  size_t fewest = 2;
  while (std::chrono::steady_clock::now() < until) {
    fewest = std::min(fewest, live());
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_EQ(fewest, 2U);
  sink->held = true;  // overload: nothing leaves
  EXPECT_TRUE(eventually([&] { return live() == 4; }));
  stop = true;
  load.join();
  sink->release();
  EXPECT_TRUE(eventually([&] { return live() == 1; }));
  // Counted a moment after it is done.
  EXPECT_TRUE(eventually([&] { return bus->stats().scaled_up >= 2 && bus->stats().scaled_down >= 3; }));
  EXPECT_TRUE(bus->shutdown(kPatienceMs));
}

TEST(Bus, a_sink_for_each_shard_is_closed_with_it) {
  std::mutex mutex;
  std::map<uint64_t, std::shared_ptr<TestSink>> sinks;
  BusOptions options = options_for(nullptr);
  options.sink_for_shard = [&](uint64_t id) -> Result<std::shared_ptr<Sink>> {
    const std::lock_guard lock(mutex);
    return sinks[id] = std::make_shared<TestSink>();
  };
  auto bus = make_bus(std::move(options));
  for (int i = 0; i < 100; ++i) ASSERT_EQ(bus->ingest(event(std::to_string(i), "v")), Outcome::queued);
  ASSERT_TRUE(bus->remove_shard(0));
  ASSERT_TRUE(eventually([&] { return sinks[0]->closes == 1; }));
  EXPECT_EQ(sinks[1]->closes, 0U);
  EXPECT_TRUE(bus->shutdown(kPatienceMs));
  EXPECT_EQ(sinks[1]->closes, 1U);
  EXPECT_EQ(sinks[0]->events + sinks[1]->events, 100U);
}

}  // namespace
}  // namespace sluice::bus
