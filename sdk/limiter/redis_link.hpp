// SPDX-License-Identifier: Apache-2.0
// One blocking connection to a Redis server on which every call has a deadline. After a call that got no reply the
// connection is given up, as the reply might still come. One thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.hpp"

struct redisContext;
struct redisReply;

namespace sluice::limiter {

struct FreeContext {
  void operator()(redisContext* context) const;
};
struct FreeReply {
  void operator()(redisReply* reply) const;
};
using Reply = std::unique_ptr<redisReply, FreeReply>;

class RedisLink {
 public:
  RedisLink(std::string host, uint16_t port) : host_(std::move(host)), port_(port) {}

  bool connected() const { return context_ != nullptr; }
  /// Whether the server has closed the connection, or said something unasked; between calls.
  bool stale() const;
  /// `deadline_ns`: of the steady clock. UNAVAILABLE with the reason.
  Status connect(int64_t deadline_ns);
  /// Sends a command and waits for its reply, which may be an error of the server's. UNAVAILABLE: none came.
  Result<Reply> call(const std::vector<std::string_view>& words, int64_t deadline_ns);
  void drop() { context_.reset(); }

 private:
  Status wait(short events, int64_t deadline_ns);
  Status lost(std::string_view what);

  const std::string host_;
  const uint16_t port_;
  std::unique_ptr<redisContext, FreeContext> context_;
};

int64_t steady_now_ns();

}  // namespace sluice::limiter
