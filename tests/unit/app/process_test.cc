// SPDX-License-Identifier: Apache-2.0
// The broker as it is run: exit codes, what it writes, and signals.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <fstream>
#include <sstream>
#include <vector>

#include "wire_client.hpp"

extern char** environ;

namespace sluice::app {
namespace {

using ::testing::AllOf;
using test::Folder;
using ::testing::HasSubstr;
using testing::WireClient;

constexpr int kUsage = 64;   // EX_USAGE
constexpr int kConfig = 78;  // EX_CONFIG

/// One run of the program.
class Process {
 public:
  Process(const Folder& folder, std::vector<std::string> arguments) : log_(folder.write("log", "")) {
    arguments.insert(arguments.begin(), SLUICE_TEST_BROKER);
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDERR_FILENO, log_.c_str(), O_WRONLY | O_APPEND, 0);
    EXPECT_EQ(::posix_spawn(&pid_, SLUICE_TEST_BROKER, &files, nullptr, argv.data(), environ), 0);
    posix_spawn_file_actions_destroy(&files);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process() {
    if (pid_ > 0 && !exit_code_) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
  }

  std::string output() const {
    std::ostringstream text;
    text << std::ifstream(log_).rdbuf();
    return text.str();
  }
  /// The port of the first listener, once it is there.
  uint16_t port() {
    constexpr std::string_view kText = "listening on 127.0.0.1:";
    EXPECT_TRUE(net::eventually([&] { return output().find("is ready") != std::string::npos || ended(); })) << output();
    const std::string text = output();
    const auto at = text.find(kText);
    EXPECT_NE(at, std::string::npos) << text;
    return at == std::string::npos ? uint16_t{0} : static_cast<uint16_t>(std::stoi(text.substr(at + kText.size())));
  }
  void signal(int number) const { ::kill(pid_, number); }
  /// -1: still there when the patience was over.
  int exit_code() {
    return net::eventually([this] { return ended(); }) ? *exit_code_ : -1;
  }

 private:
  bool ended() {
    int status = 0;
    if (!exit_code_ && ::waitpid(pid_, &status, WNOHANG) == pid_) {
      exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    return exit_code_.has_value();
  }

  std::string log_;
  pid_t pid_ = -1;
  std::optional<int> exit_code_;
};

class ProcessTest : public ::testing::Test {
 protected:
  std::vector<std::string> arguments(std::vector<std::string> more = {}) {
    std::vector<std::string> all{"--data-dir", folder_.path() + "/data", "--listen", "127.0.0.1:0"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  /// It ends with that code, saying that.
  void refused(std::vector<std::string> with, int code, ::testing::Matcher<std::string> text) {
    Process process(folder_, std::move(with));
    EXPECT_EQ(process.exit_code(), code);
    EXPECT_THAT(process.output(), text);
  }

  Folder folder_;
};

TEST_F(ProcessTest, AnErrorOfConfigurationNamesItsPlace) {
  const std::string file = folder_.write("broker.properties", "# settings\nlog.retention.ms=0\n");
  refused(arguments({"--config", file}), kUsage, HasSubstr(file + ":2: log.retention.ms = \"0\""));
  refused(arguments({"--override", "num.partitions=x"}), kUsage, HasSubstr("--override: num.partitions = \"x\""));
  refused(arguments({"--data-dri", "/x"}), kUsage, HasSubstr("did you mean --data-dir?"));
  const std::string plugins =
      folder_.write("plugins.json", "{\"storages\": {\"disk\": {\"libary\": \"disk\"}},\n \"default\": \"disk\"}");
  refused(arguments({"--plugins", plugins}), kConfig,
          AllOf(HasSubstr(plugins), HasSubstr("storages.disk.libary"), HasSubstr("library")));
  const std::string broken = folder_.write("broken.json", "{\"storages\":\n {]}");
  refused(arguments({"--plugins", broken}), kConfig, HasSubstr(broken + ":2:"));
}

TEST_F(ProcessTest, ASecondBrokerIsRefused) {
  Process first(folder_, arguments());
  const uint16_t port = first.port();
  Folder elsewhere;
  {
    Process second(elsewhere, arguments());
    EXPECT_EQ(second.exit_code(), kConfig);
    EXPECT_THAT(second.output(), AllOf(HasSubstr("cannot start"), HasSubstr(folder_.path() + "/data")));
  }
  const std::string taken = "127.0.0.1:" + std::to_string(port);
  {
    Process second(elsewhere, {"--data-dir", elsewhere.path() + "/data", "--listen", taken});
    EXPECT_EQ(second.exit_code(), kConfig);
    EXPECT_THAT(second.output(), AllOf(HasSubstr("cannot start"), HasSubstr(taken), HasSubstr("in use")));
  }
  WireClient client(port);
  first.signal(SIGTERM);
  EXPECT_EQ(first.exit_code(), 0) << first.output();
}

TEST_F(ProcessTest, EndsInOrderOnSignalsWithConnectionsOpen) {
  for (const int number : {SIGTERM, SIGINT}) {
    Process broker(folder_, arguments());
    const uint16_t port = broker.port();
    WireClient idle(port);
    WireClient half(port);  // in the middle of a frame
    ASSERT_TRUE(half.socket().send(std::string_view("\0\0\1\0abc", 7)));
    WireClient waiting(port);
    ASSERT_TRUE(waiting.send(WireClient::fetch_request("nothing", 0, -1, 60'000), WireClient::kFetchVersion));
    broker.signal(number);
    EXPECT_EQ(broker.exit_code(), 0) << broker.output();
    EXPECT_THAT(broker.output(), HasSubstr("stopped"));
    EXPECT_TRUE(idle.socket().at_end());
  }
}

TEST_F(ProcessTest, HelpAndVersionAreNoErrors) {
  refused({"--version"}, 0, ::testing::_);
  refused({"--help"}, 0, ::testing::_);
}

}  // namespace
}  // namespace sluice::app
