// SPDX-License-Identifier: Apache-2.0
// RFC 4648 section 5, without padding: bytes as text that needs no quoting anywhere. Pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.hpp"

namespace sluice::consumer {

constexpr size_t base64url_size(size_t bytes) {
  return (bytes * 4 + 2) / 3;
}

/// Appends base64url_size(bytes.size()) characters.
void base64url_append(Bytes bytes, std::string& text);

/// Appends what `text` says. Else the index of the first character that is wrong: not of the alphabet, a length that
/// no bytes have, bits set beyond the last byte.
std::optional<size_t> base64url_decode(std::string_view text, Buffer& bytes);

}  // namespace sluice::consumer
