// SPDX-License-Identifier: Apache-2.0
#include "filter/lexer.hpp"

#include <algorithm>

#include "filter/quote.hpp"

namespace sluice::filter {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
bool starts_word(char c) {
  return (lower(c) >= 'a' && lower(c) <= 'z') || c == '_' || c == '$' || c == '@';
}
bool in_word(char c) {
  return starts_word(c) || is_digit(c) || c == '-';
}
bool in_number(char c) {
  return is_digit(c) || c == '.' || c == 'e' || c == 'E' || c == '+' || c == '-';
}
bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

}  // namespace

bool Token::is_word(std::string_view keyword) const {
  return kind == Kind::word && std::equal(spelling.begin(), spelling.end(), keyword.begin(), keyword.end(),
                                          [](char a, char b) { return lower(a) == b; });
}

Token Lexer::token(Token::Kind kind, size_t start) const {
  Token token;
  token.kind = kind;
  token.offset = start;
  token.spelling = text_.substr(start, at_ - start);
  return token;
}

Read<Token> Lexer::next() {
  while (at_ < text_.size() && is_space(text_[at_])) ++at_;
  const size_t start = at_;
  if (at_ == text_.size()) return token(Token::Kind::end, start);
  const char c = text_[at_];
  if (starts_word(c)) {
    while (at_ < text_.size() && in_word(text_[at_])) ++at_;
    return token(Token::Kind::word, start);
  }
  if (c == '"' || c == '\'') return string(c);
  if (c == '/') return regex();
  if (is_digit(c) || c == '-') return number();
  const std::string_view two = text_.substr(at_, 2);
  if (two == "==" || two == "!=" || two == "<=" || two == ">=") {
    at_ += 2;
    return token(Token::Kind::symbol, start);
  }
  if (std::string_view("()[],.=<>").find(c) != std::string_view::npos) {
    ++at_;
    return token(Token::Kind::symbol, start);
  }
  return tl::unexpected(fault(at_, "unexpected character"));
}

Read<Token> Lexer::string(char mark) {
  const size_t start = at_++;
  while (at_ < text_.size() && text_[at_] != mark) at_ += text_[at_] == '\\' ? 2 : 1;
  if (at_ >= text_.size()) return tl::unexpected(fault(start, "this string has no end"));
  Token string;
  const std::string_view raw = text_.substr(start + 1, at_ - start - 1);
  if (const auto bad = unescape(raw, Escapes::text, string.bytes)) {
    return tl::unexpected(fault(start + 1 + *bad, "unknown escape in a string"));
  }
  ++at_;
  std::string bytes = std::move(string.bytes);
  string = token(Token::Kind::string, start);
  string.bytes = std::move(bytes);
  return string;
}

Read<Token> Lexer::regex() {
  const size_t start = at_++;
  std::string bytes;
  while (at_ < text_.size() && text_[at_] != '/') {
    if (text_[at_] == '\\' && at_ + 1 < text_.size()) {
      // RE2's own escapes stay as they are.
      if (text_[at_ + 1] != '/') bytes += text_[at_];
      ++at_;
    }
    bytes += text_[at_++];
  }
  if (at_ == text_.size()) return tl::unexpected(fault(start, "this regular expression has no end"));
  ++at_;
  Token regex = token(Token::Kind::regex, start);
  regex.bytes = std::move(bytes);
  return regex;
}

Read<Token> Lexer::number() {
  const size_t start = at_++;
  while (at_ < text_.size() && in_number(text_[at_])) ++at_;
  Token number = token(Token::Kind::number, start);
  switch (parse_number(number.spelling, number.number)) {
    case NumberSyntax::number:
      return number;
    case NumberSyntax::too_large:
      return tl::unexpected(fault(start, "this number is larger than any double"));
    default:
      return tl::unexpected(fault(start, "this is no number of JSON"));
  }
}

}  // namespace sluice::filter
