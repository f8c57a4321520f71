// SPDX-License-Identifier: Apache-2.0
#include "records/builder.hpp"

#include <gtest/gtest.h>

#include "records/lookup.hpp"
#include "records/validate.hpp"

namespace sluice::records {
namespace {

TEST(BatchBuilder, makes_what_a_broker_accepts_from_a_client_with_every_codec) {
  for (int codec = 0; codec <= kMaxCodec; ++codec) {
    BatchBuilder builder(
        {.codec = static_cast<Codec>(codec), .producer_id = 9, .producer_epoch = 0, .base_sequence = 0});
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(builder.add({.timestamp = 1'000 - i, .value = as_bytes("value")}).ok());
    const Buffer bytes = *builder.build();
    const auto info = validate_batch(bytes, {.parse_records = true}, 1'000);
    ASSERT_TRUE(info) << batch_error_name(info.error());
    EXPECT_EQ(info->codec, static_cast<Codec>(codec));
    EXPECT_EQ(info->records_count, 100);
    EXPECT_EQ(info->max_timestamp, 1'000);
    int64_t next = 0;
    const Status status = visit_records(*BatchView::parse(bytes), 1 << 20, [&](const RecordView& record) {
      EXPECT_EQ(record.offset_delta, next++);
      EXPECT_EQ(as_text(*record.value), "value");
      return true;
    });
    EXPECT_TRUE(status.ok()) << status.describe();
    EXPECT_EQ(next, 100);
  }
}

TEST(BatchBuilder, starts_anew_after_each_batch) {
  BatchBuilder builder({});
  ASSERT_TRUE(builder.add_at(4, {.timestamp = 50}).ok());
  EXPECT_EQ(BatchView::parse(*builder.build())->last_offset_delta(), 4);
  EXPECT_TRUE(builder.empty());
  ASSERT_TRUE(builder.add({.timestamp = 10}).ok());
  const Buffer second = *builder.build();
  const auto batch = BatchView::parse(second);
  EXPECT_EQ(batch->last_offset_delta(), 0);
  EXPECT_EQ(batch->base_timestamp(), 10);
  EXPECT_EQ(batch->max_timestamp(), 10);
}

TEST(BatchBuilder, offsets_must_rise) {
  BatchBuilder builder({});
  ASSERT_TRUE(builder.add_at(3, {}).ok());
  EXPECT_EQ(builder.add_at(3, {}).code(), StatusCode::invalid);
  EXPECT_EQ(builder.add_at(-1, {}).code(), StatusCode::invalid);
  EXPECT_TRUE(builder.add_at(INT32_MAX, {}).ok());
  EXPECT_EQ(builder.add({}).code(), StatusCode::invalid);
  EXPECT_EQ(builder.count(), 2);
}

TEST(BatchBuilder, foretells_the_size) {
  BatchBuilder builder({});
  const HeaderView headers[] = {{as_bytes("name"), as_bytes("value")}};
  const NewRecord record{.timestamp = 5, .key = as_bytes("key"), .headers = headers};
  const size_t before = builder.uncompressed_size();
  ASSERT_TRUE(builder.add(record).ok());
  EXPECT_LE(builder.uncompressed_size() - before, BatchBuilder::upper_bound(record));
  const size_t foretold = builder.uncompressed_size();
  EXPECT_EQ(builder.build()->size(), foretold);
}

}  // namespace
}  // namespace sluice::records
