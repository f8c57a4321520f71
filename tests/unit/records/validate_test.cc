// SPDX-License-Identifier: Apache-2.0
#include "records/validate.hpp"

#include <gtest/gtest.h>

#include <functional>

#include "base/crc32c.hpp"
#include "records/builder.hpp"
#include "records/control.hpp"

namespace sluice::records {
namespace {

constexpr int64_t kNow = 1'700'000'000'000;

Buffer client_batch(BatchOptions options = {}) {
  BatchBuilder builder(options);
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(builder.add({.timestamp = kNow + i, .key = as_bytes("key"), .value = as_bytes("value")}).ok());
  }
  return *builder.build();
}

void seal(Buffer& batch) {
  store_be(batch.data() + layout::kCrc, crc32c(batch.view().subspan(layout::kAttributes)));
}

// What a good client batch is refused with once a field of it is overwritten and its checksum set right.
template <class T>
BatchError error_with(size_t at, T value, const BatchRules& rules = {}) {
  Buffer batch = client_batch();
  store_be(batch.data() + at, value);
  seal(batch);
  const auto info = validate_batch(batch, rules, kNow);
  EXPECT_FALSE(info) << "accepted " << +value << " at " << at;
  return info ? BatchError{} : info.error();
}

TEST(ValidateBatch, tells_what_the_broker_needs) {
  const Buffer batch =
      client_batch({.is_transactional = true, .producer_id = 4, .producer_epoch = 2, .base_sequence = INT32_MAX - 1});
  const auto info = validate_batch(batch, {.parse_records = true}, kNow);
  ASSERT_TRUE(info);
  EXPECT_EQ(info->size, batch.size());
  EXPECT_EQ(info->records_count, 3);
  EXPECT_EQ(info->last_offset_delta, 2);
  EXPECT_EQ(info->base_timestamp, kNow);
  EXPECT_EQ(info->max_timestamp, kNow + 2);
  EXPECT_TRUE(info->has_producer_id());
  EXPECT_TRUE(info->is_transactional);
  EXPECT_EQ(info->last_sequence(), 0) << "sequences wrap from the largest to 0";
}

TEST(ValidateBatch, a_client_without_producer_id_may_send_anything_as_epoch_and_sequence) {
  const Buffer batch = client_batch({.producer_id = -1, .producer_epoch = 0, .base_sequence = 0});  // as kafkajs does
  const auto info = validate_batch(batch, {}, kNow);
  ASSERT_TRUE(info);
  EXPECT_EQ(info->producer_epoch, kNoProducerEpoch);
  EXPECT_EQ(info->base_sequence, kNoSequence);
  EXPECT_EQ(info->last_sequence(), kNoSequence);
}

TEST(ValidateBatch, names_each_fault) {
  using namespace layout;
  EXPECT_EQ(error_with<int8_t>(kMagic, 1), BatchError::bad_magic);
  EXPECT_EQ(error_with<int8_t>(kMagic, 3), BatchError::bad_magic);
  EXPECT_EQ(error_with<int64_t>(kBaseOffset, 1), BatchError::bad_base_offset);
  EXPECT_EQ(error_with<int64_t>(kBaseOffset, -1), BatchError::bad_base_offset);
  EXPECT_EQ(error_with<int32_t>(kRecordsCount, 0), BatchError::bad_count);
  EXPECT_EQ(error_with<int32_t>(kRecordsCount, -1), BatchError::bad_count);
  EXPECT_EQ(error_with<int32_t>(kRecordsCount, 4), BatchError::bad_offset_delta);
  EXPECT_EQ(error_with<int32_t>(kRecordsCount, INT32_MAX), BatchError::bad_offset_delta);
  EXPECT_EQ(error_with<int32_t>(kLastOffsetDelta, 3), BatchError::bad_offset_delta);
  EXPECT_EQ(error_with<int32_t>(kLastOffsetDelta, -1), BatchError::bad_offset_delta);
  EXPECT_EQ(error_with<int32_t>(kLastOffsetDelta, INT32_MAX), BatchError::bad_offset_delta);
  for (const uint16_t codec : {5, 6, 7}) EXPECT_EQ(error_with<uint16_t>(kAttributes, codec), BatchError::bad_codec);
  EXPECT_EQ(error_with<uint16_t>(kAttributes, 4, {.allow_zstd = false}), BatchError::codec_not_allowed);
  EXPECT_EQ(error_with<uint16_t>(kAttributes, kLogAppendTimeBit), BatchError::bad_timestamp_type);
  EXPECT_EQ(error_with<uint16_t>(kAttributes, kControlBit), BatchError::control_batch_from_client);
  for (int bit = 6; bit < 16; ++bit) {
    EXPECT_EQ(error_with(kAttributes, static_cast<uint16_t>(1u << bit)), BatchError::reserved_attributes);
  }
  EXPECT_EQ(error_with<uint16_t>(kAttributes, kTransactionalBit), BatchError::bad_producer);
  EXPECT_EQ(error_with<int64_t>(kProducerId, -2), BatchError::bad_producer);
  EXPECT_EQ(error_with<int64_t>(kProducerId, 1), BatchError::bad_producer) << "an id without epoch and sequence";
  EXPECT_EQ(error_with<int64_t>(kBaseTimestamp, -2), BatchError::bad_timestamp);
  EXPECT_EQ(error_with<int64_t>(kMaxTimestamp, INT64_MIN), BatchError::bad_timestamp);
}

TEST(ValidateBatch, a_count_that_the_bytes_cannot_hold_is_refused_unread) {
  Buffer batch = client_batch();
  store_be(batch.data() + layout::kRecordsCount, int32_t{1'000});
  store_be(batch.data() + layout::kLastOffsetDelta, int32_t{999});
  seal(batch);
  EXPECT_EQ(validate_batch(batch, {}, kNow).error(), BatchError::bad_count);
}

TEST(ValidateBatch, any_flipped_bit_under_the_checksum_is_found) {
  Buffer batch = client_batch();
  for (size_t at = layout::kCrc; at < batch.size(); ++at) {
    batch.data()[at] ^= 0x10;
    EXPECT_EQ(validate_batch(batch, {}, kNow).error(), BatchError::bad_crc) << at;
    batch.data()[at] ^= 0x10;
  }
  EXPECT_TRUE(validate_batch(batch, {}, kNow));
}

TEST(ValidateBatch, the_size_limit_is_exact_and_of_the_bytes_as_sent) {
  const Buffer batch = client_batch();
  EXPECT_TRUE(validate_batch(batch, {.max_batch_bytes = batch.size()}, kNow));
  EXPECT_EQ(validate_batch(batch, {.max_batch_bytes = batch.size() - 1}, kNow).error(), BatchError::too_large);
}

TEST(ValidateBatch, one_batch_only) {
  Buffer two = client_batch();
  two.append(client_batch());
  EXPECT_EQ(validate_batch(two, {}, kNow).error(), BatchError::trailing_bytes);
}

TEST(ValidateBatch, timestamps_too_far_from_now) {
  const Buffer batch = client_batch();  // from kNow to kNow + 2
  const BatchRules rules{.max_timestamp_before_ms = 1'000, .max_timestamp_after_ms = 1'000};
  EXPECT_TRUE(validate_batch(batch, rules, kNow + 1'000));
  EXPECT_EQ(validate_batch(batch, rules, kNow + 1'001).error(), BatchError::timestamp_out_of_range);
  EXPECT_TRUE(validate_batch(batch, rules, kNow - 998));
  EXPECT_EQ(validate_batch(batch, rules, kNow - 999).error(), BatchError::timestamp_out_of_range);
  EXPECT_TRUE(validate_batch(batch, {}, 0));
}

TEST(ValidateBatch, brokers_may_write_what_clients_may_not) {
  const BatchRules broker{.origin = BatchOrigin::broker, .parse_records = true};
  Buffer marker = make_marker({.type = MarkerType::commit, .producer_id = 1, .producer_epoch = 0}, kNow);
  stamp_base_offset(marker.mutable_view(), 1'234);
  EXPECT_TRUE(validate_batch(marker, broker, kNow));

  BatchBuilder builder({.base_offset = 50});
  ASSERT_TRUE(builder.add_at(3, {.timestamp = kNow}).ok());
  builder.set_last_offset_delta(9);
  const Buffer gaps = *builder.build();
  EXPECT_EQ(validate_batch(gaps, broker, kNow)->records_count, 1);
  const Buffer empty = *builder.build();
  EXPECT_TRUE(validate_batch(empty, broker, kNow));
  EXPECT_FALSE(validate_batch(empty, {}, kNow));
}

TEST(ValidateBatch, counting_the_records_finds_more_and_fewer_than_said) {
  const BatchRules rules{.count_records = true};
  EXPECT_TRUE(validate_batch(client_batch(), rules, kNow));
  for (const int32_t by : {-1, +1}) {
    Buffer batch = client_batch();
    const int32_t count = load_be<int32_t>(batch.data() + layout::kRecordsCount) + by;
    store_be(batch.data() + layout::kRecordsCount, count);
    store_be(batch.data() + layout::kLastOffsetDelta, count - 1);
    seal(batch);
    EXPECT_TRUE(validate_batch(batch, {}, kNow)) << by;
    EXPECT_EQ(validate_batch(batch, rules, kNow).error(), BatchError::bad_record) << by;
  }
  Buffer batch = client_batch();
  batch.data()[kBatchHeaderBytes] += 2;  // the first record's length, by one
  seal(batch);
  EXPECT_EQ(validate_batch(batch, rules, kNow).error(), BatchError::bad_record);
}

TEST(ValidateBatch, parsing_the_records_finds_what_the_header_hides) {
  Buffer batch = client_batch();
  batch.data()[kBatchHeaderBytes] += 2;  // the first record's length, by one
  seal(batch);
  EXPECT_TRUE(validate_batch(batch, {}, kNow));
  EXPECT_EQ(validate_batch(batch, {.parse_records = true}, kNow).error(), BatchError::bad_record);
}

}  // namespace
}  // namespace sluice::records
