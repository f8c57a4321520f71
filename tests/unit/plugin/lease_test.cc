// SPDX-License-Identifier: Apache-2.0
#include "plugin/lease.hpp"

#include <gtest/gtest.h>

namespace sluice::plugin {
namespace {

sluice_read_result read_result() {
  sluice_read_result result{};
  result.size = sizeof result;
  return result;
}

TEST(Lease, JoinsNeighboursAndKeepsOwners) {
  auto block = std::make_shared<std::vector<uint8_t>>(100);
  const std::weak_ptr<std::vector<uint8_t>> watched = block;
  auto lease = std::make_unique<Lease>();
  lease->add_memory({block->data(), 10}, block);
  lease->add_memory({block->data() + 10, 20}, block);
  lease->add_memory({block->data() + 50, 5}, block);
  lease->add_file(3, 0, 10, block);
  lease->add_file(3, 10, 10, block);
  lease->add_pinned(100);
  block.reset();
  sluice_read_result result = read_result();
  Lease::lend(std::move(lease), result);
  ASSERT_EQ(result.slice_count, 3u);
  EXPECT_EQ(result.slices[0].length, 30u);
  EXPECT_EQ(result.slices[1].length, 5u);
  EXPECT_EQ(result.slices[2].data, nullptr);
  EXPECT_EQ(result.slices[2].length, 20u);
  EXPECT_EQ(result.pinned_bytes, 100u);
  EXPECT_FALSE(watched.expired());
  result.release(result.owner);
  EXPECT_TRUE(watched.expired());
}

TEST(Lease, AFileIsNotJoinedWithMemoryBehindIt) {
  auto block = std::make_shared<std::vector<uint8_t>>(100);
  Lease lease;
  lease.add_memory({block->data(), 10}, block);
  lease.add_file(3, 0, 10, block);
  lease.add_memory({block->data() + 10, 10}, block);
  auto lent = std::make_unique<Lease>(std::move(lease));
  sluice_read_result result = read_result();
  Lease::lend(std::move(lent), result);
  EXPECT_EQ(result.slice_count, 3u);
  result.release(result.owner);
}

TEST(Lease, EmptyLendsNothing) {
  sluice_read_result result = read_result();
  Lease::lend(std::make_unique<Lease>(), result);
  EXPECT_EQ(result.slice_count, 0u);
  EXPECT_EQ(result.release, nullptr);
}

TEST(LogList, TopicsOutliveTheirSource) {
  auto list = std::make_unique<LogList>();
  for (int i = 0; i < 100; ++i)
    list->add(Uuid::from_words(1, static_cast<uint64_t>(i)), "topic-" + std::to_string(i), i);
  sluice_log_list result{};
  result.size = sizeof result;
  LogList::lend(std::move(list), result);
  ASSERT_EQ(result.count, 100u);
  EXPECT_STREQ(result.entries[42].topic, "topic-42");
  EXPECT_EQ(result.entries[42].partition, 42);
  result.release(result.owner);
}

TEST(Value, IsLentWithItsOwner) {
  auto value = std::make_shared<std::vector<uint8_t>>(std::vector<uint8_t>{1, 2, 3});
  const std::weak_ptr<std::vector<uint8_t>> watched = value;
  sluice_load_result result{};
  result.size = sizeof result;
  lend_value({value->data(), value->size()}, value, result);
  value.reset();
  EXPECT_EQ(result.present, 1u);
  EXPECT_EQ(result.value[2], 3);
  result.release(result.owner);
  EXPECT_TRUE(watched.expired());
}

}  // namespace
}  // namespace sluice::plugin
