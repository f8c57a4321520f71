// SPDX-License-Identifier: Apache-2.0
#include "redis/record_ids.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace sluice::redis {
namespace {

constexpr int64_t kSequences = int64_t{1} << kSequenceBits;

TEST(RecordIdsTest, IdsOfTimeAreOffsetsAndBack) {
  for (const EntryId id :
       {EntryId{0, 1}, EntryId{1, 0}, EntryId{1'700'000'000'000, 0}, EntryId{1'700'000'000'000, 1'048'575}}) {
    const Result<int64_t> offset = offset_of(id, Ids::time);
    ASSERT_TRUE(offset);
    const auto back = parse_entry_id(id_at(*offset, Ids::time));
    ASSERT_TRUE(back);
    EXPECT_EQ(*back, id);
    EXPECT_EQ(offset_behind(id, Ids::time), *offset + 1);
    EXPECT_FALSE(is_beyond(id, Ids::time));
    EXPECT_EQ(last_with_offset(id, Ids::time), fmt::format("{}-{}", id.high, id.low));
  }
  EXPECT_LT(*offset_of({5, 1'048'575}, Ids::time), *offset_of({6, 0}, Ids::time));
  EXPECT_EQ(offset_behind({0, 0}, Ids::time), 0);
}

TEST(RecordIdsTest, WhatHasNoOffsetIsCorrupt) {
  EXPECT_EQ(offset_of({1, static_cast<uint64_t>(kSequences)}, Ids::time).error().code(), StatusCode::corrupt);
  EXPECT_EQ(offset_of({UINT64_MAX, 0}, Ids::time).error().code(), StatusCode::corrupt);
  const auto jammed = offset_of({1'700'000'000'000, 0}, Ids::dense);
  ASSERT_FALSE(jammed);
  EXPECT_EQ(jammed.error().code(), StatusCode::corrupt);
  EXPECT_NE(jammed.error().text().find("XADD key 0-*"), std::string::npos);
  EXPECT_EQ(offset_of({0, UINT64_MAX}, Ids::dense).error().code(), StatusCode::corrupt);
}

TEST(RecordIdsTest, DenseIdsCountUpByOne) {
  EXPECT_EQ(*offset_of({0, 1}, Ids::dense), 0);
  EXPECT_EQ(*offset_of({0, 8}, Ids::dense), 7);
  EXPECT_EQ(id_at(7, Ids::dense), "0-8");
  EXPECT_EQ(offset_behind({0, 8}, Ids::dense), 8);
  EXPECT_EQ(offset_behind({0, 0}, Ids::dense), 0);
  EXPECT_EQ(last_with_offset({0, 8}, Ids::dense), "0-8");
  EXPECT_FALSE(is_beyond({0, static_cast<uint64_t>(INT64_MAX)}, Ids::dense));
}

// Entries without an offset lie between two that have one, or behind all of them.
TEST(RecordIdsTest, WhatHasNoOffsetHasAPlace) {
  constexpr uint64_t kPast = static_cast<uint64_t>(kSequences);
  EXPECT_EQ(offset_behind({5, kPast}, Ids::time), *offset_of({6, 0}, Ids::time));
  EXPECT_EQ(offset_behind({5, UINT64_MAX}, Ids::time), *offset_of({6, 0}, Ids::time));
  EXPECT_FALSE(is_beyond({5, UINT64_MAX}, Ids::time));
  EXPECT_EQ(last_with_offset({5, kPast}, Ids::time), "5-1048575");

  const EntryId last = *parse_entry_id(last_with_offset({UINT64_MAX, 3}, Ids::time));
  const EntryId beyond = *parse_entry_id(first_beyond(Ids::time));
  ASSERT_TRUE(offset_of(last, Ids::time));
  EXPECT_FALSE(is_beyond(last, Ids::time));
  EXPECT_TRUE(is_beyond(beyond, Ids::time));
  EXPECT_FALSE(offset_of(beyond, Ids::time));
  EXPECT_EQ(beyond, (EntryId{last.high + 1, 0}));
  EXPECT_EQ(offset_behind(beyond, Ids::time), *offset_of(last, Ids::time) + 1);
  EXPECT_EQ(offset_behind({UINT64_MAX, UINT64_MAX}, Ids::time), *offset_of(last, Ids::time) + 1);

  EXPECT_TRUE(is_beyond({1'700'000'000'000, 0}, Ids::dense));
  EXPECT_TRUE(is_beyond(*parse_entry_id(first_beyond(Ids::dense)), Ids::dense));
  EXPECT_EQ(last_with_offset({1'700'000'000'000, 0}, Ids::dense), "0-9223372036854775807");
  EXPECT_EQ(offset_behind({1'700'000'000'000, 0}, Ids::dense), INT64_MAX);
}

TEST(RecordIdsTest, AMarkerLiesInTheSlotOfItsStream) {
  for (const char* name : {"orders", "orders:1", "{shop}:orders", "a{b}c{d}"}) {
    const RecordKeys keys("sluice", name);
    EXPECT_FALSE(is_torn(keys)) << name;
    EXPECT_TRUE(keys.marker.starts_with(marker_prefix("sluice"))) << name;
    EXPECT_NE(keys.marker, keys.stream);
  }
  EXPECT_TRUE(is_torn(RecordKeys("sluice", "a{}b")));
  EXPECT_EQ(stream_name("orders", 0), "orders");
  EXPECT_EQ(stream_name("orders", 3), "orders:3");
}

}  // namespace
}  // namespace sluice::redis
