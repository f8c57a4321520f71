// SPDX-License-Identifier: Apache-2.0
// Events that fit into their slots cost no allocation: counted by operators new of this program.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "base/sanitizers.hpp"
#include "test_sinks.hpp"

#if !SLUICE_ADDRESS_SANITIZER && !SLUICE_THREAD_SANITIZER
namespace {
std::atomic<uint64_t> allocations{0};
}

[[gnu::noinline]] void* operator new(size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
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

}  // namespace
}  // namespace sluice::bus
#endif
