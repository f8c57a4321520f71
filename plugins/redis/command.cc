// SPDX-License-Identifier: Apache-2.0
#include "redis/command.hpp"

#include <charconv>

namespace sluice::redis {
namespace {

void append_header(std::string& text, char kind, size_t number) {
  char digits[24];
  digits[0] = kind;
  char* end = std::to_chars(digits + 1, digits + sizeof digits - 2, number).ptr;
  *end++ = '\r';
  *end++ = '\n';
  text.append(digits, end);
}

}  // namespace

Command::Command(std::initializer_list<std::string_view> arguments) {
  begin(arguments.size());
  for (const std::string_view argument : arguments) add(argument);
}

Command& Command::begin(size_t arguments) {
  const size_t before = text_.size();
  append_header(text_, '*', arguments);
  bytes_ += text_.size() - before;
  ++count_;
  return *this;
}

Command& Command::add(std::string_view argument) {
  const size_t before = text_.size();
  append_header(text_, '$', argument.size());
  text_ += argument;
  text_ += "\r\n";
  bytes_ += text_.size() - before;
  return *this;
}

Command& Command::add(int64_t number) {
  char digits[24];
  const char* end = std::to_chars(digits, digits + sizeof digits, number).ptr;
  return add(std::string_view(digits, static_cast<size_t>(end - digits)));
}

Command& Command::lend(Bytes argument) {
  if (argument.size() <= kCopiedBytes) return add(as_text(argument));
  const size_t before = text_.size();
  append_header(text_, '$', argument.size());
  lent_.push_back({text_.size(), argument});
  text_ += "\r\n";
  bytes_ += text_.size() - before + argument.size();
  return *this;
}

Bytes Command::piece(size_t index) const {
  const size_t which = index / 2;
  if (index % 2 == 1) return lent_[which].bytes;
  const size_t from = which == 0 ? 0 : lent_[which - 1].at;
  const size_t to = which == lent_.size() ? text_.size() : lent_[which].at;
  return as_bytes(std::string_view(text_).substr(from, to - from));
}

}  // namespace sluice::redis
