// SPDX-License-Identifier: Apache-2.0
// That passwords and certificates of the options arrive, and what is said when they are not the right ones.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "adapter_world.hpp"
#include "sasl_front.hpp"
#include "support/kafka_server.hpp"

namespace sluice::test {
namespace {

using ::testing::HasSubstr;

class KafkaPasswords : public ::testing::Test {
 protected:
  void SetUp() override {
    KafkaSettings settings;
    settings.program = SLUICE_TEST_BROKER;
    settings.arguments = {"--advertise", fmt::format("127.0.0.1:{}", front.port())};
    server = std::make_unique<KafkaServer>(settings);
    const Status started = server->start();
    ASSERT_TRUE(started) << started.describe();
    front.lead_to(server->port());
  }
  std::unique_ptr<Adapter> adapter(const std::string& password, const std::string& mechanism = "PLAIN") {
    return std::make_unique<Adapter>(fmt::format("127.0.0.1:{}", front.port()),
                                     host::OptionInputs{{"security.protocol", std::string("sasl_plaintext")},
                                                        {"sasl.mechanism", mechanism},
                                                        {"sasl.username", std::string("someone")},
                                                        {"sasl.password", password}});
  }
  SaslFront front{"someone", "right; = word"};
  std::unique_ptr<KafkaServer> server;
};

TEST_F(KafkaPasswords, AllClientsShowTheRightOne) {
  const auto one = adapter("right; = word");
  const auto started = one->start();
  ASSERT_TRUE(started) << started.error().describe();
  const size_t asking = front.let_in();
  EXPECT_GE(asking, 1u);
  const auto log = one->ready(topic_of("orders"));
  const auto appended = one->append(*log, numbered("a", 3));
  EXPECT_TRUE(appended.status.ok()) << appended.status.describe();
  EXPECT_EQ(one->read_all(*log).size(), 3u);
  EXPECT_GE(front.let_in(), asking + 2);  // who writes, and who reads
}

TEST_F(KafkaPasswords, AWrongOneIsDeniedWithTheClustersWords) {
  const auto one = adapter("wrong");
  const auto began = Clock::now();
  const auto started = one->start();
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code(), StatusCode::denied) << started.error().describe();
  EXPECT_THAT(started.error().text(), HasSubstr(SaslFront::kRefusal));
  EXPECT_EQ(started.error().text().find("wrong;"), std::string::npos);
  EXPECT_LT(Clock::now() - began, std::chrono::seconds(10));
  EXPECT_EQ(front.let_in(), 0u);
}

TEST_F(KafkaPasswords, AMechanismThatTheClusterDoesNotKnowIsDenied) {
  const auto one = adapter("right; = word", "SCRAM-SHA-512");
  const auto started = one->start();
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code(), StatusCode::denied) << started.error().describe();
}

/// openssl's own server: it speaks TLS, and no Kafka.
class KafkaCertificates : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string path = ::testing::TempDir() + "/sluice-tls-XXXXXX";
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    directory = path;
    const std::string make = fmt::format(
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout {0}/key -out {0}/certificate -days 2 -subj /CN=localhost "
        "-addext subjectAltName=DNS:localhost,IP:127.0.0.1 2> {0}/made",
        directory);
    ASSERT_EQ(std::system(make.c_str()), 0);
    const pid_t parent = getpid();
    process = fork();
    ASSERT_GE(process, 0);
    if (process == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() != parent) _exit(1);
      const int output = open((directory + "/said").c_str(), O_WRONLY | O_CREAT, 0600);
      dup2(output, STDOUT_FILENO);
      dup2(output, STDERR_FILENO);
      // Its end of input would be taken for a wish to stop.
      int input[2];
      if (pipe(input) != 0) _exit(1);
      dup2(input[0], STDIN_FILENO);
      execlp("openssl", "openssl", "s_server", "-accept", "127.0.0.1:0", "-key", (directory + "/key").c_str(), "-cert",
             (directory + "/certificate").c_str(), nullptr);
      _exit(1);
    }
    ASSERT_TRUE(eventually([&] { return said().find("ACCEPT 127.0.0.1:") != std::string::npos; })) << said();
    const std::string text = said();
    address = text.substr(text.find("ACCEPT ") + 7);
    address.resize(address.find('\n'));
  }
  void TearDown() override {
    if (process > 0) {
      kill(process, SIGKILL);
      waitpid(process, nullptr, 0);
    }
    std::filesystem::remove_all(directory);
  }
  std::string said() const {
    std::ifstream file(directory + "/said", std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::unique_ptr<Adapter> adapter(host::OptionInputs inputs) {
    inputs["security.protocol"] = std::string("ssl");
    inputs["request_timeout"] = std::string("5s");
    return std::make_unique<Adapter>(address, std::move(inputs));
  }

  std::string directory;
  std::string address;
  pid_t process = -1;
};

TEST_F(KafkaCertificates, OneThatNobodyVouchesForIsDenied) {
  const auto one = adapter({});
  const auto started = one->start();
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code(), StatusCode::denied) << started.error().describe();
  EXPECT_THAT(started.error().text(), HasSubstr("certificate"));
}

TEST_F(KafkaCertificates, TheAuthorityOfTheOptionsIsBelieved) {
  const auto one = adapter({{"ssl.ca.location", directory + "/certificate"}, {"client_id", std::string("hello-tls")}});
  const auto started = one->start();
  ASSERT_FALSE(started);  // nobody there speaks Kafka
  EXPECT_EQ(started.error().code(), StatusCode::unavailable) << started.error().describe();
  EXPECT_TRUE(eventually([&] { return said().find("hello-tls") != std::string::npos; })) << said();
}

TEST_F(KafkaCertificates, AFileThatHoldsNoneIsInvalid) {
  std::ofstream(directory + "/nothing") << "no certificate";
  const auto one = adapter({{"ssl.ca.location", directory + "/nothing"}});
  const auto started = one->start();
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code(), StatusCode::invalid) << started.error().describe();
  EXPECT_THAT(started.error().text(), HasSubstr("ssl.ca.location"));
}

}  // namespace
}  // namespace sluice::test
