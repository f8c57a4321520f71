// SPDX-License-Identifier: Apache-2.0
#include "support/nats_server.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>

namespace sluice::test {

LoopbackServer::Command NatsServer::command() {
  const std::string path = directory() + "/nats.conf";
  std::ofstream file(path);
  file << fmt::format("listen: \"{}\"\n", address());
  if (!settings_.server_name.empty()) file << fmt::format("server_name: \"{}\"\n", settings_.server_name);
  if (settings_.max_payload > 0) file << fmt::format("max_payload: {}\n", settings_.max_payload);
  if (settings_.jetstream) {
    file << fmt::format("jetstream {{\n  store_dir: \"{}/store\"\n", directory());
    if (settings_.max_file_store > 0) file << fmt::format("  max_file_store: {}\n", settings_.max_file_store);
    file << "}\n";
  }
  if (!settings_.certificates.empty()) {
    file << fmt::format(
        "tls {{\n  cert_file: \"{0}/{1}.pem\"\n  key_file: \"{0}/{1}.key\"\n  ca_file: \"{0}/ca.pem\"\n",
        settings_.certificates, settings_.certificate);
    file << fmt::format("  verify: {}\n}}\n", settings_.verify_clients);
  }
  if (settings_.cluster_port != 0) {
    file << fmt::format("cluster {{\n  name: \"test\"\n  listen: \"127.0.0.1:{}\"\n  routes: [",
                        settings_.cluster_port);
    const char* separator = "";
    for (const uint16_t port : settings_.routes) {
      file << fmt::format("{} \"nats://127.0.0.1:{}\"", separator, port);
      separator = ",";
    }
    file << " ]\n}\n";
  }
  file << settings_.extra << "\n";
  return {{"nats-server", "-c", path}};
}

bool NatsServer::answers() const {
  return greeting(port()).starts_with("INFO ");
}

NatsCluster::NatsCluster(size_t size, NatsSettings settings) {
  for (size_t i = 0; i < size; ++i) settings.routes.push_back(free_port());
  for (size_t i = 0; i < size; ++i) {
    settings.server_name = fmt::format("n{}", i + 1);
    settings.cluster_port = settings.routes[i];
    servers_.push_back(std::make_unique<NatsServer>(settings));
  }
}

Status NatsCluster::start() {
  for (auto& server : servers_) {
    if (Status started = server->start(); !started) return started;
  }
  const bool led = eventually(
      [this] {
        return std::any_of(servers_.begin(), servers_.end(), [](const auto& server) {
          return server->log().find("JetStream cluster new metadata leader") != std::string::npos;
        });
      },
      2 * NatsServer::kStartMs);
  if (led) return {};
  return Status(StatusCode::unavailable, fmt::format("the cluster has no leader:\n{}", servers_.front()->log()));
}

std::string NatsCluster::urls() const {
  return joined(servers_, [](const NatsServer& server) { return server.url(); });
}

}  // namespace sluice::test
