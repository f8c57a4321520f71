// SPDX-License-Identifier: Apache-2.0
#include "bus/ring.hpp"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "test_sinks.hpp"

namespace sluice::bus {
namespace {

constexpr uint32_t kSlotBytes = 128;

/// One event that holds `number`, claimed as any producer does; waits while the ring is full.
uint64_t put(Ring& ring, uint64_t number) {
  ThreadToken& me = ThreadToken::current();
  for (;;) {
    me.enter();
    Ring::Claimed claimed;
    const Ring::Claim claim = ring.claim(me, 1, claimed);
    if (claim == Ring::Claim::granted) {
      Frame& frame = ring.slot(claimed.first);
      write_event({.key = std::nullopt, .value = Bytes(reinterpret_cast<const uint8_t*>(&number), sizeof number)}, 0,
                  nullptr, frame);
      frame.timestamp_ns = 1;
      Ring::commit(frame, claimed.first);
      me.leave();
      return claimed.first;
    }
    me.leave();
    if (claim == Ring::Claim::contended) ring.settle_ownership(me);
    if (claim == Ring::Claim::full) std::this_thread::yield();
  }
}

uint64_t number_in(Ring& ring, uint64_t sequence) {
  uint64_t number;
  std::memcpy(&number, record_of(ring.slot(sequence)).value->data(), sizeof number);
  return number;
}

TEST(Ring, S09_sequences_of_eight_threads_have_no_gap) {
  constexpr uint64_t kThreads = 8;
  constexpr uint64_t kEach = kSanitized ? 20'000 : 1'000'000;
  Ring ring(4'096, kSlotBytes, 0);
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      uint64_t last = 0;
      for (uint64_t i = 0; i < kEach; ++i) {
        const uint64_t sequence = put(ring, t * kEach + i);
        if (i != 0 && sequence <= last) std::abort();
        last = sequence;
      }
    });
  }
  std::vector<uint64_t> next(kThreads);
  int64_t last_ns = 0;
  uint64_t at = 0;
  bool in_order = true;
  while (at < kThreads * kEach) {
    const Ring::Run run = ring.scan(at, 1'024, UINT64_MAX, true, last_ns);
    for (uint64_t i = run.first; i < run.first + run.count; ++i) {
      const uint64_t number = number_in(ring, i);
      in_order &= number % kEach == next[number / kEach]++;
    }
    at += run.count;
    ring.release(at, false);
    if (run.count == 0) std::this_thread::yield();
  }
  for (auto& thread : threads) thread.join();
  EXPECT_TRUE(in_order);
  EXPECT_EQ(ring.claimed(), kThreads * kEach);
  for (const uint64_t count : next) EXPECT_EQ(count, kEach);
  EXPECT_EQ(last_ns, static_cast<int64_t>(kThreads * kEach)) << "timestamps that were all the same rise by one";
}

TEST(Ring, holds_exactly_its_capacity) {
  for (const uint32_t capacity : {1U, 3U, 8U, 100U}) {
    Ring ring(capacity, kSlotBytes, 7);
    ThreadToken& me = ThreadToken::current();
    for (uint32_t i = 0; i < capacity; ++i) put(ring, i);
    me.enter();
    Ring::Claimed claimed;
    EXPECT_EQ(ring.claim(me, 1, claimed), Ring::Claim::full);
    me.leave();
    int64_t last_ns = 0;
    EXPECT_TRUE(ring.scan(7, UINT32_MAX, UINT64_MAX, true, last_ns).count > 0);
    ring.release(8, false);
    me.enter();
    EXPECT_EQ(ring.claim(me, 5, claimed), Ring::Claim::granted);
    me.leave();
    EXPECT_EQ(claimed.count, 1U);
  }
}

TEST(Ring, a_slot_that_is_not_committed_holds_back_what_follows) {
  Ring ring(16, kSlotBytes, 0);
  ThreadToken& me = ThreadToken::current();
  put(ring, 0);
  me.enter();
  Ring::Claimed late;
  ASSERT_EQ(ring.claim(me, 1, late), Ring::Claim::granted);
  me.leave();
  put(ring, 2);
  int64_t last_ns = 0;
  EXPECT_EQ(ring.scan(0, 16, UINT64_MAX, true, last_ns).count, 1U);
  Ring::commit(ring.slot(late.first), late.first);
  EXPECT_EQ(ring.scan(0, 16, UINT64_MAX, true, last_ns).count, 3U);
}

TEST(Ring, a_thread_that_is_long_alone_owns_it_again) {
  Ring ring(1'024, kSlotBytes, 0);
  int64_t last_ns = 0;
  const auto many = [&](uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) ring.release(put(ring, i) + 1, false);
  };
  many(10);
  std::thread(many, 10).join();  // owns nothing, shares
  many(100'000);
  std::thread(many, 10).join();
  EXPECT_EQ(ring.claimed(), 100'030U);
  EXPECT_EQ(ring.scan(ring.claimed(), 1, 1, true, last_ns).count, 0U);
}

TEST(OneAtATime, B05_two_threads_at_once_trip_it_one_after_the_other_do_not) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  CheckedOneAtATime guard;
  for (int i = 0; i < 2; ++i) std::thread([&] { const auto use = guard.use(); }).join();
  EXPECT_DEATH(
      {
        const auto use = guard.use();
        std::thread([&] { const auto second = guard.use(); }).join();
      },
      "two threads at once");
#ifndef NDEBUG
  Ring ring(8, kSlotBytes, 0);
  static_assert(std::is_same_v<OneAtATime, CheckedOneAtATime>);
#endif
}

}  // namespace
}  // namespace sluice::bus
