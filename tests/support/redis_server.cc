// SPDX-License-Identifier: Apache-2.0
#include "support/redis_server.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string_view>

namespace sluice::test {

LoopbackServer::Command RedisServer::command() {
  const std::string path = directory() + "/redis.conf";
  write_configuration(path);
  Command made{{"redis-server", path}};
  if (settings_.sentinel) made.arguments.push_back("--sentinel");
  return made;
}

void RedisServer::write_configuration(const std::string& path) const {
  // Sentinels and nodes of a cluster write down what they learn: only the first start has the say.
  if (settings_.sentinel && std::filesystem::exists(path)) return;
  std::ofstream file(path);
  file << fmt::format("bind 127.0.0.1\nport {}\ndir \"{}\"\n", port(), directory());
  if (!settings_.sentinel) {
    file << fmt::format("save \"\"\nappendonly {}\nappendfsync {}\n", settings_.appendonly ? "yes" : "no",
                        settings_.appendfsync);
    if (!settings_.password.empty()) file << fmt::format("requirepass \"{}\"\n", settings_.password);
  }
  for (const std::string& line : settings_.lines) file << line << "\n";
}

bool RedisServer::answers() const {
  const std::string pong = cli({"PING"});
  return pong == "PONG" || pong.starts_with("NOAUTH");
}

std::string RedisServer::cli(const std::vector<std::string>& arguments) const {
  std::vector<std::string> all{"redis-cli", "-h", "127.0.0.1", "-p", std::to_string(port())};
  if (!settings_.password.empty()) all.insert(all.end(), {"--no-auth-warning", "-a", settings_.password});
  all.insert(all.end(), arguments.begin(), arguments.end());
  return output_of(all);
}

int RedisServer::major() const {
  constexpr std::string_view kVersion = "redis_version:";
  const std::string info = cli({"INFO", "server"});
  const size_t at = info.find(kVersion);
  return at == std::string::npos ? 0 : static_cast<int>(std::strtol(info.c_str() + at + kVersion.size(), nullptr, 10));
}

RedisCluster::RedisCluster(size_t masters, size_t replicas) : replicas_(replicas) {
  RedisSettings settings;
  settings.lines = {"cluster-enabled yes", "cluster-node-timeout 5000", "cluster-require-full-coverage no"};
  for (size_t i = 0; i < masters * (1 + replicas); ++i) servers_.push_back(std::make_unique<RedisServer>(settings));
}

Status RedisCluster::start() {
  std::vector<std::string> create{"--cluster", "create"};
  for (auto& server : servers_) {
    if (Status started = server->start(); !started) return started;
    create.push_back(server->address());
  }
  create.insert(create.end(), {"--cluster-replicas", std::to_string(replicas_), "--cluster-yes"});
  const std::string made = servers_.front()->cli(create);
  const bool whole = eventually(
      [this] {
        return std::all_of(servers_.begin(), servers_.end(), [](const auto& server) {
          return server->cli({"CLUSTER", "INFO"}).find("cluster_state:ok") != std::string::npos;
        });
      },
      2 * RedisServer::kStartMs);
  if (whole) return {};
  return Status(StatusCode::unavailable, fmt::format("the cluster does not come up:\n{}", made));
}

std::string RedisCluster::addresses() const {
  return joined(servers_, [](const RedisServer& server) { return server.address(); });
}

}  // namespace sluice::test
