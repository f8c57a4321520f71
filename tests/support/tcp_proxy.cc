// SPDX-License-Identifier: Apache-2.0
#include "support/tcp_proxy.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <deque>
#include <string>

namespace sluice::test {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kTickMs = 5;
constexpr size_t kPartBytes = 64 << 10;
constexpr size_t kOpeningBytes = 4 << 10;

sockaddr_in loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

bool send_all(int fd, const char* data, size_t size) {
  while (size > 0) {
    const ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
    if (sent <= 0) return false;
    data += sent;
    size -= static_cast<size_t>(sent);
  }
  return true;
}

}  // namespace

TcpProxy::TcpProxy(uint16_t target) : target_(target), listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  listen(listener_, 16);
  getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { accept_forever(); });
}

TcpProxy::~TcpProxy() {
  stopping_ = true;
  acceptor_.join();
  cut();
  close(listener_);
  for (Pair& pair : pairs_) {
    pair.thread.join();
    close(pair.client);
    close(pair.server);
  }
}

void TcpProxy::cut() {
  const std::lock_guard lock(mutex_);
  for (Pair& pair : pairs_) {
    pair.over = true;
    shutdown(pair.client, SHUT_RDWR);
    shutdown(pair.server, SHUT_RDWR);
  }
}

void TcpProxy::hold_requests() {
  const std::lock_guard lock(mutex_);
  for (Pair& pair : pairs_) pair.stuck = true;
}

void TcpProxy::release_requests() {
  const std::lock_guard lock(mutex_);
  for (Pair& pair : pairs_) pair.stuck = false;
}

void TcpProxy::hold_replies_to(const std::string& said) {
  const std::lock_guard lock(mutex_);
  held_name_ = said;
  hold_ = Hold::some;
}

bool TcpProxy::holds(const Pair& pair) {
  const Hold hold = hold_;
  if (hold != Hold::some) return hold == Hold::all;
  const std::lock_guard lock(mutex_);
  return pair.opening.find(held_name_) != std::string::npos;
}

void TcpProxy::accept_forever() {
  while (!stopping_) {
    pollfd ready{listener_, POLLIN, 0};
    if (poll(&ready, 1, kTickMs) != 1) continue;
    // A server that is started meanwhile must not inherit it: it would stay open after the close below.
    const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) continue;
    ++accepted_;
    const int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = loopback(target_);
    if (connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      close(client);
      close(server);
      continue;
    }
    const int yes = 1;
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    const std::lock_guard lock(mutex_);
    Pair& pair = pairs_.emplace_back();
    pair.client = client;
    pair.server = server;
    pair.thread = std::thread([this, &pair] { forward(pair); });
  }
}

void TcpProxy::forward(Pair& pair) {
  struct Kept {
    Clock::time_point due;
    std::string bytes;
  };
  std::string part(kPartBytes, '\0');
  std::deque<Kept> kept;
  std::string requests;      // that are kept
  bool client_left = false;  // its requests go on, as long as they are owed an answer
  bool open = true;
  const auto owe = [&](bool owed) {
    if (owed != pair.owed) owed ? ++owed_ : --owed_;
    pair.owed = owed;
  };
  while (open && !pair.over) {
    if (!requests.empty() && !pair.stuck) {
      open = send_all(pair.server, requests.data(), requests.size());
      forwarded_ += requests.size();
      requests.clear();
    }
    if (client_left && !pair.owed) break;
    while (open && !kept.empty() && !holds(pair) && kept.front().due <= Clock::now()) {
      open = send_all(pair.client, kept.front().bytes.data(), kept.front().bytes.size());
      held_ -= kept.front().bytes.size();
      kept.pop_front();
    }
    pollfd ready[2] = {{client_left ? -1 : pair.client, POLLIN, 0}, {pair.server, POLLIN, 0}};
    if (!open || poll(ready, 2, kTickMs) <= 0) continue;
    if (ready[0].revents != 0) {
      const ssize_t got = recv(pair.client, part.data(), part.size(), 0);
      if (got <= 0) {
        client_left = true;
        continue;
      }
      if (pair.stuck || !requests.empty()) {
        requests.append(part.data(), static_cast<size_t>(got));
        owe(true);
        continue;
      }
      if (!send_all(pair.server, part.data(), static_cast<size_t>(got))) break;
      if (pair.opening.size() < kOpeningBytes) pair.opening.append(part.data(), static_cast<size_t>(got));
      forwarded_ += static_cast<uint64_t>(got);
    }
    if (ready[1].revents != 0) {
      const ssize_t got = recv(pair.server, part.data(), part.size(), 0);
      if (got <= 0) break;
      if (!pair.stuck && requests.empty()) owe(false);
      if (client_left) continue;
      const int64_t delay_ms = delay_ms_;
      if (!kept.empty() || delay_ms > 0 || holds(pair)) {
        kept.push_back({Clock::now() + std::chrono::milliseconds(delay_ms), part.substr(0, static_cast<size_t>(got))});
        held_ += static_cast<uint64_t>(got);
      } else {
        open = send_all(pair.client, part.data(), static_cast<size_t>(got));
      }
    }
  }
  owe(false);
  for (const Kept& each : kept) held_ -= each.bytes.size();
  shutdown(pair.client, SHUT_RDWR);
  shutdown(pair.server, SHUT_RDWR);
}

}  // namespace sluice::test
