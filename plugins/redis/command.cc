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

/// The end of the command that begins at `at` in the text; `lent` counts the pieces that are passed.
size_t Command::skip_command(size_t at, size_t& lent) const {
  const auto number = [&] {
    const size_t end = text_.find('\r', at);
    size_t value = 0;
    std::from_chars(text_.data() + at + 1, text_.data() + end, value);
    at = end + 2;
    return value;
  };
  for (size_t arguments = number(); arguments > 0; --arguments) {
    const size_t size = number();
    if (lent < lent_.size() && lent_[lent].at == at) {
      ++lent;
    } else {
      at += size;
    }
    at += 2;
  }
  return at;
}

Command Command::asking() const {
  Command all;
  size_t lent = 0;
  for (size_t at = 0; at < text_.size();) {
    all.begin(1).add("ASKING");
    const size_t first = lent;
    const size_t shift = all.text_.size() - at;
    const size_t end = skip_command(at, lent);
    for (size_t i = first; i < lent; ++i) {
      all.lent_.push_back({lent_[i].at + shift, lent_[i].bytes});
      all.bytes_ += lent_[i].bytes.size();
    }
    all.text_.append(text_, at, end - at);
    all.bytes_ += end - at;
    ++all.count_;
    at = end;
  }
  return all;
}

void Command::drop_asking(std::vector<Reply>& replies) {
  std::vector<Reply> kept;
  for (size_t i = 1; i < replies.size(); i += 2) kept.push_back(std::move(replies[i]));
  replies = std::move(kept);
}

Bytes Command::piece(size_t index) const {
  const size_t which = index / 2;
  if (index % 2 == 1) return lent_[which].bytes;
  const size_t from = which == 0 ? 0 : lent_[which - 1].at;
  const size_t to = which == lent_.size() ? text_.size() : lent_[which].at;
  return as_bytes(std::string_view(text_).substr(from, to - from));
}

}  // namespace sluice::redis
