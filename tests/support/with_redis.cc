// SPDX-License-Identifier: Apache-2.0
// with_redis [--appendfsync WHEN] [--masters N] [--line LINE]... -- COMMAND [ARGUMENT...]
//
// Starts redis-server (appendonly, appendfsync always) or a cluster of N masters, runs the command with @ADDRESS@ in
// its arguments replaced by the servers' addresses, ends the servers, and ends as the command did. --line adds a line
// to the configuration of the one server.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "support/redis_server.hpp"
#include "support/server_process.hpp"

int main(int argc, char** argv) {
  using sluice::test::RedisCluster;
  using sluice::test::RedisServer;
  sluice::test::RedisSettings settings;
  size_t masters = 0;
  int at = 1;
  for (; at + 1 < argc && std::string_view(argv[at]) != "--"; at += 2) {
    const std::string option = argv[at];
    if (option == "--appendfsync") {
      settings.appendfsync = argv[at + 1];
    } else if (option == "--masters") {
      masters = std::strtoull(argv[at + 1], nullptr, 10);
    } else if (option == "--line") {
      settings.lines.emplace_back(argv[at + 1]);
    } else {
      break;
    }
  }
  if (at + 1 >= argc || std::string_view(argv[at]) != "--") {
    std::fprintf(stderr, "with_redis [--appendfsync WHEN] [--masters N] [--line LINE]... -- COMMAND [ARGUMENT...]\n");
    return 2;
  }
  std::unique_ptr<RedisServer> one;
  std::unique_ptr<RedisCluster> several;
  if (masters == 0) {
    one = std::make_unique<RedisServer>(settings);
  } else {
    several = std::make_unique<RedisCluster>(masters);
  }
  const sluice::Status started = one ? one->start() : several->start();
  if (!started) {
    std::fprintf(stderr, "%s\n", started.describe().c_str());
    return 2;
  }
  return sluice::test::run_command({argv + at + 1, argv + argc}, "@ADDRESS@",
                                   one ? one->address() : several->addresses());
}
