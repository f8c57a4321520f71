// SPDX-License-Identifier: Apache-2.0
#include "records/batch.hpp"

#include <gtest/gtest.h>

#include <string>

#include "base/crc32c.hpp"
#include "records/builder.hpp"

namespace sluice::records {
namespace {

Buffer three_records() {
  BatchBuilder builder(
      {.base_offset = 7, .leader_epoch = 3, .producer_id = 42, .producer_epoch = 1, .base_sequence = 9});
  EXPECT_TRUE(builder.add({.timestamp = 100, .key = as_bytes("k"), .value = as_bytes("v")}).ok());
  EXPECT_TRUE(builder.add({.timestamp = 400, .value = as_bytes("")}).ok());
  EXPECT_TRUE(builder.add({.timestamp = 250, .key = as_bytes("")}).ok());
  return *builder.build();
}

TEST(BatchView, reads_every_field) {
  const Buffer bytes = three_records();
  const auto batch = BatchView::parse(bytes);
  ASSERT_TRUE(batch);
  EXPECT_EQ(batch->size(), bytes.size());
  EXPECT_EQ(batch->base_offset(), 7);
  EXPECT_EQ(batch->last_offset(), 9);
  EXPECT_EQ(batch->next_offset(), 10);
  EXPECT_EQ(batch->leader_epoch(), 3);
  EXPECT_EQ(batch->base_timestamp(), 100);
  EXPECT_EQ(batch->max_timestamp(), 400);
  EXPECT_EQ(batch->producer_id(), 42);
  EXPECT_EQ(batch->producer_epoch(), 1);
  EXPECT_EQ(batch->base_sequence(), 9);
  EXPECT_EQ(batch->records_count(), 3);
  EXPECT_EQ(batch->codec(), Codec::none);
  EXPECT_FALSE(batch->is_control());
  EXPECT_EQ(batch->crc(), batch->compute_crc());
  EXPECT_EQ(batch->records_section().size(), bytes.size() - 61);

  const auto header = parse_batch_header(bytes.view().first(61));
  ASSERT_TRUE(header);
  EXPECT_EQ(header->size(), bytes.size());
  EXPECT_EQ(header->base_offset, 7);
  EXPECT_EQ(header->max_timestamp, 400);
  EXPECT_EQ(header->records_count, 3);
  EXPECT_EQ(header->crc, batch->crc());
}

TEST(BatchView, refuses_what_is_no_whole_batch) {
  Buffer bytes = three_records();
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(BatchView::parse(bytes.view().first(size)).error(), BatchError::too_short) << size;
  }
  for (const int32_t length : {-1, INT32_MIN, 0, 4, 48}) {
    store_be(bytes.data() + layout::kBatchLength, length);
    EXPECT_EQ(BatchView::parse(bytes).error(), BatchError::bad_length) << length;
  }
  store_be(bytes.data() + layout::kBatchLength, INT32_MAX);
  EXPECT_EQ(BatchView::parse(bytes).error(), BatchError::too_short);
}

TEST(BatchView, an_older_message_is_known_by_its_magic_even_when_short) {
  uint8_t message[26] = {};
  store_be(message + layout::kBatchLength, int32_t{14});  // the shortest message of magic 0
  EXPECT_EQ(BatchView::parse(message).error(), BatchError::bad_magic);
}

TEST(Batches, are_taken_off_one_by_one) {
  const Buffer one = three_records();
  Buffer two = Buffer::copy_of(one);
  two.append(one);
  EXPECT_TRUE(single_batch(one));
  EXPECT_EQ(single_batch(two).error(), BatchError::trailing_bytes);
  Bytes rest = two;
  EXPECT_TRUE(take_batch(rest));
  EXPECT_EQ(rest.size(), one.size());
  EXPECT_TRUE(take_batch(rest));
  EXPECT_TRUE(rest.empty());
  EXPECT_EQ(take_batch(rest).error(), BatchError::too_short);
}

TEST(Stamping, offset_and_epoch_leave_the_checksum_alone) {
  Buffer bytes = three_records();
  stamp_base_offset(bytes.mutable_view(), 1'000'000'000'000);
  stamp_leader_epoch(bytes.mutable_view(), 77);
  const auto batch = BatchView::parse(bytes);
  ASSERT_TRUE(batch);
  EXPECT_EQ(batch->base_offset(), 1'000'000'000'000);
  EXPECT_EQ(batch->leader_epoch(), 77);
  EXPECT_EQ(batch->crc(), batch->compute_crc());
}

TEST(Stamping, append_time_corrects_the_checksum_as_a_full_computation_would) {
  for (const size_t value_size : {0, 1, 100, 70'000}) {
    BatchBuilder builder({});
    const std::string value(value_size, 'x');
    ASSERT_TRUE(builder.add({.timestamp = 5, .value = as_bytes(value)}).ok());
    Buffer bytes = *builder.build();
    stamp_log_append_time(bytes.mutable_view(), 1'700'000'000'123);
    const auto batch = BatchView::parse(bytes);
    ASSERT_TRUE(batch);
    EXPECT_EQ(batch->timestamp_type(), TimestampType::log_append_time);
    EXPECT_EQ(batch->max_timestamp(), 1'700'000'000'123);
    EXPECT_EQ(batch->base_timestamp(), 5);
    EXPECT_EQ(batch->crc(), batch->compute_crc()) << value_size;
    stamp_log_append_time(bytes.mutable_view(), 1);  // a second time is as well
    EXPECT_EQ(batch->crc(), batch->compute_crc());
  }
}

}  // namespace
}  // namespace sluice::records
