// SPDX-License-Identifier: Apache-2.0
// The hash that routes: 64 x 64 -> 128 bit multiplications folded, 16 bytes at a time. The same on every machine of the
// same byte order and for ever, since it decides which shard a key goes to. Not for use against those who choose keys
// to collide.
#pragma once

#include <cstdint>
#include <cstring>

#include "sluice/bytes.hpp"

namespace sluice::bus {

inline uint64_t fold_multiply(uint64_t a, uint64_t b) {
  const unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

inline uint64_t hash_key(Bytes key) {
  constexpr uint64_t kFirst = 0x9e3779b97f4a7c15;
  constexpr uint64_t kSecond = 0xd6e8feb86659fd93;
  const auto word = [](const uint8_t* at) {
    uint64_t value;
    std::memcpy(&value, at, sizeof value);
    return value;
  };
  const auto half = [](const uint8_t* at) {
    uint32_t value;
    std::memcpy(&value, at, sizeof value);
    return uint64_t{value};
  };
  const uint8_t* at = key.data();
  size_t left = key.size();
  uint64_t state = fold_multiply(left ^ kFirst, kSecond);
  for (; left > 16; left -= 16, at += 16) state = fold_multiply(word(at) ^ kFirst, word(at + 8) ^ state);
  uint64_t a = 0;
  uint64_t b = 0;
  if (left >= 8) {
    a = word(at);
    b = word(at + left - 8);
  } else if (left >= 4) {
    a = half(at);
    b = half(at + left - 4);
  } else if (left != 0) {
    a = uint64_t{at[0]} | uint64_t{at[left / 2]} << 8 | uint64_t{at[left - 1]} << 16;
  }
  return fold_multiply(fold_multiply(a ^ kFirst, b ^ state), kSecond);
}

/// Which of `count` > 0 a hash means: evenly, without a division.
inline uint32_t pick(uint64_t hash, uint32_t count) {
  return static_cast<uint32_t>(((hash >> 32) * count) >> 32);
}

}  // namespace sluice::bus
