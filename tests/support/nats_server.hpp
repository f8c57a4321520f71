// SPDX-License-Identifier: Apache-2.0
// A real nats-server for tests: on a free port of the loopback, with a store directory of its own that is removed at
// the end. Each is ended by its own process id, and dies with the process that started it. Not having the server
// installed is an error, never a reason to skip. One thread at a time.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.hpp"

namespace sluice::test {

struct NatsSettings {
  bool jetstream = true;
  int64_t max_payload = 0;            // bytes; 0: the server's default, 1 MiB
  int64_t max_file_store = 0;         // bytes; 0: the server's default
  std::string extra = {};             // lines of configuration
  std::string server_name = {};       // for a cluster
  uint16_t cluster_port = 0;          // 0: no cluster
  std::vector<uint16_t> routes = {};  // ports of the cluster
};

class NatsServer {
 public:
  /// How long a server may take to answer after it was started.
  static constexpr int64_t kStartMs = 20'000;

  explicit NatsServer(NatsSettings settings = {});
  ~NatsServer();
  NatsServer(const NatsServer&) = delete;
  NatsServer& operator=(const NatsServer&) = delete;

  /// Starts it, again with what its store holds and on the same port; waits until it takes connections.
  Status start();
  /// SIGKILL.
  void kill();
  /// SIGSTOP, waiting until nothing of it runs any more, and SIGCONT.
  void pause();
  void resume();
  bool running() const { return process_ > 0; }

  std::string url() const;
  uint16_t port() const { return port_; }
  const std::string& name() const { return settings_.server_name; }
  const std::string& directory() const { return directory_; }
  /// What the server said, for a message about a failure.
  std::string log() const;

 private:
  Status launch();
  void write_configuration() const;

  const NatsSettings settings_;
  std::string directory_;
  uint16_t port_ = 0;
  pid_t process_ = -1;
};

/// Servers that form a JetStream cluster.
class NatsCluster {
 public:
  explicit NatsCluster(size_t size, NatsSettings settings = {});
  /// Starts all, and waits until they have a leader that serves JetStream.
  Status start();
  size_t size() const { return servers_.size(); }
  NatsServer& server(size_t index) { return *servers_[index]; }
  /// URLs of all, separated by commas.
  std::string urls() const;

 private:
  std::vector<std::unique_ptr<NatsServer>> servers_;
};

/// A port of the loopback that was free a moment ago.
uint16_t free_port();

}  // namespace sluice::test
