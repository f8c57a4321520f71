// SPDX-License-Identifier: Apache-2.0
// Events that fit into their slots cost no allocation, and one that fails costs no more than what asked for it: counted
// and refused by operators new of this program.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <stdexcept>

#include "base/sanitizers.hpp"
#include "test_sinks.hpp"

#if !SLUICE_ADDRESS_SANITIZER && !SLUICE_THREAD_SANITIZER
namespace {
std::atomic<uint64_t> allocations{0};
std::atomic<size_t> largest{SIZE_MAX};    // that any thread gets
thread_local int64_t until_refused = -1;  // allocations of this thread, then one fails; below 0: none does
thread_local bool was_refused = false;

bool refuses(size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (size > largest.load(std::memory_order_relaxed)) return true;
  if (until_refused < 0 || until_refused-- > 0) return false;
  was_refused = true;
  return true;
}
}  // namespace

[[gnu::noinline]] void* operator new(size_t size) {
  if (void* memory = refuses(size) ? nullptr : std::malloc(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(size_t size, std::align_val_t align) {
  const auto to = static_cast<size_t>(align);
  if (void* memory = refuses(size) ? nullptr : std::aligned_alloc(to, (size + to - 1) / to * to)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, size_t, std::align_val_t) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept {
  std::free(memory);
}

namespace sluice::bus {
namespace {

TEST(Bus, an_event_costs_no_allocation) {
  const auto sink = std::make_shared<TestSink>();
  sink->keeps = false;
  auto bus = make_bus(options_for(sink));
  const std::string value(110, 'v');
  const std::vector<Event> batch(256, event("some key", value));
  const auto load = [&] {
    for (int i = 0; i < 20'000; ++i) ASSERT_EQ(bus->ingest(batch[0]), Outcome::queued);
    for (int i = 0; i < 200; ++i) ASSERT_EQ(bus->ingest(batch).queued, batch.size());
    ASSERT_TRUE(bus->drain(kPatienceMs));
  };
  load();
  const uint64_t before = allocations;
  load();
  // What is left is drain()'s own.
  EXPECT_LT(allocations - before, 10U);
  EXPECT_TRUE(bus->shutdown(kPatienceMs));
}

constexpr size_t kBelowARing = 1 << 20;  // of options_for()

class NoMemory {
 public:
  explicit NoMemory(size_t above) { largest = above; }
  ~NoMemory() { largest = SIZE_MAX; }
};

TEST(Bus, without_memory_for_a_shard_there_is_an_error_and_all_goes_on) {
  const auto sink = std::make_shared<TestSink>();
  {
    const NoMemory none(kBelowARing);
    const auto refused = Bus::create(options_for(sink));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), StatusCode::unavailable) << refused.error().describe();
  }
  auto bus = make_bus(options_for(sink));
  {
    const NoMemory none(kBelowARing);
    for (uint32_t i = 0; i < kMaxBusShards; ++i) {
      const auto added = bus->add_shard();
      ASSERT_FALSE(added);
      ASSERT_EQ(added.error().code(), StatusCode::unavailable) << added.error().describe();
    }
    EXPECT_EQ(bus->ingest(event("k", "v")), Outcome::queued);
  }
  EXPECT_TRUE(bus->add_shard()) << "those that were not made take no place";
  EXPECT_TRUE(bus->shutdown(kPatienceMs));
  EXPECT_EQ(sink->events, 1U);
}

TEST(Bus, scaling_goes_on_without_the_shard_that_finds_no_memory) {
  const auto sink = std::make_shared<TestSink>();
  sink->keeps = false;
  sink->held = true;  // nothing leaves
  std::atomic<uint64_t> warned{0};
  BusOptions options = options_for(sink);
  options.log = [&](std::string_view line) { warned += line.find("scaling: unavailable: no memory") != line.npos; };
  options.shards = 1;
  options.when_full = WhenFull::drop_newest;
  options.scale = {.enabled = true,
                   .max_shards = 2,
                   .sample_ms = 1,
                   .sustain_ms = 0,
                   .warm_up_ms = 0,
                   .cooldown_ms = 0,
                   .budget_changes = 1'000'000};
  auto bus = make_bus(std::move(options));
  const auto scaling_is_in_trouble = [&] {
    const BusHealth health = bus->health();
    return health.level != BusHealth::Level::ok &&
           std::any_of(health.reasons.begin(), health.reasons.end(),
                       [](const std::string& reason) { return reason.find("no further shard") != reason.npos; });
  };
  {
    const NoMemory none(kBelowARing);
    while (bus->stats().dropped.newest == 0) static_cast<void>(bus->ingest_raw(as_bytes("x")));
    EXPECT_TRUE(eventually([&] { return scaling_is_in_trouble(); }));
    EXPECT_TRUE(eventually([&] { return warned > 0; }));
    EXPECT_EQ(bus->stats().scaled_up, 0U);
    EXPECT_EQ(bus->stats().shards.size(), 1U);
  }
  EXPECT_TRUE(eventually([&] { return bus->stats().scaled_up > 0; }));
  EXPECT_FALSE(scaling_is_in_trouble());
  sink->release();
  EXPECT_TRUE(bus->shutdown(kPatienceMs));
  EXPECT_EQ(bus->stats().delivered, bus->stats().accepted - bus->stats().dropped.newest);
}

TEST(Bus, each_single_allocation_of_a_shard_may_fail) {
  const auto sink = std::make_shared<TestSink>();
  sink->keeps = false;
  BusOptions options = options_for(sink);
  options.capacity_events = 16;
  options.retain_events = 16;
  std::atomic<uint64_t> changes{0};
  options.on_change = [&](const ShardChange&) { ++changes; };
  auto bus = make_bus(std::move(options));
  size_t live = 2;
  uint64_t queued = 0;
  const auto attempt = [&](int64_t which, auto&& call) {
    was_refused = false;
    until_refused = which;
    const Status status = call();
    until_refused = -1;
    EXPECT_TRUE(status || (was_refused && status.code() == StatusCode::unavailable)) << status.describe();
    return status.ok();
  };
  const auto check = [&] {
    size_t taking = 0;
    for (const ShardCounts& counts : bus->stats().shards) taking += !counts.draining;
    ASSERT_EQ(taking, live);
    for (int i = 0; i < 20; ++i) queued += bus->ingest_raw(as_bytes("x")) == Outcome::queued;
    ASSERT_TRUE(bus->drain(kPatienceMs));
    ASSERT_EQ(sink->events, queued);
  };
  int64_t which = 0;
  for (was_refused = true; was_refused && !HasFatalFailure(); ++which) {
    uint64_t id = 0;
    const bool added = attempt(which, [&]() -> Status {
      const auto made = bus->add_shard();
      if (!made) return made.error();
      id = *made;
      return {};
    });
    live += added;
    const bool done = !was_refused;
    check();
    for (int64_t at = 0; added && !HasFatalFailure(); ++at) {
      const bool removed = attempt(at, [&] { return bus->remove_shard(id); });
      live -= removed;
      check();
      if (removed) break;
    }
    if (done) break;
  }
  EXPECT_GT(which, 10) << "as many allocations at least";
  EXPECT_EQ(live, 2U);
  EXPECT_TRUE(bus->shutdown(kPatienceMs));
}

TEST(Bus, a_function_for_sinks_that_throws_is_an_error) {
  BusOptions options = options_for(nullptr);
  bool throws = false;
  options.sink_for_shard = [&](uint64_t) -> Result<std::shared_ptr<Sink>> {
    if (throws) throw std::runtime_error("no such place");
    return std::make_shared<TestSink>();
  };
  auto bus = make_bus(std::move(options));
  throws = true;
  for (uint32_t i = 0; i < kMaxBusShards; ++i) {
    const auto added = bus->add_shard();
    ASSERT_FALSE(added);
    ASSERT_EQ(added.error().describe(), "internal: no such place");
  }
  throws = false;
  EXPECT_TRUE(bus->add_shard());
  EXPECT_TRUE(bus->shutdown(kPatienceMs));
}

}  // namespace
}  // namespace sluice::bus
#endif
