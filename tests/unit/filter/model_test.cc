// SPDX-License-Identifier: Apache-2.0
// Filters against a model: random expressions over random records, evaluated by recursion over nlohmann's documents in
// the most obvious way. The model shares no code with what it judges.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <regex>

#include "sample_record.hpp"
#include "sluice/filter.hpp"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;
using Path = std::vector<std::variant<std::string, size_t>>;
using Model = std::optional<bool>;  // nullopt: unknown

constexpr uint64_t kFilters = 500;  // $SLUICE_CASES: others, $SLUICE_SEED: another seed
constexpr int kRecordsOfEach = 12;

const std::map<std::string, Path> kPaths = {
    {"value.a", {"a"}},
    {"value.b", {"b"}},
    {"value.a.b", {"a", "b"}},
    {"value.b.a", {"b", "a"}},
    {"value.a.a.a", {"a", "a", "a"}},
    {"value.a[0]", {"a", size_t{0}}},
    {"value.a[1].b", {"a", size_t{1}, "b"}},
    {"value.b[0][1]", {"b", size_t{0}, size_t{1}}},
    {"value.b[2]", {"b", size_t{2}}},
    {"value[0]", {size_t{0}}},
    {"value[1].a", {size_t{1}, "a"}},
    {"value[\"odd \\\"key\\\"\"]", {"odd \"key\""}},
    {"value[\"\u00e9\"].a", {"\u00e9", "a"}},
};

/// What is not JSON at all, whatever is looked for.
const char* const kGarbage[] = {"", " ", "no json", "\xff\xfe", "{\"a\":1", "[1,2", "\"a", "{\"a\": \"\x01\"}"};

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  size_t below(size_t limit) { return std::uniform_int_distribution<size_t>(0, limit - 1)(engine_); }
  bool chance(int percent) { return below(100) < static_cast<size_t>(percent); }
  template <class T>
  const T& of(const std::vector<T>& choices) {
    return choices[below(choices.size())];
  }

  std::string text() {
    static const std::vector<std::string> kTexts = {"",       "a",          "ab",      "abc", "b",          "\u00e9",
                                                    "a\"b\\", "line\nfeed", "a\u0001", "z/z", "\U0001f600", "aa"};
    return of(kTexts);
  }
  Json number() {
    static const std::vector<Json> kNumbers = {0,
                                               1,
                                               -1,
                                               2,
                                               0.5,
                                               -1.5,
                                               1e300,
                                               INT64_MAX,
                                               INT64_MIN,
                                               UINT64_MAX,
                                               INT64_MAX - 1,
                                               9007199254740992,
                                               9007199254740993,
                                               9007199254740992.0,
                                               1.0};
    return of(kNumbers);
  }
  Json scalar() {
    switch (below(5)) {
      case 0:
        return text();
      case 1:
        return chance(50);
      case 2:
        return nullptr;
      default:
        return number();
    }
  }
  Json document(int depth) {
    if (depth == 0 || chance(25)) return scalar();
    Json made = chance(40) ? Json::array() : Json::object();
    const size_t members = below(5);
    static const std::vector<std::string> kNames = {"a", "b", "c", "odd \"key\"", "\u00e9", "aa", ""};
    for (size_t i = 0; i < members; ++i) {
      if (made.is_array()) {
        made.push_back(document(depth - 1));
      } else {
        made[of(kNames)] = document(depth - 1);
      }
    }
    return made;
  }

  Json operand(const std::string& field) {
    if (field == "partition" || field == "position") return number();
    if (field == "timestamp") return below(4);
    if (kPaths.contains(field)) return chance(10) ? Json(chance(50)) : chance(50) ? number() : Json(text());
    return text();
  }
  Json test() {
    static const std::vector<std::string> kFields = [] {
      std::vector<std::string> fields = {"key", "headers[\"h\"]", "value", "timestamp", "partition", "position"};
      for (const auto& [name, path] : kPaths) fields.push_back(name);
      return fields;
    }();
    Json made;
    const std::string field =
        chance(60) ? std::next(kPaths.begin(), static_cast<std::ptrdiff_t>(below(kPaths.size())))->first : of(kFields);
    made["field"] = field;
    const bool number = field == "timestamp" || field == "partition" || field == "position";
    const size_t kind = below(10);
    if (kind == 0) {
      made["exists"] = chance(50);
    } else if (kind == 1) {
      made["null"] = chance(50);
    } else if (kind == 2 && !number) {
      made["starts_with"] = text();
    } else if (kind == 3 && !number) {
      made["matches"] = of(std::vector<std::string>{"^a", "b$", "a.c", "^$", "z/z", "[b-z]+"});
    } else if (kind == 4) {
      Json members = Json::array({operand(field)});
      for (size_t i = below(12); i > 0; --i) {
        Json more = operand(field);
        if (more.is_number() == members[0].is_number() && more.is_string() == members[0].is_string())
          members.push_back(more);
      }
      made["in"] = members;
    } else {
      Json literal = operand(field);
      const std::vector<std::string> ops = literal.is_boolean()
                                               ? std::vector<std::string>{"=", "!="}
                                               : std::vector<std::string>{"=", "!=", "<", "<=", ">", ">="};
      made[of(ops)] = literal;
    }
    return made;
  }
  Json expression(int depth) {
    if (depth == 0 || chance(30)) return test();
    if (chance(20)) return {{"not", expression(depth - 1)}};
    Json members = Json::array();
    for (size_t i = 1 + below(4); i > 0; --i) members.push_back(expression(depth - 1));
    return {{chance(50) ? "and" : "or", members}};
  }

 private:
  std::mt19937_64 engine_;
};

/// A record and what the model knows of it.
struct World {
  SampleRecord sample;
  std::optional<std::string> key, value, header;
  bool has_header = false;
  std::optional<int64_t> timestamp_ms;
  std::optional<Json> document;  // nullopt: no JSON
};

World make_world(Random& random) {
  World world;
  if (random.chance(80)) world.sample.key(*(world.key = random.text()));
  if (random.chance(70)) {
    world.has_header = true;
    if (random.chance(30)) world.sample.header("h", "earlier");
    if (random.chance(80)) world.header = random.text();
    world.sample.header("h", world.header);
  }
  if (random.chance(80)) world.sample.timestamp_ms(*(world.timestamp_ms = static_cast<int64_t>(random.below(4))));
  world.sample.partition(static_cast<int32_t>(random.below(3)));
  world.sample.position(static_cast<int64_t>(random.below(3)));
  if (random.chance(90)) {
    if (random.chance(10)) {
      world.value = kGarbage[random.below(std::size(kGarbage))];
    } else {
      world.document = random.document(4);
      world.value =
          world.document->dump(random.chance(50) ? -1 : static_cast<int>(random.below(3)), ' ', random.chance(50));
      if (random.chance(20)) world.value = " \n" + *world.value + "\t ";
    }
    world.sample.value(*world.value);
  }
  return world;
}

Model negate(Model model) {
  return model ? Model(!*model) : Model();
}

/// -1, 0, 1 by mathematical value: the mantissa of long double has all 64 bits.
int compare(const Json& a, const Json& b) {
  const auto wide = [](const Json& number) -> long double {
    if (number.is_number_unsigned()) return static_cast<long double>(number.get<uint64_t>());
    if (number.is_number_integer()) return static_cast<long double>(number.get<int64_t>());
    return static_cast<long double>(number.get<double>());
  };
  if (a.is_number()) return wide(a) < wide(b) ? -1 : wide(a) > wide(b);
  if (a.is_string()) return a.get<std::string>().compare(b.get<std::string>());
  return a.get<bool>() == b.get<bool>() ? 0 : 1;
}

bool same_type(const Json& a, const Json& b) {
  return (a.is_number() && b.is_number()) || (a.is_string() && b.is_string()) || (a.is_boolean() && b.is_boolean());
}

Json text_or_null(const std::optional<std::string>& bytes) {
  return bytes ? Json(*bytes) : Json(nullptr);
}

/// The field's value; nullopt: missing. Sets `unreadable` where nobody can tell.
std::optional<Json> find(const std::string& field, const World& world, bool& unreadable) {
  const Record& record = world.sample.record();
  if (field == "key") return text_or_null(world.key);
  if (field == "value") return text_or_null(world.value);
  if (field == "headers[\"h\"]") return world.has_header ? std::optional(text_or_null(world.header)) : std::nullopt;
  if (field == "timestamp") return world.timestamp_ms ? std::optional<Json>(*world.timestamp_ms) : std::nullopt;
  if (field == "partition") return record.partition;
  if (field == "position") return record.position;
  if (!world.value) return std::nullopt;
  if (!world.document) return unreadable = true, std::nullopt;
  Json at = *world.document;
  for (const auto& segment : kPaths.at(field)) {
    if (const auto* name = std::get_if<std::string>(&segment)) {
      if (!at.is_object() || !at.contains(*name)) return std::nullopt;
      at = Json(at[*name]);
    } else {
      const size_t index = std::get<size_t>(segment);
      if (!at.is_array() || at.size() <= index) return std::nullopt;
      at = Json(at[index]);
    }
  }
  return at;
}

Model test(const Json& expression, const World& world) {
  bool unreadable = false;
  const auto found = find(expression["field"], world, unreadable);
  if (unreadable) return std::nullopt;
  const auto operation = std::next(expression.begin());
  const std::string& op = operation.key();
  const Json& operand = operation.value();
  if (op == "exists") return found.has_value() == operand.get<bool>();
  if (!found) return std::nullopt;
  if (op == "null") return found->is_null() == operand.get<bool>();
  if (!same_type(*found, op == "in" ? operand[0] : operand)) return std::nullopt;
  if (op == "in")
    return std::any_of(operand.begin(), operand.end(), [&](const Json& one) { return compare(*found, one) == 0; });
  if (op == "starts_with") return found->get<std::string>().starts_with(operand.get<std::string>());
  if (op == "matches") return std::regex_search(found->get<std::string>(), std::regex(operand.get<std::string>()));
  const int order = compare(*found, operand);
  if (op == "=") return order == 0;
  if (op == "!=") return order != 0;
  if (op == "<") return order < 0;
  if (op == "<=") return order <= 0;
  if (op == ">") return order > 0;
  return order >= 0;
}

Model evaluate(const Json& expression, const World& world) {
  if (expression.contains("not")) return negate(evaluate(expression["not"], world));
  const bool all = expression.contains("and");
  if (!all && !expression.contains("or")) return test(expression, world);
  bool unknown = false;
  for (const Json& member : expression[all ? "and" : "or"]) {
    const Model model = evaluate(member, world);
    if (!model) {
      unknown = true;
    } else if (*model != all) {
      return *model;
    }
  }
  return unknown ? Model() : Model(all);
}

Truth truth_of(Model model) {
  return !model ? Truth::unknown : *model ? Truth::yes : Truth::no;
}

uint64_t from_environment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

TEST(FilterModel, random_filters_say_what_the_model_says) {
  const uint64_t seed = from_environment("SLUICE_SEED", 20'240'531);
  const uint64_t filters = from_environment("SLUICE_CASES", kFilters);
  Random random(seed);
  std::map<Truth, uint64_t> seen;
  for (uint64_t i = 0; i < filters; ++i) {
    const Json expression = random.expression(4);
    const auto filter = Filter::from_json(expression.dump());
    ASSERT_TRUE(filter) << filter.error().text() << "\n" << expression.dump();
    const auto from_text = Filter::parse(filter->text());
    ASSERT_TRUE(from_text) << from_text.error().text();
    ASSERT_EQ(from_text->text(), filter->text());
    ASSERT_EQ(from_text->json(), filter->json());
    ASSERT_EQ(Filter::from_json(filter->json())->json(), filter->json());
    FilterEvaluator evaluator(*filter), other(*from_text);
    for (int j = 0; j < kRecordsOfEach; ++j) {
      const World world = make_world(random);
      const Record& record = world.sample.record();
      const Truth expected = truth_of(evaluate(expression, world));
      const auto context = [&] {
        return fmt::format("seed {}, filter {}:\n{}\nkey {} header {} value {}", seed, i, filter->text(),
                           world.key.value_or("null"), world.header.value_or("null"), world.value.value_or("null"));
      };
      ASSERT_EQ(evaluator.evaluate(record), expected) << context();
      ASSERT_EQ(evaluator.passes(record), expected == Truth::yes) << context();
      ASSERT_EQ(other.evaluate(record), expected) << context();
      ++seen[expected];
    }
  }
  for (const Truth truth : {Truth::yes, Truth::no, Truth::unknown}) EXPECT_GT(seen[truth], filters) << "too one-sided";
}

}  // namespace
}  // namespace sluice
