// SPDX-License-Identifier: Apache-2.0
#include "base/bytes.hpp"

#include <gtest/gtest.h>

#include <array>
#include <limits>

namespace sluice {
namespace {

TEST(BigEndian, stores_the_highest_byte_first_at_any_alignment) {
  std::array<uint8_t, 9> bytes{};
  store_be(bytes.data() + 1, int64_t{0x0102030405060708});
  EXPECT_EQ(bytes[1], 1);
  EXPECT_EQ(bytes[8], 8);
  EXPECT_EQ(load_be<int64_t>(bytes.data() + 1), 0x0102030405060708);
  store_be(bytes.data() + 1, int16_t{-2});
  EXPECT_EQ(load_be<int16_t>(bytes.data() + 1), -2);
  EXPECT_EQ(load_be<uint16_t>(bytes.data() + 1), 0xfffe);
}

TEST(Varints, round_trip_in_the_size_foretold) {
  for (const int64_t number :
       {int64_t{0}, int64_t{-1}, int64_t{1}, int64_t{63}, int64_t{-64}, int64_t{64}, int64_t{-65}, int64_t{INT32_MAX},
        int64_t{INT32_MIN}, std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::min()}) {
    Buffer buffer;
    ByteWriter(buffer).write_varlong(number);
    EXPECT_EQ(buffer.size(), signed_varint_size(number)) << number;
    ByteReader reader(buffer);
    EXPECT_EQ(reader.read_varlong(), number);
    EXPECT_FALSE(reader.failed());
    EXPECT_EQ(reader.left(), 0u);
    if (number == static_cast<int32_t>(number)) {
      ByteReader narrow(buffer);
      EXPECT_EQ(narrow.read_varint(), number);
    }
  }
}

TEST(Varints, that_are_cut_short_or_too_large_fail) {
  const std::array<uint8_t, 11> endless = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00};
  ByteReader wide(endless);
  wide.read_varlong();
  EXPECT_TRUE(wide.failed());
  ByteReader narrow(endless);
  narrow.read_varint();
  EXPECT_TRUE(narrow.failed());
  const std::array<uint8_t, 5> thirty_three_bits = {0x80, 0x80, 0x80, 0x80, 0x10};
  ByteReader beyond(thirty_three_bits);
  EXPECT_EQ(beyond.read_varint(), 0);
  EXPECT_TRUE(beyond.failed());
  const std::array<uint8_t, 5> padded = {0x82, 0x80, 0x80, 0x80, 0x00};
  ByteReader long_form(padded);
  EXPECT_EQ(long_form.read_varint(), 1);
  EXPECT_FALSE(long_form.failed());
}

TEST(ByteReader, stays_failed_after_a_read_beyond_the_end) {
  const std::array<uint8_t, 3> bytes = {0, 1, 2};
  ByteReader reader(bytes);
  EXPECT_EQ(reader.read_be<int16_t>(), 1);
  EXPECT_EQ(reader.read_be<int32_t>(), 0);
  EXPECT_TRUE(reader.failed());
  EXPECT_EQ(reader.read_be<int8_t>(), 0);
  EXPECT_TRUE(reader.read_bytes(1).empty());
}

TEST(Buffer, grows_keeps_its_bytes_and_moves) {
  Buffer buffer;
  for (int i = 0; i < 10'000; ++i) buffer.append(as_bytes("abc"));
  EXPECT_EQ(buffer.size(), 30'000u);
  EXPECT_LE(buffer.capacity(), 60'000u);
  Buffer other = std::move(buffer);
  EXPECT_EQ(other.size(), 30'000u);
  EXPECT_EQ(as_text(other.view().last(3)), "abc");
  EXPECT_EQ(buffer.size(), 0u);  // NOLINT(bugprone-use-after-move): a moved-from buffer is an empty one
  buffer.append(as_bytes("x"));
  EXPECT_EQ(as_text(buffer), "x");
}

}  // namespace
}  // namespace sluice
