// SPDX-License-Identifier: Apache-2.0
#include "jetstream/kept_units.hpp"

#include <gtest/gtest.h>

namespace sluice::jetstream {
namespace {

constexpr uint64_t kEpoch = 3;

Uuid log(uint8_t number) {
  Uuid id;
  id.bytes[0] = number;
  return id;
}

Stored unit(uint64_t sequence, int64_t base, int64_t end, size_t size) {
  Stored stored;
  stored.sequence = sequence;
  stored.entry = Entry();
  stored.entry->base = base;
  stored.entry->end = end;
  auto owner = std::make_shared<Buffer>(size);
  stored.payload = owner->view();
  stored.owner = std::move(owner);
  return stored;
}

TEST(KeptUnitsTest, WhoReadsOnFindsTheUnitOnce) {
  KeptUnits kept;
  kept.keep(kEpoch, log(1), unit(5, 10, 20, 100));
  kept.keep(kEpoch, log(2), unit(7, 10, 20, 100));
  EXPECT_FALSE(kept.take(kEpoch, log(1), 9));
  EXPECT_FALSE(kept.take(kEpoch, log(1), 20));
  EXPECT_FALSE(kept.take(kEpoch, log(3), 15));
  ASSERT_EQ(kept.take(kEpoch, log(2), 19)->sequence, 7u);
  ASSERT_EQ(kept.take(kEpoch, log(1), 10)->sequence, 5u);
  EXPECT_FALSE(kept.take(kEpoch, log(1), 10));
  EXPECT_EQ(kept.bytes(), 0u);
}

TEST(KeptUnitsTest, TheOldestGoWhenThereAreManyOrLargeOnes) {
  KeptUnits kept;
  for (size_t i = 0; i < KeptUnits::kMost + 1; ++i) {
    kept.keep(kEpoch, log(1), unit(i, static_cast<int64_t>(i), static_cast<int64_t>(i) + 1, 10));
  }
  EXPECT_FALSE(kept.take(kEpoch, log(1), 0));
  EXPECT_TRUE(kept.take(kEpoch, log(1), 1));
  kept.keep(kEpoch, log(2), unit(1, 0, 1, KeptUnits::kMostBytes));
  EXPECT_LE(kept.bytes(), KeptUnits::kMostBytes);
  EXPECT_FALSE(kept.take(kEpoch, log(1), 2));
  kept.keep(kEpoch, log(2), unit(1, 5, 6, KeptUnits::kMostBytes + 1));
  EXPECT_FALSE(kept.take(kEpoch, log(2), 5)) << "too large";
  EXPECT_TRUE(kept.take(kEpoch, log(2), 0));
}

TEST(KeptUnitsTest, ALogIsForgotten) {
  KeptUnits kept;
  kept.keep(kEpoch, log(1), unit(5, 10, 20, 100));
  kept.keep(kEpoch, log(2), unit(7, 10, 20, 100));
  kept.forget(log(1));
  EXPECT_FALSE(kept.take(kEpoch, log(1), 10));
  EXPECT_EQ(kept.bytes(), 100u);
}

TEST(KeptUnitsTest, NothingIsKeptBeyondAConnection) {
  KeptUnits kept;
  kept.keep(kEpoch, log(1), unit(5, 10, 20, 100));
  EXPECT_FALSE(kept.take(kEpoch + 1, log(1), 10));
  EXPECT_FALSE(kept.take(kEpoch, log(1), 10));
  EXPECT_EQ(kept.bytes(), 0u);
}

}  // namespace
}  // namespace sluice::jetstream
