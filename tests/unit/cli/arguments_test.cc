// SPDX-License-Identifier: Apache-2.0
#include "cli/arguments.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace sluice::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

template <class T>
T command(const std::vector<std::string>& words) {
  const Parsed parsed = parse_arguments(words, nullptr);
  EXPECT_TRUE(parsed.arguments) << parsed.text;
  if (!parsed.arguments || !std::holds_alternative<T>(parsed.arguments->command)) {
    ADD_FAILURE() << "another command";
    return {};
  }
  return std::get<T>(parsed.arguments->command);
}

Common common(const std::vector<std::string>& words, const char* bootstrap = nullptr) {
  const Parsed parsed = parse_arguments(words, bootstrap);
  EXPECT_TRUE(parsed.arguments) << parsed.text;
  return parsed.arguments ? parsed.arguments->common : Common();
}

TEST(Arguments, CommonOnesStandAnywhere) {
  EXPECT_EQ(common({"topic", "list"}).bootstrap, "127.0.0.1:9092");
  EXPECT_EQ(common({"topic", "list"}, "a:1").bootstrap, "a:1");
  EXPECT_EQ(common({"topic", "list"}, "").bootstrap, "127.0.0.1:9092");
  EXPECT_EQ(common({"--bootstrap", "b:2", "topic", "list"}, "a:1").bootstrap, "b:2");
  EXPECT_EQ(common({"topic", "list", "-b", "b:2"}, "a:1").bootstrap, "b:2");
  EXPECT_TRUE(common({"topic", "--json", "list"}).json);
  EXPECT_FALSE(common({"topic", "list"}).json);
}

TEST(Arguments, TimeoutsHaveAUnit) {
  EXPECT_EQ(common({"topic", "list"}).timeout_ms, 10'000);
  EXPECT_EQ(common({"topic", "list", "--timeout", "500ms"}).timeout_ms, 500);
  EXPECT_EQ(common({"topic", "list", "--timeout", "2min"}).timeout_ms, 120'000);
  for (const char* wrong : {"10", "0s", "-1s", "1parsec", "", "99999999h", "1e3s"}) {
    const Parsed parsed = parse_arguments({"topic", "list", "--timeout", wrong}, nullptr);
    EXPECT_FALSE(parsed.arguments) << wrong;
    EXPECT_EQ(parsed.exit_code, kExitUsage);
    EXPECT_THAT(parsed.text, HasSubstr("is not a duration such as 500ms, 10s or 5min"));
  }
}

TEST(Arguments, Filters) {
  EXPECT_EQ(command<FilterCheck>({"filter", "check", "key exists"}).expression, "key exists");
  EXPECT_EQ(command<FilterCheck>({"filter", "check", "key exists", "--record", "f"}).records, "f");
  // That a filter is wrong is what check is there to find; elsewhere the command line is.
  EXPECT_EQ(command<FilterCheck>({"filter", "check", "key"}).expression, "key");
  EXPECT_EQ(command<Consume>({"consume", "t", "--filter", "partition = 1"}).filter, "partition = 1");
  EXPECT_EQ(command<Consume>({"consume", "t"}).filter, "");
  const Parsed parsed = parse_arguments({"consume", "t", "--filter", "key = 1"}, nullptr);
  EXPECT_FALSE(parsed.arguments);
  EXPECT_EQ(parsed.exit_code, kExitUsage);
  EXPECT_THAT(parsed.text, HasSubstr("--filter: filter: byte 6: key has bytes: compare it with a string"));
}

TEST(Arguments, Migrations) {
  using Action = TopicMigrate::Action;
  const auto migrate = [](std::vector<std::string> words) {
    words.insert(words.begin(), {"topic", "migrate", "orders"});
    return words;
  };
  auto start = command<TopicMigrate>(migrate({"--to", "redis"}));
  EXPECT_EQ(start.name, "orders");
  EXPECT_EQ(start.to, "redis");
  EXPECT_EQ(start.action, Action::start);
  EXPECT_FALSE(start.max_bytes_per_second);
  EXPECT_EQ(command<TopicMigrate>(migrate({"--to", "redis", "--max-bytes-per-second", "20MiB"})).max_bytes_per_second,
            20 << 20);
  EXPECT_EQ(command<TopicMigrate>(migrate({"--status"})).action, Action::status);
  EXPECT_EQ(command<TopicMigrate>(migrate({"--pause"})).action, Action::pause);
  EXPECT_EQ(command<TopicMigrate>(migrate({"--resume", "--max-bytes-per-second", "5"})).action, Action::resume);
  EXPECT_EQ(command<TopicMigrate>(migrate({"--cancel"})).action, Action::cancel);
  const auto limit = command<TopicMigrate>(migrate({"--max-bytes-per-second", "none"}));
  EXPECT_EQ(limit.action, Action::limit);
  EXPECT_EQ(limit.max_bytes_per_second, -1);
  for (const auto& wrong : std::vector<std::vector<std::string>>{{},
                                                                 {"--to", "redis", "--cancel"},
                                                                 {"--pause", "--resume"},
                                                                 {"--status", "--max-bytes-per-second", "5"},
                                                                 {"--to", "redis", "--max-bytes-per-second", "0"},
                                                                 {"--to", "redis", "--max-bytes-per-second", "fast"}}) {
    EXPECT_EQ(parse_arguments(migrate(wrong), nullptr).exit_code, kExitUsage);
  }
}

TEST(Arguments, Topics) {
  const auto create =
      command<TopicCreate>({"topic", "create", "orders", "-p", "3", "-c", "retention.ms=1", "--config", "a=b=c"});
  EXPECT_EQ(create.name, "orders");
  EXPECT_EQ(create.partitions, 3);
  EXPECT_THAT(create.configs, ElementsAre(Pair("retention.ms", "1"), Pair("a", "b=c")));
  EXPECT_EQ(command<TopicCreate>({"topic", "create", "orders"}).partitions, -1);
  // An option that may be repeated does not swallow what follows it.
  EXPECT_EQ(command<TopicCreate>({"topic", "create", "--config", "a=b", "orders"}).name, "orders");
  EXPECT_TRUE(command<TopicList>({"topic", "list", "--internal"}).internal);
  EXPECT_EQ(command<TopicDescribe>({"topic", "describe", "a"}).name, "a");
  EXPECT_THAT(command<TopicDelete>({"topic", "delete", "a", "b"}).names, ElementsAre("a", "b"));
}

TEST(Arguments, Groups) {
  command<GroupList>({"group", "list"});
  EXPECT_EQ(command<GroupDescribe>({"group", "describe", "g"}).group, "g");
}

TEST(Arguments, Produce) {
  const auto plain = command<Produce>({"produce", "t"});
  EXPECT_EQ(plain.partition, -1);
  EXPECT_FALSE(plain.key);
  EXPECT_EQ(plain.key_separator, "");
  EXPECT_EQ(plain.codec, "none");
  EXPECT_EQ(plain.acks, "all");
  EXPECT_EQ(plain.count, 0);
  const auto full = command<Produce>({"produce", "t", "-K", "\\t", "-H", "a=b", "-H", "empty=", "--partition", "2",
                                      "-z", "zstd", "--acks", "1", "--idempotent", "--tombstones"});
  EXPECT_EQ(full.key_separator, "\t");
  EXPECT_THAT(full.headers, ElementsAre(Pair("a", "b"), Pair("empty", "")));
  EXPECT_EQ(full.partition, 2);
  EXPECT_EQ(full.codec, "zstd");
  EXPECT_TRUE(full.idempotent);
  EXPECT_TRUE(full.tombstones);
  EXPECT_EQ(command<Produce>({"produce", "t", "--key", ""}).key, "");
  const auto load = command<Produce>({"produce", "t", "--count", "5", "--size", "0"});
  EXPECT_EQ(load.count, 5);
  EXPECT_EQ(load.size, 0);
}

TEST(Arguments, Consume) {
  const auto plain = command<Consume>({"consume", "t"});
  EXPECT_EQ(plain.offset, -1);
  EXPECT_EQ(plain.partition, -1);
  EXPECT_FALSE(plain.json);
  EXPECT_THAT(plain.show, ElementsAre(Field::value));
  EXPECT_EQ(plain.separator, "\t");
  const auto full = command<Consume>({"consume", "t", "--group", "g", "--from-beginning", "-n", "7", "-e", "--show",
                                      "offset,key,value", "--separator", " | "});
  EXPECT_EQ(full.group, "g");
  EXPECT_TRUE(full.from_beginning);
  EXPECT_EQ(full.count, 7);
  EXPECT_TRUE(full.exit_at_end);
  EXPECT_THAT(full.show, ElementsAre(Field::offset, Field::key, Field::value));
  EXPECT_EQ(full.separator, " | ");
  EXPECT_EQ(command<Consume>({"consume", "t", "--offset", "0"}).offset, 0);
  EXPECT_TRUE(command<Consume>({"consume", "t", "--json"}).json);
  EXPECT_TRUE(command<Consume>({"consume", "t", "--format", "json"}).json);
  EXPECT_FALSE(command<Consume>({"consume", "t", "--json", "--format", "text"}).json);
}

TEST(Arguments, Plugins) {
  const auto list = command<PluginList>({"plugin", "list", "--plugins", "f", "--data-dir", "d", "--plugin-dir", "p"});
  EXPECT_EQ(list.places.file, "f");
  EXPECT_EQ(list.places.data_directory, "d");
  EXPECT_EQ(list.places.plugin_directory, "p");
  EXPECT_EQ(command<PluginDescribe>({"plugin", "describe", "disk"}).name, "disk");
  EXPECT_EQ(command<PluginCheck>({"plugin", "check"}).library, "");
  const auto check =
      command<PluginCheck>({"plugin", "check", "./libmine.so", "--config", "{}", "--filter", "append", "--seed", "7"});
  EXPECT_EQ(check.library, "./libmine.so");
  EXPECT_EQ(check.filter, "append");
  EXPECT_EQ(check.seed, 7u);
  const auto native = command<PluginCheck>({"plugin", "check", "kafka", "--native-name", "orders", "--native-write",
                                            "write {name}", "--native-damage", "damage {name}"});
  EXPECT_EQ(native.native_name, "orders");
  EXPECT_EQ(native.native_write, "write {name}");
  EXPECT_EQ(native.native_damage, "damage {name}");
}

TEST(Arguments, WrongOnesAreUsage) {
  const std::vector<std::vector<std::string>> wrong = {
      {},
      {"topic"},
      {"topics", "list"},
      {"topic", "create"},
      {"topic", "create", "a", "b"},
      {"topic", "create", "a", "--partitions", "0"},
      {"topic", "create", "a", "--partitions", "-1"},
      {"topic", "create", "a", "--partitions", "many"},
      {"topic", "create", "a", "--partitions", "99999999999999999999"},
      {"topic", "create", "a", "--config", "novalue"},
      {"topic", "create", "a", "--config", "=value"},
      {"topic", "delete"},
      {"topic", "list", "--unknown"},
      {"group", "describe"},
      {"produce"},
      {"produce", "t", "--codec", "brotli"},
      {"produce", "t", "--acks", "2"},
      {"produce", "t", "--count", "0"},
      {"produce", "t", "--size", "5"},
      {"produce", "t", "--key", "k", "--key-separator", ":"},
      {"produce", "t", "--count", "1", "--key-separator", ":"},
      {"produce", "t", "--key-separator", "\\q"},
      {"produce", "t", "--header", "h"},
      {"consume"},
      {"consume", "t", "--offset", "-1"},
      {"consume", "t", "--offset", "1", "--from-beginning"},
      {"consume", "t", "--offset", "1", "--group", "g"},
      {"consume", "t", "--partition", "1", "--group", "g"},
      {"consume", "t", "--count", "0"},
      {"consume", "t", "--show", "everything"},
      {"consume", "t", "--format", "xml"},
      {"plugin", "check", "--config", "{}"},
      {"plugin", "describe"},
      {"version", "now"},
  };
  for (const auto& words : wrong) {
    const Parsed parsed = parse_arguments(words, nullptr);
    std::string line;
    for (const auto& word : words) line += word + " ";
    EXPECT_FALSE(parsed.arguments) << line;
    EXPECT_EQ(parsed.exit_code, kExitUsage) << line;
    EXPECT_FALSE(parsed.text.empty()) << line;
  }
}

TEST(Arguments, HelpIsNoError) {
  for (const auto& words : std::vector<std::vector<std::string>>{{"--help"}, {"topic", "-h"}, {"consume", "--help"}}) {
    const Parsed parsed = parse_arguments(words, nullptr);
    EXPECT_FALSE(parsed.arguments);
    EXPECT_EQ(parsed.exit_code, kExitOk);
    EXPECT_FALSE(parsed.text.empty());
  }
  EXPECT_THAT(parse_arguments({"consume", "--help"}, nullptr).text,
              HasSubstr("sluice consume orders --partition 0 --offset 42"));
}

TEST(Arguments, Cursors) {
  EXPECT_EQ(command<CursorShow>({"cursor", "show", "slc1.AA"}).text, "slc1.AA");
  const auto set = command<CursorSet>({"cursor", "set", "-", "a=1", "b=c=2"});
  EXPECT_EQ(set.text, "-");
  EXPECT_THAT(set.places, ElementsAre("a=1", "b=c=2"));
  EXPECT_EQ(parse_arguments({"cursor", "set", "x"}, nullptr).exit_code, kExitUsage);
}

}  // namespace
}  // namespace sluice::cli
