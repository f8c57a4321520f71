// SPDX-License-Identifier: Apache-2.0
// Two characters, or four, by one look into a table each.
#include "consumer/base64url.hpp"

#include <array>
#include <bit>
#include <cstring>

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

}  // namespace

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
  const auto group = [&](const uint8_t* at) {
    return kPlaces[0][at[0]] | kPlaces[1][at[1]] | kPlaces[2][at[2]] | kPlaces[3][at[3]];
  };
  uint32_t wrong = 0;
  const uint8_t* const end = in + (text.size() - tail);
  for (; in != end; in += 4, out += 3) {
    const uint32_t word = group(in);
    wrong |= word;
    std::memcpy(out, &word, 4);
  }
  uint32_t left_over = 0;
  if (tail > 1) {
    const uint8_t last[4] = {in[0], in[1], tail == 3 ? in[2] : uint8_t{'A'}, 'A'};
    const uint32_t word = group(last);
    wrong |= word;
    std::memcpy(out, &word, tail - 1);
    left_over = word >> (8 * (tail - 1)) & 0xffffff;
  }
  bytes.resize(start + size);
  if ((wrong & kWrong) != 0) {
    for (size_t i = 0; i < text.size(); ++i) {
      if (kPlaces[0][static_cast<uint8_t>(text[i])] == kWrong) return i;
    }
  }
  if (tail == 1 || left_over != 0) return text.size() - 1;
  return std::nullopt;
}

}  // namespace sluice::consumer
