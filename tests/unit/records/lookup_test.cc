// SPDX-License-Identifier: Apache-2.0
#include "records/lookup.hpp"

#include <gtest/gtest.h>

#include "records/builder.hpp"

namespace sluice::records {
namespace {

constexpr int64_t kBase = 1'700'000'000'000;
constexpr size_t kLimitBytes = 1 << 20;

// Offsets 20, 21, 22 at +100, +400, +250.
Buffer three_records(Codec codec) {
  BatchBuilder builder({.base_offset = 20, .codec = codec});
  for (const int64_t delta : {100, 400, 250}) {
    EXPECT_TRUE(builder.add({.timestamp = kBase + delta, .key = as_bytes("k"), .value = as_bytes("v")}).ok());
  }
  return *builder.build();
}

class Lookup : public testing::TestWithParam<Codec> {};
INSTANTIATE_TEST_SUITE_P(Codec, Lookup,
                         testing::Values(Codec::none, Codec::gzip, Codec::snappy, Codec::lz4, Codec::zstd),
                         [](const auto& parameter) { return std::string(codec_name(parameter.param)); });

TEST_P(Lookup, finds_the_first_record_at_or_after_a_time) {
  const Buffer bytes = three_records(GetParam());
  const BatchView batch = *BatchView::parse(bytes);
  EXPECT_EQ(find_timestamp(batch, kBase + 50, kLimitBytes).value(), (OffsetAndTimestamp{20, kBase + 100}));
  EXPECT_EQ(find_timestamp(batch, kBase + 100, kLimitBytes).value(), (OffsetAndTimestamp{20, kBase + 100}));
  EXPECT_EQ(find_timestamp(batch, kBase + 150, kLimitBytes).value(), (OffsetAndTimestamp{21, kBase + 400}));
  EXPECT_EQ(find_timestamp(batch, kBase + 401, kLimitBytes).value(), std::nullopt);
  EXPECT_EQ(find_timestamp(batch, kBase + 150, kLimitBytes, 22).value(), (OffsetAndTimestamp{22, kBase + 250}));
  EXPECT_EQ(find_timestamp(batch, kBase + 300, kLimitBytes, 22).value(), std::nullopt);
  EXPECT_EQ(find_max_timestamp(batch, kLimitBytes).value(), (OffsetAndTimestamp{21, kBase + 400}));
}

TEST_P(Lookup, append_time_is_found_at_the_first_record) {
  Buffer bytes = three_records(GetParam());
  stamp_log_append_time(bytes.mutable_view(), kBase);
  const BatchView batch = *BatchView::parse(bytes);
  EXPECT_EQ(find_timestamp(batch, kBase, kLimitBytes).value(), (OffsetAndTimestamp{20, kBase}));
  EXPECT_EQ(find_timestamp(batch, kBase + 1, kLimitBytes).value(), std::nullopt);
  EXPECT_EQ(find_max_timestamp(batch, kLimitBytes).value(), (OffsetAndTimestamp{20, kBase}));
}

TEST(Lookup, respects_the_limit_and_reports_damage) {
  Buffer bytes = three_records(Codec::zstd);
  EXPECT_EQ(find_max_timestamp(*BatchView::parse(bytes), 3).error().code(), StatusCode::too_large);
  bytes.data()[kBatchHeaderBytes] ^= 0xff;
  EXPECT_EQ(find_max_timestamp(*BatchView::parse(bytes), kLimitBytes).error().code(), StatusCode::corrupt);
  Buffer plain = three_records(Codec::none);
  store_be(plain.data() + layout::kRecordsCount, int32_t{4});
  EXPECT_EQ(find_timestamp(*BatchView::parse(plain), kBase + 500, kLimitBytes).error().code(), StatusCode::corrupt);
}

TEST(Lookup, an_empty_batch_has_no_newest_record) {
  const Buffer bytes = *BatchBuilder({}).build();
  EXPECT_EQ(find_max_timestamp(*BatchView::parse(bytes), kLimitBytes).value(), std::nullopt);
}

TEST(CheckRecords, names_the_first_record_that_breaks_a_rule) {
  BatchBuilder builder({.codec = Codec::lz4});
  ASSERT_TRUE(builder.add({.timestamp = kBase, .key = as_bytes("")}).ok());
  ASSERT_TRUE(builder.add({.timestamp = kBase + 10'000, .key = as_bytes("k")}).ok());
  ASSERT_TRUE(builder.add({.timestamp = kNoTimestamp}).ok());
  const Buffer bytes = *builder.build();
  const BatchView batch = *BatchView::parse(bytes);

  EXPECT_FALSE(check_records(batch, {}, kBase, kLimitBytes)->has_value());
  const auto keyless = check_records(batch, {.require_key = true}, kBase, kLimitBytes);
  ASSERT_TRUE(keyless->has_value());
  EXPECT_EQ((*keyless)->index, 2);
  EXPECT_EQ((*keyless)->error, RecordError::keyless);
  const auto late = check_records(batch, {.max_timestamp_after_ms = 9'999}, kBase, kLimitBytes);
  ASSERT_TRUE(late->has_value());
  EXPECT_EQ((*late)->index, 1);
  EXPECT_EQ((*late)->error, RecordError::timestamp_out_of_range);
  EXPECT_FALSE(check_records(batch, {.max_timestamp_after_ms = 10'000}, kBase, kLimitBytes)->has_value());
  EXPECT_EQ((*check_records(batch, {.max_timestamp_before_ms = 0}, kBase + 1, kLimitBytes))->index, 0);
}

}  // namespace
}  // namespace sluice::records
