// SPDX-License-Identifier: Apache-2.0
#include "support/nats_server.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
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

namespace sluice::test {
namespace {

using Clock = std::chrono::steady_clock;

sockaddr_in loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// Connects and reads the line that a server sends first.
std::string greeting(uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = loopback(port);
  std::string line;
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    pollfd ready{fd, POLLIN, 0};
    char text[4096];
    if (poll(&ready, 1, 500) == 1) {
      const ssize_t got = recv(fd, text, sizeof text, 0);
      if (got > 0) line.assign(text, static_cast<size_t>(got));
    }
  }
  close(fd);
  return line;
}

std::string temporary_directory() {
  const char* base = std::getenv("TMPDIR");
  std::string path = fmt::format("{}/sluice-nats-XXXXXX", base != nullptr ? base : "/tmp");
  if (mkdtemp(path.data()) == nullptr) return {};
  return path;
}

}  // namespace

uint16_t free_port() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  uint16_t port = 0;
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
      getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0) {
    port = ntohs(address.sin_port);
  }
  close(fd);
  return port;
}

NatsServer::NatsServer(NatsSettings settings) : settings_(std::move(settings)), directory_(temporary_directory()) {}

NatsServer::~NatsServer() {
  kill();
  std::error_code ignored;
  if (!directory_.empty()) std::filesystem::remove_all(directory_, ignored);
}

std::string NatsServer::url() const {
  return fmt::format("nats://127.0.0.1:{}", port_);
}

std::string NatsServer::log() const {
  std::ifstream file(directory_ + "/log");
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

void NatsServer::write_configuration() const {
  std::ofstream file(directory_ + "/nats.conf");
  file << fmt::format("listen: \"127.0.0.1:{}\"\n", port_);
  if (!settings_.server_name.empty()) file << fmt::format("server_name: \"{}\"\n", settings_.server_name);
  if (settings_.max_payload > 0) file << fmt::format("max_payload: {}\n", settings_.max_payload);
  if (settings_.jetstream) {
    file << fmt::format("jetstream {{\n  store_dir: \"{}/store\"\n", directory_);
    if (settings_.max_file_store > 0) file << fmt::format("  max_file_store: {}\n", settings_.max_file_store);
    file << "}\n";
  }
  if (settings_.cluster_port != 0) {
    file << fmt::format("cluster {{\n  name: \"test\"\n  listen: \"127.0.0.1:{}\"\n  routes: [",
                        settings_.cluster_port);
    const char* separator = "";
    for (const uint16_t port : settings_.routes) {
      file << fmt::format("{} \"nats://127.0.0.1:{}\"", separator, port);
      separator = ",";
    }
    file << " ]\n}\n";
  }
  file << settings_.extra << "\n";
}

Status NatsServer::launch() {
  write_configuration();
  const std::string configuration = directory_ + "/nats.conf";
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
    // Debian keeps servers where ordinary users do not look.
    const char* path = std::getenv("PATH");
    setenv("PATH", fmt::format("{}:/usr/sbin:/usr/local/sbin", path != nullptr ? path : "/usr/bin").c_str(), 1);
    execlp("nats-server", "nats-server", "-c", configuration.c_str(), static_cast<char*>(nullptr));
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
  return Status(StatusCode::not_found,
                fmt::format("nats-server cannot be started: {}; install it (tools/install-deps)", std::strerror(error)),
                error);
}

Status NatsServer::start() {
  if (directory_.empty()) return Status(StatusCode::internal, "no temporary directory");
  if (running()) return {};
  const bool first = port_ == 0;
  const auto until = Clock::now() + std::chrono::milliseconds(kStartMs);
  constexpr int kMostAttempts = 3;
  for (int attempt = 1;; ++attempt) {
    if (first) port_ = free_port();
    if (Status launched = launch(); !launched) return launched;
    while (Clock::now() < until) {
      if (greeting(port_).starts_with("INFO ")) return {};
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
      return Status(StatusCode::unavailable, fmt::format("nats-server does not come up:\n{}", log()));
    }
  }
}

void NatsServer::kill() {
  if (!running()) return;
  ::kill(process_, SIGKILL);
  waitpid(process_, nullptr, 0);
  process_ = -1;
}

void NatsServer::pause() {
  if (!running()) return;
  ::kill(process_, SIGSTOP);
  // Until it is: its other threads may be in the middle of an answer.
  int how = 0;
  if (waitpid(process_, &how, WUNTRACED) == process_ && !WIFSTOPPED(how)) process_ = -1;
}

void NatsServer::resume() {
  if (running()) ::kill(process_, SIGCONT);
}

NatsCluster::NatsCluster(size_t size, NatsSettings settings) {
  for (size_t i = 0; i < size; ++i) settings.routes.push_back(free_port());
  for (size_t i = 0; i < size; ++i) {
    settings.server_name = fmt::format("n{}", i + 1);
    settings.cluster_port = settings.routes[i];
    servers_.push_back(std::make_unique<NatsServer>(settings));
  }
}

Status NatsCluster::start() {
  for (auto& server : servers_) {
    if (Status started = server->start(); !started) return started;
  }
  const auto until = Clock::now() + std::chrono::milliseconds(2 * NatsServer::kStartMs);
  while (Clock::now() < until) {
    for (auto& server : servers_) {
      if (server->log().find("JetStream cluster new metadata leader") != std::string::npos) return {};
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return Status(StatusCode::unavailable, fmt::format("the cluster has no leader:\n{}", servers_.front()->log()));
}

std::string NatsCluster::urls() const {
  std::string all;
  for (const auto& server : servers_) all += (all.empty() ? "" : ",") + server->url();
  return all;
}

}  // namespace sluice::test
