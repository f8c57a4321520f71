// SPDX-License-Identifier: Apache-2.0
// Random values for message fields: small ones, extremes, empty and null ones, all from one seed. Views point into text
// that the RandomValues keeps, so it must outlive what it filled.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/uuid.hpp"
#include "errors/error_code.hpp"
#include "protocol/types.hpp"

namespace sluice::protocol::cases {

class RandomValues {
 public:
  explicit RandomValues(uint64_t seed) : engine_(seed) {}

  uint64_t bits() { return engine_(); }
  bool one_in(uint64_t n) { return bits() % n == 0; }
  size_t array_size() { return one_in(20) ? 150 : bits() % 4; }
  /// Up to 300 bytes of anything, seldom longer.
  std::string text();
  std::string_view kept_text() { return kept_.emplace_back(text()); }

 private:
  std::mt19937_64 engine_;
  std::deque<std::string> kept_;
};

template <class T>
  requires(std::is_integral_v<T> && !std::is_same_v<T, bool>)
void fill(RandomValues& random, T& out) {
  const uint64_t bits = random.bits();
  switch (bits % 4) {
    case 0:
      out = static_cast<T>(bits >> 8);
      break;
    case 1:
      out = static_cast<T>((bits >> 8) % 100);
      break;
    case 2:
      out = std::numeric_limits<T>::max();
      break;
    default:
      out = std::numeric_limits<T>::min();
      break;
  }
}
inline void fill(RandomValues& random, bool& out) {
  out = random.one_in(2);
}
inline void fill(RandomValues& random, ErrorCode& out) {
  out = static_cast<ErrorCode>(random.bits() % 140);
}
inline void fill(RandomValues& random, Uuid& out) {
  out = random_uuid([&random] { return random.bits(); });
}
inline void fill(RandomValues& random, std::string_view& out) {
  out = random.kept_text();
}
inline void fill(RandomValues& random, std::string& out) {
  out = random.text();
}
inline void fill(RandomValues& random, Bytes& out) {
  out = random.kept_text();
}

/// Lent slices on both sides of the limit below which they are copied.
void fill(RandomValues& random, RecordsOut& out, bool nullable);

template <class T>
void fill(RandomValues& random, std::vector<T>& out) {
  out.resize(random.array_size());
  for (T& value : out) fill(random, value);
}
template <class T>
void fill(RandomValues& random, std::optional<T>& out, bool nullable) {
  if (nullable && random.one_in(3)) return out.reset();
  fill(random, out.emplace());
}
template <class T>
void fill(RandomValues& random, int16_t version, std::vector<T>& out) {
  out.resize(random.array_size() % 10);
  for (T& value : out) fill(random, version, value);
}
template <class T>
void fill(RandomValues& random, int16_t version, std::optional<T>& out, bool nullable) {
  if (nullable && random.one_in(3)) return out.reset();
  out = T{};
  fill(random, version, *out);
}

}  // namespace sluice::protocol::cases
