// SPDX-License-Identifier: Apache-2.0
// A real nats-server for tests, with a store of its own, and clusters of them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "support/loopback_server.hpp"

namespace sluice::test {

struct NatsSettings {
  bool jetstream = true;
  int64_t max_payload = 0;             // bytes; 0: the server's default, 1 MiB
  int64_t max_file_store = 0;          // bytes; 0: the server's default
  std::string extra = {};              // lines of configuration
  std::string certificates = {};       // a directory that make_certificates() filled: TLS is required
  std::string certificate = "server";  // which of them it shows
  bool verify_clients = false;         // whether a client must show one too
  std::string server_name = {};        // for a cluster
  uint16_t cluster_port = 0;           // 0: no cluster
  std::vector<uint16_t> routes = {};   // ports of the cluster
};

class NatsServer : public LoopbackServer {
 public:
  /// How long a server may take to answer after it was started.
  static constexpr int64_t kStartMs = 20'000;

  explicit NatsServer(NatsSettings settings = {}) : LoopbackServer("nats", kStartMs), settings_(std::move(settings)) {}

  /// "nats://127.0.0.1:PORT".
  std::string url() const { return "nats://" + address(); }
  const std::string& name() const { return settings_.server_name; }

 private:
  Command command() override;
  bool answers() const override;

  const NatsSettings settings_;
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

}  // namespace sluice::test
