// SPDX-License-Identifier: Apache-2.0
// The words of the text form, one after the other. One thread; the text must outlive it.
#pragma once

#include <string>
#include <string_view>

#include "filter/forms.hpp"

namespace sluice::filter {

struct Token {
  enum class Kind { word, string, number, regex, symbol, end };
  Kind kind = Kind::end;
  size_t offset = 0;          // in the text
  std::string_view spelling;  // as it stands there
  std::string bytes;          // string and regex: what it stands for
  Number number;

  bool is(std::string_view symbol) const { return kind == Kind::symbol && spelling == symbol; }
  /// Whether it is that keyword; letters' case does not matter.
  bool is_word(std::string_view keyword) const;
};

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  Read<Token> next();
  std::string_view text() const { return text_; }
  Fault fault(size_t offset, std::string message) const { return fault_at(text_, offset, std::move(message)); }

 private:
  Read<Token> string(char mark);
  Read<Token> regex();
  Read<Token> number();
  /// Ends the token that began at `start`.
  Token token(Token::Kind kind, size_t start) const;

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace sluice::filter
