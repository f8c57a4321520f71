// SPDX-License-Identifier: Apache-2.0
#include "filter/number.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace sluice::filter {
namespace {

constexpr double kTwoTo63 = 9223372036854775808.0;
constexpr double kTwoTo64 = 18446744073709551616.0;
constexpr size_t kSafeDigits = 18;             // any that many fit 64 bits
constexpr int64_t kMaxExponent = 100'000'000;  // where exponents saturate, far beyond any double

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// A whole number against one that is not, or that is beyond 64 bits.
std::strong_ordering compare_mixed(Int128 whole, double real) {
  // Whole ones may be wider than 64 bits, but no double between 2^126 and infinity is smaller than any of them.
  if (real >= std::ldexp(1.0, 126)) return std::strong_ordering::less;
  if (real <= -std::ldexp(1.0, 126)) return std::strong_ordering::greater;
  const double floor = std::floor(real);
  const auto below = static_cast<Int128>(floor);
  if (whole != below) return whole <=> below;
  return floor == real ? std::strong_ordering::equal : std::strong_ordering::less;
}

/// Most numbers are whole and short. False: not one of those.
bool parse_short(std::string_view text, Number& number) {
  const bool negative = !text.empty() && text[0] == '-';
  if (negative) text.remove_prefix(1);
  if (text.empty() || text.size() > kSafeDigits || (text[0] == '0' && text.size() > 1)) return false;
  int64_t value = 0;  // of at most kSafeDigits
  for (const char c : text) {
    const auto digit = static_cast<uint8_t>(c - '0');
    if (digit > 9) return false;
    value = value * 10 + digit;
  }
  number = Number::of_whole(negative ? -value : value);
  return true;
}

/// Where the parts of a JSON number end, or malformed.
struct Shape {
  size_t integer = 0;   // first digit
  size_t fraction = 0;  // end of the integer part
  size_t exponent = 0;  // end of the fraction
  bool valid = false;
};

Shape shape_of(std::string_view text) {
  Shape shape;
  size_t at = 0;
  const auto digits = [&] {
    const size_t start = at;
    while (at < text.size() && is_digit(text[at])) ++at;
    return at - start;
  };
  if (at < text.size() && text[at] == '-') ++at;
  shape.integer = at;
  const size_t integer_digits = digits();
  if (integer_digits == 0 || (integer_digits > 1 && text[shape.integer] == '0')) return shape;
  shape.fraction = at;
  if (at < text.size() && text[at] == '.') {
    ++at;
    if (digits() == 0) return shape;
  }
  shape.exponent = at;
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    ++at;
    if (at < text.size() && (text[at] == '+' || text[at] == '-')) ++at;
    if (digits() == 0) return shape;
  }
  shape.valid = at == text.size();
  return shape;
}

/// Whether a number that no double can hold is too small for one, and not too large.
bool below_one(std::string_view text, const Shape& shape) {
  int64_t exponent = 0;
  bool negative = false;
  for (size_t at = shape.exponent + 1; at < text.size(); ++at) {
    if (text[at] == '-') negative = true;
    if (is_digit(text[at])) exponent = std::min(kMaxExponent, exponent * 10 + (text[at] - '0'));
  }
  if (negative) exponent = -exponent;
  if (text[shape.integer] != '0') return static_cast<int64_t>(shape.fraction - shape.integer) + exponent <= 0;
  size_t at = shape.fraction + 1;  // behind the point
  while (at < shape.exponent && text[at] == '0') ++at;
  return exponent - static_cast<int64_t>(at - shape.fraction - 1) <= 0;
}

/// Any other.
NumberSyntax parse_any(std::string_view text, Number& number) {
  const Shape shape = shape_of(text);
  if (!shape.valid) return NumberSyntax::malformed;
  if (shape.fraction == text.size()) {
    const bool negative = shape.integer == 1;
    const std::string_view digits = text.substr(shape.integer);
    uint64_t magnitude = 0;
    const bool fits = std::from_chars(digits.data(), digits.data() + digits.size(), magnitude).ec == std::errc() &&
                      (!negative || magnitude <= uint64_t{1} << 63);
    if (fits) {
      number = Number::of_whole(negative ? -static_cast<Int128>(magnitude) : static_cast<Int128>(magnitude));
      return NumberSyntax::number;
    }
  }
  double value = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc()) {
    if (!below_one(text, shape)) return NumberSyntax::too_large;
    value = 0;
  }
  number = Number::of_real(value);
  return NumberSyntax::number;
}

}  // namespace

Number Number::of_real(double value) {
  if (value >= -kTwoTo63 && value < kTwoTo64 && value == std::floor(value)) {
    return of_whole(static_cast<Int128>(value));
  }
  return Number(0, value, false);
}

std::strong_ordering Number::compare_reals(const Number& other) const {
  if (whole_) return compare_mixed(integer_, other.real_);
  if (other.whole_) return 0 <=> compare_mixed(other.integer_, real_);
  return real_ < other.real_   ? std::strong_ordering::less
         : real_ > other.real_ ? std::strong_ordering::greater
                               : std::strong_ordering::equal;
}

std::string Number::text() const {
  if (!whole_) return fmt::format("{}", real_);
  return integer_ < 0 ? fmt::format("{}", static_cast<int64_t>(integer_))
                      : fmt::format("{}", static_cast<uint64_t>(integer_));
}

NumberSyntax parse_number(std::string_view text, Number& number) {
  return parse_short(text, number) ? NumberSyntax::number : parse_any(text, number);
}

}  // namespace sluice::filter
