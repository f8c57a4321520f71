// SPDX-License-Identifier: Apache-2.0
#include "cli/text.hpp"

#include <gtest/gtest.h>

#include <string>

namespace sluice::cli {
namespace {

using namespace std::string_view_literals;

TEST(Table, SetsNumbersToTheRight) {
  Table table({"NAME", "COUNT", "NOTE"});
  table.add({"a", "5", "x"});
  table.add({"größer", "1234567", ""});
  table.add({"c", "-", "long"});
  EXPECT_EQ(table.text(),
            "NAME      COUNT  NOTE\n"
            "a             5  x\n"
            "größer  1234567\n"
            "c             -  long\n");
  EXPECT_EQ(Table({"A", "B"}).text(), "A  B\n");
}

TEST(Unescape, KnowsWhatCKnows) {
  EXPECT_EQ(*unescape(""), "");
  EXPECT_EQ(*unescape("a:b"), "a:b");
  EXPECT_EQ(*unescape("\\t\\n\\r\\\\"), "\t\n\r\\");
  EXPECT_EQ(*unescape("\\0"), "\0"sv);
  EXPECT_EQ(*unescape("\\x1f\\xFF\\x00!"), "\x1f\xff\0!"sv);
  for (const char* wrong : {"\\", "a\\", "\\q", "\\x", "\\x1", "\\xg0", "\\x 1", "\\x+1", "\\x-1"})
    EXPECT_FALSE(unescape(wrong)) << wrong;
}

TEST(HumanBytes, HasThreeDigits) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(999), "999 B");
  EXPECT_EQ(human_bytes(1000), "1.0 kB");
  EXPECT_EQ(human_bytes(1'549'000), "1.5 MB");
  EXPECT_EQ(human_bytes(999'999), "1.0 MB");
  EXPECT_EQ(human_bytes(UINT64_MAX), "18.4 EB");
}

TEST(JsonOf, TellsTextFromBytes) {
  EXPECT_EQ(json_of("").dump(), "\"\"");
  EXPECT_EQ(json_of("a\"b\n").dump(), "\"a\\\"b\\n\"");
  EXPECT_EQ(json_of("gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80").dump(), "\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80\"");
  EXPECT_EQ(json_of("\0"sv).dump(), "\"\\u0000\"");
  EXPECT_EQ(json_of("\xff").dump(), R"({"base64":"/w=="})");
  EXPECT_EQ(json_of("\xff\xfe").dump(), R"({"base64":"//4="})");
  EXPECT_EQ(json_of("\xff\xfe\xfd").dump(), R"({"base64":"//79"})");
  // Cut short, overlong, surrogates, beyond the last code point: none of it is UTF-8.
  for (const auto bytes : {"\xc3"sv, "\xc0\x80"sv, "\xe0\x80\x80"sv, "\xed\xa0\x80"sv, "\xf4\x90\x80\x80"sv,
                           "\xf0\x9f\x98"sv, "\x80"sv, "\xf5\x80\x80\x80"sv, "a\xc3z"sv}) {
    EXPECT_TRUE(json_of(bytes).is_object());
  }
}

RecordView record() {
  RecordView result;
  result.topic = "t";
  result.partition = 2;
  result.offset = 1LL << 40;
  result.timestamp = 1'600'000'000'000;
  result.key = "k";
  result.value = "v";
  result.headers = {{"a", "b"}, {"n", std::nullopt}, {"e", ""}};
  return result;
}

TEST(TextLine, HasTheFieldsAskedFor) {
  const std::vector<Field> all = {Field::topic, Field::partition, Field::offset, Field::timestamp,
                                  Field::key,   Field::headers,   Field::value};
  EXPECT_EQ(text_line(record(), {Field::value}, "\t"), "v\n");
  EXPECT_EQ(text_line(record(), all, "|"), "t|2|1099511627776|1600000000000|k|a=b,n=null,e=|v\n");
  RecordView bare;
  bare.topic = "t";
  EXPECT_EQ(text_line(bare, {Field::key, Field::headers, Field::value}, ","), "null,,null\n");
  RecordView binary;
  binary.value = "\xff\0\n"sv;
  EXPECT_EQ(text_line(binary, {Field::value}, ","), "\xff\0\n\n"sv);
}

TEST(JsonLine, TellsNullFromEmpty) {
  EXPECT_EQ(json_line(record()),
            R"({"topic":"t","partition":2,"offset":1099511627776,"timestamp":1600000000000,"key":"k","value":"v",)"
            R"("headers":[{"name":"a","value":"b"},{"name":"n","value":null},{"name":"e","value":""}]})"
            "\n");
  RecordView bare;
  bare.topic = "t";
  bare.value = "";
  EXPECT_EQ(json_line(bare),
            R"({"topic":"t","partition":0,"offset":0,"timestamp":null,"key":null,"value":"","headers":[]})"
            "\n");
}

}  // namespace
}  // namespace sluice::cli
