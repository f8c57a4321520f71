// SPDX-License-Identifier: Apache-2.0
#include "records/record.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "records/builder.hpp"

namespace sluice::records {
namespace {

Buffer with_headers() {
  const HeaderView headers[] = {
      {as_bytes("h"), as_bytes("1")}, {as_bytes("h"), std::nullopt}, {as_bytes(""), as_bytes("")}};
  BatchBuilder builder({.base_offset = 10});
  EXPECT_TRUE(builder.add({.timestamp = 1'000, .key = as_bytes("k"), .value = as_bytes("v"), .headers = headers}).ok());
  EXPECT_TRUE(builder.add({.timestamp = 900, .value = as_bytes("")}).ok());
  EXPECT_TRUE(builder.add_at(5, {.timestamp = INT64_MAX, .key = as_bytes("")}).ok());
  return *builder.build();
}

// The number of records read before the end, or -1 for damage.
int read_all(Bytes section, int32_t count, int32_t last_offset_delta = 5) {
  RecordIterator records(section, count, last_offset_delta);
  RecordView record;
  int read = 0;
  while (records.next(record)) {
    ++read;
    HeaderIterator headers = record.headers();
    HeaderView header;
    int32_t headers_read = 0;
    while (headers.next(header)) ++headers_read;
    EXPECT_EQ(headers_read, record.headers_count);
  }
  return records.damaged() ? -1 : read;
}

TEST(RecordIterator, keeps_null_and_empty_apart_and_headers_in_order) {
  const Buffer bytes = with_headers();
  const auto batch = BatchView::parse(bytes);
  ASSERT_TRUE(batch);
  RecordIterator records(batch->records_section(), *batch);
  RecordView record;

  ASSERT_TRUE(records.next(record));
  EXPECT_EQ(record.offset(*batch), 10);
  EXPECT_EQ(record.timestamp(*batch), 1'000);
  EXPECT_EQ(as_text(record.key.value()), "k");
  EXPECT_EQ(as_text(record.value.value()), "v");
  HeaderIterator headers = record.headers();
  std::vector<std::string> seen;
  HeaderView header;
  while (headers.next(header)) {
    seen.push_back(std::string(as_text(header.key)) + "=" +
                   (header.value ? std::string(as_text(*header.value)) : "null"));
  }
  EXPECT_EQ(seen, (std::vector<std::string>{"h=1", "h=null", "="}));

  ASSERT_TRUE(records.next(record));
  EXPECT_EQ(record.timestamp(*batch), 900);
  EXPECT_FALSE(record.key.has_value());
  ASSERT_TRUE(record.value.has_value());
  EXPECT_TRUE(record.value->empty());
  EXPECT_EQ(record.headers_count, 0);

  ASSERT_TRUE(records.next(record));
  EXPECT_EQ(record.offset(*batch), 15);
  EXPECT_EQ(record.timestamp(*batch), INT64_MAX);
  EXPECT_TRUE(record.key.has_value());
  EXPECT_FALSE(record.value.has_value());

  EXPECT_FALSE(records.next(record));
  EXPECT_FALSE(records.damaged());
}

TEST(RecordIterator, append_time_is_the_time_of_every_record) {
  Buffer bytes = with_headers();
  stamp_log_append_time(bytes.mutable_view(), 77);
  const auto batch = BatchView::parse(bytes);
  RecordIterator records(batch->records_section(), *batch);
  RecordView record;
  while (records.next(record)) EXPECT_EQ(record.timestamp(*batch), 77);
}

TEST(RecordIterator, count_and_bytes_must_agree) {
  const Buffer bytes = with_headers();
  const Bytes section = bytes.view().subspan(kBatchHeaderBytes);
  EXPECT_EQ(read_all(section, 3), 3);
  EXPECT_EQ(read_all(section, 2), -1);
  EXPECT_EQ(read_all(section, 4), -1);
  EXPECT_EQ(read_all(section, -1), -1);
  EXPECT_EQ(read_all({}, 0), 0);
  for (size_t size = 0; size < section.size(); ++size) EXPECT_EQ(read_all(section.first(size), 3), -1) << size;
}

TEST(RecordIterator, refuses_lengths_that_lie) {
  const auto one = [](std::vector<uint8_t> body) {
    Buffer section;
    ByteWriter(section).write_varint(static_cast<int32_t>(body.size()));
    section.append(body);
    return read_all(section, 1);
  };
  EXPECT_EQ(one({0, 0, 0, 1, 1, 0}), 1);                              // null key, null value, no headers
  EXPECT_EQ(one({0, 0, 0, 3, 1, 0}), -1);                             // a key of length -2
  EXPECT_EQ(one({0, 0, 0, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0}), -1);  // a value of 2 GiB
  EXPECT_EQ(one({0, 0, 0, 1, 1, 1}), -1);                             // -1 headers
  EXPECT_EQ(one({0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f}), -1);  // 2^31 - 1 headers
  EXPECT_EQ(one({0, 0, 0, 1, 1, 2, 1, 1}), -1);                       // a header with a null key
  EXPECT_EQ(one({0, 0, 0, 1, 1, 0, 9}), -1);                          // a byte too many
  EXPECT_EQ(one({0, 0, 1, 1, 1, 0}), -1);                             // offset delta -1
}

TEST(RecordIterator, offset_deltas_must_rise_and_stay_within_the_batch) {
  const uint8_t twice[] = {12, 0, 0, 0, 1, 1, 0, 12, 0, 0, 0, 1, 1, 0};
  EXPECT_EQ(read_all(twice, 2), -1);
  const uint8_t rising[] = {12, 0, 0, 0, 1, 1, 0, 12, 0, 0, 2, 1, 1, 0};
  EXPECT_EQ(read_all(rising, 2, 1), 2);
  EXPECT_EQ(read_all(rising, 2, 0), -1) << "beyond the last";
}

}  // namespace
}  // namespace sluice::records
