// SPDX-License-Identifier: Apache-2.0
#include "c/config.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::c {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

TEST(ConfigReader, reads_each_type) {
  auto config = ConfigReader::parse(
      R"({"a": "x", "n": 7, "r": 0.5, "b": true, "c": "two", "o": {"deep": 1}, "l": ["p", "q"], "s": {"k": 1, "m": "v", "f": false}})");
  EXPECT_EQ(config.text("a"), "x");
  EXPECT_EQ(config.integer("n", 0, 1, 10), 7);
  EXPECT_EQ(config.number("r", 0, 0, 1), 0.5);
  EXPECT_TRUE(config.boolean("b", false));
  EXPECT_EQ(config.choice("c", {"one", "two"}, 0), 1U);
  auto object = config.object("o");
  EXPECT_EQ(object.integer("deep", 0), 1);
  object.finish();
  EXPECT_THAT(config.texts("l"), ElementsAre("p", "q"));
  EXPECT_THAT(config.settings("s"), ElementsAre(Pair("f", "false"), Pair("k", "1"), Pair("m", "v")));
  EXPECT_EQ(config.text("absent", "default"), "default");
  config.finish();
  EXPECT_TRUE(config.verdict().ok()) << config.verdict().describe();
}

TEST(ConfigReader, B03_a_fault_names_its_field_by_path) {
  struct Case {
    const char* text;
    const char* expected;
  };
  for (const Case& wrong : {Case{R"({"bus": {"shards": {"max": 0}}})", "bus.shards.max: 0 is not from 1 to 1024"},
                            Case{R"({"bus": {"shards": {"max": 1.5}}})", "bus.shards.max: an integer"},
                            Case{R"({"bus": {"shards": {"max": 18446744073709551615}}})", "bus.shards.max: an integer"},
                            Case{R"({"bus": {"shards": {"max": "4"}}})", "bus.shards.max: an integer"},
                            Case{R"({"bus": {"shards": {"mx": 4}}})", "bus.shards.mx: there is no such setting"},
                            Case{R"({"bus": {"shards": 4}})", "bus.shards: an object is wanted, not number"},
                            Case{R"({"bus": [1]})", "bus: an object is wanted, not array"}}) {
    auto config = ConfigReader::parse(wrong.text);
    auto bus = config.object("bus");
    auto shards = bus.object("shards");
    shards.integer("max", 4, 1, 1024);
    shards.finish();
    bus.finish();
    config.finish();
    EXPECT_THAT(config.verdict().text(), HasSubstr(wrong.expected)) << wrong.text;
    EXPECT_EQ(config.verdict().code(), StatusCode::invalid);
  }
}

TEST(ConfigReader, B18_text_that_is_no_json_names_the_byte) {
  const auto config = ConfigReader::parse(R"({"a": 1, "b": 2x})");
  EXPECT_EQ(config.verdict().native_code(), 17 - 1);
  EXPECT_THAT(config.verdict().text(), HasSubstr("at byte 16"));
}

TEST(ConfigReader, a_field_that_is_there_twice_is_refused) {
  EXPECT_THAT(ConfigReader::parse(R"({"a": 1, "a": 2})").verdict().text(), HasSubstr("\"a\" is there twice"));
  EXPECT_TRUE(ConfigReader::parse(R"({"a": {"x": 1}, "b": {"x": 2}})").verdict().ok());
}

TEST(ConfigReader, size_and_depth_are_limited) {
  EXPECT_EQ(ConfigReader::parse(std::string(kMaxConfigBytes + 1, ' ')).verdict().code(), StatusCode::too_large);
  std::string deep = R"({"a":)" + std::string(kMaxConfigDepth + 1, '[') + std::string(kMaxConfigDepth + 1, ']') + "}";
  EXPECT_THAT(ConfigReader::parse(deep).verdict().text(), HasSubstr("deeper than"));
}

TEST(ConfigReader, elements_of_arrays_are_named_by_their_index) {
  auto config = ConfigReader::parse(R"({"sources": [{"topic": "a"}, {"topic": 7}]})");
  for (auto& source : config.objects("sources")) source.text("topic");
  EXPECT_THAT(config.verdict().text(), HasSubstr("sources[1].topic: a text is wanted"));
}

}  // namespace
}  // namespace sluice::c
