// SPDX-License-Identifier: Apache-2.0
// What filters say of records, case by case.
#include "sluice/filter.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <atomic>
#include <ostream>
#include <set>
#include <thread>

#include "sample_record.hpp"

namespace sluice {

void PrintTo(Truth truth, std::ostream* out) {
  *out << (truth == Truth::yes ? "yes" : truth == Truth::no ? "no" : "unknown");
}

namespace {

Truth evaluate(std::string_view text, const SampleRecord& sample) {
  auto filter = Filter::parse(text);
  if (!filter) {
    ADD_FAILURE() << text << "\n" << filter.error().text();
    return Truth::unknown;
  }
  FilterEvaluator evaluator(*filter);
  const Truth truth = evaluator.evaluate(sample.record());
  EXPECT_EQ(evaluator.passes(sample.record()), truth == Truth::yes) << text;
  // The JSON form and the normal form say the same.
  for (const auto& again : {Filter::parse(filter->text()), Filter::from_json(filter->json())}) {
    if (!again) {
      ADD_FAILURE() << text << "\n" << again.error().text();
      continue;
    }
    EXPECT_EQ(again->text(), filter->text());
    EXPECT_EQ(again->json(), filter->json());
    EXPECT_EQ(FilterEvaluator(*again).evaluate(sample.record()), truth) << text;
  }
  return truth;
}

struct Case {
  const char* text;
  Truth truth;
};

void check(const std::vector<Case>& cases, const SampleRecord& sample) {
  for (const Case& c : cases) EXPECT_EQ(evaluate(c.text, sample), c.truth) << c.text;
}

constexpr Truth kYes = Truth::yes;
constexpr Truth kNo = Truth::no;
constexpr Truth kUnknown = Truth::unknown;

TEST(Filter, keys_are_bytes_or_null) {
  SampleRecord sample;
  sample.key("order-17");
  check({{"key = \"order-17\"", kYes},
         {"key == 'order-17'", kYes},
         {"key != \"order-17\"", kNo},
         {"key < \"order-2\"", kYes},
         {"key >= \"order-17\"", kYes},
         {"key > \"order-17\"", kNo},
         {"key starts with \"order-\"", kYes},
         {"key not starts with \"order-\"", kNo},
         {"key matches /^order-\\d+$/", kYes},
         {"key matches \"7$\"", kYes},
         {"key not matches /x/", kYes},
         {"key in (\"a\", \"order-17\", \"b\")", kYes},
         {"key not in (\"a\", \"b\")", kYes},
         {"key exists", kYes},
         {"key is missing", kNo},
         {"key is null", kNo},
         {"key = null", kNo},
         {"key != null", kYes}},
        sample);
  check({{"key = \"a\"", kUnknown},
         {"not key = \"a\"", kUnknown},
         {"key is null", kYes},
         {"key is not null", kNo},
         {"key exists", kYes},
         {"key starts with \"\"", kUnknown}},
        SampleRecord());
}

TEST(Filter, bytes_compare_as_unsigned_and_need_not_be_utf8) {
  SampleRecord sample;
  sample.key(std::string("\xff\x00\x80", 3));
  check({{R"(key = "\xff\x00\x80")", kYes},
         {R"(key > "a")", kYes},
         {R"(key starts with "\xff")", kYes},
         {R"(key in ("\xff", "\xff\x00x"))", kNo},
         {R"(key matches /^\x{ff}/)", kNo}},
        sample);
}

TEST(Filter, the_last_header_of_a_name_counts) {
  SampleRecord sample;
  sample.header("tenant", "a").header("tenant", "b").header("odd \"name\"", "x").header("gone", std::nullopt);
  check({{"headers[\"tenant\"] = \"b\"", kYes},
         {"headers.tenant = \"b\"", kYes},
         {"headers['tenant'] = \"a\"", kNo},
         {R"(headers["odd \"name\""] = "x")", kYes},
         {"headers[\"Tenant\"] = \"b\"", kUnknown},
         {"headers[\"Tenant\"] exists", kNo},
         {"headers[\"Tenant\"] is missing", kYes},
         {"headers[\"Tenant\"] is null", kUnknown},
         {"headers[\"gone\"] is null", kYes},
         {"headers[\"gone\"] exists", kYes},
         {"headers[\"gone\"] is not missing", kYes},
         {"headers[\"gone\"] = \"\"", kUnknown}},
        sample);
}

TEST(Filter, partition_and_position_are_numbers) {
  SampleRecord sample;
  sample.partition(3).position(9'007'199'254'740'993);
  check({{"partition = 3", kYes},
         {"partition = 3.0", kYes},
         {"partition in (1, 2, 3)", kYes},
         {"partition > 3.5", kNo},
         {"position = 9007199254740993", kYes},
         {"offset = 9007199254740992", kNo},
         {"position > 9007199254740992", kYes},
         {"position < 1e300", kYes},
         {"position > -1e300", kYes},
         {"position < 18446744073709551615", kYes},
         {"position exists", kYes},
         {"position is null", kNo}},
        sample);
}

TEST(Filter, timestamps_compare_with_milliseconds_and_with_iso_8601) {
  SampleRecord sample;
  sample.timestamp_ms(1'717'158'600'123);  // 2024-05-31T12:30:00.123Z
  check({{"timestamp = 1717158600123", kYes},
         {"timestamp = \"2024-05-31T12:30:00.123Z\"", kYes},
         {"timestamp = \"2024-05-31T14:30:00.123+02:00\"", kYes},
         {"timestamp = \"2024-05-31 07:00:00.123-05:30\"", kYes},
         {"timestamp > \"2024-05-31T12:30Z\"", kYes},
         {"timestamp >= \"2024-05-31\"", kYes},
         {"timestamp < \"2024-06-01\"", kYes},
         {"timestamp > 9223372036854775807", kNo},
         {"timestamp > \"0001-01-01\"", kYes},
         {"timestamp < \"9999-12-31T23:59:59.999999999Z\"", kYes},
         {"timestamp in (1, 1717158600123)", kYes}},
        sample);
  check({{"timestamp > 0", kUnknown}, {"timestamp is missing", kYes}, {"timestamp exists", kNo}}, SampleRecord());
  SampleRecord old;
  old.timestamp_ns(-1);
  check({{"timestamp < \"1970-01-01\"", kYes}, {"timestamp = \"1969-12-31T23:59:59.999999999Z\"", kYes}}, old);
}

TEST(Filter, values_are_bytes_and_paths_lead_into_their_json) {
  SampleRecord sample;
  sample.value(R"({"order": {"items": [{"price": 7, "unit price": 1.5}, {"price": 8}], "id": "o-1"}, "ok": true,)"
               R"( "none": null, "": "empty", "a.b": 1, "list": [1, [2, 3]]})");
  check({{"value.order.items[0].price = 7", kYes},
         {"value.order.items[1].price = 8", kYes},
         {"value.order.items[2].price = 8", kUnknown},
         {"value.order.items[2].price exists", kNo},
         {"value.order.items[0][\"unit price\"] = 1.5", kYes},
         {"value.order.items[0].\"unit price\" < 2", kYes},
         {"value[\"order\"][\"id\"] = \"o-1\"", kYes},
         {"value.order[\"0\"] exists", kNo},
         {"value.order[0] exists", kNo},
         {"value.order exists and value.order is not null", kYes},
         {"value.order = 1", kUnknown},
         {"value.ok = true", kYes},
         {"value.ok != true", kNo},
         {"value.ok in (true, false)", kYes},
         {"value.ok in (false)", kNo},
         {"value.ok = \"true\"", kUnknown},
         {"value.ok = 1", kUnknown},
         {"value.none is null", kYes},
         {"value.none = 1", kUnknown},
         {"value.none exists", kYes},
         {"value[\"\"] = \"empty\"", kYes},
         {"value[\"a.b\"] = 1", kYes},
         {"value.a.b exists", kNo},
         {"value.list[1][1] = 3 and value.list[0] = 1", kYes},
         {"value.list[1] exists", kYes},
         {"value.order.id.deeper is missing", kYes},
         {"value starts with \"{\"", kYes},
         {"value matches /unit price/", kYes},
         {"value is null", kNo}},
        sample);
}

TEST(Filter, B34_payloads_are_any_bytes) {
  SampleRecord none, empty, null, binary, nulls;
  empty.value("");
  null.value("null");
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  binary.value(all);
  nulls.value(std::string(64, '\0'));
  check({{"value is null", kYes}, {"value.a is missing", kYes}, {"value.a = 1", kUnknown}, {"value = \"\"", kUnknown}},
        none);
  check({{"value is null", kNo}, {"value = \"\"", kYes}, {"value.a is missing", kUnknown}}, empty);
  check({{"value is null", kNo}, {"value = \"null\"", kYes}, {"value.a is missing", kYes}}, null);
  check({{"value is null", kNo},
         {"value.a exists", kUnknown},
         {"not value.a exists", kUnknown},
         {"value.a is null or key is null", kYes},
         {R"(value starts with "\x00\x01\x02")", kYes}},
        binary);
  check({{"value.a exists", kUnknown}}, nulls);
}

TEST(Filter, numbers_are_exact_within_64_bits) {
  SampleRecord sample;
  sample.value(
      R"({"big": 9007199254740993, "max": 18446744073709551615, "min": -9223372036854775808, "huge": 1e300,)"
      R"( "vast": 1e999, "real": 0.1, "one": 1.0, "zero": -0, "tiny": 1e-400, "long": 100000000000000000000})");
  check({{"value.big = 9007199254740993", kYes},
         {"value.big = 9007199254740992", kNo},
         {"value.big > 9007199254740992.0", kYes},
         {"value.max = 18446744073709551615", kYes},
         {"value.max > 18446744073709551614", kYes},
         {"value.max < 18446744073709551616", kYes},
         {"value.min = -9223372036854775808", kYes},
         {"value.min < -9223372036854775807", kYes},
         {"value.huge > 18446744073709551615", kYes},
         {"value.real = 0.1", kYes},
         {"value.real in (0.1, 5)", kYes},
         {"value.real < 1", kYes},
         {"value.real > 0", kYes},
         {"value.one = 1", kYes},
         {"value.zero = 0", kYes},
         {"value.tiny = 0", kYes},
         {"value.long = 1e20", kYes},
         {"value.vast > 1", kUnknown},
         {"value.vast exists", kYes},
         {"value.big = \"9007199254740993\"", kUnknown}},
        sample);
}

TEST(Filter, logic_is_kleenes) {
  SampleRecord sample;
  sample.key("k");
  const std::string yes = "key = \"k\"", no = "key = \"x\"", unknown = "headers.h = \"h\"";
  const std::pair<std::string, Truth> values[] = {{yes, kYes}, {no, kNo}, {unknown, kUnknown}};
  for (const auto& [a, left] : values) {
    EXPECT_EQ(evaluate("not " + a, sample), left == kYes ? kNo : left == kNo ? kYes : kUnknown);
    EXPECT_EQ(evaluate("not not " + a, sample), left);
    for (const auto& [b, right] : values) {
      const Truth both = std::min(left, right), either = std::max(left, right);
      EXPECT_EQ(evaluate(a + " and " + b, sample), both);
      EXPECT_EQ(evaluate(a + " or " + b, sample), either);
      EXPECT_EQ(evaluate("not (" + a + " and " + b + ")", sample), both == kYes ? kNo : both == kNo ? kYes : kUnknown);
      EXPECT_EQ(evaluate("NOT (" + a + " OR " + b + ")", sample), either == kYes  ? kNo
                                                                  : either == kNo ? kYes
                                                                                  : kUnknown);
    }
  }
}

TEST(Filter, and_binds_closer_than_or_and_not_closest) {
  SampleRecord sample;
  sample.partition(1);
  check({{"partition = 1 or partition = 2 and partition = 3", kYes},
         {"(partition = 1 or partition = 2) and partition = 3", kNo},
         {"not partition = 2 and partition = 1", kYes},
         {"not (partition = 2 and partition = 1)", kYes},
         {"not partition = 1 or partition = 1", kYes}},
        sample);
}

TEST(Filter, the_first_of_members_with_one_name_counts) {
  SampleRecord sample;
  sample.value(R"({"a": 1, "a": 2, "b": {"c": 1}, "b": {"d": 1}, "\u0061": 3, "z": 0})");
  check({{"value.a = 1", kYes},
         {"value.a = 1 and value.z = 0", kYes},
         {"value.b.c = 1", kYes},
         {"value.b.d exists or value.z = 1", kNo}},
        sample);
}

TEST(Filter, names_are_whole_however_long_and_wherever_they_are) {
  // The first eight bytes alike, one the beginning of another, the last bytes of the document, and none.
  SampleRecord sample;
  sample.value(
      R"({"customer":1,"customer_i":2,"customer_id":3,"customer_id ":4,"customer_name":5,"custome":6,"":7,"c":{"x":8}})");
  check({{"value.customer = 1 and value.custome = 6", kYes},
         {"value.customer_id = 3 and value.customer_name = 5", kYes},
         {"value.customer_i = 2 and value[\"customer_id \"] = 4", kYes},
         {"value[\"\"] = 7 and value.c.x = 8", kYes},
         {"value.customer_ exists or value.cust exists or value.customer_id_ exists", kNo},
         {"value.customer.x exists or value.x exists", kNo}},
        sample);
  SampleRecord small;
  small.value(R"({"a":1})");
  check({{"value.a = 1", kYes}, {"value.ab exists or value[\"\"] exists", kNo}}, small);
  small.value(R"({"":[]})");
  check({{"value[\"\"] exists", kYes}, {"value[\"\"][0] exists", kNo}, {"value.a exists", kNo}}, small);
}

TEST(Filter, escapes_in_documents_are_read) {
  SampleRecord sample;
  sample.value(R"({"\u0061b": "x\ny", "q\"uote": "\ud83d\ude00 \u00e9\\\/", "plain": "tail\\"})");
  check({{"value.ab = \"x\\ny\"", kYes},
         {R"(value["q\"uote"] = "😀 é\\/")", kYes},
         {R"(value["q\"uote"] = "\ud83d\ude00 \u00e9\\\/")", kYes},
         {R"(value.plain = "tail\\")", kYes}},
        sample);
  SampleRecord half;
  half.value(R"({"a": "\ud83d", "b": 1})");
  check({{"value.a = \"x\"", kUnknown}, {"value.b = 1", kYes}}, half);
}

TEST(Filter, damage_that_is_met_makes_all_fields_unknown) {
  const char* documents[] = {"",
                             " ",
                             "{",
                             "}",
                             "[",
                             "{\"a\"",
                             "{\"a\":",
                             "{\"a\":1",
                             "{\"a\":1]",
                             "{\"a\":[1}",
                             "{\"a\":{\"b\":1}",
                             "{\"a\" 1}",
                             "{a:1}",
                             "{\"a\":1,}",
                             "{\"x\":1 \"a\":1}",
                             "{\"a\":tru}",
                             "{\"a\":01}",
                             "{\"a\":-}",
                             "{\"a\":1.}",
                             "{\"a\":+1}",
                             "{\"a\":\"\x01\"}",
                             "{\"a\":\"\\q\"}",
                             "{\"a\":\"x}",
                             "nul",
                             "\"abc",
                             "{\"a\":}",
                             "{,}",
                             "{\"a\":1}{\"a\":1}",
                             "{\"x\":1} 5",
                             "\xef\xbb\xbf{\"a\":1}",
                             "{\"x\":\"\xff\"}"};
  auto filter = Filter::parse("value.a is missing or value.zz = 1");
  ASSERT_TRUE(filter);
  for (const std::string document : documents) {
    FilterEvaluator evaluator(*filter);
    SampleRecord sample;
    sample.value(document);
    EXPECT_EQ(evaluator.evaluate(sample.record()), kUnknown) << document;
    EXPECT_EQ(evaluator.counts().payloads_read, 1u);
    EXPECT_EQ(evaluator.counts().payloads_unreadable, 1u) << document;
  }
}

TEST(Filter, what_lies_behind_a_document_does_not_count) {
  auto filter = Filter::parse("value.a.b = 12 and value.c is missing");
  ASSERT_TRUE(filter);
  FilterEvaluator evaluator(*filter);
  for (const std::string_view document : {R"({"a": {"b": 12}})", R"({"a": {"b": 12})", R"({"a": {"b": 1)"}) {
    std::set<Truth> seen;
    for (const char behind : {'}', ']', ',', '2', '"', '{', ' ', '\0', '\xff'}) {
      const std::string memory = std::string(document) + std::string(200, behind);
      Record record;
      record.value = as_bytes(std::string_view(memory).substr(0, document.size()));
      seen.insert(evaluator.evaluate(record));
    }
    EXPECT_EQ(seen.size(), 1u) << document;
  }
}

TEST(Filter, values_are_read_once_and_only_if_nothing_cheaper_decides) {
  auto filter = Filter::parse("value.a = 1 and (value.b = 2 or value.c = 3) and partition = 1 and headers.h = \"x\"");
  ASSERT_TRUE(filter);
  EXPECT_TRUE(filter->reads_payload());
  FilterEvaluator evaluator(*filter);
  SampleRecord sample;
  sample.value(R"({"a": 1, "b": 0, "c": 3})").header("h", "x").partition(2);
  EXPECT_EQ(evaluator.evaluate(sample.record()), kNo);
  EXPECT_EQ(evaluator.counts().payloads_read, 0u);
  sample.partition(1);
  EXPECT_EQ(evaluator.evaluate(sample.record()), kYes);
  EXPECT_EQ(evaluator.counts().payloads_read, 1u);
  // A missing header is unknown: nothing that follows makes it true, so passes() stops there.
  SampleRecord without;
  without.value(R"({"a": 1})").partition(1);
  EXPECT_FALSE(evaluator.passes(without.record()));
  EXPECT_EQ(evaluator.counts().payloads_read, 1u);
  EXPECT_EQ(evaluator.evaluate(without.record()), kUnknown);
  EXPECT_EQ(evaluator.counts().payloads_read, 2u);
  EXPECT_EQ(evaluator.counts().evaluated, 4u);
  EXPECT_EQ(evaluator.counts().passed, 1u);
  EXPECT_FALSE(Filter::parse("value = \"x\"")->reads_payload());
}

TEST(Filter, one_filter_serves_threads_that_evaluate_at_once) {
  auto filter = Filter::parse("value.n >= 500 and value.s matches /^a.*z$/ and headers.h in (\"x\", \"y\")");
  ASSERT_TRUE(filter);
  std::atomic<int> passed = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      FilterEvaluator evaluator(*filter);
      for (int i = 0; i < 1'000; ++i) {
        SampleRecord sample;
        sample.value(fmt::format(R"({{"s": "a{}z", "n": {}}})", i, i)).header("h", i % 2 == 0 ? "x" : "z");
        if (evaluator.passes(sample.record())) ++passed;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(passed, 4 * 250);
}

}  // namespace
}  // namespace sluice
