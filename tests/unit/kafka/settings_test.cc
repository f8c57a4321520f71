// SPDX-License-Identifier: Apache-2.0
#include "kafka/settings.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <map>
#include <string>

namespace sluice::kafka {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

/// The table's values, some of them given.
class Given {
 public:
  using Texts = std::map<std::string, std::string>;

  explicit Given(Texts texts, std::map<std::string, int64_t> numbers = {}) : texts_(std::move(texts)) {
    texts_.try_emplace("bootstrap", "127.0.0.1:9092");
    texts_.try_emplace("client_id", "sluice");
    texts_.try_emplace("security.protocol", "plaintext");
    texts_.try_emplace("ssl.endpoint.identification.algorithm", "https");
    texts_.try_emplace("compression", "none");
    for (const auto& [name, number] : std::map<std::string, int64_t>{{"linger", 0},
                                                                     {"delivery_timeout", 20'000},
                                                                     {"request_timeout", 5'000},
                                                                     {"read_ahead", 4 << 20},
                                                                     {"max_in_flight", 128 << 20},
                                                                     {"replication_factor", -1}}) {
      numbers.try_emplace(name, number);
    }
    for (size_t i = 0; i < kOptionCount; ++i) {
      if (const auto text = texts_.find(kOptionTable[i].name); text != texts_.end()) {
        values_[i].text = text->second.c_str();
        values_[i].present = 1;
      }
      if (const auto number = numbers.find(kOptionTable[i].name); number != numbers.end()) {
        values_[i].number = number->second;
        values_[i].present = 1;
      }
    }
  }
  Result<Settings> read() const { return read_settings(plugin::Options(kOptionTable, values_)); }

 private:
  Texts texts_;
  std::array<sluice_value, kOptionCount> values_{};
};

std::string value_of(const ConfHandle& conf, const char* name) {
  std::array<char, 256> text{};
  size_t size = text.size();
  if (rd_kafka_conf_get(conf.get(), name, text.data(), &size) != RD_KAFKA_CONF_OK) return "?";
  return text.data();
}

TEST(KafkaSettings, DefaultsKeepThePromises) {
  const auto settings = Given({}).read();
  ASSERT_TRUE(settings) << settings.error().describe();
  const auto writes = make_conf(*settings, Role::writes, 2'000'000);
  ASSERT_TRUE(writes) << writes.error().describe();
  EXPECT_EQ(value_of(*writes, "enable.idempotence"), "true");
  EXPECT_EQ(value_of(*writes, "message.timeout.ms"), "0");
  EXPECT_EQ(value_of(*writes, "allow.auto.create.topics"), "false");
  EXPECT_GE(std::stoll(value_of(*writes, "message.max.bytes")), 2'000'000);
  const auto reads = make_conf(*settings, Role::reads, 2'000'000);
  ASSERT_TRUE(reads) << reads.error().describe();
  EXPECT_EQ(value_of(*reads, "isolation.level"), "read_committed");
  EXPECT_EQ(value_of(*reads, "auto.offset.reset"), "error");
  EXPECT_EQ(value_of(*reads, "queued.max.messages.kbytes"), "2048");
}

TEST(KafkaSettings, BatchesFitASmallCluster) {
  const auto settings = Given({}).read();
  ASSERT_TRUE(settings);
  const auto writes = make_conf(*settings, Role::writes, 100'000);
  ASSERT_TRUE(writes);
  EXPECT_LE(std::stoll(value_of(*writes, "batch.size")), 100'000);
  ASSERT_TRUE(make_conf(*settings, Role::writes, UINT64_MAX));
  ASSERT_TRUE(make_conf(*settings, Role::reads, UINT64_MAX));
}

TEST(KafkaSettings, PassesOnWhoTheBrokerIs) {
  const auto settings = Given(Given::Texts{{"security.protocol", "sasl_plaintext"},
                                           {"sasl.mechanism", "SCRAM-SHA-256"},
                                           {"sasl.username", "someone"},
                                           {"sasl.password", "secret; with = signs"}})
                            .read();
  ASSERT_TRUE(settings) << settings.error().describe();
  for (const Role role : {Role::asks, Role::writes, Role::reads}) {
    const auto conf = make_conf(*settings, role, 1'000'000);
    ASSERT_TRUE(conf);
    EXPECT_EQ(value_of(*conf, "security.protocol"), "sasl_plaintext");
    EXPECT_EQ(value_of(*conf, "sasl.mechanism"), "SCRAM-SHA-256");
    EXPECT_EQ(value_of(*conf, "sasl.username"), "someone");
    EXPECT_EQ(value_of(*conf, "sasl.password"), "secret; with = signs");
  }
}

TEST(KafkaSettings, OtherProperties) {
  const auto settings =
      Given(Given::Texts{{"properties", " socket.keepalive.enable=true;\n debug=broker,topic ; "}}).read();
  ASSERT_TRUE(settings) << settings.error().describe();
  const auto conf = make_conf(*settings, Role::asks, 1'000'000);
  ASSERT_TRUE(conf);
  EXPECT_EQ(value_of(*conf, "socket.keepalive.enable"), "true");
  EXPECT_EQ(value_of(*conf, "debug"), "broker,topic");
}

TEST(KafkaSettings, RefusesWhatWouldBreakPromises) {
  for (const char* name : {"acks", "request.required.acks", "enable.idempotence", "isolation.level", "group.id",
                           "transactional.id", "plugin.library.paths", "bootstrap.servers", "sasl.password", "retries",
                           "max.in.flight", "queue.buffering.max.kbytes", "message.timeout.ms"}) {
    const auto settings = Given(Given::Texts{{"properties", std::string(name) + "=1"}}).read();
    ASSERT_FALSE(settings) << name;
    EXPECT_EQ(settings.error().code(), StatusCode::invalid);
    EXPECT_THAT(settings.error().text(), AllOf(HasSubstr("properties"), HasSubstr(name)));
  }
}

TEST(KafkaSettings, ErrorsNameTheOption) {
  const auto refused = [](Given::Texts texts, const char* part) {
    const auto settings = Given(std::move(texts)).read();
    ASSERT_FALSE(settings) << part;
    EXPECT_EQ(settings.error().code(), StatusCode::invalid);
    EXPECT_THAT(settings.error().text(), HasSubstr(part));
  };
  refused(Given::Texts{{"bootstrap", "  "}}, "bootstrap");
  refused(Given::Texts{{"properties", "no.such.setting=1"}}, "no.such.setting");
  refused(Given::Texts{{"properties", "novalue"}}, "properties");
  refused(Given::Texts{{"properties", "=1"}}, "properties");
  refused(Given::Texts{{"topic_configs", "novalue"}}, "topic_configs");
  refused(Given::Texts{{"properties", std::string(20'000, 'x')}}, "properties");
  refused(Given::Texts{{"properties", "socket.keepalive.enable=perhaps"}}, "socket.keepalive.enable");
  const auto settings = Given({}, {{"replication_factor", 0}}).read();
  ASSERT_FALSE(settings);
  EXPECT_THAT(settings.error().text(), HasSubstr("replication_factor"));
}

TEST(KafkaSettings, PairsOfNamesAndValues) {
  const auto pairs = parse_pairs("a=1; b = two words ;;\nc=x=y;d=");
  ASSERT_TRUE(pairs);
  EXPECT_EQ(*pairs, (Pairs{{"a", "1"}, {"b", "two words"}, {"c", "x=y"}, {"d", ""}}));
  EXPECT_TRUE(parse_pairs("")->empty());
}

}  // namespace
}  // namespace sluice::kafka
