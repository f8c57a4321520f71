// SPDX-License-Identifier: Apache-2.0
// Two characters, or four, by one look into a table each; and where the processor has AVX2, 32 at once into bytes.
#include "consumer/base64url.hpp"

#include <array>
#include <bit>
#include <cstring>

#if defined(__x86_64__)
#  include <immintrin.h>
#endif

namespace sluice::consumer {
namespace {

static_assert(std::endian::native == std::endian::little, "the tables hold characters in the order of memory");

constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr uint32_t kWrong = 1u << 31;

// Two characters for twelve bits.
constexpr std::array<uint16_t, 4096> kPairs = [] {
  std::array<uint16_t, 4096> pairs{};
  for (size_t i = 0; i < pairs.size(); ++i) {
    pairs[i] = static_cast<uint16_t>(kAlphabet[i >> 6] | kAlphabet[i & 63] << 8);
  }
  return pairs;
}();

// What a character stands for, at each of the four places of a group whose first byte is the lowest.
constexpr std::array<std::array<uint32_t, 256>, 4> kPlaces = [] {
  std::array<std::array<uint32_t, 256>, 4> places{};
  for (auto& place : places) place.fill(kWrong);
  for (uint32_t value = 0; value < 64; ++value) {
    const auto c = static_cast<uint8_t>(kAlphabet[value]);
    places[0][c] = value << 2;
    places[1][c] = value >> 4 | (value & 15) << 12;
    places[2][c] = (value >> 2) << 8 | (value & 3) << 22;
    places[3][c] = value << 16;
  }
  return places;
}();

uint32_t group_of(const uint8_t* at) {
  return kPlaces[0][at[0]] | kPlaces[1][at[1]] | kPlaces[2][at[2]] | kPlaces[3][at[3]];
}

// Which characters are right, and what is to be added to them, by halves of a byte (W. Mula, D. Lemire, "Faster Base64
// Encoding and Decoding Using AVX2 Instructions", 2018, with the bits of another alphabet). A character is wrong if the
// entries of its two halves share a bit. '_' has the high half of upper case letters, but stands for kUnderscore more.
struct Halves {
  std::array<uint8_t, 16> low{};
  std::array<uint8_t, 16> high{};
  std::array<uint8_t, 16> add{};
};
constexpr uint8_t kUnderscore = (63 - '_') - (25 - 'Z');

constexpr Halves kHalves = [] {
  Halves halves;
  halves.high.fill(0x01);
  for (uint8_t& low : halves.low) low = 0xff;
  for (uint8_t half = 2; half < 8; ++half) halves.high[half] = static_cast<uint8_t>(1u << half);
  for (uint32_t value = 0; value < 64; ++value) {
    const auto c = static_cast<uint8_t>(kAlphabet[value]);
    halves.low[c & 15] = static_cast<uint8_t>(halves.low[c & 15] & ~halves.high[c >> 4]);
    if (c != '_') halves.add[c >> 4] = static_cast<uint8_t>(value - c);
  }
  return halves;
}();

}  // namespace

namespace base64url_detail {

bool decode_with_tables(const uint8_t* in, const uint8_t* end, uint8_t* out) {
  uint32_t wrong = 0;
  for (; in != end; in += 4, out += 3) {
    const uint32_t word = group_of(in);
    wrong |= word;
    std::memcpy(out, &word, 4);
  }
  return (wrong & kWrong) == 0;
}

#if defined(__x86_64__)

bool has_vectors() {
  return __builtin_cpu_supports("avx2");
}

__attribute__((target("avx2"))) bool decode_with_vectors(const uint8_t* in, const uint8_t* end, uint8_t* out) {
  const auto* const tables = reinterpret_cast<const __m128i*>(&kHalves);
  const __m256i low = _mm256_broadcastsi128_si256(_mm_loadu_si128(tables));
  const __m256i high = _mm256_broadcastsi128_si256(_mm_loadu_si128(tables + 1));
  const __m256i add = _mm256_broadcastsi128_si256(_mm_loadu_si128(tables + 2));
  const __m256i half = _mm256_set1_epi8(15);
  const __m256i underscore = _mm256_set1_epi8('_'), of_underscore = _mm256_set1_epi8(kUnderscore);
  // Three bytes of each four, turned round; then those of both lanes next to each other.
  const __m256i bytes = _mm256_setr_epi8(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1, 2, 1, 0, 6, 5, 4, 10,
                                         9, 8, 14, 13, 12, -1, -1, -1, -1);
  const __m256i words = _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 7, 7);
  __m256i wrong = _mm256_setzero_si256();
  constexpr ptrdiff_t kCharacters = 32;
  constexpr ptrdiff_t kLeastLeft = 44;  // of 33 bytes: 24 are made, and 8 behind them touched
  for (; end - in >= kLeastLeft; in += kCharacters, out += kCharacters / 4 * 3) {
    const __m256i text = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(in));
    const __m256i upper = _mm256_and_si256(_mm256_srli_epi32(text, 4), half);
    wrong = _mm256_or_si256(wrong, _mm256_and_si256(_mm256_shuffle_epi8(low, _mm256_and_si256(text, half)),
                                                    _mm256_shuffle_epi8(high, upper)));
    __m256i values = _mm256_add_epi8(text, _mm256_shuffle_epi8(add, upper));
    values = _mm256_add_epi8(values, _mm256_and_si256(_mm256_cmpeq_epi8(text, underscore), of_underscore));
    // 6 and 6 bits to 12, 12 and 12 to 24.
    const __m256i pairs = _mm256_maddubs_epi16(values, _mm256_set1_epi32(0x01400140));
    const __m256i groups = _mm256_madd_epi16(pairs, _mm256_set1_epi32(0x00011000));
    const __m256i made = _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(groups, bytes), words);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), made);
  }
  const bool right = _mm256_testz_si256(wrong, wrong) != 0;
  return decode_with_tables(in, end, out) && right;
}

#else

bool has_vectors() {
  return false;
}

bool decode_with_vectors(const uint8_t* in, const uint8_t* end, uint8_t* out) {
  return decode_with_tables(in, end, out);
}

#endif

}  // namespace base64url_detail

void base64url_append(Bytes bytes, std::string& text) {
  const size_t start = text.size();
  text.resize(start + base64url_size(bytes.size()));
  char* out = text.data() + start;
  const uint8_t* in = bytes.data();
  const uint8_t* const end = in + bytes.size();
  for (; end - in >= 8; in += 6, out += 8) {
    const auto word = load_be<uint64_t>(in);
    const uint16_t pairs[4] = {kPairs[word >> 52], kPairs[word >> 40 & 4095], kPairs[word >> 28 & 4095],
                               kPairs[word >> 16 & 4095]};
    std::memcpy(out, pairs, 8);
  }
  for (; end - in >= 3; in += 3, out += 4) {
    const uint32_t word = static_cast<uint32_t>(in[0] << 16 | in[1] << 8 | in[2]);
    std::memcpy(out, &kPairs[word >> 12], 2);
    std::memcpy(out + 2, &kPairs[word & 4095], 2);
  }
  if (end - in == 1) {
    out[0] = kAlphabet[in[0] >> 2];
    out[1] = kAlphabet[(in[0] & 3) << 4];
  } else if (end - in == 2) {
    out[0] = kAlphabet[in[0] >> 2];
    out[1] = kAlphabet[(in[0] & 3) << 4 | in[1] >> 4];
    out[2] = kAlphabet[(in[1] & 15) << 2];
  }
}

std::optional<size_t> base64url_decode(std::string_view text, Buffer& bytes) {
  const size_t tail = text.size() % 4;
  const size_t start = bytes.size();
  const size_t size = text.size() / 4 * 3 + (tail > 1 ? tail - 1 : 0);
  bytes.resize(start + size + 1);  // groups are written as four bytes
  uint8_t* out = bytes.data() + start;
  const auto* in = reinterpret_cast<const uint8_t*>(text.data());
  const uint8_t* const end = in + (text.size() - tail);
  static const bool vectors = base64url_detail::has_vectors();
  bool right = vectors ? base64url_detail::decode_with_vectors(in, end, out)
                       : base64url_detail::decode_with_tables(in, end, out);
  uint32_t left_over = 0;
  if (tail > 1) {
    const uint8_t last[4] = {end[0], end[1], tail == 3 ? end[2] : uint8_t{'A'}, 'A'};
    const uint32_t word = group_of(last);
    right &= (word & kWrong) == 0;
    std::memcpy(out + (text.size() / 4) * 3, &word, tail - 1);
    left_over = word >> (8 * (tail - 1)) & 0xffffff;
  }
  bytes.resize(start + size);
  if (!right) {
    for (size_t i = 0; i < text.size(); ++i) {
      if (kPlaces[0][static_cast<uint8_t>(text[i])] == kWrong) return i;
    }
  }
  if (tail == 1 || left_over != 0) return text.size() - 1;
  return std::nullopt;
}

}  // namespace sluice::consumer
