// SPDX-License-Identifier: Apache-2.0
#include "partition/native_producers.hpp"

#include <gtest/gtest.h>

namespace sluice::partition {
namespace {

using Kind = NativeProducers::Verdict::Kind;

records::BatchInfo batch(int64_t producer, int16_t epoch, int32_t sequence, int32_t count = 1) {
  records::BatchInfo info{};
  info.producer_id = producer;
  info.producer_epoch = epoch;
  info.base_sequence = sequence;
  info.last_offset_delta = count - 1;
  info.records_count = count;
  return info;
}

TEST(NativeProducersTest, FiveBatchesAreRemembered) {
  NativeProducers producers;
  for (int32_t i = 0; i < 6; ++i) {
    producers.add(batch(1, 0, i), 0);
    producers.stored(batch(1, 0, i), 100 + i);
  }
  EXPECT_EQ(producers.check(batch(1, 0, 0)).kind, Kind::accept) << "forgotten";
  for (int32_t i = 1; i < 6; ++i) {
    EXPECT_EQ(producers.check(batch(1, 0, i)).kind, Kind::duplicate);
    EXPECT_EQ(producers.check(batch(1, 0, i)).base_offset, 100 + i);
  }
  EXPECT_EQ(producers.check(batch(1, 0, 5, 2)).kind, Kind::accept) << "another batch that begins alike";
  EXPECT_EQ(producers.check(batch(2, 0, 5)).kind, Kind::accept);
}

TEST(NativeProducersTest, WhoWaitsIsGivenBackWhateverBecomesOfTheBatch) {
  NativeProducers producers;
  // More under way than are remembered: none of them is forgotten.
  for (int32_t i = 0; i < 10; ++i) producers.add(batch(1, 0, i), 0);
  for (int32_t i = 0; i < 10; ++i) {
    ASSERT_EQ(producers.check(batch(1, 0, i)).kind, Kind::pending_duplicate);
    producers.wait_for(batch(1, 0, i), [](ProduceOutcome) {});
  }
  EXPECT_EQ(producers.stored(batch(1, 0, 0), 7).size(), 1u);
  EXPECT_EQ(producers.dropped(batch(1, 0, 1)).size(), 1u);
  EXPECT_EQ(producers.check(batch(1, 0, 1)).kind, Kind::accept);
  // A new epoch begins while batches of the old one are under way.
  producers.add(batch(1, 1, 2), 0);
  EXPECT_EQ(producers.stored(batch(1, 1, 2), 8).size(), 0u);
  EXPECT_EQ(producers.stored(batch(1, 0, 2), 9).size(), 1u);
  EXPECT_EQ(producers.check(batch(1, 1, 2)).base_offset, 8);
  EXPECT_EQ(producers.check(batch(1, 0, 2)).kind, Kind::fenced);
}

TEST(NativeProducersTest, TheQuietOnesAreForgotten) {
  NativeProducers producers;
  producers.add(batch(1, 0, 0), 100);
  producers.stored(batch(1, 0, 0), 0);
  producers.add(batch(2, 0, 0), 100);  // under way
  producers.add(batch(3, 0, 0), 200);
  producers.stored(batch(3, 0, 0), 1);
  producers.expire(150);
  EXPECT_EQ(producers.size(), 2u);
  EXPECT_EQ(producers.check(batch(1, 0, 0)).kind, Kind::accept);
  EXPECT_EQ(producers.check(batch(2, 0, 0)).kind, Kind::pending_duplicate);
}

}  // namespace
}  // namespace sluice::partition
