// SPDX-License-Identifier: Apache-2.0
// The numbers of filters and of JSON: whole ones of 64 bits, signed or not, are exact; others are doubles. They compare
// by their mathematical value, whatever the spelling: 1, 1.0 and 1e0 are one number, 2^53 and 2^53 + 1 are two. Plain
// values.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace sluice::filter {

__extension__ using Int128 = __int128;

class Number {
 public:
  Number() = default;
  /// Also wider than 64 bits: nanoseconds of a distant year.
  static Number of_whole(Int128 value) { return Number(value, 0, true); }
  /// `value` is finite. A whole one within 64 bits becomes exact.
  static Number of_real(double value);

  bool whole() const { return whole_; }
  Int128 as_whole() const { return integer_; }  // if whole()
  double as_real() const { return real_; }      // if not

  std::strong_ordering operator<=>(const Number& other) const {
    return whole_ && other.whole_ ? integer_ <=> other.integer_ : compare_reals(other);
  }
  bool operator==(const Number& other) const { return (*this <=> other) == 0; }

  /// As in JSON; reading it gives the same number. For numbers of at most 64 bits.
  std::string text() const;

 private:
  Number(Int128 integer, double real, bool whole) : integer_(integer), real_(real), whole_(whole) {}

  /// One of the two is not whole.
  std::strong_ordering compare_reals(const Number& other) const;

  Int128 integer_ = 0;
  double real_ = 0;  // not whole, or beyond 64 bits
  bool whole_ = true;
};

enum class NumberSyntax {
  number,
  too_large,  // no double is as large
  malformed,
};

/// Reads all of `text`, in JSON's grammar. Whole numbers beyond 64 bits, and all with a fraction or an exponent, are
/// the nearest double.
NumberSyntax parse_number(std::string_view text, Number& number);

}  // namespace sluice::filter
