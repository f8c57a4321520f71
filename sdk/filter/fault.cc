// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "filter/forms.hpp"

namespace sluice::filter {
namespace {

constexpr size_t kMaxShownBytes = 72;  // of a line, around the fault

bool continues(char c) {
  return (static_cast<uint8_t>(c) & 0xc0) == 0x80;
}

/// The line of `text` around `offset`, what precedes a long way off cut away, and a caret under the offset.
std::string pointed(std::string_view text, size_t offset) {
  size_t start = offset == 0 ? 0 : text.rfind('\n', offset - 1) + 1;  // npos + 1 is 0
  size_t end = std::min(text.find('\n', offset), text.size());
  std::string_view before, after;
  if (offset - start > kMaxShownBytes / 2) {
    start = offset - kMaxShownBytes / 2;
    while (start < offset && continues(text[start])) ++start;
    before = "...";
  }
  if (end - offset > kMaxShownBytes / 2) {
    end = offset + kMaxShownBytes / 2;
    while (end > offset && continues(text[end])) --end;
    after = "...";
  }
  std::string line;
  for (const char c : text.substr(start, end - start)) line += static_cast<uint8_t>(c) < 0x20 || c == 0x7f ? ' ' : c;
  const auto columns = static_cast<size_t>(std::count_if(text.begin() + static_cast<std::ptrdiff_t>(start),
                                                         text.begin() + static_cast<std::ptrdiff_t>(offset),
                                                         [](char c) { return !continues(c); }));
  return fmt::format("\n  {}{}{}\n  {:>{}}", before, line, after, '^', before.size() + columns + 1);
}

}  // namespace

Fault fault_at(std::string_view text, size_t offset, std::string message, StatusCode code) {
  Fault fault;
  fault.where.offset = std::min(offset, text.size());
  fault.where.message = std::move(message);
  fault.code = code;
  // What is shown is copied alone: a text may be long, and faults many.
  fault.line = pointed(text, fault.where.offset);
  return fault;
}

Status describe(const Fault& fault) {
  const FilterFault& where = fault.where;
  std::string place = where.pointer;
  if (place.empty() && !fault.line.empty()) place = fmt::format("byte {}", where.offset);
  return Status(fault.code,
                fmt::format("filter: {}{}{}{}", place, place.empty() ? "" : ": ", where.message, fault.line));
}

}  // namespace sluice::filter
