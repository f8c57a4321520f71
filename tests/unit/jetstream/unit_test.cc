// SPDX-License-Identifier: Apache-2.0
#include "jetstream/unit.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "jetstream/base64.hpp"
#include "records/batch.hpp"

namespace sluice::jetstream {
namespace {

constexpr size_t kBatchBytes = 100;

void add_batch(Buffer& unit, int64_t base, int32_t last_delta, int64_t timestamp) {
  std::vector<uint8_t> batch(kBatchBytes);
  store_be<int64_t>(batch.data(), base);
  store_be<int32_t>(batch.data() + records::layout::kBatchLength, kBatchBytes - records::kLengthPrefixBytes);
  batch[records::layout::kMagic] = 2;
  store_be<int32_t>(batch.data() + records::layout::kLastOffsetDelta, last_delta);
  store_be<int64_t>(batch.data() + records::layout::kMaxTimestamp, timestamp);
  unit.append(batch);
}

// Offsets 10 to 12, 20, 21 to 25.
struct UnitTest : testing::Test {
  UnitTest() {
    add_batch(unit, 10, 2, 500);
    add_batch(unit, 20, 0, 300);
    add_batch(unit, 21, 4, 700);
    entry.base = 10;
    entry.end = 26;
  }
  Buffer unit;
  Entry entry;
};

TEST_F(UnitTest, FromAnyOffset) {
  EXPECT_EQ(cut_unit(unit, entry, {.from = 0}).bytes.size(), 3 * kBatchBytes);
  EXPECT_EQ(cut_unit(unit, entry, {.from = 12}).bytes.size(), 3 * kBatchBytes);
  EXPECT_EQ(cut_unit(unit, entry, {.from = 13}).bytes.size(), 2 * kBatchBytes);
  EXPECT_EQ(cut_unit(unit, entry, {.from = 25}).bytes.size(), kBatchBytes);
  EXPECT_EQ(cut_unit(unit, entry, {.from = 25}).next, 26);
}

TEST_F(UnitTest, LimitAndBudget) {
  const UnitCut below = cut_unit(unit, entry, {.from = 10, .limit = 25});
  EXPECT_EQ(below.bytes.size(), 2 * kBatchBytes);
  EXPECT_EQ(below.next, 21);
  EXPECT_TRUE(below.stopped);
  EXPECT_FALSE(below.damaged);
  EXPECT_EQ(cut_unit(unit, entry, {.from = 10, .limit = 12}).bytes.size(), 0u);
  EXPECT_EQ(cut_unit(unit, entry, {.from = 10, .budget = 250}).bytes.size(), 2 * kBatchBytes);
  EXPECT_EQ(cut_unit(unit, entry, {.from = 10, .budget = 1}).bytes.size(), kBatchBytes);
  EXPECT_EQ(cut_unit(unit, entry, {.from = 10, .budget = 1, .at_least_one = false}).bytes.size(), 0u);
}

TEST_F(UnitTest, WhatDoesNotAddUpIsDamage) {
  for (size_t cut = 1; cut < unit.size(); ++cut) {
    const UnitCut damaged = cut_unit(unit.view().first(cut), entry, {.from = 10});
    EXPECT_TRUE(damaged.damaged) << cut;
    EXPECT_EQ(damaged.bytes.size(), cut / kBatchBytes * kBatchBytes) << cut;
  }
  entry.end = 27;
  EXPECT_TRUE(cut_unit(unit, entry, {.from = 10}).damaged) << "the entry says more than is there";
  entry.end = 25;
  EXPECT_TRUE(cut_unit(unit, entry, {.from = 10}).damaged) << "... or less";
  entry.end = 26;
  entry.base = 11;
  EXPECT_TRUE(cut_unit(unit, entry, {.from = 10}).damaged);
}

TEST_F(UnitTest, Locate) {
  EXPECT_EQ(locate_in_unit(unit, 300, 0), 10);
  EXPECT_EQ(locate_in_unit(unit, 300, 13), 20) << "what is below the start does not count";
  EXPECT_EQ(locate_in_unit(unit, 501, 0), 21);
  EXPECT_FALSE(locate_in_unit(unit, 701, 0));
}

TEST(JetstreamBase64, DecodesAndRefuses) {
  EXPECT_EQ(as_text(*decode_base64("")), "");
  EXPECT_EQ(as_text(*decode_base64("YQ==")), "a");
  EXPECT_EQ(as_text(*decode_base64("YWI=")), "ab");
  EXPECT_EQ(as_text(*decode_base64("YWJj")), "abc");
  EXPECT_EQ((*decode_base64("//79")).view()[0], 0xff);
  for (const char* wrong : {"Y", "YQ", "YQ=", "YW-j", "YQ==YQ=="}) {
    EXPECT_FALSE(decode_base64(wrong)) << wrong;
  }
}

}  // namespace
}  // namespace sluice::jetstream
