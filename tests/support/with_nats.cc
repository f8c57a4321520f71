// SPDX-License-Identifier: Apache-2.0
// with_nats [--servers N] [--max-payload BYTES] -- COMMAND [ARGUMENT...]
//
// Starts nats-server (or a cluster), runs the command with @URL@ in its arguments replaced by the servers' URLs and with
// the (first) one's in NATS_URL, ends the servers, and ends as the command did.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "support/nats_server.hpp"

int main(int argc, char** argv) {
  using sluice::test::NatsCluster;
  using sluice::test::NatsServer;
  sluice::test::NatsSettings settings;
  size_t servers = 1;
  int at = 1;
  for (; at + 1 < argc && std::string_view(argv[at]) != "--"; at += 2) {
    const std::string option = argv[at];
    if (option == "--servers") {
      servers = std::strtoull(argv[at + 1], nullptr, 10);
    } else if (option == "--max-payload") {
      settings.max_payload = std::strtoll(argv[at + 1], nullptr, 10);
    } else {
      break;
    }
  }
  if (at + 1 >= argc || std::string_view(argv[at]) != "--" || servers == 0) {
    std::fprintf(stderr, "with_nats [--servers N] [--max-payload BYTES] -- COMMAND [ARGUMENT...]\n");
    return 2;
  }
  std::unique_ptr<NatsServer> one;
  std::unique_ptr<NatsCluster> several;
  if (servers == 1) {
    one = std::make_unique<NatsServer>(settings);
  } else {
    several = std::make_unique<NatsCluster>(servers, settings);
  }
  const sluice::Status started = one ? one->start() : several->start();
  if (!started) {
    std::fprintf(stderr, "%s\n", started.describe().c_str());
    return 2;
  }
  const std::string url = one ? one->url() : several->urls();
  std::vector<std::string> arguments(argv + at + 1, argv + argc);
  std::vector<char*> list;
  for (std::string& argument : arguments) {
    constexpr std::string_view kUrl = "@URL@";
    for (size_t found = argument.find(kUrl); found != std::string::npos; found = argument.find(kUrl, found)) {
      argument.replace(found, kUrl.size(), url);
    }
    list.push_back(argument.data());
  }
  list.push_back(nullptr);
  setenv("NATS_URL", (one ? one->url() : several->server(0).url()).c_str(), 1);
  const pid_t child = fork();
  if (child < 0) return 2;
  if (child == 0) {
    execvp(list[0], list.data());
    std::perror(list[0]);
    _exit(127);
  }
  int how = 0;
  waitpid(child, &how, 0);
  return WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);
}
