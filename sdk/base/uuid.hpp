// SPDX-License-Identifier: Apache-2.0
// A 128 bit id, as Kafka uses for topics, directories and clusters: sixteen bytes, written as 22 characters of URL-safe
// base64 without padding. Plain values without threading rules.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace sluice {

struct Uuid {
  /// Length of the text form in characters.
  static constexpr size_t kTextChars = 22;

  std::array<uint8_t, 16> bytes{};

  auto operator<=>(const Uuid&) const = default;

  /// All zero: the protocol's "no id".
  bool is_zero() const { return *this == Uuid{}; }

  /// Kafka's text form: 22 characters of base64 with '-' and '_', unpadded.
  std::string to_string() const;

  /// The id that `text` names; nothing unless it is exactly what to_string() would give (spare bits zero).
  static std::optional<Uuid> parse(std::string_view text);

  /// Big-endian from two halves.
  static Uuid from_words(uint64_t high, uint64_t low);
};

/// A random id (RFC 4122 version 4). `next` returns uniformly distributed uint64_t; it is called twice, and again while
/// the text form would begin with '-', which tools take for an option (Kafka avoids the same).
template <class Generator>
Uuid random_uuid(Generator&& next) {
  for (;;) {
    const uint64_t high = (next() & ~uint64_t{0xf000}) | uint64_t{0x4000};
    const uint64_t low = (next() & ~(uint64_t{3} << 62)) | (uint64_t{2} << 62);
    if (high >> 58 != 62) return Uuid::from_words(high, low);
  }
}

}  // namespace sluice

template <>
struct std::hash<sluice::Uuid> {
  size_t operator()(const sluice::Uuid& id) const noexcept {
    uint64_t words[2];
    std::memcpy(words, id.bytes.data(), sizeof words);
    return static_cast<size_t>(words[0] ^ (words[1] * 0x9e3779b97f4a7c15ULL));
  }
};
