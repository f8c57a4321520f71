// SPDX-License-Identifier: Apache-2.0
#include "c/handle_table.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <latch>
#include <set>
#include <thread>

namespace sluice::c {
namespace {

struct Counted final : Object {
  static constexpr Kind kKind = Kind::bus;
  explicit Counted(std::atomic<int>& alive) : Object(kKind), alive_(alive) { ++alive_; }
  ~Counted() override {
    --alive_;
    payload = 0;
  }
  void released() override { ++releases; }
  std::atomic<int>& alive_;
  std::atomic<uint64_t> payload{0x5a5a5a5a};
  std::atomic<int> releases{0};
};

uint64_t insert(HandleTable& table, std::atomic<int>& alive) {
  return table.insert(std::make_unique<Counted>(alive)).value();
}

TEST(HandleTable, an_object_is_found_until_it_is_released) {
  std::atomic<int> alive{0};
  HandleTable table;
  const uint64_t handle = insert(table, alive);
  EXPECT_NE(handle, 0U);
  EXPECT_TRUE(table.acquire(handle, Kind::bus));
  EXPECT_EQ(table.acquire(handle, Kind::page).error().code(), StatusCode::invalid);
  EXPECT_TRUE(table.release(handle).ok());
  EXPECT_EQ(alive, 0);
  EXPECT_EQ(table.acquire(handle, Kind::bus).error().code(), StatusCode::not_found);
}

TEST(HandleTable, B22_releasing_twice_is_harmless) {
  std::atomic<int> alive{0};
  HandleTable table;
  const uint64_t first = insert(table, alive);
  EXPECT_TRUE(table.release(first).ok());
  const uint64_t second = insert(table, alive);  // the same slot, another life
  EXPECT_EQ(static_cast<uint32_t>(first), static_cast<uint32_t>(second));
  EXPECT_EQ(table.release(first).code(), StatusCode::not_found);
  EXPECT_EQ(alive, 1);
  EXPECT_TRUE(table.acquire(second, Kind::bus));
  EXPECT_TRUE(table.release(second).ok());
  EXPECT_EQ(table.size(), 0U);
}

TEST(HandleTable, numbers_that_were_never_given_out_name_nothing) {
  std::atomic<int> alive{0};
  HandleTable table;
  const uint64_t handle = insert(table, alive);
  for (const uint64_t wrong :
       {uint64_t{0}, uint64_t{1}, handle + 1, handle + (uint64_t{1} << 32), ~uint64_t{0}, uint64_t{UINT32_MAX}}) {
    EXPECT_EQ(table.acquire(wrong, Kind::bus).error().code(), StatusCode::not_found) << wrong;
    EXPECT_EQ(table.release(wrong).code(), StatusCode::not_found) << wrong;
  }
  EXPECT_TRUE(table.acquire(handle, Kind::bus));
  EXPECT_TRUE(table.release(handle).ok());
}

TEST(HandleTable, a_call_under_way_keeps_a_released_object) {
  std::atomic<int> alive{0};
  HandleTable table;
  const uint64_t handle = insert(table, alive);
  {
    const auto use = table.acquire(handle, Kind::bus);
    EXPECT_TRUE(table.release(handle).ok());
    EXPECT_EQ(alive, 1);
    EXPECT_EQ(static_cast<Counted&>(use->object()).releases, 1);
  }
  EXPECT_EQ(alive, 0);
}

TEST(HandleTable, no_number_comes_twice) {
  std::atomic<int> alive{0};
  HandleTable table;
  std::set<uint64_t> seen;
  for (int i = 0; i < 1000; ++i) {
    const uint64_t handle = insert(table, alive);
    EXPECT_TRUE(seen.insert(handle).second);
    EXPECT_TRUE(table.release(handle).ok());
  }
}

TEST(HandleTable, a_number_fits_a_configuration) {
  static_assert(((uint64_t{HandleTable::kMaxLives} << 32) | UINT32_MAX) <= uint64_t{INT64_MAX});
  std::atomic<int> alive{0};
  HandleTable table(3);
  std::set<uint64_t> seen;
  for (int i = 0; i < 7; ++i) {
    const uint64_t handle = insert(table, alive);
    EXPECT_LE(handle >> 32, 3U);
    EXPECT_TRUE(seen.insert(handle).second);
    EXPECT_TRUE(table.release(handle).ok());
  }
}

TEST(HandleTable, what_is_not_taken_stays_with_the_caller) {
  std::atomic<int> alive{0};
  HandleTable table;
  for (uint32_t i = 0; i < HandleTable::kMaxHandles; ++i) ASSERT_NE(insert(table, alive), 0U);
  std::unique_ptr<Object> more = std::make_unique<Counted>(alive);
  EXPECT_EQ(table.insert(std::move(more)).error().code(), StatusCode::busy);
  EXPECT_NE(more, nullptr);  // NOLINT(bugprone-use-after-move)
}

TEST(HandleTable, B01_calls_never_reach_an_object_that_is_gone) {
  constexpr int kThreads = 8;
  constexpr int kRounds = 10'000;
  std::atomic<int> alive{0};
  HandleTable table;
  std::atomic<uint64_t> handle{insert(table, alive)};
  std::atomic<int> wrong{0};
  std::atomic<bool> over{false};
  std::latch ready(kThreads);
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      ready.count_down();
      while (!over) {
        const auto use = table.acquire(handle, Kind::bus);
        if (use) {
          wrong += static_cast<Counted&>(use->object()).payload != 0x5a5a5a5a;
        } else {
          wrong += use.error().code() != StatusCode::not_found;
        }
      }
    });
  }
  ready.wait();
  for (int round = 0; round < kRounds; ++round) {
    const uint64_t next = insert(table, alive);
    const uint64_t old = handle.exchange(next);
    EXPECT_TRUE(table.release(old).ok());
  }
  over = true;
  for (auto& thread : threads) thread.join();
  EXPECT_TRUE(table.release(handle).ok());
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(alive, 0);
  EXPECT_EQ(table.size(), 0U);
}

}  // namespace
}  // namespace sluice::c
