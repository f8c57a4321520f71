// SPDX-License-Identifier: Apache-2.0
#include "filter/quote.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <cstdint>

namespace sluice::filter {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// The number of `count` hexadecimal digits at `at`; nullopt: they are not there.
std::optional<uint32_t> hex_at(std::string_view text, size_t at, size_t count) {
  if (text.size() < at || text.size() - at < count) return std::nullopt;
  uint32_t value = 0;
  for (size_t i = 0; i < count; ++i) {
    const int digit = hex_digit(text[at + i]);
    if (digit < 0) return std::nullopt;
    value = value * 16 + static_cast<uint32_t>(digit);
  }
  return value;
}

void append_utf8(uint32_t point, std::string& out) {
  if (point < 0x80) {
    out += static_cast<char>(point);
  } else if (point < 0x800) {
    out += static_cast<char>(0xc0 | point >> 6);
    out += static_cast<char>(0x80 | (point & 0x3f));
  } else if (point < 0x10000) {
    out += static_cast<char>(0xe0 | point >> 12);
    out += static_cast<char>(0x80 | (point >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (point & 0x3f));
  } else {
    out += static_cast<char>(0xf0 | point >> 18);
    out += static_cast<char>(0x80 | (point >> 12 & 0x3f));
    out += static_cast<char>(0x80 | (point >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (point & 0x3f));
  }
}

/// Appends the character of \uXXXX, or of a surrogate pair of two, whose first digits are at `at`. Returns how many
/// bytes follow the `u`; 0: malformed.
size_t append_unicode(std::string_view raw, size_t at, std::string& out) {
  const auto first = hex_at(raw, at, 4);
  if (!first || (*first >= 0xdc00 && *first < 0xe000)) return 0;
  if (*first < 0xd800 || *first >= 0xe000) {
    append_utf8(*first, out);
    return 4;
  }
  if (raw.substr(at + 4, 2) != "\\u") return 0;
  const auto second = hex_at(raw, at + 6, 4);
  if (!second || *second < 0xdc00 || *second >= 0xe000) return 0;
  append_utf8(0x10000 + ((*first - 0xd800) << 10) + (*second - 0xdc00), out);
  return 10;
}

/// The byte that `\c` stands for, or -1.
int simple_escape(char c, Escapes escapes) {
  switch (c) {
    case '"':
    case '\\':
    case '/':
      return c;
    case '\'':
      return escapes == Escapes::text ? c : -1;
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    default:
      return -1;
  }
}

/// Size of the UTF-8 character that `bytes` starts with; 0: none.
size_t utf8_size(std::string_view bytes) {
  const auto lead = static_cast<uint8_t>(bytes[0]);
  const size_t size = lead < 0x80 ? 1 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 0;
  return size != 0 && size <= bytes.size() && is_utf8(bytes.substr(0, size)) ? size : 0;
}

}  // namespace

std::optional<size_t> unescape(std::string_view raw, Escapes escapes, std::string& out) {
  size_t at = 0;
  while (at < raw.size()) {
    const size_t escape = std::min(raw.find('\\', at), raw.size());
    out.append(raw, at, escape - at);
    if (escape == raw.size()) break;
    at = escape + 2;
    if (at > raw.size()) return escape;
    const char kind = raw[at - 1];
    if (const int byte = simple_escape(kind, escapes); byte >= 0) {
      out += static_cast<char>(byte);
    } else if (kind == 'u') {
      const size_t used = append_unicode(raw, at, out);
      if (used == 0) return escape;
      at += used;
    } else if (kind == 'x' && escapes == Escapes::text) {
      const auto value = hex_at(raw, at, 2);
      if (!value) return escape;
      out += static_cast<char>(*value);
      at += 2;
    } else {
      return escape;
    }
  }
  return std::nullopt;
}

bool is_utf8(std::string_view bytes) {
  return simdjson::validate_utf8(bytes.data(), bytes.size());
}

std::string quote(std::string_view bytes) {
  std::string text = "\"";
  for (size_t at = 0; at < bytes.size();) {
    const char c = bytes[at];
    const size_t size = utf8_size(bytes.substr(at));
    if (c == '"' || c == '\\') {
      text += '\\';
      text += c;
    } else if (c == '\n') {
      text += "\\n";
    } else if (c == '\t') {
      text += "\\t";
    } else if (c == '\r') {
      text += "\\r";
    } else if (size == 0 || static_cast<uint8_t>(c) < 0x20 || c == 0x7f) {
      text += fmt::format("\\x{:02x}", static_cast<uint8_t>(c));
    } else {
      text.append(bytes, at, size);
      at += size - 1;
    }
    ++at;
  }
  return text + '"';
}

std::string hex_of(std::string_view bytes) {
  std::string digits;
  for (const char c : bytes) digits += fmt::format("{:02x}", static_cast<uint8_t>(c));
  return digits;
}

std::optional<std::string> from_hex(std::string_view digits) {
  std::string bytes;
  for (size_t at = 0; at < digits.size(); at += 2) {
    const auto value = hex_at(digits, at, 2);
    if (!value) return std::nullopt;
    bytes += static_cast<char>(*value);
  }
  return bytes;
}

}  // namespace sluice::filter
