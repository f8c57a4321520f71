// SPDX-License-Identifier: Apache-2.0
#include "app/options.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "../support/folder.hpp"

namespace sluice::app {
namespace {

using cluster::ConfigType;
using testing::HasSubstr;
using Environment = std::map<std::string, std::string>;

Result<Options> parse(std::vector<std::string> arguments, const Environment& environment = {}) {
  arguments.insert(arguments.begin(), {"--data-dir", "/data"});
  return parse_options(arguments, environment);
}

Result<Options> with(std::string_view name, std::string_view value) {
  return parse({"--override", std::string(name) + "=" + std::string(value)});
}

std::string refusal(const Result<Options>& options) {
  if (options) return "accepted";
  EXPECT_EQ(options.error().code(), StatusCode::invalid);
  return options.error().text();
}

std::string value_of(const Options& options, std::string_view name) {
  for (const auto& setting : options.settings) {
    if (setting.name == name) return setting.value;
  }
  return "no such setting";
}

class OptionsFile : public testing::Test {
 protected:
  std::string file(const std::string& text) {
    return folder_.write(std::to_string(++count_) + ".properties", text);
  }

 private:
  test::Folder folder_;
  int count_ = 0;
};

TEST(Properties, AreSortedAndTheirDefaultsAreLegal) {
  const auto all = properties();
  EXPECT_TRUE(
      std::is_sorted(all.begin(), all.end(), [](const Property& a, const Property& b) { return a.name < b.name; }));
  for (const Property& property : all) {
    EXPECT_FALSE(property.help.empty()) << property.name;
    if (!property.default_value.empty()) {
      EXPECT_TRUE(with(property.name, property.default_value))
          << property.name << ": " << refusal(with(property.name, property.default_value));
    }
  }
}

TEST(Properties, EachRefusesWhatIsOutOfRangeOrOfAnotherType) {
  for (const Property& property : properties()) {
    const std::string name(property.name);
    if (property.type == ConfigType::boolean) {
      for (const char* bad : {"yes", "1", "", "TRUE"}) EXPECT_THAT(refusal(with(name, bad)), HasSubstr(name)) << bad;
    }
    if (property.type != ConfigType::int32 && property.type != ConfigType::int64) continue;
    for (const char* bad : {"", "x", "1.5", "1e3", "0x10", "NaN", "99999999999999999999999"}) {
      EXPECT_THAT(refusal(with(name, bad)), HasSubstr(name)) << bad;
    }
    if (property.minimum > INT64_MIN) {
      EXPECT_THAT(refusal(with(name, std::to_string(property.minimum - 1))), HasSubstr(name + " = "));
    }
    if (property.maximum < INT64_MAX) {
      EXPECT_THAT(refusal(with(name, std::to_string(property.maximum + 1))), HasSubstr(name + " = "));
    }
  }
}

TEST(Properties, WhatTimersWaitForCanBeCountedInNanoseconds) {
  for (const char* name :
       {"log.retention.check.interval.ms", "connections.max.idle.ms", "offsets.retention.check.interval.ms"}) {
    EXPECT_THAT(refusal(with(name, "9223372036854775807")), HasSubstr(name));
  }
}

TEST(Properties, UnknownOnesAreRefusedWithASuggestion) {
  EXPECT_EQ(refusal(with("log.retention.mss", "1")),
            "--override: unknown property \"log.retention.mss\", did you mean \"log.retention.ms\"?");
  EXPECT_EQ(refusal(with("zookeeper.connect", "x")), "--override: unknown property \"zookeeper.connect\"");
  EXPECT_EQ(refusal(parse({"--lisen", "x"})), "unknown option --lisen, did you mean --listen?");
  EXPECT_THAT(refusal(parse({"--override", "num.partitions"})), HasSubstr("not NAME=VALUE"));
  EXPECT_THAT(refusal(parse({"--listen"})), HasSubstr("--listen needs HOST:PORT"));
}

TEST_F(OptionsFile, FlagsGoBeforeTheEnvironmentAndThatBeforeTheFile) {
  const std::string path = file("# comment\n! another\n\n num.partitions = 2 \r\nnode.id=2\nbroker.rack=a=b\n");
  auto options = parse({"--config", path});
  ASSERT_TRUE(options) << refusal(options);
  EXPECT_EQ(options->default_partitions, 2);
  EXPECT_EQ(options->broker_id, 2);
  EXPECT_EQ(options->rack, "a=b");
  options = parse({"--config", path}, {{"SLUICE_NUM_PARTITIONS", "3"}});
  ASSERT_TRUE(options);
  EXPECT_EQ(options->default_partitions, 3);
  EXPECT_EQ(options->broker_id, 2);
  options = parse({"--override", "num.partitions=4", "--config", path}, {{"SLUICE_NUM_PARTITIONS", "3"}});
  ASSERT_TRUE(options);
  EXPECT_EQ(options->default_partitions, 4);
  EXPECT_EQ(value_of(*options, "num.partitions"), "4");
  options = parse({"--config", path, "--config", file("num.partitions=9")});
  ASSERT_TRUE(options);
  EXPECT_EQ(options->default_partitions, 9) << "the later file";
}

TEST_F(OptionsFile, ErrorsNameTheirPlace) {
  const std::string typo = file("node.id=1\nnode.idd=1\n");
  EXPECT_THAT(refusal(parse({"--config", typo})),
              HasSubstr(typo + ":2: unknown property \"node.idd\", did you mean \"node.id\"?"));
  const std::string shape = file("node.id\n");
  EXPECT_THAT(refusal(parse({"--config", shape})), HasSubstr(shape + ":1: not NAME=VALUE"));
  const std::string range = file("num.partitions=0");
  EXPECT_THAT(refusal(parse({"--config", range})), HasSubstr(range + ":1: num.partitions = \"0\""));
  EXPECT_THAT(refusal(parse({"--config", "/no/such/file"})), HasSubstr("/no/such/file: cannot be read"));
  EXPECT_THAT(refusal(parse({}, {{"SLUICE_NUM_PARTITIONS", "x"}})), HasSubstr("SLUICE_NUM_PARTITIONS: num.partitions"));
}

TEST(Environment, OnlyPropertiesWithThePrefixCount) {
  auto options = parse({}, {{"NUM_PARTITIONS", "7"},
                            {"SLUICE_NO_SUCH_THING", "7"},
                            {"SLUICE_BROKER_ID", "5"},
                            {"SLUICE_LOG_LEVEL", "debug"}});
  ASSERT_TRUE(options) << refusal(options);
  EXPECT_EQ(options->default_partitions, 1);
  EXPECT_EQ(options->broker_id, 5) << "Kafka's older name";
  EXPECT_EQ(options->log_level, "debug");
}

TEST(DataDirectory, IsNeededAndIsOne) {
  EXPECT_THAT(refusal(parse_options({}, {})), HasSubstr("--data-dir"));
  EXPECT_EQ(parse_options({}, {{"SLUICE_LOG_DIR", "/d"}})->data_directory, "/d");
  EXPECT_EQ(parse_options({"--data-dir=/e"}, {{"SLUICE_LOG_DIRS", "/d"}})->data_directory, "/e");
  EXPECT_THAT(refusal(parse_options({"--data-dir", "/a,/b"}, {})), HasSubstr("one directory"));
}

TEST(Help, IsGivenWhateverElseIsWrong) {
  EXPECT_TRUE(parse_options({"--help"}, {{"SLUICE_NUM_PARTITIONS", "x"}})->help);
  EXPECT_TRUE(parse_options({"--version", "--config", "/no/such/file"}, {})->version);
  for (const Property& property : properties()) EXPECT_THAT(usage(), HasSubstr(std::string(property.name)));
}

TEST(Listeners, ByFlags) {
  auto options = parse({"--listen", "127.0.0.1:1", "--listen", "[::1]:2", "--advertise", "example.org:3"});
  ASSERT_TRUE(options) << refusal(options);
  ASSERT_EQ(options->listeners.size(), 2u);
  EXPECT_EQ(options->listeners[0].name, "PLAINTEXT");
  EXPECT_EQ(options->listeners[0].port, 1);
  EXPECT_EQ(options->listeners[0].advertised_host, "example.org");
  EXPECT_EQ(options->listeners[0].advertised_port, 3);
  EXPECT_EQ(options->listeners[1].host, "::1");
  EXPECT_EQ(options->listeners[1].advertised_host, "");
  EXPECT_THAT(refusal(parse({"--advertise", "a:1"})), HasSubstr("needs --listen"));
  EXPECT_THAT(refusal(parse({"--listen", ":1", "--advertise", "a:1", "--advertise", "b:1"})),
              HasSubstr("more of them"));
  EXPECT_THAT(refusal(parse({"--listen", "localhost"})), HasSubstr("--listen"));
  EXPECT_THAT(refusal(parse({"--listen", ":1", "--advertise", ":2"})),
              HasSubstr("--advertise: clients cannot connect to 0.0.0.0"));
}

TEST(Listeners, AdvertisedBesideFlags) {
  const auto given = [](const std::string& value, std::vector<std::string> flags) {
    flags.insert(flags.end(), {"--override", "advertised.listeners=" + value});
    return parse(flags);
  };
  auto options = given("PLAINTEXT_2://example.org:3", {"--listen", "127.0.0.1:1", "--listen", "127.0.0.1:2"});
  ASSERT_TRUE(options) << refusal(options);
  EXPECT_EQ(options->listeners[0].advertised_host, "");
  EXPECT_EQ(options->listeners[1].advertised_host, "example.org");
  EXPECT_EQ(options->listeners[1].advertised_port, 3);
  EXPECT_THAT(refusal(given("OUT://example.org:3", {"--listen", "127.0.0.1:1"})),
              HasSubstr("advertised.listeners: there is no listener \"OUT\", only PLAINTEXT"));
  EXPECT_THAT(refusal(given("PLAINTEXT://a:1", {"--listen", "127.0.0.1:1", "--advertise", "b:2"})),
              HasSubstr("advertised twice"));
  EXPECT_THAT(refusal(given("PLAINTEXT://[::]:1", {"--listen", "127.0.0.1:1"})),
              HasSubstr("clients cannot connect to ::"));
}

TEST(Listeners, ByProperties) {
  auto options = parse({});
  ASSERT_EQ(options->listeners.size(), 1u);
  EXPECT_EQ(options->listeners[0].host, "127.0.0.1");
  EXPECT_EQ(options->listeners[0].port, 9092);
  options = parse(
      {"--override", "listeners=IN://127.0.0.1:1, OUT://:2", "--override", "advertised.listeners=OUT://example.org:3"});
  ASSERT_TRUE(options) << refusal(options);
  ASSERT_EQ(options->listeners.size(), 2u);
  EXPECT_EQ(options->listeners[0].advertised_host, "");
  EXPECT_EQ(options->listeners[1].host, "0.0.0.0");
  EXPECT_EQ(options->listeners[1].advertised_host, "example.org");
  EXPECT_THAT(refusal(with("advertised.listeners", "OTHER://a:1")), HasSubstr("there is no listener \"OTHER\""));
  for (const char* bad : {"", "127.0.0.1:1", "A://", "A://host", "A://:70000", "A://:1,A://:2", "://:1", "SSL://:1",
                          "SASL_PLAINTEXT://:1"}) {
    EXPECT_THAT(refusal(with("listeners", bad)), HasSubstr("listeners")) << bad;
  }
}

TEST(Retention, TheFinestSpellingCounts) {
  auto retention = [](std::vector<std::string> given) {
    std::vector<std::string> arguments;
    for (auto& one : given) arguments.insert(arguments.end(), {"--override", one});
    auto options = parse(arguments);
    EXPECT_TRUE(options) << refusal(options);
    return cluster::parse_topic_settings({}, options->topic_defaults).retention_ms;
  };
  EXPECT_EQ(retention({}), 604'800'000);
  EXPECT_EQ(retention({"log.retention.hours=2"}), 7'200'000);
  EXPECT_EQ(retention({"log.retention.hours=2", "log.retention.minutes=3"}), 180'000);
  EXPECT_EQ(retention({"log.retention.hours=2", "log.retention.minutes=3", "log.retention.ms=4"}), 4);
  EXPECT_EQ(retention({"log.retention.hours=-1"}), -1);
  EXPECT_EQ(retention({"log.retention.minutes=2147483647"}), 2'147'483'647LL * 60'000);
  // As Kafka: below 0 is for ever, 0 is refused, and only what counts is looked at.
  EXPECT_EQ(retention({"log.retention.ms=-5"}), -1);
  EXPECT_EQ(retention({"log.retention.ms=1", "log.retention.minutes=0"}), 1);
  for (const char* name : {"log.retention.ms", "log.retention.minutes", "log.retention.hours"}) {
    EXPECT_THAT(refusal(with(name, "0")),
                HasSubstr(std::string("--override: ") + name + " = \"0\": must be unlimited"));
  }
  auto options = parse({"--override", "log.roll.hours=1"});
  EXPECT_EQ(cluster::parse_topic_settings({}, options->topic_defaults).segment_ms, 3'600'000);
  options = parse({"--override", "log.roll.hours=1", "--override", "log.roll.ms=5"});
  EXPECT_EQ(cluster::parse_topic_settings({}, options->topic_defaults).segment_ms, 5);
}

TEST(TopicDefaults, AreCheckedAsTopicsAre) {
  EXPECT_THAT(refusal(with("log.cleanup.policy", "compact")), HasSubstr("log.cleanup.policy"));
  EXPECT_THAT(refusal(with("log.message.timestamp.type", "Sometimes")), HasSubstr("log.message.timestamp.type"));
  EXPECT_THAT(refusal(with("compression.type", "zstd")), HasSubstr("compression.type"));
}

TEST(Groups, TimeoutsGoTogether) {
  EXPECT_THAT(refusal(with("group.max.session.timeout.ms", "5999")), HasSubstr("group.max.session.timeout.ms"));
  EXPECT_EQ(with("offsets.retention.minutes", "2")->group.offsets_retention_ms, 120'000);
}

TEST(Logging, LevelsAndFormats) {
  EXPECT_THAT(refusal(parse({"--log-level", "loud"})), HasSubstr("sluice.log.level"));
  EXPECT_THAT(refusal(parse({"--log-format", "xml"})), HasSubstr("sluice.log.format"));
  EXPECT_EQ(parse({"--log-format=json"})->log_format, "json");
}

TEST(Admin, IsOffUnlessAskedFor) {
  EXPECT_EQ(parse({})->admin_port, -1);
  EXPECT_EQ(parse({"--admin", "127.0.0.1:0"})->admin_port, 0);
  EXPECT_THAT(refusal(parse({"--admin", "nowhere"})), HasSubstr("--admin"));
}

TEST(ParseAddress, Forms) {
  using Address = std::pair<std::string, uint16_t>;
  EXPECT_EQ(*parse_address("127.0.0.1:9092"), Address("127.0.0.1", 9092));
  EXPECT_EQ(*parse_address("[::1]:9092"), Address("::1", 9092));
  EXPECT_EQ(*parse_address(":9092"), Address("0.0.0.0", 9092));
  EXPECT_EQ(*parse_address("9092"), Address("127.0.0.1", 9092));
  EXPECT_EQ(*parse_address("host.example.org:0"), Address("host.example.org", 0));
  for (const char* bad : {"", ":", "host", "host:", "host:x", "host:-1", "host:65536", "host:1 ", "::1", "fe80::1:9092",
                          "[::1]", "[]:1", "[::1:1", "a b:1", "tcp://host:1", "1:2:3"}) {
    EXPECT_FALSE(parse_address(bad)) << bad;
  }
}

TEST(Loopback, IsJudgedByAddressNotByLooks) {
  for (const char* here : {"127.0.0.1", "127.8.9.10", "::1", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1", "localhost"})
    EXPECT_TRUE(is_loopback(here)) << here;
  for (const char* open :
       {"0.0.0.0", "::", "10.0.0.1", "127.example.org", "127.", "localhost.example.org", "", "::ffff:10.0.0.1"}) {
    EXPECT_FALSE(is_loopback(open)) << open;
  }
}

}  // namespace
}  // namespace sluice::app
