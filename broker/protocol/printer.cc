// SPDX-License-Identifier: Apache-2.0
#include "protocol/printer.hpp"

#include <utility>

namespace sluice::protocol {

std::string Printer::take() && {
  if (full()) {
    line_.resize(kMaxDescriptionBytes - 3);
    line_ += "...";
  }
  return std::move(line_);
}

void Printer::print(int64_t value) {
  raw(std::to_string(value));
}

void Printer::print(std::string_view value) {
  constexpr char kHex[] = "0123456789abcdef";
  if (full()) return;
  line_ += '"';
  for (const char c : value.substr(0, kMaxDescriptionBytes)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      line_ += "\\x";
      line_ += kHex[byte >> 4];
      line_ += kHex[byte & 15];
      continue;
    }
    if (c == '"' || c == '\\') line_ += '\\';
    line_ += c;
  }
  line_ += '"';
}

void Printer::print_size(const RecordsOut& value) {
  if (value.is_null) return raw("null");
  print_bytes(value.size_bytes());
}

void Printer::print_bytes(size_t size_bytes) {
  raw("<");
  raw(std::to_string(size_bytes));
  raw(" bytes>");
}

void Printer::label(std::string_view name) {
  if (full()) return;
  if (!line_.empty() && line_.back() != '{') line_ += ", ";
  line_ += name;
  line_ += '=';
}

}  // namespace sluice::protocol
