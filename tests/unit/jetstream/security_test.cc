// SPDX-License-Identifier: Apache-2.0
// Who the broker is, and who the server is: each way to tell, on a real server, with all that goes over such a
// connection. An encrypted one has its own way to the socket, so it also meets servers that hang, die and are slow.
#include <fmt/format.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <memory>

#include "identities.hpp"
#include "support.hpp"
#include "support/certificates.hpp"
#include "support/tcp_proxy.hpp"

namespace sluice::jetstream::testing {
namespace {

constexpr int64_t kWaitMs = 60'000;

class JetstreamSecurity : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    char made[] = "/tmp/sluice-identities-XXXXXX";
    directory = mkdtemp(made);
    const Status status = test::make_certificates(directory);
    ASSERT_TRUE(status) << status.describe();
  }
  static void TearDownTestSuite() { std::filesystem::remove_all(directory); }

  static std::string file(const std::string& name) { return directory + "/" + name; }
  static std::string written(const std::string& name, const std::string& text) {
    std::ofstream(file(name)) << text;
    return file(name);
  }
  void start_server(test::NatsSettings settings) {
    server = std::make_unique<test::NatsServer>(std::move(settings));
    const Status started = server->start();
    ASSERT_TRUE(started) << started.describe();
  }
  static test::NatsSettings encrypted() {
    test::NatsSettings settings;
    settings.certificates = directory;
    return settings;
  }
  // More of them than sockets have room for go out at once.
  static constexpr size_t kLarge = 6 << 20;
  static test::NatsSettings with_large_messages() {
    test::NatsSettings settings = encrypted();
    settings.max_payload = 8 << 20;
    return settings;
  }
  static host::OptionInputs trusting() { return {{"tls", true}, {"tls_ca", file("ca.pem")}}; }
  // What start says with these options.
  Status refusal(host::OptionInputs options) {
    Broker broker(server->url(), std::move(options));
    const auto started = broker.storage->start();
    return started ? Status() : started.error();
  }
  void expect_denied(host::OptionInputs options, const std::string& native = "uthorization") {
    const Status status = refusal(std::move(options));
    EXPECT_EQ(status.code(), StatusCode::denied) << status.describe();
    EXPECT_NE(status.text().find(native), std::string::npos) << status.text();
    EXPECT_NE(status.native_code(), 0);
  }

  // Small and large appends, many at once on several logs, reads, a killed server, and another broker at the end.
  void use(const host::OptionInputs& options) {
    Broker broker(server->url(), options);
    const auto started = broker.storage->start();
    ASSERT_TRUE(started) << started.error().describe();
    constexpr uint8_t kLogs = 4;
    std::vector<std::shared_ptr<host::Log>> logs;
    std::vector<std::unique_ptr<Writer>> writers;
    for (uint8_t i = 1; i <= kLogs; ++i) {
      logs.push_back(broker.create(i));
      writers.push_back(std::make_unique<Writer>(broker, logs.back(), 1));
      ASSERT_EQ(writers.back()->append(1), 1u);
    }
    ASSERT_EQ(writers[0]->append(1, 1'500'000), 2u) << "more than one message";
    for (const auto& writer : writers) {
      writer->send(20, 300);
      writer->send(6, 1'000'000);
      writer->send(20, 5'000);
    }
    const auto all_answered = [&] {
      return std::all_of(writers.begin(), writers.end(),
                         [](const auto& writer) { return writer->answered() == writer->told_size(); });
    };
    ASSERT_TRUE(eventually(all_answered, kWaitMs));
    for (size_t i = 0; i < kLogs; ++i) {
      ASSERT_EQ(writers[i]->acknowledged(), writers[i]->told_size());
      writers[i]->verify(*logs[i]);
    }
    const size_t before = writers[0]->acknowledged();
    for (const auto& writer : writers) writer->send(3, 1'000'000);
    ASSERT_TRUE(eventually([&] { return writers[0]->acknowledged() > before; }, kWaitMs));
    server->kill();
    ASSERT_TRUE(server->start());
    ASSERT_TRUE(eventually(all_answered, kWaitMs));
    for (size_t i = 0; i < kLogs; ++i) {
      const size_t acknowledged = writers[i]->acknowledged();
      ASSERT_TRUE(eventually([&] { return writers[i]->append(1) > acknowledged; }, kWaitMs));
      writers[i]->verify(*logs[i]);
    }
    EXPECT_EQ(broker.storage->metrics().data_losses.load(), 0u);
    Broker second(server->url(), options);
    ASSERT_TRUE(second.storage->start());
    for (uint8_t i = 1; i <= kLogs; ++i) writers[i - 1]->verify(*second.open(i));
  }

  static std::string directory;
  std::unique_ptr<test::NatsServer> server;
};

std::string JetstreamSecurity::directory;

std::string credentials_of(const char* token) {
  return fmt::format(
      "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n"
      "-----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
      token, kUserSeed);
}

// ---- Who the broker is

TEST_F(JetstreamSecurity, AUserAndAPassword) {
  start_server({.extra = "authorization { user: \"sluice\", password: \"right\" }"});
  expect_denied({});
  expect_denied({{"user", std::string("sluice")}, {"password", std::string("wrong")}});
  use({{"user", std::string("sluice")}, {"password", std::string("right")}});
}

TEST_F(JetstreamSecurity, AToken) {
  start_server({.extra = "authorization { token: \"right\" }"});
  expect_denied({});
  expect_denied({{"token", std::string("wrong")}});
  use({{"token", std::string("right")}});
}

TEST_F(JetstreamSecurity, AnNkey) {
  start_server({.extra = fmt::format("authorization {{ users: [ {{ nkey: {} }} ] }}", kNkey)});
  const std::string seed = written("seed", kNkeySeed);
  const std::string others = written("others-seed", kUserSeed);
  expect_denied({});
  expect_denied({{"nkey", std::string(kNkey)}, {"nkey_seed", others}});
  use({{"nkey", std::string(kNkey)}, {"nkey_seed", seed}});
}

TEST_F(JetstreamSecurity, Credentials) {
  start_server({.extra = fmt::format("operator: {}\nsystem_account: {}\nresolver: MEMORY\n"
                                     "resolver_preload: {{\n {}: {}\n {}: {}\n}}",
                                     kOperator, kSystemKey, kAccountKey, kAccount, kSystemKey, kSystem)});
  const std::string good = written("good.creds", credentials_of(kUser));
  const std::string others = written("others.creds", credentials_of(kUserOfAnother));
  expect_denied({});
  expect_denied({{"credentials", others}});
  const Status none = refusal({{"credentials", written("no.creds", "nothing of that kind\n")}});
  EXPECT_EQ(none.code(), StatusCode::invalid) << none.describe();
  use({{"credentials", good}});
}

// ---- Encrypted

TEST_F(JetstreamSecurity, Tls) {
  start_server(encrypted());
  use(trusting());
}

TEST_F(JetstreamSecurity, TlsWithAPassword) {
  test::NatsSettings settings = encrypted();
  settings.extra = "authorization { user: \"sluice\", password: \"right\" }";
  start_server(std::move(settings));
  host::OptionInputs options = trusting();
  expect_denied(options);
  options["user"] = std::string("sluice");
  options["password"] = std::string("wrong");
  expect_denied(options);
  options["password"] = std::string("right");
  EXPECT_TRUE(refusal(options).ok());
}

TEST_F(JetstreamSecurity, TlsWithACertificateOfTheBrokers) {
  test::NatsSettings settings = encrypted();
  settings.verify_clients = true;
  start_server(std::move(settings));
  host::OptionInputs options = trusting();
  expect_denied(options, "certificate");
  options["tls_certificate"] = file("stranger.pem");
  options["tls_key"] = file("stranger.key");
  expect_denied(options, "certificate");
  options["tls_certificate"] = file("client.pem");
  options["tls_key"] = file("client.key");
  use(options);
}

TEST_F(JetstreamSecurity, AServerThatIsNotTheRightOneIsInvalid) {
  test::NatsSettings settings = encrypted();
  settings.certificate = "elsewhere";
  start_server(std::move(settings));
  const auto expect_invalid = [this](host::OptionInputs options, const char* why) {
    const Status status = refusal(std::move(options));
    EXPECT_EQ(status.code(), StatusCode::invalid) << status.describe();
    EXPECT_NE(status.text().find(why), std::string::npos) << status.text();
  };
  expect_invalid({{"tls", true}, {"tls_ca", file("other-ca.pem")}}, "certificate");
  expect_invalid({{"tls", true}}, "certificate");
  expect_invalid(trusting(), "mismatch");
  expect_invalid({}, "certificate");
  // Also where the server alone asks for it, and those that are trusted are the system's.
  setenv("SSL_CERT_FILE", file("ca.pem").c_str(), 1);
  expect_invalid({}, "mismatch");
  expect_invalid({{"tls", true}}, "mismatch");
  unsetenv("SSL_CERT_FILE");
  host::OptionInputs options = trusting();
  options["tls_host"] = std::string("nats.test");
  expect_invalid(options, "mismatch");
  options["tls_host"] = std::string("elsewhere.test");
  EXPECT_TRUE(refusal(options).ok());
  EXPECT_TRUE(refusal({{"tls", true}, {"tls_insecure", true}}).ok());
}

// A server that hangs reads nothing: what is sent to it fills all buffers on the way.
TEST_F(JetstreamSecurity, AnEncryptedServerThatHangs) {
  start_server(with_large_messages());
  Broker broker(server->url(), trusting(), 2'000);
  ASSERT_TRUE(broker.storage->start());
  const auto log = broker.create(1);
  Writer writer(broker, log, 1);
  ASSERT_EQ(writer.append(3), 3u);
  std::vector<std::unique_ptr<Writer>> others;
  for (uint8_t i = 2; i <= 12; ++i) {
    others.push_back(std::make_unique<Writer>(broker, broker.create(i), 1));
    ASSERT_EQ(others.back()->append(1), 1u);
  }
  server->pause();
  writer.send(1, kLarge);
  for (const auto& other : others) other->send(1, kLarge);
  const auto asked = Clock::now();
  EXPECT_FALSE(wait<Result<host::Bounds>>(broker.loop, [&] { return log->bounds(broker.loop); }));
  EXPECT_LT(Clock::now() - asked, std::chrono::seconds(5)) << "calls end at their deadlines";
  EXPECT_EQ(writer.acknowledged(), 3u);
  server->resume();
  ASSERT_TRUE(eventually([&] { return writer.append(1) > 3; }, kWaitMs));
  EXPECT_EQ(writer.answered(), writer.told_size());
  writer.verify(*log);
}

TEST_F(JetstreamSecurity, StopWithAnEncryptedServerThatHangsHasADeadline) {
  start_server(with_large_messages());
  Broker broker(server->url(), trusting());
  ASSERT_TRUE(broker.storage->start());
  std::vector<std::unique_ptr<Writer>> writers;
  for (uint8_t i = 1; i <= 12; ++i) {
    writers.push_back(std::make_unique<Writer>(broker, broker.create(i), 1));
    ASSERT_EQ(writers.back()->append(1), 1u);
  }
  server->pause();
  for (const auto& writer : writers) writer->send(1, kLarge);
  const auto before = Clock::now();
  const Status stopped = broker.storage->stop(3'000);
  EXPECT_LT(Clock::now() - before, std::chrono::seconds(7));
  EXPECT_TRUE(stopped.ok()) << stopped.describe();
  for (const auto& writer : writers) {
    EXPECT_TRUE(eventually([&] { return writer->answered() == writer->told_size(); })) << "stop completes every ticket";
  }
  server->resume();
}

TEST_F(JetstreamSecurity, AnEncryptedConnectionThatBreaks) {
  start_server(encrypted());
  test::TcpProxy proxy(server->port());
  Broker broker("nats://127.0.0.1:" + std::to_string(proxy.port()), trusting());
  ASSERT_TRUE(broker.storage->start());
  const auto log = broker.create();
  Writer writer(broker, log, 1);
  ASSERT_EQ(writer.append(3), 3u);
  for (int round = 0; round < 5; ++round) {
    const size_t before = writer.acknowledged();
    proxy.hold_replies(true);
    writer.send(4, 1'000'000);
    ASSERT_TRUE(eventually([&] { return proxy.held() > 0; }));
    proxy.cut();
    proxy.hold_replies(false);
    ASSERT_TRUE(eventually([&] { return writer.answered() == writer.told_size(); }, kWaitMs));
    ASSERT_TRUE(eventually([&] { return writer.append(1) > before; }, kWaitMs));
  }
  EXPECT_EQ(broker.storage->metrics().data_losses.load(), 0u);
  writer.verify(*log);
}

}  // namespace
}  // namespace sluice::jetstream::testing
