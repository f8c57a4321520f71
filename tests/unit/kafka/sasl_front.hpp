// SPDX-License-Identifier: Apache-2.0
// A door before a Kafka broker: it asks for a user and a password (SASL PLAIN), and passes all else on. For brokers
// that know no passwords. Loopback, a thread for each connection and each direction.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/bytes.hpp"

namespace sluice::test {

class SaslFront {
 public:
  static constexpr const char* kRefusal = "no such user, or another password";

  SaslFront(std::string user, std::string password) : token_('\0' + user + '\0' + password) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = loopback(0);
    bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address);
    listen(listener_, 16);
    socklen_t size = sizeof address;
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { accept_all(); });
  }
  ~SaslFront() {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
      for (const int fd : open_) shutdown(fd, SHUT_RDWR);
    }
    shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    for (std::thread& thread : threads_) thread.join();
    for (const int fd : open_) close(fd);
    close(listener_);
  }
  SaslFront(const SaslFront&) = delete;
  SaslFront& operator=(const SaslFront&) = delete;

  uint16_t port() const { return port_; }
  /// Where the broker is; 0: nowhere yet.
  void lead_to(uint16_t port) {
    const std::lock_guard lock(mutex_);
    broker_ = port;
  }
  /// Connections that showed the right token.
  size_t let_in() const {
    const std::lock_guard lock(mutex_);
    return let_in_;
  }

 private:
  using Frame = std::vector<uint8_t>;

  static sockaddr_in loopback(uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
  }
  static std::optional<Frame> receive(int fd) {
    uint8_t size[4];
    if (recv(fd, size, sizeof size, MSG_WAITALL) != sizeof size) return std::nullopt;
    Frame frame(load_be<uint32_t>(size));
    const auto wanted = static_cast<ssize_t>(frame.size());
    if (recv(fd, frame.data(), frame.size(), MSG_WAITALL) != wanted) return std::nullopt;
    return frame;
  }
  static void send_frame(int fd, const Frame& frame) {
    Frame framed(4 + frame.size());
    store_be(framed.data(), static_cast<uint32_t>(frame.size()));
    std::copy(frame.begin(), frame.end(), framed.begin() + 4);
    static_cast<void>(send(fd, framed.data(), framed.size(), MSG_NOSIGNAL));
  }
  template <class... Values>
  static void append(Frame& frame, Values... values) {
    const auto one = [&](auto value) {
      frame.resize(frame.size() + sizeof value);
      store_be(frame.data() + frame.size() - sizeof value, value);
    };
    (one(values), ...);
  }
  static void append_text(Frame& frame, std::string_view text) {
    append(frame, static_cast<int16_t>(text.size()));
    frame.insert(frame.end(), text.begin(), text.end());
  }

  void accept_all() {
    for (;;) {
      const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      const std::lock_guard lock(mutex_);
      if (client < 0 || ending_) {
        if (client >= 0) close(client);
        return;
      }
      const int broker = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      const sockaddr_in address = loopback(broker_);
      static_cast<void>(connect(broker, reinterpret_cast<const sockaddr*>(&address), sizeof address));
      open_.insert(open_.end(), {client, broker});
      threads_.emplace_back([this, client, broker] {
        if (open_door(client, broker)) pass(client, broker);
        shutdown(client, SHUT_RDWR);
        shutdown(broker, SHUT_RDWR);
      });
    }
  }

  /// The requests before the door opens; false: it stays shut.
  bool open_door(int client, int broker) {
    constexpr int16_t kApiVersions = 18;
    constexpr int16_t kHandshake = 17;
    constexpr int16_t kAuthenticate = 36;
    while (const auto request = receive(client)) {
      const auto api = load_be<int16_t>(request->data());
      const auto version = load_be<int16_t>(request->data() + 2);
      const auto correlation = load_be<int32_t>(request->data() + 4);
      Frame answer;
      append(answer, correlation);
      if (api == kApiVersions && version > 0) {
        append(answer, int16_t{35}, int32_t{0});  // UNSUPPORTED_VERSION: it asks again, in the oldest
      } else if (api == kApiVersions) {
        // What the broker says, and the two that are ours.
        send_frame(broker, *request);
        auto versions = receive(broker);
        if (!versions) return false;
        store_be(versions->data() + 6, load_be<int32_t>(versions->data() + 6) + 2);
        append(*versions, kHandshake, int16_t{0}, int16_t{1}, kAuthenticate, int16_t{0}, int16_t{0});
        answer = std::move(*versions);
      } else if (api == kHandshake) {
        append(answer, int16_t{0}, int32_t{1});
        append_text(answer, "PLAIN");
      } else if (api == kAuthenticate) {
        const size_t size = token_.size();
        const bool right = request->size() >= size &&
                           std::equal(token_.begin(), token_.end(), request->end() - static_cast<ptrdiff_t>(size),
                                      [](char a, uint8_t b) { return static_cast<uint8_t>(a) == b; });
        append(answer, static_cast<int16_t>(right ? 0 : 58));  // SASL_AUTHENTICATION_FAILED
        append_text(answer, right ? "" : kRefusal);
        append(answer, int32_t{0});
        send_frame(client, answer);
        const std::lock_guard lock(mutex_);
        let_in_ += right ? 1 : 0;
        return right;
      } else {
        return false;
      }
      send_frame(client, answer);
    }
    return false;
  }

  static void copy(int from, int to) {
    std::vector<uint8_t> bytes(65'536);
    for (;;) {
      const ssize_t got = recv(from, bytes.data(), bytes.size(), 0);
      if (got <= 0 || send(to, bytes.data(), static_cast<size_t>(got), MSG_NOSIGNAL) != got) break;
    }
    shutdown(to, SHUT_RDWR);
  }
  static void pass(int client, int broker) {
    std::thread answers([&] { copy(broker, client); });
    copy(client, broker);
    shutdown(broker, SHUT_RDWR);
    answers.join();
  }

  const std::string token_;
  int listener_ = -1;
  uint16_t port_ = 0;
  mutable std::mutex mutex_;
  uint16_t broker_ = 0;  // guarded by mutex_, as what follows
  size_t let_in_ = 0;
  bool ending_ = false;
  std::vector<int> open_;
  std::list<std::thread> threads_;  // the acceptor's, and the destructor's after it
  std::thread acceptor_;
};

}  // namespace sluice::test
