// SPDX-License-Identifier: Apache-2.0
// Numbers, times and quotes.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "filter/number.hpp"
#include "filter/quote.hpp"
#include "filter/time.hpp"

namespace sluice::filter {
namespace {

Number number(std::string_view text) {
  Number number;
  EXPECT_EQ(parse_number(text, number), NumberSyntax::number) << text;
  return number;
}

TEST(FilterNumber, syntax_is_jsons) {
  Number out;
  for (const char* text :
       {"", "-", "+1", "01", "-01", "1.", ".1", "1e", "1e+", "1.e1", "0x1", "1 ", " 1", "1e1.5", "--1", "NaN", "1a"}) {
    EXPECT_EQ(parse_number(text, out), NumberSyntax::malformed) << text;
  }
  for (const char* text : {"1e999", "-1e999", "0.00001e999", "1e99999999999999999999"}) {
    EXPECT_EQ(parse_number(text, out), NumberSyntax::too_large) << text;
  }
  for (const char* text :
       {"1e-999", "-1e-999", "0.000000001e-330", "123e-999", "1e-99999999999999999999", "0e999", "0.0e-999", "-0"}) {
    EXPECT_EQ(number(text), Number::of_whole(0)) << text;
  }
  EXPECT_EQ(parse_number(std::string(1'000, '9'), out), NumberSyntax::too_large);
  EXPECT_EQ(number("0." + std::string(1'000, '0') + "1"), Number::of_whole(0));
}

TEST(FilterNumber, compares_by_value) {
  const char* rising[] = {"-1e300",
                          "-9223372036854775809e1",
                          "-18446744073709551616",
                          "-9223372036854775808",
                          "-9223372036854775807",
                          "-1.5",
                          "-1",
                          "-0.5",
                          "0",
                          "5e-324",
                          "0.5",
                          "1",
                          "1.0000000000000002",
                          "9007199254740992",
                          "9007199254740993",
                          "9223372036854775807",
                          "9223372036854775808",
                          "18446744073709551614",
                          "18446744073709551615",
                          "18446744073709551616",
                          "1e300"};
  for (size_t i = 0; i < std::size(rising); ++i) {
    for (size_t j = 0; j < std::size(rising); ++j) {
      EXPECT_EQ(number(rising[i]) <=> number(rising[j]), i <=> j) << rising[i] << " " << rising[j];
    }
    EXPECT_EQ(number(number(rising[i]).text()), number(rising[i])) << rising[i];
  }
  EXPECT_EQ(number("1"), number("1.0"));
  EXPECT_EQ(number("100"), number("1e2"));
  EXPECT_EQ(number("-9223372036854775808"), number("-9223372036854775808.0"));
  EXPECT_EQ(number("18446744073709551616"), number("18446744073709551616.0"));
  // Times are wider than 64 bits.
  const Number wide = Number::of_whole(Int128{1} << 80);
  EXPECT_EQ(wide, Number::of_real(std::ldexp(1.0, 80)));
  EXPECT_GT(wide, number("18446744073709551616"));
  EXPECT_LT(wide, number("1e300"));
  EXPECT_GT(wide, number("-1e300"));
}

TEST(FilterTime, reads_iso_8601) {
  const auto seconds = [](const char* text) {
    const auto time = parse_time(text);
    EXPECT_TRUE(time) << text;
    return time ? static_cast<int64_t>(*time / kNanosPerSecond) : -1;
  };
  EXPECT_EQ(seconds("1970-01-01"), 0);
  EXPECT_EQ(seconds("1969-12-31T23:59:59Z"), -1);
  EXPECT_EQ(seconds("2000-02-29T00:00Z"), 951'782'400);
  EXPECT_EQ(seconds("2024-05-31t12:30:00z"), 1'717'158'600);
  EXPECT_EQ(seconds("2024-05-31 12:30:00+00:00"), 1'717'158'600);
  EXPECT_EQ(seconds("2038-01-19T03:14:08"), 2'147'483'648);
  EXPECT_EQ(seconds("0001-01-01"), -62'135'596'800);
  EXPECT_EQ(seconds("9999-12-31T23:59:59"), 253'402'300'799);
  EXPECT_EQ(parse_time("1970-01-01T00:00:00.5"), Int128{500'000'000});
  EXPECT_EQ(parse_time("1970-01-01T00:00:00.000000001Z"), Int128{1});
  EXPECT_EQ(parse_time("1970-01-01T01:00:00.000000001+01:00"), Int128{1});
  for (const char* text : {"",
                           "1970",
                           "1970-1-1",
                           "1970-13-01",
                           "1970-00-01",
                           "2023-02-29",
                           "1900-02-29",
                           "1970-01-01T",
                           "1970-01-01T24:00Z",
                           "1970-01-01T00",
                           "1970-01-01T00:60",
                           "1970-01-01T00:00:60",
                           "1970-01-01T00:00:00.",
                           "1970-01-01T00:00:00.1234567890",
                           "1970-01-01Z",
                           "1970-01-01T00:00+1",
                           "1970-01-01T00:00+24:00",
                           "1970-01-01T00:00Zx",
                           "0000-01-01",
                           "-001-01-01"}) {
    EXPECT_FALSE(parse_time(text)) << text;
  }
}

TEST(FilterQuote, every_byte_comes_back) {
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) bytes += static_cast<char>(byte);
  bytes += "\u00e9\u20ac\U0001f600\xe2\x82";
  const std::string text = quote(bytes);
  EXPECT_TRUE(is_utf8(text));
  std::string back;
  EXPECT_EQ(unescape(std::string_view(text).substr(1, text.size() - 2), Escapes::text, back), std::nullopt);
  EXPECT_EQ(back, bytes);
  EXPECT_EQ(from_hex(hex_of(bytes)), bytes);
  EXPECT_EQ(from_hex("0"), std::nullopt);
  EXPECT_EQ(from_hex("0g"), std::nullopt);
}

TEST(FilterQuote, escapes_that_are_none_are_found) {
  const std::pair<const char*, size_t> cases[] = {
      {"a\\", 1},      {"\\u12", 0}, {"\\u123g", 0}, {"ab\\udc00", 2}, {"\\ud800", 0}, {"\\ud800\\u0041", 0},
      {"\\ud800x", 0}, {"\\x41", 0}, {"\\'", 0},     {"\\U0041", 0}};
  for (const auto& [raw, at] : cases) {
    std::string out;
    EXPECT_EQ(unescape(raw, Escapes::json, out), at) << raw;
  }
  std::string out;
  EXPECT_EQ(unescape("\\x41\\'\\u0041\\ud83d\\ude00\\/", Escapes::text, out), std::nullopt);
  EXPECT_EQ(out, "A'A\U0001f600/");
}

}  // namespace
}  // namespace sluice::filter
