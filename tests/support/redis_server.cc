// SPDX-License-Identifier: Apache-2.0
#include "support/redis_server.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
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

constexpr auto kPause = std::chrono::milliseconds(5);

// In the child: becomes `arguments`; where that fails, says why through `failure`.
[[noreturn]] void become(const std::vector<std::string>& arguments, int failure) {
  // Debian keeps servers where ordinary users do not look.
  const char* path = std::getenv("PATH");
  setenv("PATH", fmt::format("{}:/usr/sbin:/usr/local/sbin", path != nullptr ? path : "/usr/bin").c_str(), 1);
  std::vector<char*> list;
  for (const std::string& argument : arguments) list.push_back(const_cast<char*>(argument.c_str()));
  list.push_back(nullptr);
  execvp(list[0], list.data());
  const int error = errno;
  [[maybe_unused]] const ssize_t written = write(failure, &error, sizeof error);
  _exit(127);
}

std::string temporary_directory() {
  const char* base = std::getenv("TMPDIR");
  std::string path = fmt::format("{}/sluice-redis-XXXXXX", base != nullptr ? base : "/tmp");
  if (mkdtemp(path.data()) == nullptr) return {};
  return path;
}

}  // namespace

RedisServer::RedisServer(RedisSettings settings) : settings_(std::move(settings)), directory_(temporary_directory()) {}

RedisServer::~RedisServer() {
  kill();
  std::error_code ignored;
  if (!directory_.empty()) std::filesystem::remove_all(directory_, ignored);
}

std::string RedisServer::address() const {
  return fmt::format("127.0.0.1:{}", port_);
}

std::string RedisServer::log() const {
  std::ifstream file(directory_ + "/log");
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

void RedisServer::write_configuration() const {
  const std::string path = directory_ + "/redis.conf";
  // Sentinels and nodes of a cluster write down what they learn: only the first start has the say.
  if (settings_.sentinel && std::filesystem::exists(path)) return;
  std::ofstream file(path);
  file << fmt::format("bind 127.0.0.1\nport {}\ndir \"{}\"\n", port_, directory_);
  if (!settings_.sentinel) {
    file << fmt::format("save \"\"\nappendonly {}\nappendfsync {}\n", settings_.appendonly ? "yes" : "no",
                        settings_.appendfsync);
    if (!settings_.password.empty()) file << fmt::format("requirepass \"{}\"\n", settings_.password);
  }
  for (const std::string& line : settings_.lines) file << line << "\n";
}

Status RedisServer::launch() {
  write_configuration();
  std::vector<std::string> arguments{"redis-server", directory_ + "/redis.conf"};
  if (settings_.sentinel) arguments.push_back("--sentinel");
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
    become(arguments, failure[1]);
  }
  close(failure[1]);
  int error = 0;
  const bool failed = read(failure[0], &error, sizeof error) == sizeof error;
  close(failure[0]);
  process_ = child;
  if (!failed) return {};
  waitpid(child, nullptr, 0);
  process_ = -1;
  return Status(
      StatusCode::not_found,
      fmt::format("redis-server cannot be started: {}; install it (tools/install-deps)", std::strerror(error)), error);
}

Status RedisServer::start() {
  if (directory_.empty()) return Status(StatusCode::internal, "no temporary directory");
  if (running()) return {};
  const bool first = port_ == 0;
  const auto until = Clock::now() + std::chrono::milliseconds(kStartMs);
  for (;;) {
    if (first) port_ = free_port();
    if (Status launched = launch(); !launched) return launched;
    while (Clock::now() < until) {
      const std::string pong = cli({"PING"});
      if (pong == "PONG" || pong.starts_with("NOAUTH")) return {};
      int how = 0;
      if (waitpid(process_, &how, WNOHANG) == process_) {
        process_ = -1;
        break;
      }
      std::this_thread::sleep_for(kPause);
    }
    // Somebody may have taken the port in between: once more, with another where that is possible.
    if (running() || Clock::now() >= until || !first) {
      kill();
      return Status(StatusCode::unavailable, fmt::format("redis-server does not come up:\n{}", log()));
    }
  }
}

void RedisServer::kill() {
  if (!running()) return;
  ::kill(process_, SIGKILL);
  waitpid(process_, nullptr, 0);
  process_ = -1;
}

void RedisServer::pause() {
  if (!running()) return;
  ::kill(process_, SIGSTOP);
  // The signal is delivered some time later, and until then the server goes on.
  int how = 0;
  while (waitpid(process_, &how, WUNTRACED) < 0 && errno == EINTR) {
  }
  if (!WIFSTOPPED(how)) process_ = -1;
}

void RedisServer::resume() {
  if (running()) ::kill(process_, SIGCONT);
}

std::string RedisServer::cli(const std::vector<std::string>& arguments) const {
  std::vector<std::string> all{"redis-cli", "-h", "127.0.0.1", "-p", std::to_string(port_)};
  if (!settings_.password.empty()) all.insert(all.end(), {"--no-auth-warning", "-a", settings_.password});
  all.insert(all.end(), arguments.begin(), arguments.end());
  int output[2];
  if (pipe2(output, O_CLOEXEC) != 0) return {};
  const pid_t child = fork();
  if (child == 0) {
    dup2(output[1], STDOUT_FILENO);
    dup2(output[1], STDERR_FILENO);
    become(all, STDERR_FILENO);
  }
  close(output[1]);
  std::string text;
  char part[4096];
  for (ssize_t got; (got = read(output[0], part, sizeof part)) > 0;) text.append(part, static_cast<size_t>(got));
  close(output[0]);
  waitpid(child, nullptr, 0);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

RedisCluster::RedisCluster(size_t masters, size_t replicas) : replicas_(replicas) {
  RedisSettings settings;
  settings.lines = {"cluster-enabled yes", "cluster-node-timeout 1000", "cluster-require-full-coverage no"};
  for (size_t i = 0; i < masters * (1 + replicas); ++i) servers_.push_back(std::make_unique<RedisServer>(settings));
}

Status RedisCluster::start() {
  std::vector<std::string> create{"--cluster", "create"};
  for (auto& server : servers_) {
    if (Status started = server->start(); !started) return started;
    create.push_back(server->address());
  }
  create.insert(create.end(), {"--cluster-replicas", std::to_string(replicas_), "--cluster-yes"});
  const std::string made = servers_.front()->cli(create);
  const auto until = Clock::now() + std::chrono::milliseconds(2 * RedisServer::kStartMs);
  for (auto& server : servers_) {
    while (server->cli({"CLUSTER", "INFO"}).find("cluster_state:ok") == std::string::npos) {
      if (Clock::now() >= until) {
        return Status(StatusCode::unavailable, fmt::format("the cluster does not come up:\n{}", made));
      }
      std::this_thread::sleep_for(kPause);
    }
  }
  return {};
}

std::string RedisCluster::addresses() const {
  std::string all;
  for (const auto& server : servers_) all += (all.empty() ? "" : ",") + server->address();
  return all;
}

}  // namespace sluice::test
