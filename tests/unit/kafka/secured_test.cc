// SPDX-License-Identifier: Apache-2.0
// The adapter, and the SDK's source and sink, on an Apache Kafka with passwords, certificates and rights, where
// KAFKA_JARS says where its jars are. security_test.cc has what can be seen without one.
#include <gmock/gmock.h>

#include "../sinks/deliveries.hpp"
#include "adapter_world.hpp"
#include "sluice/kafka_sink.hpp"
#include "sluice/kafka_source.hpp"
#include "support/kafka_server.hpp"
#include "support/secured_kafka.hpp"

namespace sluice::test {
namespace {

using ::testing::HasSubstr;
using Listener = SecuredKafka::Listener;
using Properties = SecuredKafka::Properties;

/// Older librdkafka does not get into Apache Kafka 4 by SCRAM.
const bool kScramWorks = rd_kafka_version() >= 0x020601ff;
constexpr const char* kScramHint = "cannot use SCRAM with Apache Kafka 4";

/// ... and newer does not suspect the protocol where a connection is closed at its first request.
const bool kSuspectsProtocol = !kScramWorks;

/// Until a refusal must have been told; librdkafka waits a second between its attempts.
constexpr auto kTold = std::chrono::seconds(15);

class KafkaSecured : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* jars = std::getenv("KAFKA_JARS");
    if (jars == nullptr) GTEST_SKIP() << "KAFKA_JARS is not set: Apache Kafka is not at hand";
    if (!server()) server() = std::make_unique<SecuredKafka>(SLUICE_TEST_APACHE_START, jars);
    const Status started = server()->start();
    ASSERT_TRUE(started) << started.describe();
    began = Clock::now();
  }
  /// One for all, until the program ends.
  static std::unique_ptr<SecuredKafka>& server() {
    static std::unique_ptr<SecuredKafka> one;
    return one;
  }
  static std::string fresh_topic() {
    static int made = 0;
    return fmt::format("topic-{}", ++made);
  }
  static NativeClient native() { return NativeClient(server()->address_of(Listener::open)); }
  static std::unique_ptr<Adapter> adapter(Listener listener, const Properties& properties,
                                          const std::string& address = {}) {
    host::OptionInputs inputs;
    for (const auto& [name, value] : properties) inputs[name] = value;
    inputs["request_timeout"] = std::string("3s");
    return std::make_unique<Adapter>(address.empty() ? server()->address_of(listener) : address, std::move(inputs));
  }

  /// What the adapter writes is read by anybody, and what anybody writes by the adapter.
  static void expect_works(Listener listener, const Properties& properties) {
    const auto one = adapter(listener, properties);
    Result<host::Condition> started;
    ASSERT_TRUE(eventually([&] { return (started = one->start()).has_value(); }, 60'000)) << started.error().describe();
    const std::string topic = fresh_topic();
    const auto log = one->ready(topic_of(topic));
    const auto ours = numbered("ours", 3);
    const auto appended = one->append(*log, ours);
    ASSERT_TRUE(appended.status.ok()) << appended.status.describe();
    expect_same(ours, native().consume(topic, 0, 0, ours.size()));
    auto all = ours;
    for (NativeRecord& record : native().produce(topic, 0, numbered("theirs", 3))) all.push_back(std::move(record));
    expect_same(all, one->read_all(*log));
  }
  Status start_refused(Listener listener, const Properties& properties, const std::string& address = {}) {
    const auto one = adapter(listener, properties, address);
    const auto started = one->start();
    EXPECT_FALSE(started);
    EXPECT_LT(Clock::now() - began, kTold);
    return started ? Status() : started.error();
  }

  Clock::time_point began;
};

// ---- The adapter

TEST_F(KafkaSecured, PlainPasswordsLetIn) {
  expect_works(Listener::passwords, server()->with_password("PLAIN", SecuredKafka::kUser, SecuredKafka::kPassword));
}

TEST_F(KafkaSecured, ScramPasswordsLetInOrItIsSaidWhyNot) {
  const auto properties = server()->with_password("SCRAM-SHA-256", SecuredKafka::kUser, SecuredKafka::kPassword);
  if (kScramWorks) return expect_works(Listener::passwords, properties);
  const Status refused = start_refused(Listener::passwords, properties);
  EXPECT_EQ(refused.code(), StatusCode::denied) << refused.describe();
  EXPECT_THAT(refused.text(), HasSubstr(kScramHint));
}

TEST_F(KafkaSecured, TlsLetsIn) {
  expect_works(Listener::tls, server()->with_tls());
}

TEST_F(KafkaSecured, APasswordOverTlsLetsIn) {
  expect_works(Listener::both, server()->with_both(SecuredKafka::kPassword));
}

TEST_F(KafkaSecured, ACertificateOfOursLetsIn) {
  expect_works(Listener::mutual, server()->with_certificate());
}

TEST_F(KafkaSecured, B10_AWrongPasswordIsDeniedWithTheClustersWords) {
  for (const char* mechanism : {"PLAIN", "SCRAM-SHA-256"}) {
    began = Clock::now();
    const Status refused =
        start_refused(Listener::passwords, server()->with_password(mechanism, SecuredKafka::kUser, "wrong-word"));
    EXPECT_EQ(refused.code(), StatusCode::denied) << refused.describe();
    EXPECT_THAT(refused.text(), HasSubstr("uthentication failed"));
    EXPECT_EQ(refused.text().find("wrong-word"), std::string::npos);
  }
  began = Clock::now();
  EXPECT_EQ(start_refused(Listener::both, server()->with_both("wrong-word")).code(), StatusCode::denied);
}

TEST_F(KafkaSecured, AMechanismThatIsNotOfferedIsDenied) {
  const Status refused = start_refused(
      Listener::passwords, server()->with_password("SCRAM-SHA-512", SecuredKafka::kUser, SecuredKafka::kPassword));
  EXPECT_EQ(refused.code(), StatusCode::denied) << refused.describe();
  EXPECT_THAT(refused.text(), HasSubstr("SCRAM-SHA-512"));
}

TEST_F(KafkaSecured, AnAuthorityThatDidNotSignIsDenied) {
  Properties properties = server()->with_tls();
  properties["ssl.ca.location"] = server()->file("other-ca.pem");
  const Status refused = start_refused(Listener::tls, properties);
  EXPECT_EQ(refused.code(), StatusCode::denied) << refused.describe();
  EXPECT_THAT(refused.text(), HasSubstr("certificate"));
}

TEST_F(KafkaSecured, AServerOfAnotherNameIsDeniedUnlessNamesDoNotCount) {
  const std::string other = fmt::format("localhost:{}", server()->port_of(Listener::tls));
  const Status refused = start_refused(Listener::tls, server()->with_tls(), other);
  EXPECT_EQ(refused.code(), StatusCode::denied) << refused.describe();
  Properties properties = server()->with_tls();
  properties["ssl.endpoint.identification.algorithm"] = "none";
  const auto started = adapter(Listener::tls, properties, other)->start();
  EXPECT_TRUE(started) << started.error().describe();
}

TEST_F(KafkaSecured, NoCertificateOfOursWhereOneIsAskedForIsDenied) {
  const Status refused = start_refused(Listener::mutual, server()->with_tls());
  EXPECT_EQ(refused.code(), StatusCode::denied) << refused.describe();
}

TEST_F(KafkaSecured, AKeyThatDoesNotOpenIsInvalid) {
  Properties properties = server()->with_certificate();
  properties["ssl.key.password"] = "wrong-word";
  const Status refused = start_refused(Listener::mutual, properties);
  EXPECT_EQ(refused.code(), StatusCode::invalid) << refused.describe();
}

TEST_F(KafkaSecured, WithoutTlsAListenerThatWantsItSaysSoInTime) {
  const Status refused = start_refused(Listener::tls, {{"security.protocol", "plaintext"}});
  EXPECT_FALSE(refused.ok());
  EXPECT_THAT(refused.text(), HasSubstr(kSuspectsProtocol ? "security.protocol" : "down"));
}

TEST_F(KafkaSecured, WithTlsAListenerThatKnowsNoneIsToldOfTheHandshake) {
  const Status refused = start_refused(Listener::open, server()->with_tls());
  EXPECT_FALSE(refused.ok());
  EXPECT_THAT(refused.text(), HasSubstr("handshake failed"));
}

TEST_F(KafkaSecured, AUserWithoutRightsIsDeniedWhatItAsksFor) {
  const std::string topic = fresh_topic();
  ASSERT_EQ(native().create_topic(topic, 1), RD_KAFKA_RESP_ERR_NO_ERROR);
  const auto one = adapter(Listener::passwords,
                           server()->with_password("PLAIN", SecuredKafka::kStranger, SecuredKafka::kStrangersPassword));
  const auto started = one->start();
  ASSERT_TRUE(started) << started.error().describe();
  const Status made = one->make(topic_of(fresh_topic()));
  EXPECT_EQ(made.code(), StatusCode::denied) << made.describe();
  auto log = *one->storage->open(topic_of(topic, 0, 1, true));
  const auto bounds = one->acquire(*log, 1);
  if (bounds) {
    const auto appended = one->append(*log, numbered("a", 1));
    EXPECT_EQ(appended.status.code(), StatusCode::denied) << appended.status.describe();
  } else {
    EXPECT_EQ(bounds.error().code(), StatusCode::denied) << bounds.error().describe();
  }
}

// ---- The broker

TEST_F(KafkaSecured, AStorageThatIsDeniedCostsNobodyElse) {
  const auto options = [](Listener listener, const Properties& properties) {
    std::string text = fmt::format(R"("bootstrap": "{}")", server()->address_of(listener));
    for (const auto& [name, value] : properties) text += fmt::format(R"(, "{}": "{}")", name, value);
    return text;
  };
  KafkaSettings settings;
  settings.program = SLUICE_TEST_BROKER;
  settings.plugins = fmt::format(
      R"({{"storages": {{"disk": {{"library": "disk"}},
          "right": {{"library": "kafka", "options": {{{}}}}},
          "wrong": {{"library": "kafka", "required": false, "options": {{{}}}}}}}, "default": "disk", "internal": "disk"}})",
      options(Listener::both, server()->with_both(SecuredKafka::kPassword)),
      options(Listener::both, server()->with_both("wrong-word")));
  KafkaServer broker(settings);
  const Status started = broker.start();
  ASSERT_TRUE(started) << started.describe();
  const NativeClient client(broker.address());
  for (const char* storage : {"disk", "right"}) {
    const std::string topic = fresh_topic();
    ASSERT_TRUE(eventually([&] {
      return client.create_topic(topic, 1, {{"sluice.storage", storage}}) == 0;
    })) << storage;
    const auto records = client.produce(topic, 0, numbered(storage, 10));
    expect_same(records, client.consume(topic, 0, 0, records.size()));
  }
  EXPECT_NE(client.create_topic(fresh_topic(), 1, {{"sluice.storage", "wrong"}}), RD_KAFKA_RESP_ERR_NO_ERROR);
  EXPECT_TRUE(eventually([&] { return broker.log().find("uthentication failed") != std::string::npos; }))
      << broker.log();
  EXPECT_EQ(broker.log().find("wrong-word"), std::string::npos);
}

// ---- The SDK

class KafkaSecuredSdk : public KafkaSecured {
 protected:
  static KafkaSinkSettings sink_settings(Listener listener, const Properties& properties) {
    KafkaSinkSettings made;
    made.bootstrap = server()->address_of(listener);
    made.properties = {properties.begin(), properties.end()};
    made.topic = fresh_topic();
    made.create_partitions = 1;
    made.request_timeout_ms = 3'000;
    return made;
  }
  static std::shared_ptr<KafkaCluster> cluster(Listener listener, const Properties& properties) {
    KafkaClusterSettings made;
    made.bootstrap = server()->address_of(listener);
    made.properties = {properties.begin(), properties.end()};
    made.request_timeout_ms = 3'000;
    auto opened = KafkaCluster::make(made);
    EXPECT_TRUE(opened) << opened.error().describe();
    return *opened;
  }
  /// What reading with these says.
  Status read_refused(Listener listener, const Properties& properties, const std::string& topic) {
    const auto whole = cluster(listener, properties);
    const auto one = whole->source(topic, 0);
    const auto page = read(**one, 0);
    EXPECT_FALSE(page);
    EXPECT_LT(Clock::now() - began, kTold);
    return page ? Status() : page.error();
  }
};

TEST_F(KafkaSecuredSdk, SinkAndSourceGetInByEachWay) {
  std::vector<std::pair<Listener, Properties>> ways = {
      {Listener::passwords, server()->with_password("PLAIN", SecuredKafka::kUser, SecuredKafka::kPassword)},
      {Listener::tls, server()->with_tls()},
      {Listener::both, server()->with_both(SecuredKafka::kPassword)},
      {Listener::mutual, server()->with_certificate()}};
  if (kScramWorks) {
    ways.emplace_back(Listener::passwords,
                      server()->with_password("SCRAM-SHA-256", SecuredKafka::kUser, SecuredKafka::kPassword));
  }
  for (const auto& [listener, properties] : ways) {
    const KafkaSinkSettings settings = sink_settings(listener, properties);
    const auto sink = KafkaSink::make(settings);
    ASSERT_TRUE(sink) << sink.error().describe();
    const Batch batch({"a", "b", "c"});
    const Delivery delivery = deliver(**sink, batch);
    ASSERT_TRUE(delivery.status.ok()) << delivery.status.describe();
    const auto whole = cluster(listener, properties);
    const auto source = whole->source(settings.topic, 0);
    const Drained drained = drain(**source);
    ASSERT_EQ(drained.records.size(), 3u);
    EXPECT_EQ(drained.records[2].value, "c");
  }
}

TEST_F(KafkaSecuredSdk, B10_ASinkWithAWrongPasswordIsDeniedAtOnce) {
  for (const char* mechanism : {"PLAIN", "SCRAM-SHA-256"}) {
    began = Clock::now();
    const auto sink = KafkaSink::make(
        sink_settings(Listener::passwords, server()->with_password(mechanism, SecuredKafka::kUser, "wrong-word")));
    ASSERT_TRUE(sink) << sink.error().describe();
    // Sixteen at once: each is told, and the topic was asked for once.
    std::vector<std::unique_ptr<Batch>> batches;
    std::vector<std::future<Delivery>> deliveries;
    for (uint64_t shard = 0; shard < 16; ++shard) {
      batches.push_back(std::make_unique<Batch>(std::vector<std::string>{"v"}, shard));
      deliveries.push_back(begin_delivery(**sink, *batches.back()));
    }
    for (auto& each : deliveries) {
      const Delivery delivery = wait_for(each, never());
      EXPECT_EQ(delivery.status.code(), StatusCode::denied) << delivery.status.describe();
      EXPECT_THAT(delivery.status.text(), HasSubstr("uthentication failed"));
      EXPECT_EQ(delivery.settled, 0u);
    }
    EXPECT_LT(Clock::now() - began, kTold);
    EXPECT_EQ((*sink)->counters().sent, 0u);
    EXPECT_EQ(flush(**sink).code(), StatusCode::denied);
    EXPECT_EQ((*sink)->counters().pending_bytes, 0u);
  }
}

TEST_F(KafkaSecuredSdk, B10_ASinkWithoutRightsIsDenied) {
  const std::string topic = fresh_topic();
  ASSERT_EQ(native().create_topic(topic, 1), RD_KAFKA_RESP_ERR_NO_ERROR);
  KafkaSinkSettings settings = sink_settings(
      Listener::passwords, server()->with_password("PLAIN", SecuredKafka::kStranger, SecuredKafka::kStrangersPassword));
  settings.topic = topic;
  const auto sink = KafkaSink::make(settings);
  ASSERT_TRUE(sink) << sink.error().describe();
  const Status opened = open(**sink);
  EXPECT_EQ(opened.code(), StatusCode::denied) << opened.describe();
  EXPECT_LT(Clock::now() - began, kTold);
}

TEST_F(KafkaSecuredSdk, ASinkThatDoesNotTrustTheServerIsDenied) {
  Properties properties = server()->with_tls();
  properties["ssl.ca.location"] = server()->file("other-ca.pem");
  const auto sink = KafkaSink::make(sink_settings(Listener::tls, properties));
  ASSERT_TRUE(sink) << sink.error().describe();
  const Status opened = open(**sink);
  EXPECT_EQ(opened.code(), StatusCode::denied) << opened.describe();
  EXPECT_THAT(opened.text(), HasSubstr("certificate"));
  EXPECT_LT(Clock::now() - began, kTold);
}

TEST_F(KafkaSecuredSdk, ASinkWithoutTlsIsToldInTime) {
  const auto sink = KafkaSink::make(sink_settings(Listener::tls, {{"security.protocol", "plaintext"}}));
  ASSERT_TRUE(sink) << sink.error().describe();
  const Status opened = open(**sink);
  EXPECT_FALSE(opened.ok());
  EXPECT_THAT(opened.text(), HasSubstr(kSuspectsProtocol ? "security.protocol" : "down"));
  EXPECT_LT(Clock::now() - began, kTold);
}

TEST_F(KafkaSecuredSdk, SourcesAreRefusedInTheSameWords) {
  const std::string topic = fresh_topic();
  ASSERT_EQ(native().create_topic(topic, 1), RD_KAFKA_RESP_ERR_NO_ERROR);
  const Status password = read_refused(
      Listener::passwords, server()->with_password("SCRAM-SHA-256", SecuredKafka::kUser, "wrong-word"), topic);
  EXPECT_EQ(password.code(), StatusCode::denied) << password.describe();
  EXPECT_THAT(password.text(), HasSubstr("uthentication failed"));

  began = Clock::now();
  Properties properties = server()->with_tls();
  properties["ssl.ca.location"] = server()->file("other-ca.pem");
  const Status authority = read_refused(Listener::tls, properties, topic);
  EXPECT_EQ(authority.code(), StatusCode::denied) << authority.describe();
  EXPECT_THAT(authority.text(), HasSubstr("certificate"));

  began = Clock::now();
  const Status plain = read_refused(Listener::tls, {{"security.protocol", "plaintext"}}, topic);
  EXPECT_FALSE(plain.ok());
  EXPECT_THAT(plain.text(), HasSubstr(kSuspectsProtocol ? "security.protocol" : "down"));

  began = Clock::now();
  const Status rights =
      read_refused(Listener::passwords,
                   server()->with_password("PLAIN", SecuredKafka::kStranger, SecuredKafka::kStrangersPassword), topic);
  EXPECT_EQ(rights.code(), StatusCode::denied) << rights.describe();
}

}  // namespace
}  // namespace sluice::test
