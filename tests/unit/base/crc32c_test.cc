// SPDX-License-Identifier: Apache-2.0
#include "base/crc32c.hpp"

#include <gtest/gtest.h>

#include <numeric>
#include <random>
#include <vector>

#include "base/bytes.hpp"

namespace sluice {
namespace {

// RFC 3720, appendix B.4, and the check value of the CRC catalogue.
TEST(Crc32c, known_answers) {
  std::vector<uint8_t> bytes(32, 0);
  EXPECT_EQ(crc32c({}), 0u);
  EXPECT_EQ(crc32c(bytes), 0x8a9136aau);
  bytes.assign(32, 0xff);
  EXPECT_EQ(crc32c(bytes), 0x62a8ab43u);
  std::iota(bytes.begin(), bytes.end(), uint8_t{0});
  EXPECT_EQ(crc32c(bytes), 0x46dd794eu);
  std::iota(bytes.rbegin(), bytes.rend(), uint8_t{0});
  EXPECT_EQ(crc32c(bytes), 0x113fdb5cu);
  EXPECT_EQ(crc32c(as_bytes("123456789")), 0xe3069283u);
}

TEST(Crc32c, instruction_and_tables_agree_on_any_size_and_alignment) {
  if (!crc32c_detail::has_instruction()) GTEST_SKIP() << "no CRC-32C instruction here";
  std::mt19937 random(1);
  std::vector<uint8_t> bytes(100'000);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  const auto expect_equal = [&](size_t at, size_t size) {
    const auto data = std::span<const uint8_t>(bytes).subspan(at, size);
    const auto initial = static_cast<uint32_t>(random());
    EXPECT_EQ(crc32c_detail::extend_with_instruction(initial, data), crc32c_detail::extend_with_tables(initial, data))
        << at << ' ' << size;
  };
  for (size_t size = 0; size < 2'000; ++size) expect_equal(size % 9, size);
  for (int i = 0; i < 500; ++i) {
    const size_t at = random() % 64;
    expect_equal(at, random() % (bytes.size() - at));
  }
  for (const size_t around : {3u * 256, 3u * 8192, 6u * 8192}) {
    for (size_t size = around - 9; size < around + 9; ++size) expect_equal(1, size);
  }
}

TEST(Crc32c, extends_and_combines_to_the_checksum_of_the_whole) {
  std::mt19937 random(2);
  std::vector<uint8_t> bytes(50'000);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  const std::span<const uint8_t> all(bytes);
  const uint32_t whole = crc32c(all);
  for (const size_t cut : {size_t{0}, size_t{1}, size_t{255}, size_t{4'096}, size_t{33'333}, bytes.size()}) {
    const uint32_t first = crc32c(all.first(cut));
    const auto second = all.subspan(cut);
    EXPECT_EQ(crc32c_extend(first, second), whole) << cut;
    EXPECT_EQ(crc32c_combine(first, crc32c(second), second.size()), whole) << cut;
  }
}

}  // namespace
}  // namespace sluice
