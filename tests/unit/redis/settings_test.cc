// SPDX-License-Identifier: Apache-2.0
#include "redis/settings.hpp"

#include <gtest/gtest.h>

#include <map>

namespace sluice::redis {
namespace {

using Texts = std::map<std::string, std::string>;

// What the host would hand over: defaults of texts and numbers, and what is given here.
class Given {
 public:
  Given(Texts texts, std::map<std::string, int64_t> numbers = {}) : texts_(std::move(texts)), values_(kOptionCount) {
    for (size_t i = 0; i < kOptionCount; ++i) {
      const sluice_option& option = kOptionTable[i];
      sluice_value& value = values_[i];
      if (texts_.contains(option.name)) {
        value = {texts_[option.name].c_str(), 0, 1, 0};
      } else if (numbers.contains(option.name)) {
        value = {nullptr, numbers[option.name], 1, 0};
      } else if (option.default_text != nullptr) {
        value = {option.type == SLUICE_OPTION_TEXT ? option.default_text : nullptr, 0, 1, 0};
      }
    }
  }
  Result<Settings> read() const { return read_settings(plugin::Options({kOptionTable, kOptionCount}, values_)); }

 private:
  Texts texts_;
  std::vector<sluice_value> values_;
};

void refused(const Given& given, const std::string& option) {
  const Result<Settings> settings = given.read();
  ASSERT_FALSE(settings) << option;
  EXPECT_EQ(settings.error().code(), StatusCode::invalid);
  EXPECT_TRUE(settings.error().text().starts_with(option)) << settings.error().text();
}

TEST(RedisSettings, Defaults) {
  const Result<Settings> settings = Given(Texts{}).read();
  ASSERT_TRUE(settings) << settings.error().describe();
  ASSERT_EQ(settings->addresses.size(), 1u);
  EXPECT_EQ(settings->addresses[0].text(), "127.0.0.1:6379");
  EXPECT_EQ(settings->prefix, "sluice");
  EXPECT_EQ(settings->mode, Mode::standalone);
}

TEST(RedisSettings, Addresses) {
  const auto text = [](const char* address) {
    const auto parsed = parse_address(address, 6379);
    return parsed ? parsed->text() : parsed.error().describe();
  };
  EXPECT_EQ(text("redis.example"), "redis.example:6379");
  EXPECT_EQ(text("redis.example:1"), "redis.example:1");
  EXPECT_EQ(text("[::1]"), "[::1]:6379");
  EXPECT_EQ(text("[::1]:65535"), "[::1]:65535");
  EXPECT_EQ(text("unix:/run/redis.sock"), "unix:/run/redis.sock");
  const auto several = parse_addresses("a:1, b , [::1]:3", 26379);
  ASSERT_TRUE(several);
  ASSERT_EQ(several->size(), 3u);
  EXPECT_EQ((*several)[1].text(), "b:26379");
}

TEST(RedisSettings, WrongAddressesAreNamed) {
  for (const char* wrong : {"", ",", "a,", ":6379", "a:", "a:0", "a:65536", "a:x", "::1", "[::1", "[::1]x", "[]:1",
                            "redis://a:1", "user@a", "unix:", "unix:run", "a b"}) {
    refused(Given(Texts{{"address", wrong}}), "address");
  }
  std::string many = "a";
  for (size_t i = 0; i < kMaxAddresses; ++i) many += ",a";
  refused(Given(Texts{{"address", many}}), "address");
  refused(Given(Texts{{"address", "unix:/" + std::string(200, 'x')}}), "address");
}

TEST(RedisSettings, B03_WhatDoesNotGoTogetherIsNamed) {
  refused(Given(Texts{{"username", "u"}}), "password");
  refused(Given(Texts{{"prefix", ""}}), "prefix");
  refused(Given(Texts{{"prefix", "a{b"}}), "prefix");
  refused(Given(Texts{{"prefix", "a b"}}), "prefix");
  refused(Given(Texts{{"prefix", std::string(65, 'p')}}), "prefix");
  refused(Given(Texts{{"master", "m"}}), "master");
  refused(Given(Texts{}, {{"mode", 1}}), "master");
  refused(Given(Texts{{"sentinel_password", "p"}}), "sentinel_password");
  refused(Given(Texts{{"sentinel_username", "u"}, {"master", "m"}}, {{"mode", 1}}), "sentinel_password");
  refused(Given(Texts{}, {{"mode", 2}, {"database", 1}}), "database");
}

TEST(RedisSettings, TlsIsRefusedWithTheReason) {
  const Result<Settings> settings = Given(Texts{}, {{"tls", 1}}).read();
  ASSERT_FALSE(settings);
  EXPECT_EQ(settings.error().code(), StatusCode::invalid);
  EXPECT_NE(settings.error().text().find("hiredis"), std::string::npos);
}

TEST(RedisSettings, SentinelsHaveAPortOfTheirOwn) {
  const Result<Settings> settings = Given(Texts{{"address", "a,b:1"}, {"master", "m"}}, {{"mode", 1}}).read();
  ASSERT_TRUE(settings) << settings.error().describe();
  EXPECT_EQ(settings->addresses[0].text(), "a:26379");
  EXPECT_EQ(settings->addresses[1].text(), "b:1");
}

}  // namespace
}  // namespace sluice::redis
