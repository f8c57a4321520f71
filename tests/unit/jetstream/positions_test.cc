// SPDX-License-Identifier: Apache-2.0
#include "jetstream/positions.hpp"

#include <gtest/gtest.h>

namespace sluice::jetstream {
namespace {

Position at(uint64_t sequence) {
  const auto n = static_cast<int64_t>(sequence);
  return {sequence, n * 10, n * 10 + 10, n * 100};
}

TEST(JetstreamPositions, Bracket) {
  Positions positions;
  EXPECT_FALSE(positions.at_or_below(5));
  EXPECT_FALSE(positions.above(5));
  for (const uint64_t sequence : {6u, 2u, 4u, 4u}) positions.add(at(sequence));
  EXPECT_EQ(positions.size(), 3u);
  EXPECT_FALSE(positions.at_or_below(19));
  EXPECT_EQ(positions.at_or_below(20)->sequence, 2u);
  EXPECT_EQ(positions.at_or_below(45)->sequence, 4u);
  EXPECT_EQ(positions.above(45)->sequence, 6u);
  EXPECT_FALSE(positions.above(60));
  EXPECT_FALSE(positions.last_older(200));
  EXPECT_EQ(positions.last_older(201)->sequence, 2u);
  EXPECT_EQ(positions.first_not_older(201)->sequence, 4u);
  EXPECT_FALSE(positions.first_not_older(601));
  positions.forget_below(50);
  EXPECT_EQ(positions.size(), 1u);
}

TEST(JetstreamPositions, B13_MemoryIsBoundedAndTheNewestIsKept) {
  Positions positions;
  for (uint64_t sequence = 1; sequence <= 100'000; ++sequence) {
    positions.add(at(sequence));
    ASSERT_LE(positions.size(), Positions::kMost);
    ASSERT_EQ(positions.at_or_below(INT64_MAX)->sequence, sequence);
  }
  EXPECT_GT(positions.size(), Positions::kMost / 2 - 1);
}

}  // namespace
}  // namespace sluice::jetstream
