// SPDX-License-Identifier: Apache-2.0
// Strings between quotes: escapes of JSON, and those that the text form has besides; bytes as UTF-8 or not. Functions
// without state.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::filter {

enum class Escapes {
  json,  // \" \\ \/ \b \f \n \r \t \uXXXX
  text,  // those, and \' and \xHH, one byte of any value
};

/// Appends what `raw`, the inside of a quoted string, stands for. Returns where, in `raw`, an escape is none; nullopt:
/// all is well. Half of a surrogate pair is none.
std::optional<size_t> unescape(std::string_view raw, Escapes escapes, std::string& out);

bool is_utf8(std::string_view bytes);

/// `bytes` as a string of the text form, in double quotes: UTF-8 as it is, control characters and others as escapes.
std::string quote(std::string_view bytes);

std::string hex_of(std::string_view bytes);
std::optional<std::string> from_hex(std::string_view digits);

}  // namespace sluice::filter
