// SPDX-License-Identifier: Apache-2.0
// A checksum is a polynomial over GF(2), kept with its bits reflected: the highest bit is x^0. Appending n zero bytes
// to a message multiplies its checksum by x^(8n) modulo the CRC's polynomial, which is how separate stretches are put
// together.
#include "base/crc32c.hpp"

#include <array>
#include <bit>
#include <cstring>

#if defined(__x86_64__)
#  include <nmmintrin.h>
#  include <wmmintrin.h>
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
#  include <arm_acle.h>
#endif

namespace sluice {
namespace {

static_assert(std::endian::native == std::endian::little, "the checksum's words are little-endian");

constexpr uint32_t kPolynomial = 0x82f63b78;
constexpr uint32_t kOne = 0x80000000;  // x^0

// Without branches: the bits are as good as random.
constexpr uint32_t multiply(uint32_t a, uint32_t b) {
  uint32_t product = 0;
  for (int bit = 31; bit >= 0; --bit) {
    product ^= b & (0 - ((a >> bit) & 1));
    b = (b >> 1) ^ (kPolynomial & (0 - (b & 1)));
  }
  return product;
}

// kPowers[i] = x^(8 * 2^i)
constexpr std::array<uint32_t, 64> kPowers = [] {
  std::array<uint32_t, 64> powers{};
  uint32_t power = kOne >> 8;
  for (uint32_t& entry : powers) {
    entry = power;
    power = multiply(power, power);
  }
  return powers;
}();

// x^(8 * size)
constexpr uint32_t shift_by(uint64_t size) {
  uint32_t power = kOne;
  for (size_t i = 0; size != 0; size >>= 1, ++i) {
    if ((size & 1) != 0) power = multiply(power, kPowers[i]);
  }
  return power;
}

uint64_t load64(const uint8_t* at) {
  uint64_t word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

uint32_t load32(const uint8_t* at) {
  uint32_t half;
  std::memcpy(&half, at, sizeof half);
  return half;
}

// kSlices[i][b]: the checksum of byte b followed by i zero bytes.
using SliceTables = std::array<std::array<uint32_t, 256>, 8>;

constexpr SliceTables kSlices = [] {
  SliceTables slices{};
  for (uint32_t b = 0; b < 256; ++b) {
    uint32_t crc = b;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
    slices[0][b] = crc;
  }
  for (size_t i = 1; i < 8; ++i) {
    for (uint32_t b = 0; b < 256; ++b) slices[i][b] = (slices[i - 1][b] >> 8) ^ slices[0][slices[i - 1][b] & 0xff];
  }
  return slices;
}();

#if defined(__x86_64__)
#  define SLUICE_CRC_INSTRUCTION 1
#  define SLUICE_CRC_TARGET __attribute__((target("sse4.2,pclmul")))
SLUICE_CRC_TARGET inline uint64_t crc_word(uint64_t crc, uint64_t word) {
  return _mm_crc32_u64(crc, word);
}
SLUICE_CRC_TARGET inline uint32_t crc_half(uint32_t crc, uint32_t half) {
  return _mm_crc32_u32(crc, half);
}
SLUICE_CRC_TARGET inline uint32_t crc_byte(uint32_t crc, uint8_t byte) {
  return _mm_crc32_u8(crc, byte);
}
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
#  define SLUICE_CRC_INSTRUCTION 1
#  define SLUICE_CRC_TARGET
inline uint64_t crc_word(uint64_t crc, uint64_t word) {
  return __crc32cd(static_cast<uint32_t>(crc), word);
}
inline uint32_t crc_half(uint32_t crc, uint32_t half) {
  return __crc32cw(crc, half);
}
inline uint32_t crc_byte(uint32_t crc, uint8_t byte) {
  return __crc32cb(crc, byte);
}
#endif

#if defined(SLUICE_CRC_INSTRUCTION)

// Multiplication by a constant as four table look-ups, one for each byte of the checksum.
using ShiftTables = std::array<std::array<uint32_t, 256>, 4>;

constexpr ShiftTables make_shift_tables(uint64_t size) {
  const uint32_t power = shift_by(size);
  ShiftTables tables{};
  for (size_t byte = 0; byte < 4; ++byte) {
    for (uint32_t b = 1; b < 256; ++b) {
      const uint32_t low = b & (~b + 1);
      tables[byte][b] = b == low ? multiply(power, b << (8 * byte)) : tables[byte][b ^ low] ^ tables[byte][low];
    }
  }
  return tables;
}

uint64_t shift(const ShiftTables& tables, uint64_t crc) {
  return tables[0][crc & 0xff] ^ tables[1][(crc >> 8) & 0xff] ^ tables[2][(crc >> 16) & 0xff] ^
         tables[3][(crc >> 24) & 0xff];
}

// The instruction takes three cycles but one can start in every cycle: three independent stretches keep it busy. Long
// stretches spare look-ups, short ones serve what is left.
constexpr size_t kLongStretchBytes = 8192;
constexpr size_t kShortStretchBytes = 256;
constexpr ShiftTables kLongShift = make_shift_tables(kLongStretchBytes);
constexpr ShiftTables kShortShift = make_shift_tables(kShortStretchBytes);

template <size_t kStretchBytes>
SLUICE_CRC_TARGET inline uint64_t three_stretches(uint64_t crc, const uint8_t*& at, size_t& left,
                                                  const ShiftTables& tables) {
  while (left >= 3 * kStretchBytes) {
    uint64_t second = 0;
    uint64_t third = 0;
    for (size_t i = 0; i < kStretchBytes; i += 8) {
      crc = crc_word(crc, load64(at + i));
      second = crc_word(second, load64(at + i + kStretchBytes));
      third = crc_word(third, load64(at + i + 2 * kStretchBytes));
    }
    crc = shift(tables, shift(tables, crc) ^ second) ^ third;
    at += 3 * kStretchBytes;
    left -= 3 * kStretchBytes;
  }
  return crc;
}

#  if defined(__x86_64__)

// For what is left, three stretches of as many words as there are. Their checksums are put together by multiplications
// without carry: of two checksums, reflected, they give x times the product as a word of data, and the checksum of such
// a word is the word times x^32. So the powers are by 33 lower than what lies behind a stretch.
struct Powers {
  uint32_t first, second;  // of the stretch
};
constexpr size_t kMaxStretchWords = kShortStretchBytes / 8;
constexpr std::array<Powers, kMaxStretchWords> kPowersOfWords = [] {
  std::array<Powers, kMaxStretchWords> powers{};
  // 64 n - 33 = 8 (8 n - 5) + 7
  for (uint64_t n = 1; n < kMaxStretchWords; ++n) {
    powers[n] = {multiply(shift_by(16 * n - 5), kOne >> 7), multiply(shift_by(8 * n - 5), kOne >> 7)};
  }
  return powers;
}();

SLUICE_CRC_TARGET inline uint64_t multiply_without_carry(uint64_t crc, uint32_t power) {
  const __m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128(static_cast<int64_t>(crc)),
                                               _mm_cvtsi32_si128(static_cast<int32_t>(power)), 0);
  return static_cast<uint64_t>(_mm_cvtsi128_si64(product));
}

/// `left` < 3 * kShortStretchBytes.
SLUICE_CRC_TARGET inline uint64_t three_equal_stretches(uint64_t crc, const uint8_t*& at, size_t& left) {
  const size_t words = left / 24;
  if (words == 0) return crc;
  const size_t bytes = 8 * words;
  const size_t last = bytes - 8;
  uint64_t second = 0;
  uint64_t third = 0;
  for (size_t i = 0; i < last; i += 8) {
    crc = crc_word(crc, load64(at + i));
    second = crc_word(second, load64(at + i + bytes));
    third = crc_word(third, load64(at + i + 2 * bytes));
  }
  crc = crc_word(crc, load64(at + last));
  second = crc_word(second, load64(at + last + bytes));
  const uint64_t before = multiply_without_carry(crc, kPowersOfWords[words].first) ^
                          multiply_without_carry(second, kPowersOfWords[words].second);
  crc = crc_word(third, load64(at + last + 2 * bytes) ^ before);
  at += 3 * bytes;
  left -= 3 * bytes;
  return crc;
}

#  endif

#endif

}  // namespace

namespace crc32c_detail {

uint32_t extend_with_tables(uint32_t crc, std::span<const uint8_t> data) {
  const uint8_t* at = data.data();
  size_t left = data.size();
  crc = ~crc;
  for (; left >= 8; at += 8, left -= 8) {
    const uint64_t word = load64(at) ^ crc;
    crc = 0;
    for (size_t i = 0; i < 8; ++i) crc ^= kSlices[7 - i][(word >> (8 * i)) & 0xff];
  }
  for (; left != 0; ++at, --left) crc = (crc >> 8) ^ kSlices[0][(crc ^ *at) & 0xff];
  return ~crc;
}

#if defined(SLUICE_CRC_INSTRUCTION)

SLUICE_CRC_TARGET uint32_t extend_with_instruction(uint32_t initial, std::span<const uint8_t> data) {
  const uint8_t* at = data.data();
  size_t left = data.size();
  uint64_t crc = static_cast<uint32_t>(~initial);
  crc = three_stretches<kLongStretchBytes>(crc, at, left, kLongShift);
  crc = three_stretches<kShortStretchBytes>(crc, at, left, kShortShift);
#  if defined(__x86_64__)
  crc = three_equal_stretches(crc, at, left);
#  endif
  for (; left >= 8; at += 8, left -= 8) crc = crc_word(crc, load64(at));
  auto narrow = static_cast<uint32_t>(crc);
  if (left >= 4) {
    narrow = crc_half(narrow, load32(at));
    at += 4;
    left -= 4;
  }
  for (; left != 0; ++at, --left) narrow = crc_byte(narrow, *at);
  return ~narrow;
}

bool has_instruction() {
#  if defined(__x86_64__)
  return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
#  else
  return true;
#  endif
}

#else

uint32_t extend_with_instruction(uint32_t crc, std::span<const uint8_t> data) {
  return extend_with_tables(crc, data);
}
bool has_instruction() {
  return false;
}

#endif

}  // namespace crc32c_detail

uint32_t crc32c_extend(uint32_t crc, std::span<const uint8_t> data) {
  static const bool instruction = crc32c_detail::has_instruction();
  return instruction ? crc32c_detail::extend_with_instruction(crc, data) : crc32c_detail::extend_with_tables(crc, data);
}

uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t size_b) {
  return multiply(crc_a, shift_by(size_b)) ^ crc_b;
}

}  // namespace sluice
