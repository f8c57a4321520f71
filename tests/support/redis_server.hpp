// SPDX-License-Identifier: Apache-2.0
// A real redis-server for tests, and clusters of them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "support/loopback_server.hpp"

namespace sluice::test {

struct RedisSettings {
  bool appendonly = true;
  std::string appendfsync = "always";
  std::string password{};
  std::vector<std::string> lines{};  // more of the configuration, each as in redis.conf
  bool sentinel = false;             // a sentinel, which keeps no data
};

class RedisServer : public LoopbackServer {
 public:
  /// How long a server may take to answer after it was started.
  static constexpr int64_t kStartMs = 20'000;

  explicit RedisServer(RedisSettings settings = {})
      : LoopbackServer("redis", kStartMs), settings_(std::move(settings)) {}

  /// What redis-cli prints, without the newline at the end.
  std::string cli(const std::vector<std::string>& arguments) const;
  /// The version that it says it is compatible with: of "7.0.15" the 7; 0 if it does not answer.
  int major() const;

 private:
  Command command() override;
  bool answers() const override;
  void write_configuration(const std::string& path) const;

  const RedisSettings settings_;
};

/// Masters that form a Redis Cluster and share the slots, each with `replicas` replicas.
class RedisCluster {
 public:
  explicit RedisCluster(size_t masters, size_t replicas = 0);
  /// Starts all, and waits until each finds the cluster whole.
  Status start();
  size_t size() const { return servers_.size(); }
  RedisServer& server(size_t index) { return *servers_[index]; }
  /// Addresses of all, separated by commas.
  std::string addresses() const;

 private:
  const size_t replicas_;
  std::vector<std::unique_ptr<RedisServer>> servers_;
};

}  // namespace sluice::test
