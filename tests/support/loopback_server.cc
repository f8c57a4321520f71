// SPDX-License-Identifier: Apache-2.0
#include "support/loopback_server.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <random>
#include <set>
#include <thread>

namespace sluice::test {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kMostStarts = 3;

// Of servers. Linux gives ports from 32768 on to clients, and one of those could have that of a server that is down, or
// be connected to itself. Nodes of a Redis cluster take the port that is 10,000 higher too.
constexpr uint16_t kFirstPort = 10'000;
constexpr uint16_t kLastPort = 19'999;
constexpr int kMostPorts = 1'000;     // tried
constexpr size_t kMostGiven = 5'000;  // remembered; then any that is free

sockaddr_in loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// A connection to it, or -1.
int connected(uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = loopback(port);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return fd;
  close(fd);
  return -1;
}

}  // namespace

std::string LoopbackServer::address() const {
  return fmt::format("127.0.0.1:{}", port());
}

bool LoopbackServer::answers() const {
  return takes_connections(port());
}

Status LoopbackServer::start() {
  if (running()) return {};
  const bool first = port() == 0;
  const auto until = Clock::now() + std::chrono::milliseconds(start_ms_);
  for (int attempt = 1;; ++attempt) {
    if (first) std::generate(ports_.begin(), ports_.end(), free_port);
    const Command made = command();
    if (Status launched = process_.launch(made.arguments, made.environment); !launched) return launched;
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now()).count();
    const bool settled = eventually([this] { return process_.has_ended() || answers(); }, left);
    if (settled && running()) return {};
    // Somebody may have taken a port in between: once more, with others where that is possible.
    if (!settled || !first || attempt == kMostStarts) {
      kill();
      return Status(StatusCode::unavailable, fmt::format("{} does not come up:\n{}", made.arguments.front(), log()));
    }
  }
}

uint16_t free_port() {
  static std::mutex mutex;
  static std::random_device random;
  static std::set<uint16_t> given;  // what is told to one server is not told to another before that has bound it
  const std::lock_guard lock(mutex);
  std::uniform_int_distribution<uint16_t> any(kFirstPort, kLastPort);
  for (int tries = 0; tries < kMostPorts; ++tries) {
    const uint16_t port = any(random);
    if (given.size() < kMostGiven && given.contains(port)) continue;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = loopback(port);
    const bool free = bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    close(fd);
    if (free) {
      given.insert(port);
      return port;
    }
  }
  return 0;
}

bool takes_connections(uint16_t port) {
  const int fd = connected(port);
  if (fd >= 0) close(fd);
  return fd >= 0;
}

std::string greeting(uint16_t port) {
  const int fd = connected(port);
  if (fd < 0) return {};
  std::string line;
  pollfd ready{fd, POLLIN, 0};
  char text[4096];
  if (poll(&ready, 1, 500) == 1) {
    const ssize_t got = recv(fd, text, sizeof text, 0);
    if (got > 0) line.assign(text, static_cast<size_t>(got));
  }
  close(fd);
  return line;
}

bool eventually(const std::function<bool()>& holds, int64_t within_ms) {
  const auto until = Clock::now() + std::chrono::milliseconds(within_ms);
  while (!holds()) {
    if (Clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

}  // namespace sluice::test
