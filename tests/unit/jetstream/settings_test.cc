// SPDX-License-Identifier: Apache-2.0
#include "jetstream/settings.hpp"

#include <gtest/gtest.h>

#include <iterator>
#include <map>
#include <string>
#include <vector>

namespace sluice::jetstream {
namespace {

using Texts = std::map<std::string, std::string>;
using Numbers = std::map<std::string, int64_t>;

// Options as the host hands them over: defaults but for what is given.
Result<Settings> parse(Texts texts, Numbers numbers = {}) {
  texts.try_emplace("servers", "nats://127.0.0.1:4222");
  texts.try_emplace("prefix", "sluice");
  numbers.try_emplace("replicas", 1);
  numbers.try_emplace("connect_timeout", 2000);
  std::vector<sluice_value> values;
  for (const sluice_option& option : kOptions) {
    sluice_value value{};
    if (const auto text = texts.find(option.name); text != texts.end()) {
      value.text = text->second.c_str();
      value.present = 1;
    }
    if (const auto number = numbers.find(option.name); number != numbers.end()) {
      value.number = number->second;
      value.present = 1;
    }
    values.push_back(value);
  }
  return parse_settings(plugin::Options(kOptions, values));
}

// The text of the refusal, or "" if there was none.
std::string refusal(Texts texts, Numbers numbers = {}) {
  const auto parsed = parse(std::move(texts), std::move(numbers));
  if (parsed) return {};
  EXPECT_EQ(parsed.error().code(), StatusCode::invalid);
  return parsed.error().text();
}

TEST(JetstreamSettings, Defaults) {
  const auto settings = parse({});
  ASSERT_TRUE(settings);
  EXPECT_EQ(settings->servers, std::vector<std::string>{"nats://127.0.0.1:4222"});
  EXPECT_EQ(settings->prefix, "sluice");
  EXPECT_EQ(settings->api(), "$JS.API");
  EXPECT_EQ(settings->replicas, 1);
  EXPECT_EQ(settings->media, Media::file);
  EXPECT_FALSE(settings->tls);
}

TEST(JetstreamSettings, SeveralServersWithAndWithoutScheme) {
  const auto settings = parse({{"servers", "a:1, nats://b:2,tls://[::1]:3"}});
  ASSERT_TRUE(settings);
  EXPECT_EQ(settings->servers, (std::vector<std::string>{"nats://a:1", "nats://b:2", "tls://[::1]:3"}));
  EXPECT_TRUE(settings->tls) << "a tls:// URL asks for TLS";
}

TEST(JetstreamSettings, WrongServersAreNamed) {
  EXPECT_NE(refusal({{"servers", "http://a:1"}}).find("http://a:1"), std::string::npos);
  EXPECT_NE(refusal({{"servers", "a:1,,b:2"}}).find("servers"), std::string::npos);
  EXPECT_NE(refusal({{"servers", ""}}).find("servers"), std::string::npos);
  EXPECT_NE(refusal({{"servers", "nats://a:1/path"}}).find("servers"), std::string::npos);
}

TEST(JetstreamSettings, CredentialsInAUrlAreRefusedWithoutRepeatingThem) {
  const std::string text = refusal({{"servers", "nats://u:hunter2@a:1"}});
  EXPECT_NE(text.find("credentials"), std::string::npos);
  EXPECT_EQ(text.find("hunter2"), std::string::npos);
}

TEST(JetstreamSettings, PrefixAndDomainAreTokens) {
  for (const char* wrong : {"", "a.b", "a b", "a*", ">", "ä"}) {
    EXPECT_NE(refusal({{"prefix", wrong}}).find("prefix"), std::string::npos) << wrong;
  }
  EXPECT_NE(refusal({{"domain", "a.b"}}).find("domain"), std::string::npos);
  const auto settings = parse({{"domain", "hub"}});
  ASSERT_TRUE(settings);
  EXPECT_EQ(settings->api(), "$JS.hub.API");
}

TEST(JetstreamSettings, WaysToSayWhoWeAreExcludeEachOther) {
  EXPECT_EQ(refusal({{"user", "u"}, {"password", "p"}}), "");
  EXPECT_EQ(refusal({{"nkey", "U"}, {"nkey_seed", "/s"}}), "");
  EXPECT_NE(refusal({{"user", "u"}}).find("go together"), std::string::npos);
  EXPECT_NE(refusal({{"nkey", "U"}}).find("go together"), std::string::npos);
  EXPECT_NE(refusal({{"user", "u"}, {"password", "p"}, {"token", "t"}}).find("exclude"), std::string::npos);
  EXPECT_NE(refusal({{"credentials", "/c"}, {"token", "t"}}).find("exclude"), std::string::npos);
}

TEST(JetstreamSettings, DetailsOfTlsNeedTls) {
  EXPECT_NE(refusal({{"tls_ca", "/ca"}}).find("tls"), std::string::npos);
  EXPECT_EQ(refusal({{"tls_ca", "/ca"}}, {{"tls", 1}}), "");
  EXPECT_NE(refusal({{"tls_certificate", "/c"}}, {{"tls", 1}}).find("go together"), std::string::npos);
}

TEST(JetstreamSettings, SecretsAreMarked) {
  for (const sluice_option& option : kOptions) {
    const std::string name = option.name;
    EXPECT_EQ((option.flags & SLUICE_OPTION_SECRET) != 0, name == "password" || name == "token") << name;
  }
}

}  // namespace
}  // namespace sluice::jetstream
