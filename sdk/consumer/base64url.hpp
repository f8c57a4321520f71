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

namespace base64url_detail {
/// The two ways to decode [in, end), whole groups of four characters, for tests that compare them: false if one of them
/// is wrong. One byte beyond what is made may be written. The second is only to be called where has_vectors() holds.
bool decode_with_tables(const uint8_t* in, const uint8_t* end, uint8_t* out);
bool decode_with_vectors(const uint8_t* in, const uint8_t* end, uint8_t* out);
bool has_vectors();
}  // namespace base64url_detail

}  // namespace sluice::consumer
