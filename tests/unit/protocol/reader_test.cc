// SPDX-License-Identifier: Apache-2.0
#include "protocol/reader.hpp"

#include <gtest/gtest.h>

#include "wire.hpp"

namespace sluice::protocol {
namespace {

DecodeFault varuint_fault(const Wire& bytes, uint32_t& value) {
  Reader reader(bytes);
  reader.varuint(value);
  return reader.error().fault;
}

TEST(Reader, IntegersAreBigEndian) {
  const Wire bytes = wire({0x01, 0xff, 0xfe, 0x7f, 0xff, 0xff, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 1});
  Reader reader(bytes);
  bool flag = false;
  int16_t two = 0;
  int32_t four = 0;
  int64_t eight = 0;
  ASSERT_TRUE(reader.read(flag) && reader.read(two) && reader.read(four) && reader.read(eight));
  EXPECT_TRUE(flag);
  EXPECT_EQ(two, -2);
  EXPECT_EQ(four, 0x7fffffff);
  EXPECT_EQ(eight, std::numeric_limits<int64_t>::min() + 1);
  EXPECT_TRUE(reader.at_end());
  EXPECT_FALSE(reader.read(two));
  EXPECT_EQ(reader.error().fault, DecodeFault::kTruncated);
  EXPECT_EQ(reader.error().offset_bytes, bytes.size());
}

TEST(Reader, VaruintsStopAtFiveBytesAndThirtyTwoBits) {
  uint32_t value = 0;
  EXPECT_EQ(varuint_fault(wire({0x00}), value), DecodeFault::kNone);
  EXPECT_EQ(value, 0U);
  EXPECT_EQ(varuint_fault(wire({0xac, 0x02}), value), DecodeFault::kNone);
  EXPECT_EQ(value, 300U);
  EXPECT_EQ(varuint_fault(wire({0xff, 0xff, 0xff, 0xff, 0x0f}), value), DecodeFault::kNone);
  EXPECT_EQ(value, 0xffffffffU);
  EXPECT_EQ(varuint_fault(wire({0xff, 0xff, 0xff, 0xff, 0x1f}), value), DecodeFault::kVarintTooLong);
  EXPECT_EQ(varuint_fault(wire({0x80, 0x80, 0x80, 0x80, 0x80, 0x00}), value), DecodeFault::kVarintTooLong);
  EXPECT_EQ(varuint_fault(wire({0x80, 0x80}), value), DecodeFault::kTruncated);
}

TEST(Reader, TextsKnowNullFromEmpty) {
  const Wire bytes = wire({0, 0, 0xff, 0xff, 0, 2}) + "hi" + wire({0, 1, 3}) + "yo";
  Reader reader(bytes);
  std::optional<std::string_view> text;
  ASSERT_TRUE(reader.text(text, false, true));
  EXPECT_EQ(text, "");
  ASSERT_TRUE(reader.text(text, false, true));
  EXPECT_EQ(text, std::nullopt);
  ASSERT_TRUE(reader.text(text, false, true));
  EXPECT_EQ(text, "hi");
  ASSERT_TRUE(reader.text(text, true, true));
  EXPECT_EQ(text, std::nullopt);
  ASSERT_TRUE(reader.text(text, true, true));
  EXPECT_EQ(text, "");
  ASSERT_TRUE(reader.text(text, true, true));
  EXPECT_EQ(text, "yo");
  EXPECT_TRUE(reader.at_end());
}

TEST(Reader, RefusesNullAndNegativeLengths) {
  std::string_view text;
  Bytes bytes;
  std::vector<int32_t> numbers;
  std::optional<std::vector<int32_t>> maybe;
  const Wire minus_one_16 = wire({0xff, 0xff});
  const Wire minus_two_16 = wire({0xff, 0xfe});
  const Wire minus_one_32 = wire({0xff, 0xff, 0xff, 0xff});
  const Wire minus_two_32 = wire({0xff, 0xff, 0xff, 0xfe});
  const Wire zero = wire({0});
  const auto fault = [](const Wire& data, auto read) {
    Reader reader(data);
    EXPECT_FALSE(read(reader));
    return reader.error().fault;
  };
  EXPECT_EQ(fault(minus_one_16, [&](Reader& r) { return r.text(text, false); }), DecodeFault::kNull);
  EXPECT_EQ(fault(minus_two_16, [&](Reader& r) { return r.text(text, false); }), DecodeFault::kNegativeLength);
  EXPECT_EQ(fault(zero, [&](Reader& r) { return r.text(text, true); }), DecodeFault::kNull);
  EXPECT_EQ(fault(minus_one_32, [&](Reader& r) { return r.bytes(bytes, false); }), DecodeFault::kNull);
  EXPECT_EQ(fault(minus_two_32, [&](Reader& r) { return r.bytes(bytes, false); }), DecodeFault::kNegativeLength);
  EXPECT_EQ(fault(minus_one_32, [&](Reader& r) { return r.values(numbers, false); }), DecodeFault::kNull);
  EXPECT_EQ(fault(minus_two_32, [&](Reader& r) { return r.values(maybe, false, true); }), DecodeFault::kNegativeLength);
  EXPECT_EQ(fault(zero, [&](Reader& r) { return r.values(numbers, true); }), DecodeFault::kNull);
}

TEST(Reader, ChecksCountsAgainstWhatRemains) {
  std::vector<int32_t> numbers;
  const Wire four_claimed = wire({0, 0, 0, 4, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3});
  Reader reader(four_claimed);
  EXPECT_FALSE(reader.values(numbers, false));
  EXPECT_EQ(reader.error().fault, DecodeFault::kTruncated);
  EXPECT_EQ(numbers.capacity(), 0U);
}

TEST(Reader, ArraysMayNotOutgrowTheirMessage) {
  // A megabyte of empty texts would decode into 32 times as much: more than the budget, though every count fits.
  constexpr size_t kCount = 1 << 20;
  Wire bytes = wire({0x81, 0x80, 0x40});  // 2^20, plus one
  bytes.resize(bytes.size() + kCount, std::byte{1});
  Reader reader(bytes);
  std::vector<std::string> texts;
  EXPECT_FALSE(reader.texts(texts, true));
  EXPECT_EQ(reader.error().fault, DecodeFault::kTooMuchMemory);
  EXPECT_EQ(texts.capacity(), 0U);
}

TEST(Reader, TagsRiseAndFillTheirSize) {
  const auto skip = [](const Wire& data) {
    Reader reader(data);
    const bool ok = reader.skip_tags() && reader.at_end();
    EXPECT_EQ(ok, reader.error().fault == DecodeFault::kNone);
    return reader.error().fault;
  };
  EXPECT_EQ(skip(wire({0})), DecodeFault::kNone);
  EXPECT_EQ(skip(wire({2, 0, 1, 9, 200, 1, 2, 9, 9})), DecodeFault::kNone);
  EXPECT_EQ(skip(wire({2, 5, 0, 5, 0})), DecodeFault::kTagOrder);
  EXPECT_EQ(skip(wire({2, 5, 0, 4, 0})), DecodeFault::kTagOrder);
  EXPECT_EQ(skip(wire({1, 0, 3, 9, 9})), DecodeFault::kTruncated);
  EXPECT_EQ(skip(wire({200})), DecodeFault::kTruncated);
  EXPECT_EQ(skip(wire({0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0})), DecodeFault::kTruncated);

  const Wire too_long = wire({7, 3, 0, 1, 9});
  Reader reader(too_long);
  Reader::Tag tag;
  int16_t value = 0;
  ASSERT_TRUE(reader.begin_tag(tag) && reader.read(value));
  EXPECT_FALSE(reader.end_tag(tag));
  EXPECT_EQ(reader.error().fault, DecodeFault::kTagLength);
}

TEST(Reader, ATaggedFieldCannotReadBeyondItself) {
  const Wire data = wire({7, 1, 0, 1, 9});
  Reader reader(data);
  Reader::Tag tag;
  int16_t value = 0;
  ASSERT_TRUE(reader.begin_tag(tag));
  EXPECT_FALSE(reader.read(value));
  EXPECT_EQ(reader.error().fault, DecodeFault::kTruncated);
}

TEST(Reader, ErrorsSayFieldAndOffset) {
  const Wire data = wire({0, 0, 0, 2, 0, 1, 'a', 0, 9, 'b'});
  Reader reader(data);
  std::vector<std::string_view> names;
  ASSERT_FALSE(reader.texts(names, false));
  reader.in("names");
  reader.in("topics");
  EXPECT_EQ(reader.error().describe(), "topics.names[1]: reaches beyond the end, at byte 9");
  EXPECT_EQ(reader.error().to_status("Thing", 3).describe(),
            "invalid: Thing v3: topics.names[1]: reaches beyond the end, at byte 9");
}

}  // namespace
}  // namespace sluice::protocol
