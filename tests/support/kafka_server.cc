// SPDX-License-Identifier: Apache-2.0
#include "support/kafka_server.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "support/nats_server.hpp"

namespace sluice::test {
namespace {

using Clock = std::chrono::steady_clock;

bool takes_connections(uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool taken = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  close(fd);
  return taken;
}

std::string temporary_directory() {
  const char* base = std::getenv("TMPDIR");
  std::string path = fmt::format("{}/sluice-kafka-XXXXXX", base != nullptr ? base : "/tmp");
  if (mkdtemp(path.data()) == nullptr) return {};
  return path;
}

}  // namespace

KafkaServer::KafkaServer(KafkaSettings settings) : settings_(std::move(settings)), directory_(temporary_directory()) {}

KafkaServer::~KafkaServer() {
  kill();
  std::error_code ignored;
  if (!directory_.empty()) std::filesystem::remove_all(directory_, ignored);
}

std::string KafkaServer::address() const {
  return fmt::format("127.0.0.1:{}", port_);
}

std::string KafkaServer::log() const {
  std::ifstream file(directory_ + "/log");
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

Status KafkaServer::launch() {
  std::vector<std::string> arguments{settings_.program};
  if (is_apache()) {
    for (const uint16_t port : {port_, controller_port_}) arguments.push_back(std::to_string(port));
    arguments.push_back(directory_ + "/data");
  } else {
    for (const std::string& each :
         {std::string("--data-dir"), directory_ + "/data", std::string("--listen"), address()})
      arguments.push_back(each);
    // Tests write records of other times, which are not to be thrown away meanwhile.
    arguments.insert(arguments.end(), {"--override", "log.retention.ms=-1"});
    const std::string plugins = directory_ + "/plugins.json";
    std::ofstream(plugins) << settings_.plugins;
    arguments.insert(arguments.end(), {"--plugins", plugins});
    if (const char* folder = std::getenv("SLUICE_PLUGIN_DIRECTORY"))
      arguments.insert(arguments.end(), {"--plugin-dir", folder});
    arguments.insert(arguments.end(), settings_.arguments.begin(), settings_.arguments.end());
  }
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const std::string log_file = directory_ + "/log";
  int failure[2];
  if (pipe2(failure, O_CLOEXEC) != 0) return Status(StatusCode::internal, "no pipe", errno);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) return Status(StatusCode::internal, "no process", errno);
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    const int output = open(log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    if (is_apache()) setenv("KAFKA_JARS", settings_.jars.c_str(), 1);
    execv(argv[0], argv.data());
    const int error = errno;
    [[maybe_unused]] const ssize_t written = write(failure[1], &error, sizeof error);
    _exit(1);
  }
  close(failure[1]);
  int error = 0;
  const bool failed = read(failure[0], &error, sizeof error) == sizeof error;
  close(failure[0]);
  process_ = child;
  if (!failed) return {};
  waitpid(child, nullptr, 0);
  process_ = -1;
  return Status(StatusCode::not_found, fmt::format("{} cannot be started: {}", settings_.program, std::strerror(error)),
                error);
}

Status KafkaServer::start() {
  if (directory_.empty()) return Status(StatusCode::internal, "no temporary directory");
  if (running()) return {};
  const bool first = port_ == 0;
  const auto until = Clock::now() + std::chrono::milliseconds(kStartMs);
  constexpr int kMostAttempts = 3;
  for (int attempt = 1;; ++attempt) {
    if (first) {
      port_ = free_port();
      controller_port_ = free_port();
    }
    if (Status launched = launch(); !launched) return launched;
    while (Clock::now() < until) {
      if (takes_connections(port_)) return {};
      int how = 0;
      if (waitpid(process_, &how, WNOHANG) == process_) {
        process_ = -1;
        break;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    // Somebody may have taken the port in between: once more, with another where that is possible.
    if (running() || Clock::now() >= until || !first || attempt == kMostAttempts) {
      kill();
      return Status(StatusCode::unavailable, fmt::format("the Kafka broker does not come up:\n{}", log()));
    }
  }
}

void KafkaServer::kill() {
  if (!running()) return;
  ::kill(process_, SIGKILL);
  waitpid(process_, nullptr, 0);
  process_ = -1;
}

void KafkaServer::pause() {
  if (!running()) return;
  ::kill(process_, SIGSTOP);
  waitpid(process_, nullptr, WUNTRACED);
}

void KafkaServer::resume() {
  if (running()) ::kill(process_, SIGCONT);
}

}  // namespace sluice::test
