// SPDX-License-Identifier: Apache-2.0
#include "host/options.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace sluice::host {
namespace {

constexpr sluice_option kTable[] = {
    {"text", "A text.", "nothing", nullptr, SLUICE_OPTION_TEXT, 0, 0, 0},
    {"count", "A number.", "3", nullptr, SLUICE_OPTION_INTEGER, 0, 1, 10},
    {"sync", "A switch.", "false", nullptr, SLUICE_OPTION_BOOLEAN, 0, 0, 0},
    {"durability", "How safe.", "os", "os|interval|fsync", SLUICE_OPTION_CHOICE, 0, 0, 0},
    {"segment", "How large.", "64MiB", nullptr, SLUICE_OPTION_SIZE, 0, 1024, 1ll << 40},
    {"interval", "How often.", "1s", nullptr, SLUICE_OPTION_DURATION, 0, 0, 60'000},
    {"directory", "Where.", nullptr, nullptr, SLUICE_OPTION_PATH, 0, 0, 0},
    {"password", "The password.", nullptr, nullptr, SLUICE_OPTION_TEXT, SLUICE_OPTION_SECRET, 0, 0},
    {"pin", "A secret number.", nullptr, nullptr, SLUICE_OPTION_INTEGER, SLUICE_OPTION_SECRET, 0, 9},
};

sluice_plugin plugin() {
  sluice_plugin result{};
  result.name = "tested";
  result.option_count = std::size(kTable);
  result.options = kTable;
  return result;
}

auto check(OptionInputs inputs) {
  return check_options(plugin(), inputs, "/data");
}

/// The refusal of one option's value.
std::string refusal(const std::string& name, OptionInput value) {
  const auto result = check({{name, std::move(value)}});
  if (result) return "accepted";
  EXPECT_EQ(result.error().option, name);
  return result.error().text;
}

TEST(Options, DefaultsAreFilledIn) {
  const auto values = check({});
  ASSERT_TRUE(values.has_value());
  EXPECT_EQ((*values)[0].text, "nothing");
  EXPECT_EQ((*values)[1].number, 3);
  EXPECT_EQ((*values)[2].number, 0);
  EXPECT_TRUE((*values)[2].present);
  EXPECT_EQ((*values)[3].text, "os");
  EXPECT_EQ((*values)[4].number, 64 << 20);
  EXPECT_EQ((*values)[5].number, 1000);
  EXPECT_FALSE((*values)[6].present);
  EXPECT_FALSE((*values)[7].present);
}

TEST(Options, ValuesOfEachTypeAreTaken) {
  const auto values = check({{"text", std::string("")},
                             {"count", 10.0},
                             {"sync", true},
                             {"durability", std::string("fsync")},
                             {"segment", int64_t{4096}},
                             {"interval", std::string("500ms")},
                             {"directory", std::string("logs/../disk")},
                             {"password", std::string("secret")}});
  ASSERT_TRUE(values.has_value()) << values.error().text;
  EXPECT_EQ((*values)[0].text, "");
  EXPECT_EQ((*values)[1].number, 10);
  EXPECT_EQ((*values)[2].number, 1);
  EXPECT_EQ((*values)[3].number, 2);
  EXPECT_EQ((*values)[4].number, 4096);
  EXPECT_EQ((*values)[5].number, 500);
  EXPECT_EQ((*values)[6].text, "/data/disk");
  EXPECT_EQ((*values)[7].text, "secret");
  EXPECT_EQ((*check({{"directory", std::string("/elsewhere")}}))[6].text, "/elsewhere");
  EXPECT_EQ((*check({{"count", std::string("7")}}))[1].number, 7);
  EXPECT_EQ((*check({{"sync", std::string("true")}}))[2].number, 1);
}

TEST(Options, RefusalsSayWhatIsWrong) {
  EXPECT_EQ(refusal("count", int64_t{11}), "11 is out of range: must be from 1 to 10");
  EXPECT_EQ(refusal("count", int64_t{0}), "0 is out of range: must be from 1 to 10");
  EXPECT_EQ(refusal("count", 1.5), "1.5 is not a whole number");
  EXPECT_EQ(refusal("count", std::numeric_limits<double>::quiet_NaN()), "nan is not a whole number");
  EXPECT_EQ(refusal("count", std::numeric_limits<double>::infinity()), "inf is not a whole number");
  EXPECT_EQ(refusal("count", std::string("many")), "\"many\" is not a whole number");
  EXPECT_EQ(refusal("count", true), "true is not a whole number");
  EXPECT_EQ(refusal("text", int64_t{1}), "1 is not a text");
  EXPECT_EQ(refusal("sync", int64_t{1}), "1 is not true or false");
  EXPECT_EQ(refusal("durability", std::string("none")), "\"none\" is not one of os, interval, fsync");
  EXPECT_EQ(refusal("segment", std::string("big")), "\"big\" is not a size such as 4096, \"64KiB\" or \"1GiB\"");
  EXPECT_EQ(refusal("segment", std::string("1B")), "\"1B\" is out of range: must be from 1024 to 1099511627776 bytes");
  EXPECT_EQ(refusal("interval", std::string("2min")), "\"2min\" is out of range: must be from 0 to 60000 ms");
  EXPECT_EQ(refusal("interval", std::string("soon")),
            "\"soon\" is not a duration such as 500 (milliseconds), \"500ms\", \"10s\" or \"5min\"");
  EXPECT_EQ(refusal("directory", std::string("")), "\"\" is not a path");
}

TEST(Options, ZeroBytesInsideATextAreRefused) {
  EXPECT_NE(refusal("text", std::string("a\0b", 3)), "accepted");
}

TEST(Options, SecretsAreNeverShown) {
  EXPECT_EQ(refusal("pin", std::string("hunter2")), "the value given is not a whole number");
  EXPECT_EQ(refusal("pin", int64_t{1234}), "the value given is out of range: must be from 0 to 9");
  EXPECT_EQ(refusal("password", int64_t{1234}), "the value given is not a text");
}

TEST(Options, UnknownNamesSuggestTheNearest) {
  EXPECT_EQ(refusal("durabilty", std::string("os")), "unknown option of adapter tested, did you mean \"durability\"?");
  EXPECT_EQ(refusal("colour", std::string("red")),
            "unknown option of adapter tested; it has text, count, sync, durability, segment, interval, directory, "
            "password, pin");
}

TEST(Options, RequiredOnesAreMissed) {
  static constexpr sluice_option table[] = {
      {"address", "Where the server is.", nullptr, nullptr, SLUICE_OPTION_TEXT, SLUICE_OPTION_REQUIRED, 0, 0}};
  sluice_plugin with = plugin();
  with.options = table;
  with.option_count = 1;
  const auto result = check_options(with, {}, "/data");
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().option, "address");
  EXPECT_EQ(result.error().text, "is required: Where the server is.");
}

TEST(Options, Sizes) {
  EXPECT_EQ(*parse_size("0"), 0);
  EXPECT_EQ(*parse_size("100"), 100);
  EXPECT_EQ(*parse_size("100B"), 100);
  EXPECT_EQ(*parse_size("64KiB"), 65536);
  EXPECT_EQ(*parse_size("1 MiB"), 1 << 20);
  EXPECT_EQ(*parse_size("2GiB"), 2ll << 30);
  EXPECT_EQ(*parse_size("1TiB"), 1ll << 40);
  for (const char* bad : {"", "KiB", "1.5MiB", "-1", "-1KiB", "1kb", "1MB", "9223372036854775807KiB",
                          "99999999999999999999", "1 2", "0x10"}) {
    EXPECT_FALSE(parse_size(bad).has_value()) << bad;
  }
}

TEST(Options, Durations) {
  EXPECT_EQ(*parse_duration_ms("100"), 100);
  EXPECT_EQ(*parse_duration_ms("500ms"), 500);
  EXPECT_EQ(*parse_duration_ms("10s"), 10'000);
  EXPECT_EQ(*parse_duration_ms("5min"), 300'000);
  EXPECT_EQ(*parse_duration_ms("1h"), 3'600'000);
  EXPECT_EQ(*parse_duration_ms("7d"), 604'800'000);
  for (const char* bad : {"", "ms", "1m", "1.5s", "s1", "9223372036854775807h", "10 sec"}) {
    EXPECT_FALSE(parse_duration_ms(bad).has_value()) << bad;
  }
}

TEST(Options, NearestName) {
  const std::vector<std::string> known = {"retention.ms", "retention.bytes", "sync"};
  EXPECT_EQ(nearest_name("retention.sm", known), "retention.ms");
  EXPECT_EQ(nearest_name("snc", known), "sync");
  EXPECT_EQ(nearest_name("zzzz", known), std::nullopt);
  EXPECT_EQ(nearest_name(std::string(100'000, 'x'), known), std::nullopt);
  EXPECT_EQ(nearest_name("x", {}), std::nullopt);
}

}  // namespace
}  // namespace sluice::host
