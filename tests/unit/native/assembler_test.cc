// SPDX-License-Identifier: Apache-2.0
#include "native/assembler.hpp"

#include <gtest/gtest.h>

#include "records/lookup.hpp"
#include "records/validate.hpp"

namespace sluice::native {
namespace {

using records::NewRecord;
using records::TimestampType;

NewRecord record_of(const std::string& value, int64_t timestamp = 1'000) {
  NewRecord record;
  record.timestamp = timestamp;
  record.value = as_bytes(value);
  return record;
}

TEST(AssemblerTest, KeepsOffsetsAndGaps) {
  Assembler assembler(INT64_MAX, UINT64_MAX);
  const std::string value = "value";
  for (const int64_t offset : {int64_t{7}, int64_t{8}, int64_t{20}}) {
    EXPECT_EQ(assembler.add(offset, TimestampType::create_time, record_of(value)), Assembler::Answer::taken);
  }
  EXPECT_EQ(assembler.next(), 21);
  const auto built = assembler.finish();
  ASSERT_EQ(built.size(), 1u);
  EXPECT_EQ(built[0].base, 7);
  EXPECT_EQ(built[0].last, 20);
  records::BatchRules rules;
  rules.origin = records::BatchOrigin::broker;
  rules.parse_records = true;
  const auto info = records::validate_batch(built[0].bytes, rules, 0);
  ASSERT_TRUE(info) << records::batch_error_name(info.error());
  EXPECT_EQ(info->base_offset, 7);
  EXPECT_EQ(info->last_offset_delta, 13);
  EXPECT_EQ(info->records_count, 3);
}

TEST(AssemblerTest, StopsAtTheLimitAndAtTheSize) {
  const std::string value(100, 'x');
  Assembler limited(3, UINT64_MAX);
  EXPECT_EQ(limited.add(2, TimestampType::create_time, record_of(value)), Assembler::Answer::taken);
  EXPECT_EQ(limited.add(3, TimestampType::create_time, record_of(value)), Assembler::Answer::beyond_limit);

  Assembler small(INT64_MAX, 250);
  EXPECT_EQ(small.add(0, TimestampType::create_time, record_of(value)), Assembler::Answer::taken);
  EXPECT_EQ(small.add(1, TimestampType::create_time, record_of(value)), Assembler::Answer::full);
  EXPECT_LE(small.bytes(), 250u);

  Assembler none(INT64_MAX, 0);
  EXPECT_EQ(none.add(0, TimestampType::create_time, record_of(value)), Assembler::Answer::taken);
  EXPECT_EQ(none.add(1, TimestampType::create_time, record_of(value)), Assembler::Answer::full);
}

TEST(AssemblerTest, ABatchHasOneKindOfTime) {
  const std::string value = "v";
  Assembler assembler(INT64_MAX, UINT64_MAX);
  static_cast<void>(assembler.add(0, TimestampType::create_time, record_of(value, 5)));
  static_cast<void>(assembler.add(1, TimestampType::log_append_time, record_of(value, 50)));
  static_cast<void>(assembler.add(2, TimestampType::log_append_time, record_of(value, 50)));
  static_cast<void>(assembler.add(3, TimestampType::log_append_time, record_of(value, 51)));
  static_cast<void>(assembler.add(4, TimestampType::create_time, record_of(value, 4)));
  const auto built = assembler.finish();
  ASSERT_EQ(built.size(), 4u);
  std::vector<int64_t> times;
  for (const Built& each : built) {
    const auto batch = records::BatchView::parse(each.bytes);
    ASSERT_TRUE(batch);
    EXPECT_EQ(batch->crc(), batch->compute_crc());
    ASSERT_TRUE(records::visit_records(*batch, 1'000, [&](const records::RecordView& record) {
                  times.push_back(record.timestamp(*batch));
                  return true;
                }).ok());
  }
  EXPECT_EQ(times, (std::vector<int64_t>{5, 50, 50, 51, 4}));
}

TEST(AssemblerTest, FarOffsetsAndManyBytesBeginAnew) {
  const std::string value(600'000, 'x');
  Assembler assembler(INT64_MAX, UINT64_MAX);
  static_cast<void>(assembler.add(0, TimestampType::create_time, record_of(value)));
  static_cast<void>(assembler.add(1, TimestampType::create_time, record_of(value)));
  static_cast<void>(assembler.add(int64_t{1} << 33, TimestampType::create_time, record_of("far")));
  const auto built = assembler.finish();
  ASSERT_EQ(built.size(), 3u);
  EXPECT_EQ(built[2].base, int64_t{1} << 33);
}

}  // namespace
}  // namespace sluice::native
