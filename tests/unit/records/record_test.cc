// SPDX-License-Identifier: Apache-2.0
#include "records/record.hpp"

#include <gtest/gtest.h>

#include <optional>
#include <random>
#include <string>
#include <utility>
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

// As the format says it, field by field.
std::optional<RecordView> read_slowly(Bytes bytes) {
  ByteReader reader(bytes);
  const auto optional = [&]() -> std::pair<bool, OptionalBytes> {
    const int32_t size = reader.read_varint();
    if (size < 0) return {size == -1, std::nullopt};
    return {true, reader.read_bytes(static_cast<size_t>(size))};
  };
  RecordView record;
  reader.read_be<int8_t>();
  record.timestamp_delta = reader.read_varlong();
  record.offset_delta = reader.read_varint();
  const auto [key_right, key] = optional();
  const auto [value_right, value] = optional();
  record.headers_count = reader.read_varint();
  if (!key_right || !value_right || reader.failed() || record.headers_count < 0) return std::nullopt;
  record.key = key;
  record.value = value;
  record.headers_section = reader.rest();
  for (int32_t i = 0; i < record.headers_count; ++i) {
    const auto [name_right, name] = optional();
    const auto [right, header_value] = optional();
    if (!name_right || !name || !right || reader.failed()) return std::nullopt;
  }
  if (reader.left() != 0) return std::nullopt;
  return record;
}

TEST(ParseRecord, reads_numbers_of_every_length_and_refuses_the_rest) {
  std::mt19937 random(5);
  const auto same = [](const OptionalBytes& left, const OptionalBytes& right) {
    return left.has_value() == right.has_value() &&
           (!left || (left->data() == right->data() && left->size() == right->size()));
  };
  int right = 0;
  for (int round = 0; round < 100'000; ++round) {
    Buffer bytes;
    ByteWriter writer(bytes);
    const auto text = [&] {
      const int32_t size = random() % 8 == 0 ? -1 : static_cast<int32_t>(random() % (random() % 16 == 0 ? 200 : 9));
      writer.write_varint(size);
      for (int32_t i = 0; i < size; ++i) writer.write_be(static_cast<uint8_t>(random()));
    };
    writer.write_be<int8_t>(0);
    writer.write_varlong(static_cast<int64_t>(uint64_t{random()} << 32 | random()) >> (random() % 64));
    writer.write_varint(static_cast<int32_t>(random() >> (random() % 32)));
    text(), text();
    const auto headers = static_cast<int32_t>(random() % 4 == 0 ? random() % 3 : 0);
    writer.write_varint(headers);
    for (int32_t i = 0; i < 2 * headers; ++i) text();
    // Half of them are damaged in a byte, or cut off.
    if (random() % 4 == 0) bytes.data()[random() % bytes.size()] = static_cast<uint8_t>(random());
    if (random() % 4 == 0) bytes.resize(random() % bytes.size());
    const Buffer exact = Buffer::copy_of(bytes);  // sanitizers see what is read behind it
    const auto expected = read_slowly(exact);
    const auto record = parse_record(exact);
    ASSERT_EQ(record.has_value(), expected.has_value()) << round;
    if (!record) continue;
    ++right;
    EXPECT_EQ(record->timestamp_delta, expected->timestamp_delta) << round;
    EXPECT_EQ(record->offset_delta, expected->offset_delta) << round;
    EXPECT_TRUE(same(record->key, expected->key) && same(record->value, expected->value)) << round;
    EXPECT_EQ(record->headers_count, expected->headers_count) << round;
    EXPECT_EQ(record->headers_section.data(), expected->headers_section.data()) << round;
    EXPECT_EQ(record->headers_section.size(), expected->headers_section.size()) << round;
  }
  EXPECT_GT(right, 20'000);
}

}  // namespace
}  // namespace sluice::records
