// SPDX-License-Identifier: Apache-2.0
// A server on loopback with a dispatcher that tests steer, and a blocking client.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/bytes.hpp"
#include "base/task.hpp"
#include "net/server.hpp"

namespace sluice::net {

constexpr int64_t kPatienceMs = 20'000;  // what should happen at once has happened by then, under sanitizers too

/// Waits for `condition`; false: it did not come true in time.
inline bool eventually(const std::function<bool()>& condition, int64_t patience_ms = kPatienceMs) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(patience_ms);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

inline std::string frame_of(std::string_view body) {
  std::string frame(4, '\0');
  store_be<int32_t>(reinterpret_cast<uint8_t*>(frame.data()), static_cast<int32_t>(body.size()));
  return frame.append(body);
}

/// A blocking socket with deadlines.
class Client {
 public:
  explicit Client(uint16_t port, int receive_buffer_bytes = 0) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    if (receive_buffer_bytes != 0) {
      ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof receive_buffer_bytes);
    }
    const timeval patience{.tv_sec = kPatienceMs / 1000, .tv_usec = 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    const int on = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  Client(Client&& other) noexcept : fd_(std::exchange(other.fd_, -1)), connected_(other.connected_) {}
  ~Client() { close(); }

  bool connected() const { return connected_; }
  int fd() const { return fd_; }

  /// False: the connection is broken.
  bool send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }
  bool send_frame(std::string_view body) const { return send(frame_of(body)); }

  /// Exactly `size` bytes, or nothing: the connection ended, or the time was up.
  std::optional<std::string> receive(size_t size) const {
    std::string bytes(size, '\0');
    for (size_t have = 0; have < size;) {
      const ssize_t n = ::recv(fd_, bytes.data() + have, size - have, 0);
      if (n <= 0) return std::nullopt;
      have += static_cast<size_t>(n);
    }
    return bytes;
  }
  std::optional<std::string> receive_frame() const {
    const auto prefix = receive(4);
    if (!prefix) return std::nullopt;
    return receive(static_cast<size_t>(load_be<int32_t>(reinterpret_cast<const uint8_t*>(prefix->data()))));
  }
  /// The peer closed, orderly or not, with nothing more to read.
  bool at_end() const {
    char byte = 0;
    const ssize_t n = ::recv(fd_, &byte, 1, 0);
    return n == 0 || (n < 0 && errno == ECONNRESET);
  }
  void half_close() const { ::shutdown(fd_, SHUT_WR); }
  /// Closes so that the peer sees a reset.
  void reset() {
    const linger now{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close();
  }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
  bool connected_ = false;
};

/// Requests that wait until the test answers them.
class Held {
 public:
  Task<Response> hold(Request request) {
    const std::string name(as_text(request.bytes));
    Loop& loop = request.loop();
    std::string answer = co_await suspend_until<std::string>(loop, [&](Resumer<std::string> resume) {
      const std::lock_guard lock(mutex_);
      waiting_.emplace_back(name, std::move(resume));
    });
    Response response;
    response.segments.append(Buffer::copy_of(as_bytes(answer)));
    co_return response;
  }
  size_t size() {
    const std::lock_guard lock(mutex_);
    return waiting_.size();
  }
  /// Answers the request with this text.
  bool answer(std::string_view name, std::string text) {
    const std::lock_guard lock(mutex_);
    for (auto at = waiting_.begin(); at != waiting_.end(); ++at) {
      if (at->first != name) continue;
      at->second(std::move(text));
      waiting_.erase(at);
      return true;
    }
    return false;
  }
  void answer_all() {
    const std::lock_guard lock(mutex_);
    for (auto& [name, resume] : waiting_) resume(name);
    waiting_.clear();
  }

 private:
  std::mutex mutex_;
  std::vector<std::pair<std::string, Resumer<std::string>>> waiting_;
};

/// Answers with the request's own bytes, unless told otherwise: "hold..." waits in `held`, "none..." has no answer,
/// "bye..." is the last one.
class ServerTest : public testing::Test {
 protected:
  void TearDown() override {
    held_.answer_all();
    if (!server_) return;
    server_->stop(1000);
    held_.answer_all();
    EXPECT_TRUE(eventually([this] { return metrics().requests_in_flight == 0; }));
  }

  void serve(NetLimits limits = {}, Dispatch dispatch = nullptr, std::vector<ListenerOptions> listeners = {}) {
    if (!dispatch) dispatch = [this](Request request) { return answer(std::move(request)); };
    if (listeners.empty()) listeners.push_back({.port = 0});
    ServerOptions options{
        .listeners = std::move(listeners), .limits = limits, .log = [this](LogLevel, std::string_view text) {
          const std::lock_guard lock(log_mutex_);
          log_.emplace_back(text);
        }};
    server_ = std::make_unique<Server>(loops_, std::move(options), std::move(dispatch));
    const Status status = server_->start();
    ASSERT_TRUE(status.ok()) << status.describe();
  }

  Task<Response> answer(Request request) {
    const std::string_view text = as_text(request.bytes);
    if (text.starts_with("hold")) co_return co_await held_.hold(std::move(request));
    Response response;
    response.none = text.starts_with("none");
    response.close_connection = text.starts_with("bye");
    response.segments.append(request.bytes, request.frame);
    co_return response;
  }

  uint16_t port() const { return server_->listeners().at(0).port; }
  const NetMetrics& metrics() const { return server_->metrics(); }
  bool all_closed() const {
    return eventually([this] { return metrics().connections == 0; });
  }
  std::vector<std::string> log() {
    const std::lock_guard lock(log_mutex_);
    return log_;
  }

  Held held_;
  std::mutex log_mutex_;
  std::vector<std::string> log_;
  LoopPool loops_{2, "test"};
  std::unique_ptr<Server> server_;
};

}  // namespace sluice::net
