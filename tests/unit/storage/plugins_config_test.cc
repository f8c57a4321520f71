// SPDX-License-Identifier: Apache-2.0
#include "storage/plugins_config.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "../support/folder.hpp"

namespace sluice::storage {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr const char* kFile = "plugins.json";

std::string error_of(const std::string& text) {
  const auto config = parse_plugins_config(text, kFile);
  return config ? "(accepted)" : config.error().text();
}

/// A whole configuration around one storage "disk" that has these members besides its library.
std::string with_members(const std::string& members) {
  return R"({"storages": {"disk": {"library": "disk", )" + members + R"(}}, "default": "disk"})";
}

std::string with_option(const std::string& value) {
  return with_members(R"("options": {"it": )" + value + "}");
}

/// A whole configuration with these members beside the storages "disk" and "memory", and "archive", which is not
/// enabled.
std::string with_top(const std::string& members) {
  return R"({"storages": {"disk": {"library": "disk"}, "memory": {"library": "memory"},
                          "archive": {"library": "disk", "enabled": false}}, )" +
         members + "}";
}

TEST(PluginsConfig, IsReadWhole) {
  const auto config = parse_plugins_config(R"({
    "storages": {
      "disk": {"library": "disk", "options": {"sync": "fsync", "threads": 4, "share": 0.5, "verify": true}},
      "cache": {"library": "/opt/lib/libmemory.so", "enabled": true, "required": false},
      "archive": {"library": "disk", "enabled": false, "options": {"secret": {"env": "SLUICE_TEST_NOT_SET"}}}
    },
    "routes": [{"topics": "metrics.*", "storage": "cache"}, {"topics": "metrics.kept", "storage": "disk"}],
    "default": "disk",
    "internal": "disk"
  })",
                                           "/etc/sluice/plugins.json");
  ASSERT_TRUE(config) << config.error().text();
  EXPECT_EQ(config->file, "/etc/sluice/plugins.json");
  ASSERT_EQ(config->storages.size(), 3u);
  const StorageConfig& disk = config->storages[0];
  EXPECT_EQ(disk.name, "disk");
  EXPECT_EQ(disk.library, "disk");
  EXPECT_TRUE(disk.enabled);
  EXPECT_TRUE(disk.required);
  EXPECT_EQ(disk.json_path, "storages.disk");
  EXPECT_EQ(
      disk.options,
      (host::OptionInputs{{"sync", std::string("fsync")}, {"threads", int64_t{4}}, {"share", 0.5}, {"verify", true}}));
  EXPECT_EQ(config->storages[1].name, "cache");
  EXPECT_FALSE(config->storages[1].required);
  EXPECT_FALSE(config->storages[2].enabled);
  EXPECT_TRUE(config->storages[2].options.empty());
  EXPECT_EQ(config->default_storage, "disk");
  EXPECT_EQ(config->internal_storage, "disk");
  EXPECT_EQ(config->find("cache"), &config->storages[1]);
  EXPECT_EQ(config->find("none"), nullptr);
  EXPECT_EQ(config->route("metrics.cpu"), "cache");
  EXPECT_EQ(config->route("metrics.kept"), "cache") << "the first route that matches counts";
  EXPECT_EQ(config->route("orders"), "disk");
}

TEST(PluginsConfig, InternalLogsGoWhereTopicsGoUnlessToldOtherwise) {
  const auto config = parse_plugins_config(with_top(R"("default": "memory")"), kFile);
  ASSERT_TRUE(config) << config.error().text();
  EXPECT_EQ(config->internal_storage, "memory");
}

TEST(PluginsConfig, NamesTheNamesTheyDoNotKnow) {
  EXPECT_EQ(error_of(R"({"storage": {}})"), R"(plugins.json: storage: unknown name, did you mean "storages"?)");
  EXPECT_EQ(error_of(R"({"xyzzy": 1})"),
            "plugins.json: xyzzy: unknown name; known are storages, routes, default, internal");
  EXPECT_EQ(error_of(with_members(R"("libary": 1)")),
            R"(plugins.json: storages.disk.libary: unknown name, did you mean "library"?)");
  EXPECT_EQ(error_of(with_members(R"("": 1)")),
            R"(plugins.json: storages.disk[""]: unknown name; known are library, enabled, required, options)");
  EXPECT_EQ(error_of(with_top(R"("default": "disk", "routes": [{"topic": "a", "storage": "disk"}])")),
            R"(plugins.json: routes[0].topic: unknown name, did you mean "topics"?)");
}

TEST(PluginsConfig, WantsEveryFieldOfTheRightKind) {
  struct Case {
    std::string text;
    std::string error;
  };
  const Case cases[] = {
      {"[]", "plugins.json: must be an object, and is a list"},
      {"7", "plugins.json: must be an object, and is a number"},
      {"null", "plugins.json: must be an object, and is null"},
      {"{}", "plugins.json: storages: is required: the storages by name"},
      {R"({"storages": []})", "plugins.json: storages: must be an object, and is a list"},
      {R"({"storages": 0})", "plugins.json: storages: must be an object, and is a number"},
      {R"({"storages": {}})", "plugins.json: storages: is empty: at least one storage is needed"},
      {R"({"storages": {"disk": "disk"}})", "plugins.json: storages.disk: must be an object, and is a text"},
      {R"({"storages": {"disk": null}})", "plugins.json: storages.disk: must be an object, and is null"},
      {R"({"storages": {"disk": {}}})",
       "plugins.json: storages.disk.library: is required: an adapter's name, or the absolute path of one"},
      {R"({"storages": {"disk": {"library": 0}}})",
       "plugins.json: storages.disk.library: must be a text, and is a number"},
      {R"({"storages": {"disk": {"library": -1}}})",
       "plugins.json: storages.disk.library: must be a text, and is a number"},
      {R"({"storages": {"disk": {"library": ["disk"]}}})",
       "plugins.json: storages.disk.library: must be a text, and is a list"},
      {R"({"storages": {"disk": {"library": ""}}})", "plugins.json: storages.disk.library: is empty"},
      {R"({"storages": {"disk": {"library": "a\u0000b"}}})", "plugins.json: storages.disk.library: holds a zero byte"},
      {R"({"storages": {"disk": {"library": "./disk"}}})",
       "plugins.json: storages.disk.library: storage library \"./disk\": give an absolute path, or a plain name to be "
       "found in the "
       "plugin folder"},
      {R"({"storages": {"disk": {"library": "disk", "enabled": false}}, "default": "disk"})",
       "plugins.json: storages: none is enabled"},
      {with_members(R"("enabled": 1)"), "plugins.json: storages.disk.enabled: must be true or false, and is a number"},
      {with_members(R"("enabled": "yes")"),
       "plugins.json: storages.disk.enabled: must be true or false, and is a text"},
      {with_members(R"("required": 0)"),
       "plugins.json: storages.disk.required: must be true or false, and is a number"},
      {with_members(R"("required": null)"), "plugins.json: storages.disk.required: must be true or false, and is null"},
      {with_members(R"("options": [])"), "plugins.json: storages.disk.options: must be an object, and is a list"},
      {with_members(R"("enabled": false, "options": 3)"),
       "plugins.json: storages.disk.options: must be an object, and is a number"},
      {R"({"storages": {"disk": {"library": "disk"}}})",
       "plugins.json: default: is required: the storage of every topic that no route names"},
      {with_top(R"("default": 0)"), "plugins.json: default: must be a text, and is a number"},
      {with_top(R"("default": "")"), "plugins.json: default: is empty"},
      {with_top(R"("default": "dsk")"), "plugins.json: default: there is no storage \"dsk\", did you mean \"disk\"?"},
      {with_top(R"("default": "elsewhere")"),
       "plugins.json: default: there is no storage \"elsewhere\"; enabled are disk, memory"},
      {with_top(R"("default": "archive")"), "plugins.json: default: storage \"archive\" is not enabled"},
      {with_top(R"("default": "disk", "internal": null)"), "plugins.json: internal: must be a text, and is null"},
      {with_top(R"("default": "disk", "internal": "memry")"),
       "plugins.json: internal: there is no storage \"memry\", did you mean \"memory\"?"},
      {with_top(R"("default": "disk", "routes": {})"), "plugins.json: routes: must be a list, and is an object"},
      {with_top(R"("default": "disk", "routes": [0])"), "plugins.json: routes[0]: must be an object, and is a number"},
      {with_top(R"("default": "disk", "routes": [{"topics": "a", "storage": "disk"}, {}])"),
       "plugins.json: routes[1].topics: is required: a pattern such as \"metrics.*\""},
      {with_top(R"("default": "disk", "routes": [{"topics": "a"}])"),
       "plugins.json: routes[0].storage: is required: the name of a storage"},
      {with_top(R"("default": "disk", "routes": [{"topics": 1, "storage": "disk"}])"),
       "plugins.json: routes[0].topics: must be a text, and is a number"},
      {with_top(R"("default": "disk", "routes": [{"topics": "", "storage": "disk"}])"),
       "plugins.json: routes[0].topics: is empty"},
      {with_top(R"("default": "disk", "routes": [{"topics": "a b", "storage": "disk"}])"),
       "plugins.json: routes[0].topics: can match no topic: letters, digits, '.', '_' and '-' make names, '*' and '?' "
       "stand for them"},
      {with_top(R"("default": "disk", "routes": [{"topics": ")" + std::string(250, 'a') + R"(", "storage": "disk"}])"),
       "plugins.json: routes[0].topics: is 250 characters long, 249 is the most"},
      {with_top(R"("default": "disk", "routes": [{"topics": "a", "storage": "archive"}])"),
       "plugins.json: routes[0].storage: storage \"archive\" is not enabled"},
      {with_top(R"("default": "disk", "routes": [{"topics": "a", "storage": "memori"}])"),
       "plugins.json: routes[0].storage: there is no storage \"memori\", did you mean \"memory\"?"},
  };
  for (const Case& c : cases) EXPECT_EQ(error_of(c.text), c.error) << c.text;
}

TEST(PluginsConfig, NamesOfStoragesArePlain) {
  for (const std::string name : {"", "a b", "a.b", "a/b", "..", "ä", "a\\u0000", "a\\nb"}) {
    const std::string error = error_of(R"({"storages": {")" + name + R"(": {"library": "disk"}}, "default": "disk"})");
    EXPECT_THAT(error, HasSubstr("the name of a storage is 1 to 64 letters, digits, '_' and '-'")) << name;
    EXPECT_THAT(error, Not(HasSubstr("\n"))) << name;
  }
  const std::string longest(64, 'n');
  EXPECT_EQ(error_of(R"({"storages": {")" + longest + R"(": {"library": "disk"}}, "default": ")" + longest + R"("})"),
            "(accepted)");
  EXPECT_THAT(error_of(R"({"storages": {"n)" + longest + R"(": {"library": "disk"}}, "default": "disk"})"),
              HasSubstr("1 to 64"));
}

TEST(PluginsConfig, NumbersKeepTheirValue) {
  for (const auto& [text, value] :
       std::vector<std::pair<std::string, host::OptionInput>>{{"0", int64_t{0}},
                                                              {"-1", int64_t{-1}},
                                                              {"9223372036854775807", INT64_MAX},
                                                              {"-9223372036854775808", INT64_MIN},
                                                              {"1e3", 1000.0},
                                                              {"-0.25", -0.25}}) {
    const auto config = parse_plugins_config(with_option(text), kFile);
    ASSERT_TRUE(config) << config.error().text();
    EXPECT_EQ(config->storages[0].options.at("it"), value) << text;
  }
}

TEST(PluginsConfig, RefusesOptionsThatAreNoValues) {
  EXPECT_EQ(error_of(with_option("null")),
            "plugins.json: storages.disk.options.it: is null: leave it out to have its default");
  EXPECT_EQ(error_of(with_option("[1]")),
            "plugins.json: storages.disk.options.it: must be a text, a number, true or false, {\"env\": ...} or "
            "{\"file\": ...}, and "
            "is a list");
  EXPECT_EQ(error_of(with_option("9223372036854775808")),
            "plugins.json: storages.disk.options.it: is above 9223372036854775807");
  // Beyond 64 bits the parser makes a float of it; the adapter's range refuses it.
  EXPECT_EQ(error_of(with_option("99999999999999999999999")), "(accepted)");
  EXPECT_THAT(error_of(with_option("1e999")), HasSubstr("plugins.json:1:"));
  EXPECT_THAT(error_of(with_option("1e999")), HasSubstr("a number is too large"));
}

TEST(PluginsConfig, ReadsSecrets) {
  test::Folder folder;
  ::setenv("SLUICE_TEST_SECRET", "from the environment", 1);
  const std::string unix_file = folder.write("unix", "from a file\n");
  const std::string dos_file = folder.write("dos", "from a file\r\n");
  const std::string bare_file = folder.write("bare", "two\nlines");
  const std::string empty_file = folder.write("empty", "");
  const auto value = [](const std::string& json) {
    const auto config = parse_plugins_config(with_option(json), kFile);
    return config ? std::get<std::string>(config->storages[0].options.at("it")) : config.error().text();
  };
  EXPECT_EQ(value(R"({"env": "SLUICE_TEST_SECRET"})"), "from the environment");
  EXPECT_EQ(value(R"({"file": ")" + unix_file + "\"}"), "from a file");
  EXPECT_EQ(value(R"({"file": ")" + dos_file + "\"}"), "from a file");
  EXPECT_EQ(value(R"({"file": ")" + bare_file + "\"}"), "two\nlines");
  EXPECT_EQ(value(R"({"file": ")" + empty_file + "\"}"), "");
  ::unsetenv("SLUICE_TEST_SECRET");
}

TEST(PluginsConfig, SaysWhichSecretIsMissing) {
  test::Folder folder;
  const std::string at = "plugins.json: storages.disk.options.it";
  EXPECT_EQ(error_of(with_option(R"({"env": "SLUICE_TEST_NOT_SET"})")),
            at + ".env: the environment has no \"SLUICE_TEST_NOT_SET\"");
  EXPECT_EQ(error_of(with_option(R"({"env": 5})")), at + ".env: must be a text, and is a number");
  EXPECT_EQ(error_of(with_option(R"({"env": ""})")), at + ".env: is empty");
  EXPECT_EQ(error_of(with_option(R"({"env": "A=B"})")), at + ".env: the environment has no \"A=B\"");
  EXPECT_EQ(error_of(with_option(R"({"file": "relative"})")), at + ".file: \"relative\" is not an absolute path");
  EXPECT_EQ(error_of(with_option(R"({"file": "/no/such/file"})")),
            at + ".file: \"/no/such/file\": No such file or directory");
  EXPECT_EQ(error_of(with_option(R"({"file": ")" + folder.path() + "\"}")),
            at + ".file: \"" + folder.path() + "\": is not a file");
  EXPECT_EQ(error_of(with_option(R"({"file": "/dev/zero"})")), at + ".file: \"/dev/zero\": is not a file");
  const std::string large = folder.write("large", std::string(65537, 'x'));
  EXPECT_EQ(error_of(with_option(R"({"file": ")" + large + "\"}")),
            at + ".file: \"" + large + "\": is longer than 65536 bytes");
  EXPECT_EQ(error_of(with_option(R"({"env": "A", "file": "/b"})")),
            at + ": must name one source, {\"env\": \"NAME\"} or {\"file\": \"/path\"}");
  EXPECT_EQ(error_of(with_option("{}")), at + ": must name one source, {\"env\": \"NAME\"} or {\"file\": \"/path\"}");
  EXPECT_EQ(error_of(with_option(R"({"evn": "A"})")), at + ".evn: unknown name, did you mean \"env\"?");
}

TEST(PluginsConfig, NeverQuotesValues) {
  for (const std::string text :
       {R"({"storages": {"disk": {"options": {"password": "hunter2)",
        R"({"storages": {"disk": {"options": {"password": "hunter2\q"}}}})",
        R"({"storages": {"disk": {"options": {"password": hunter2}}}})",
        R"({"storages": {"disk": {"library": "disk", "options": {"password": ["hunter2"]}}}})",
        R"({"storages": {"disk": {"library": "disk", "options": {"password": {"env": ["hunter2"]}}}}})",
        R"({"storages": {"disk": {"options": {"password" "hunter2"}}}})"}) {
    EXPECT_THAT(error_of(text), Not(HasSubstr("hunter"))) << text;
    EXPECT_THAT(error_of(text), Not(HasSubstr("accepted"))) << text;
  }
}

TEST(PluginsConfig, FindsEqualNamesAtEveryDepth) {
  EXPECT_EQ(error_of(R"({"default": "a", "storages": {}, "default": "b"})"), "plugins.json: default: is there twice");
  EXPECT_EQ(error_of(R"({"storages": {"disk": {}, "memory": {}, "disk": {}}})"),
            "plugins.json: storages.disk: is there twice");
  EXPECT_EQ(error_of(with_members(R"("library": "memory")")), "plugins.json: storages.disk.library: is there twice");
  EXPECT_EQ(error_of(with_members(R"("options": {"a": 1, "b": {"env": "X", "env": "Y"}})")),
            "plugins.json: storages.disk.options.b.env: is there twice");
  EXPECT_EQ(error_of(with_members(R"("options": {"a": 1, "a": 1})")),
            "plugins.json: storages.disk.options.a: is there twice");
  EXPECT_EQ(error_of(with_top(R"("routes": [{}, {"topics": "a", "x": [1, {"y": 1, "y": 2}]}])")),
            "plugins.json: routes[1].x[1].y: is there twice");
  EXPECT_EQ(error_of(with_top(R"("routes": [{}, {"topics": "a", "topics": "a"}])")),
            "plugins.json: routes[1].topics: is there twice");
  EXPECT_EQ(error_of(R"({"a\u0062": 1, "ab": 2})"), "plugins.json: ab: is there twice");
  // Equal names in different objects are none.
  EXPECT_EQ(
      error_of(with_top(
          R"("default": "disk", "routes": [{"topics": "a", "storage": "disk"}, {"topics": "a", "storage": "disk"}])")),
      "(accepted)");
}

TEST(PluginsConfig, SaysWhereTheTextIsNotJson) {
  EXPECT_THAT(error_of(""), HasSubstr("plugins.json:1:1: not JSON: "));
  EXPECT_THAT(error_of("{"), HasSubstr("plugins.json:1:2: not JSON: "));
  EXPECT_THAT(error_of("{\n  \"a\": 1,\n}\n"), HasSubstr("plugins.json:3:1: not JSON: "));
  EXPECT_THAT(error_of("{\n  \"a\" 1\n}"), HasSubstr("plugins.json:2:7: not JSON: "));
  EXPECT_THAT(error_of("{\n  \"a\": 1\n  \"bcd\": 2}"), HasSubstr("plugins.json:3:3: not JSON: "));
  EXPECT_THAT(error_of("{} {}"), HasSubstr("plugins.json:1:4: not JSON: "));
  EXPECT_THAT(error_of("// no comments\n{}"), HasSubstr("plugins.json:1:1: not JSON: "));
  EXPECT_THAT(error_of("{\"a\": 'b'}"), HasSubstr("plugins.json:1:7: not JSON: "));
  EXPECT_THAT(error_of("{\"a\": \"\xff\"}"), HasSubstr("plugins.json:1:8: not JSON: "));
  EXPECT_THAT(error_of(std::string("{}\0", 3)), HasSubstr("plugins.json:1:3: not JSON: "));
  EXPECT_THAT(error_of("{\"a\": NaN}"), HasSubstr("plugins.json:1:"));
}

TEST(PluginsConfig, BoundsDepthAndSize) {
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += "{\"a\":[";
  EXPECT_THAT(error_of(deep), HasSubstr("is nested deeper than 16 levels"));
  EXPECT_THAT(error_of(std::string(2 << 20, ' ')), HasSubstr("is longer than 1048576 bytes"));
  std::string wide = "{";
  for (int i = 0; i < 5000; ++i) wide += "\"" + std::to_string(i) + "\": 0,";
  EXPECT_THAT(error_of(wide), HasSubstr("has more than 1024 names"));
  std::string many = R"({"default": "s0", "storages": {)";
  for (int i = 0; i < 65; ++i)
    many += (i > 0 ? "," : "") + std::string("\"s") + std::to_string(i) + R"(": {"library": "disk"})";
  EXPECT_EQ(error_of(many + "}}"), "plugins.json: storages: has 65 storages, 64 is the most");
}

TEST(PluginsConfig, MessagesShortenAbsurdNames) {
  const std::string error = error_of(R"({")" + std::string(100'000, 'x') + R"(": 1})");
  EXPECT_LT(error.size(), 300u);
}

TEST(PluginsConfig, FileErrorsNameTheFile) {
  test::Folder folder;
  EXPECT_EQ(read_plugins_config("/no/such/plugins.json").error().text(),
            "/no/such/plugins.json: No such file or directory");
  EXPECT_EQ(read_plugins_config("/no/such/plugins.json").error().code(), StatusCode::not_found);
  EXPECT_EQ(read_plugins_config(folder.path()).error().text(), folder.path() + ": is not a file");
  const std::string broken = folder.write("broken.json", "{\n]");
  EXPECT_THAT(read_plugins_config(broken).error().text(), HasSubstr(broken + ":2:1: not JSON"));
  const std::string good = folder.write("good.json", with_top(R"("default": "disk")"));
  EXPECT_TRUE(read_plugins_config(good));
}

TEST(PluginsConfig, IsFound) {
  test::Folder folder;
  EXPECT_EQ(find_plugins_config("/no/such.json", folder.path()).error().text(), "/no/such.json: no such file");
  // The build folder holds the default of the source tree, beside the folder of its programs.
  const auto installed = find_plugins_config("", folder.path());
  ASSERT_TRUE(installed) << installed.error().text();
  EXPECT_THAT(*installed, testing::EndsWith("/share/sluice/plugins.json"));
  const auto config = read_plugins_config(*installed);
  ASSERT_TRUE(config) << config.error().text();
  EXPECT_EQ(config->default_storage, "disk");
  const std::string own = folder.write("plugins.json", "{}");
  EXPECT_EQ(find_plugins_config("", folder.path()).value(), own);
  const std::string given = folder.write("given.json", "{}");
  EXPECT_EQ(find_plugins_config(given, folder.path()).value(), given);
}

TEST(PluginsConfig, ReadsOptionsAlone) {
  const auto inputs = parse_options(R"({"max_bytes": "1MiB", "threads": 2})", "--config");
  ASSERT_TRUE(inputs) << inputs.error().text();
  EXPECT_EQ(*inputs, (host::OptionInputs{{"max_bytes", std::string("1MiB")}, {"threads", int64_t{2}}}));
  EXPECT_EQ(parse_options("[]", "--config").error().text(), "--config: must be an object, and is a list");
  EXPECT_EQ(parse_options(R"({"a": 1, "a": 2})", "--config").error().text(), "--config: a: is there twice");
  EXPECT_EQ(parse_options(R"({"a": [1]})", "--config").error().text(),
            "--config: a: must be a text, a number, true or false, {\"env\": ...} or {\"file\": ...}, and is a list");
}

TEST(MatchesPattern, StarsAndQuestionMarks) {
  EXPECT_TRUE(matches_pattern("orders", "orders"));
  EXPECT_FALSE(matches_pattern("orders", "orders2"));
  EXPECT_FALSE(matches_pattern("orders2", "orders"));
  EXPECT_TRUE(matches_pattern("*", "anything"));
  EXPECT_TRUE(matches_pattern("*", ""));
  EXPECT_FALSE(matches_pattern("?", ""));
  EXPECT_FALSE(matches_pattern("", "a"));
  EXPECT_TRUE(matches_pattern("metrics.*", "metrics."));
  EXPECT_FALSE(matches_pattern("metrics.*", "metrics"));
  EXPECT_TRUE(matches_pattern("*.events.*", "a.events.events.b"));
  EXPECT_TRUE(matches_pattern("a?c*e", "abcdce"));
  EXPECT_FALSE(matches_pattern("a?c*e", "abcdcef"));
  EXPECT_TRUE(matches_pattern("**a**", "bab"));
  EXPECT_FALSE(matches_pattern("A", "a"));
  EXPECT_FALSE(matches_pattern(std::string(100, '*') + "b", std::string(249, 'a'))) << "and soon";
  std::string stars;
  for (int i = 0; i < 60; ++i) stars += "a*";
  EXPECT_FALSE(matches_pattern(stars + "b", std::string(249, 'a')));
}

}  // namespace
}  // namespace sluice::storage
