// SPDX-License-Identifier: Apache-2.0
// Byte sequences in tests, written as they are read.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <span>
#include <string_view>
#include <vector>

namespace sluice::protocol {

using Wire = std::vector<std::byte>;

inline Wire wire(std::initializer_list<int> values) {
  Wire bytes;
  for (const int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

inline Wire operator+(Wire a, const Wire& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

inline Wire operator+(Wire a, std::string_view text) {
  for (const char c : text) a.push_back(static_cast<std::byte>(c));
  return a;
}

}  // namespace sluice::protocol
