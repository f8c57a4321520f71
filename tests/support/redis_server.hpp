// SPDX-License-Identifier: Apache-2.0
// A real redis-server for tests: on a free port of the loopback, with a directory of its own that is removed at the
// end. Each is ended by its own process id, and dies with the thread that started it. Not having the server installed
// is an error, never a reason to skip. One thread at a time.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.hpp"

namespace sluice::test {

struct RedisSettings {
  bool appendonly = true;
  std::string appendfsync = "always";
  std::string password{};
  std::vector<std::string> lines{};  // more of the configuration, each as in redis.conf
  bool sentinel = false;             // a sentinel, which keeps no data
};

class RedisServer {
 public:
  /// How long a server may take to answer after it was started.
  static constexpr int64_t kStartMs = 20'000;

  explicit RedisServer(RedisSettings settings = {});
  ~RedisServer();
  RedisServer(const RedisServer&) = delete;
  RedisServer& operator=(const RedisServer&) = delete;

  /// Starts it, again with what its directory holds and on the same port; waits until it answers.
  Status start();
  /// SIGKILL.
  void kill();
  /// SIGSTOP, and waits until it has stopped; SIGCONT.
  void pause();
  void resume();
  bool running() const { return process_ > 0; }

  uint16_t port() const { return port_; }
  /// "127.0.0.1:PORT".
  std::string address() const;
  const std::string& directory() const { return directory_; }
  /// What redis-cli prints, without the newline at the end.
  std::string cli(const std::vector<std::string>& arguments) const;
  /// What the server said, for a message about a failure.
  std::string log() const;

 private:
  Status launch();
  void write_configuration() const;

  const RedisSettings settings_;
  std::string directory_;
  uint16_t port_ = 0;
  pid_t process_ = -1;
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
