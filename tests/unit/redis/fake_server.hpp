// SPDX-License-Identifier: Apache-2.0
// A server that answers commands as a function says: for what no real server would say when it should.
#pragma once

#include <arpa/inet.h>
#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "redis/reply.hpp"

namespace sluice::redis {

class FakeServer {
 public:
  /// Gives the reply as it is sent, or "" to hang up. Called on threads of the server's, one at a time.
  using Answerer = std::function<std::string(const std::vector<std::string>& command)>;

  explicit FakeServer(Answerer answer) : answer_(std::move(answer)) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    bind(listener_, reinterpret_cast<sockaddr*>(&address), size);
    listen(listener_, 16);
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { accept_forever(); });
  }
  ~FakeServer() {
    shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    {
      const std::lock_guard lock(mutex_);
      for (const int fd : open_) shutdown(fd, SHUT_RDWR);
    }
    for (std::thread& thread : threads_) thread.join();
    for (const int fd : open_) close(fd);
    close(listener_);
  }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  int connections() const { return connections_; }

 private:
  void accept_forever() {
    for (int fd; (fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0;) {
      const std::lock_guard lock(mutex_);
      ++connections_;
      open_.push_back(fd);
      threads_.emplace_back([this, fd] { serve(fd); });
    }
  }
  void serve(int fd) {
    redisReader* reader = redisReaderCreate();
    char text[65536];
    bool over = false;
    for (ssize_t got; !over && (got = recv(fd, text, sizeof text, 0)) > 0;) {
      redisReaderFeed(reader, text, static_cast<size_t>(got));
      for (void* parsed = nullptr; !over && redisReaderGetReply(reader, &parsed) == REDIS_OK && parsed != nullptr;) {
        const Reply command(static_cast<redisReply*>(parsed));
        std::vector<std::string> arguments;
        for (size_t i = 0; i < ReplyView(command).size(); ++i) arguments.emplace_back(ReplyView(command)[i].text());
        const std::lock_guard lock(answering_);
        const std::string reply = answer_(arguments);
        over =
            reply.empty() || send(fd, reply.data(), reply.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(reply.size());
      }
    }
    redisReaderFree(reader);
    shutdown(fd, SHUT_RDWR);
  }

  const Answerer answer_;
  int listener_ = -1;
  uint16_t port_ = 0;
  std::atomic<int> connections_{0};
  std::mutex answering_;
  std::mutex mutex_;
  std::vector<int> open_;             // guarded by mutex_
  std::vector<std::thread> threads_;  // guarded by mutex_ while accepting
  std::thread acceptor_;
};

/// A reply as it is sent.
inline std::string wire_form(const redisReply& reply) {
  const std::string text = reply.str != nullptr ? std::string(reply.str, reply.len) : "";
  std::string out;
  switch (reply.type) {
    case REDIS_REPLY_INTEGER:
      return ":" + std::to_string(reply.integer) + "\r\n";
    case REDIS_REPLY_STATUS:
      return "+" + text + "\r\n";
    case REDIS_REPLY_ERROR:
      return "-" + text + "\r\n";
    case REDIS_REPLY_STRING:
      return "$" + std::to_string(text.size()) + "\r\n" + text + "\r\n";
    case REDIS_REPLY_ARRAY:
      out = "*" + std::to_string(reply.elements) + "\r\n";
      for (size_t i = 0; i < reply.elements; ++i) out += wire_form(*reply.element[i]);
      return out;
    default:
      return "$-1\r\n";
  }
}

/// Has a real server answer, for a FakeServer that says something else only now and then. One thread at a time.
class Behind {
 public:
  explicit Behind(uint16_t port) : connection_(redisConnect("127.0.0.1", port)) {}
  Behind(const Behind&) = delete;
  Behind& operator=(const Behind&) = delete;
  ~Behind() { redisFree(connection_); }

  /// The reply as it is sent; "" once the server is gone.
  std::string answer(const std::vector<std::string>& command) {
    std::vector<const char*> texts;
    std::vector<size_t> sizes;
    for (const std::string& argument : command) {
      texts.push_back(argument.data());
      sizes.push_back(argument.size());
    }
    const Reply reply(static_cast<redisReply*>(
        redisCommandArgv(connection_, static_cast<int>(texts.size()), texts.data(), sizes.data())));
    return reply ? wire_form(*reply) : "";
  }

 private:
  redisContext* const connection_;
};

}  // namespace sluice::redis
