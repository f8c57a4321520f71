// SPDX-License-Identifier: Apache-2.0
#include "base/uuid.hpp"

namespace sluice {
namespace {

constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

int digit_value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '-') return 62;
  if (c == '_') return 63;
  return -1;
}

}  // namespace

std::string Uuid::to_string() const {
  std::string text;
  text.reserve(kTextChars);
  uint32_t bits = 0;
  int held = 0;
  for (const uint8_t byte : bytes) {
    bits = bits << 8 | byte;
    held += 8;
    while (held >= 6) {
      held -= 6;
      text.push_back(kAlphabet[bits >> held & 63]);
    }
  }
  text.push_back(kAlphabet[bits << (6 - held) & 63]);
  return text;
}

std::optional<Uuid> Uuid::parse(std::string_view text) {
  if (text.size() != kTextChars) return std::nullopt;
  Uuid id;
  size_t filled = 0;
  uint32_t bits = 0;
  int held = 0;
  for (const char c : text) {
    const int value = digit_value(c);
    if (value < 0) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(value);
    held += 6;
    if (held >= 8) {
      held -= 8;
      id.bytes[filled++] = static_cast<uint8_t>(bits >> held);
    }
  }
  if ((bits & ((1U << held) - 1)) != 0) return std::nullopt;
  return id;
}

Uuid Uuid::from_words(uint64_t high, uint64_t low) {
  Uuid id;
  for (size_t i = 0; i < 8; ++i) {
    id.bytes[i] = static_cast<uint8_t>(high >> (56 - 8 * i));
    id.bytes[8 + i] = static_cast<uint8_t>(low >> (56 - 8 * i));
  }
  return id;
}

}  // namespace sluice
