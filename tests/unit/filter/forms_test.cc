// SPDX-License-Identifier: Apache-2.0
// The two forms: what they accept, how they print, and what is said of faults.
#include "filter/forms.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <functional>
#include <nlohmann/json.hpp>

namespace sluice {
namespace {

using ::testing::HasSubstr;

TEST(FilterText, normal_form) {
  const std::pair<const char*, const char*> cases[] = {
      {"key='a'", R"(key = "a")"},
      {"  key ==\n'a' AND\tNot (partition>=01e0)", ""},
      {"key = 'a' AND not (partition >= 1e0)", R"(key = "a" and not (partition >= 1))"},
      {"not not key exists", "key exists"},
      {"not (not (not key exists))", "not (key exists)"},
      {"key is not missing", "key exists"},
      {"key = NULL or key != null", "key is null or key is not null"},
      {"key not in ('b','a')", R"(not (key in ("b", "a")))"},
      {"(key exists and (value exists and offset < 3))", "key exists and value exists and position < 3"},
      {"(key exists or value exists) and offset < 3", "(key exists or value exists) and position < 3"},
      {"(key exists and value exists) or offset < 3", "key exists and value exists or position < 3"},
      {"headers.tenant exists", R"(headers["tenant"] exists)"},
      {"value['a']['b c'].\"d\"[3][\"0\"] exists", R"(value.a["b c"].d[3]["0"] exists)"},
      {"value.and.or.not.key exists", "value.and.or.not.key exists"},
      {"value.a-b exists", "value.a-b exists"},
      {R"(key matches /a\/b\.c/)", R"(key matches /a\/b\.c/)"},
      {R"(key matches "a/b")", R"(key matches /a\/b/)"},
      {R"(key matches "\\Qa\\/b\\E")", R"(key matches "\\Qa\\/b\\E")"},
      {R"(key matches /\\/)", R"(key matches /\\/)"},
      {"key matches //", "key matches //"},
      {R"(key = "\u00e9\x7f\xff\n\"'\\ \x00")", R"(key = "é\x7f\xff\n\"'\\ \x00")"},
      {"value.a = -0", "value.a = 0"},
      {"value.a = 1.50", "value.a = 1.5"},
      {"value.a = 123456789012345678901234567890", "value.a = 1.2345678901234568e+29"},
      {"value.a in (true, FALSE)", "value.a in (true, false)"},
      {"timestamp < '2024-01-01'", R"(timestamp < "2024-01-01")"},
  };
  for (const auto& [text, normal] : cases) {
    auto filter = Filter::parse(text);
    if (*normal == '\0') {
      EXPECT_FALSE(filter) << text;
      continue;
    }
    ASSERT_TRUE(filter) << filter.error().text();
    EXPECT_EQ(filter->text(), normal);
    auto from_text = Filter::parse(filter->text());
    ASSERT_TRUE(from_text) << filter->text() << from_text.error().text();
    EXPECT_EQ(from_text->text(), normal);
    auto from_json = Filter::from_json(filter->json());
    ASSERT_TRUE(from_json) << filter->json() << from_json.error().text();
    EXPECT_EQ(from_json->text(), normal);
    EXPECT_EQ(from_json->json(), filter->json());
  }
}

TEST(FilterText, faults_have_a_position_and_a_caret) {
  struct Case {
    std::string text;
    size_t offset;
    const char* message;
  };
  const Case cases[] = {
      {"", 0, "at least one test"},
      {"   ", 3, "at least one test"},
      {"key", 3, "expected =, !="},
      {"key = ", 6, "expected a string"},
      {"key = )", 6, "expected a string"},
      {"key = \"a\" key", 10, "expected 'and', 'or' or the end"},
      {"(key exists", 11, "expected ')'"},
      {"key exists)", 10, "expected 'and', 'or' or the end"},
      {"keys = 1", 0, "expected a field"},
      {"key and value", 4, "expected =, !="},
      {"key exists and", 14, "expected a field"},
      {"key ~ 'a'", 4, "unexpected character"},
      {"key = 'a", 6, "has no end"},
      {"key = 'a\\", 6, "has no end"},
      {"key matches /a", 12, "has no end"},
      {"key = /a/", 6, "tested with 'matches'"},
      {"key = '\\q'", 7, "unknown escape"},
      {"key = '\\ud800'", 7, "unknown escape"},
      {"key = '\\x1'", 7, "unknown escape"},
      {"key = 1", 6, "bytes: compare it with a string"},
      {"key = true", 6, "bytes: compare it with a string"},
      {"partition = 'a'", 12, "is a number"},
      {"partition matches /a/", 10, "is a number"},
      {"partition in (1, 'a')", 17, "is a number"},
      {"value.a in (1, 'a')", 15, "of one type"},
      {"value.a in (1, null)", 15, "use 'is null'"},
      {"value.a in ()", 12, "expected a string"},
      {"value.a in 1", 11, "expected '('"},
      {"value.a < true", 10, "no order"},
      {"value.a < null", 10, "no order"},
      {"value.a = 1e999", 10, "larger than any double"},
      {"value.a = 01", 10, "no number of JSON"},
      {"value.a = -", 10, "no number of JSON"},
      {"value.a starts with 1", 20, "expected a string"},
      {"value.a starts 'a'", 15, "expected 'with'"},
      {"value.a is 1", 11, "expected 'null', 'missing' or 'not'"},
      {"value.a not = 1", 12, "expected 'in'"},
      {"value.a[1.5] = 1", 8, "a place in an array"},
      {"value.a[-1] = 1", 8, "a place in an array"},
      {"value.a[4294967296] = 1", 8, "a place in an array"},
      {"value.[a] = 1", 6, "expected a name"},
      {"value.1 = 1", 6, "expected a name"},
      {"value[a] = 1", 6, "expected a name in quotes"},
      {"headers = 1", 8, "expected '.' or '['"},
      {"headers[1] = 1", 11, "headers have names"},
      {"timestamp = 'yesterday'", 12, "a time is"},
      {"timestamp = '2023-02-29'", 12, "a time is"},
      {"timestamp = 1.5", 12, "a time is"},
      {"timestamp starts with '2024'", 10, "is a number"},
      {"key matches /a(b/", 13, "missing )"},
      {"key matches /ab[z-a]/", 16, "invalid character class range"},
      {"key matches /a**/", 14, "bad repetition operator"},
  };
  for (const Case& c : cases) {
    FilterFault fault;
    auto filter = Filter::parse(c.text, &fault);
    ASSERT_FALSE(filter) << c.text;
    EXPECT_EQ(filter.error().code(), StatusCode::invalid);
    EXPECT_EQ(fault.offset, c.offset) << filter.error().text();
    EXPECT_THAT(fault.message, HasSubstr(c.message));
    const std::string caret = std::string(2 + c.offset, ' ') + "^";
    EXPECT_EQ(filter.error().text(),
              fmt::format("filter: byte {}: {}\n  {}\n{}", c.offset, fault.message, c.text, caret));
  }
}

TEST(FilterText, the_caret_is_under_the_fault_in_long_and_foreign_lines) {
  auto lines = Filter::parse("key exists and\nvalue.a = \"\u00e9\u00e9\" ~");
  ASSERT_FALSE(lines);
  EXPECT_EQ(lines.error().text(),
            "filter: byte 32: unexpected character\n  value.a = \"\u00e9\u00e9\" ~\n                 ^");
  auto tail = Filter::parse("key = \"" + std::string(500, 'x') + "\" ~ " + std::string(500, 'y'));
  ASSERT_FALSE(tail);
  EXPECT_THAT(tail.error().text(), HasSubstr("\n  ..." + std::string(34, 'x') + "\" ~ yyy"));
  EXPECT_THAT(tail.error().text(), HasSubstr("yyy...\n" + std::string(2 + 3 + 36, ' ') + "^"));
}

TEST(FilterJson, all_that_the_text_can_say) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"field": "key", "=": "a"})", R"(key = "a")"},
      {R"({"=": "a", "field": "key"})", R"(key = "a")"},
      {R"({"field": "key", "=": {"hex": "ff00"}})", R"(key = "\xff\x00")"},
      {R"({"field": "value.n", ">=": 1.0})", "value.n >= 1"},
      {R"({"field": "value.n", "in": [1, 2.5, 18446744073709551615]})", "value.n in (1, 2.5, 18446744073709551615)"},
      {R"({"field": "value.n", "!=": null})", "value.n is not null"},
      {R"({"field": "value.n", "null": true})", "value.n is null"},
      {R"({"field": "value.n", "exists": false})", "value.n is missing"},
      {R"({"field": "value[\"a b\"][0]", "starts_with": "x"})", R"(value["a b"][0] starts with "x")"},
      {R"({"field": "key", "matches": "a/b"})", R"(key matches /a\/b/)"},
      {R"({"field": "timestamp", "<": "2024-01-01"})", R"(timestamp < "2024-01-01")"},
      {R"({"and": [{"field": "key", "exists": true}, {"or": [{"not": {"field": "key", "=": "a"}}]}]})",
       R"(key exists and not (key = "a"))"},
  };
  for (const auto& [json, text] : cases) {
    auto filter = Filter::from_json(json);
    ASSERT_TRUE(filter) << filter.error().text();
    EXPECT_EQ(filter->text(), text);
    auto again = Filter::from_json(filter->json());
    ASSERT_TRUE(again);
    EXPECT_EQ(again->text(), text);
  }
  EXPECT_EQ(Filter::parse("value.a in (1, 2) and not (key = \"\\xff\" or headers.h is missing)")->json(),
            R"({"and":[{"field":"value.a","in":[1,2]},{"not":{"or":[{"field":"key","=":{"hex":"ff"}},)"
            R"({"field":"headers[\"h\"]","exists":false}]}}]})");
}

TEST(FilterJson, faults_name_the_part_by_pointer) {
  struct Case {
    const char* json;
    const char* pointer;
    const char* message;
    size_t offset = 0;
  };
  const Case cases[] = {
      {"1", "", "expected an object"},
      {"{}", "", "expected an object"},
      {"[]", "", "expected an object"},
      {R"({"and": []})", "/and", "at least one"},
      {R"({"and": {}})", "/and", "expected an array"},
      {R"({"and": [1]})", "/and/0", "expected an object"},
      {R"({"and": [{"field": "key", "exists": true}], "or": []})", "/or", "unknown member beside 'and'"},
      {R"({"not": []})", "/not", "expected an object"},
      {R"({"or": [{"field": "key", "exists": true}, {"field": "key"}]})", "/or/1", "no operation"},
      {R"({"=": 1})", "", "expected 'and'"},
      {R"({"field": "key", "=": "a", "!=": "b"})", "/!=", "one operation"},
      {R"({"field": "key", "~/=": "a"})", "/~0~1=", "unknown operation"},
      {R"({"field": 1, "=": "a"})", "/field", "expected a field as a string"},
      {R"({"field": "kee", "=": "a"})", "/field", "expected a field", 0},
      {R"({"field": "value.a[x]", "=": "a"})", "/field", "expected a name in quotes or a number", 8},
      {R"({"field": "value.a b", "=": "a"})", "/field", "expected '.'", 8},
      {R"({"field": "key", "=": 1})", "/=", "compare it with a string"},
      {R"({"field": "key", "=": ["a"]})", "/=", "expected a string"},
      {R"({"field": "key", "=": {"hex": "f"}})", "/=", "hexadecimal"},
      {R"({"field": "key", "=": {"hex": "fg"}})", "/=", "hexadecimal"},
      {R"({"field": "key", "=": {"base64": "ff"}})", "/=", "expected a string"},
      {R"({"field": "key", "exists": 1})", "/exists", "expected true or false"},
      {R"({"field": "key", "in": "a"})", "/in", "expected an array"},
      {R"({"field": "key", "in": []})", "/in", "at least one"},
      {R"({"field": "key", "in": ["a", 1]})", "/in/1", "compare it with a string"},
      {R"({"field": "value.a", "in": ["a", 1]})", "/in/1", "of one type"},
      {R"({"field": "value.a", "in": ["a", []]})", "/in/1", "expected a string"},
      {R"({"field": "key", "matches": "a(b"})", "/matches", "missing )", 0},
      {R"({"field": "key", "matches": "ab**"})", "/matches", "bad repetition", 2},
      {R"({"field": "partition", "matches": "ab"})", "/matches", "is a number"},
      {R"({"and": [{"field": "key", "field": "key"}]})", "/and/0", "comes twice"},
  };
  for (const Case& c : cases) {
    FilterFault fault;
    auto filter = Filter::from_json(c.json, &fault);
    ASSERT_FALSE(filter) << c.json;
    EXPECT_EQ(filter.error().code(), StatusCode::invalid) << c.json;
    EXPECT_EQ(fault.pointer, c.pointer) << filter.error().text();
    EXPECT_EQ(fault.offset, c.offset) << filter.error().text();
    EXPECT_THAT(fault.message, HasSubstr(c.message)) << c.json;
    EXPECT_THAT(filter.error().text(), HasSubstr(fault.message));
    EXPECT_THAT(filter.error().text(), HasSubstr(c.pointer));
  }
}

TEST(FilterJson, B18_broken_json_is_told_by_its_byte) {
  // From every place on, JSON that goes on as it cannot: the fault is said to be exactly there.
  const std::pair<const char*, size_t> cases[] = {
      {R"({"field": "key", })", 17},
      {R"({"field": "key", x)", 17},
      {R"({"field": "key", "=" "a"})", 21},
      {R"({"field": "key", "=": nul })", 25},
      {R"({"field": "key", "=": "a" "b"})", 26},
      {R"({"field": "key", "=": "a"} 17)", 27},
      {R"({"field": "key", "=": "a"])", 25},
      {R"({"field": "key", "=": true false})", 27},
      {R"({"field": "key" : "a"})", 16},
      {R"({"and": [{} null]})", 12},
      {R"({"field":  true : 1})", 16},
      {R"({  null: 1})", 3},
      {R"({"field": "key", "=": "a")", 25},
      {R"({"field": "key", "=": "\q"})", 24},
      {"{\"field\": \"key\", \"=\": \"\xff\"}", 23},
      {"{\"field\": \"key\", \"=\": \"\n\"}", 23},
      {R"({"field": "key", "=": 1e999})", 22},
      {"", 0},
      {"x", 0},
      {"]", 0},
  };
  for (const auto& [json, offset] : cases) {
    FilterFault fault;
    auto filter = Filter::from_json(json, &fault);
    ASSERT_FALSE(filter) << json;
    EXPECT_EQ(fault.offset, offset) << filter.error().text();
    EXPECT_EQ(fault.pointer, "");
    EXPECT_THAT(filter.error().text(), HasSubstr(fmt::format("filter: byte {}: ", offset)));
  }
}

// -- limits

std::string nested_text(size_t levels) {
  // Or within and within or: each level is a group of its own.
  std::string text = "key exists";
  for (size_t i = 0; i < levels; ++i) text = fmt::format("({} {} key is null)", text, i % 2 == 0 ? "and" : "or");
  return text;
}

std::string nested_json(size_t levels) {
  std::string json = R"({"field":"key","exists":true})";
  for (size_t i = 0; i < levels; ++i) {
    json = fmt::format(R"({{"{}":[{},{{"field":"key","null":true}}]}})", i % 2 == 0 ? "and" : "or", json);
  }
  return json;
}

void expect_limit(const Result<Filter>& within, const Result<Filter>& beyond, const std::string& said) {
  EXPECT_TRUE(within) << within.error().text();
  ASSERT_FALSE(beyond) << said;
  EXPECT_EQ(beyond.error().code(), StatusCode::too_large) << beyond.error().text();
  EXPECT_THAT(beyond.error().text(), HasSubstr(said));
}

TEST(FilterLimits, depth) {
  expect_limit(Filter::parse(nested_text(kMaxFilterDepth)), Filter::parse(nested_text(kMaxFilterDepth + 1)),
               "more than 64 groups within each other");
  expect_limit(Filter::from_json(nested_json(kMaxFilterDepth)), Filter::from_json(nested_json(kMaxFilterDepth + 1)),
               "more than 64 groups within each other");
  // What fits in one form fits in the other.
  const auto deepest = Filter::from_json(nested_json(kMaxFilterDepth));
  EXPECT_EQ(Filter::parse(deepest->text())->json(), deepest->json());
  const std::string parentheses(100'000, '(');
  EXPECT_EQ(Filter::parse(parentheses).error().code(), StatusCode::too_large);
  const std::string brackets(100'000, '[');
  EXPECT_EQ(Filter::from_json(brackets).error().code(), StatusCode::too_large);
  std::string nots;
  for (int i = 0; i < 1'000; ++i) nots += "not ";
  EXPECT_EQ(Filter::parse(nots + "key exists").error().code(), StatusCode::too_large);
}

std::string repeated(size_t times, std::string_view separator, const std::function<std::string(size_t)>& piece) {
  std::string text;
  for (size_t i = 0; i < times; ++i) text += (i == 0 ? "" : std::string(separator)) + piece(i);
  return text;
}

TEST(FilterLimits, sizes) {
  const auto tests = [](size_t count) { return repeated(count, " or ", [](size_t) { return "key exists"; }); };
  expect_limit(Filter::parse(tests(kMaxFilterTests)), Filter::parse(tests(kMaxFilterTests + 1)),
               "more than 4096 tests");

  const auto paths = [](size_t count) {
    return repeated(count, " or ", [](size_t i) { return fmt::format("value.a{} exists or value.a{} is null", i, i); });
  };
  expect_limit(Filter::parse(paths(kMaxFilterPaths)), Filter::parse(paths(kMaxFilterPaths + 1)), "different paths");

  const auto segments = [](size_t count) {
    return "value" + repeated(count, "", [](size_t) { return ".a"; }) + " exists";
  };
  expect_limit(Filter::parse(segments(kMaxFilterPathSegments)), Filter::parse(segments(kMaxFilterPathSegments + 1)),
               "a path of more than 32 segments");

  const auto members = [](size_t count) {
    return "partition in (" + repeated(count, ",", [](size_t i) { return std::to_string(i); }) + ")";
  };
  expect_limit(Filter::parse(members(kMaxFilterSetMembers)), Filter::parse(members(kMaxFilterSetMembers + 1)),
               "a set of more than 16384 members");
  const auto json_members = [](size_t count) {
    return R"({"field":"partition","in":[)" + repeated(count, ",", [](size_t i) { return std::to_string(i); }) + "]}";
  };
  expect_limit(Filter::from_json(json_members(kMaxFilterSetMembers)),
               Filter::from_json(json_members(kMaxFilterSetMembers + 1)), "a set of more than 16384 members");
  EXPECT_EQ(Filter::from_json(json_members(100'000)).error().code(), StatusCode::too_large);

  const auto sets = [&](size_t count) { return repeated(count, " or ", [&](size_t) { return members(10'000); }); };
  expect_limit(Filter::parse(sets(6)), Filter::parse(sets(7)), "more than 65536 operands");

  const auto regexes = [](size_t count) { return repeated(count, " or ", [](size_t) { return "key matches /a/"; }); };
  expect_limit(Filter::parse(regexes(kMaxFilterRegexes)), Filter::parse(regexes(kMaxFilterRegexes + 1)),
               "more than 64 regular expressions");

  expect_limit(Filter::parse("key matches /\\pL{5}/"), Filter::parse("key matches /\\pL{40}/"),
               "a regular expression of ");
  expect_limit(Filter::parse("key matches /a{1000}/"), Filter::parse("key matches /\\pL{1000}/"), "pattern too large");
  expect_limit(Filter::parse("key = \"" + std::string(kMaxFilterBytes - 8, 'x') + "\""),
               Filter::parse("key = \"" + std::string(kMaxFilterBytes - 7, 'x') + "\""), "more than 1048576 bytes");
}

}  // namespace
}  // namespace sluice
