// SPDX-License-Identifier: Apache-2.0
// with_kafka SLUICED [--jars DIR] -- COMMAND [ARGUMENT...]
//
// Starts a Kafka broker: the program SLUICED, or, with the jars of Apache Kafka, the script SLUICED that starts it.
// Runs the command with @ADDRESS@ in its arguments replaced by the broker's address, ends the broker, and ends as the
// command did.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "support/kafka_server.hpp"

int main(int argc, char** argv) {
  sluice::test::KafkaSettings settings;
  int at = 1;
  if (at < argc) settings.program = argv[at++];
  if (at + 1 < argc && std::string_view(argv[at]) == "--jars") {
    settings.jars = argv[at + 1];
    at += 2;
  }
  if (at + 1 >= argc || std::string_view(argv[at]) != "--") {
    std::fprintf(stderr, "with_kafka SLUICED [--jars DIR] -- COMMAND [ARGUMENT...]\n");
    return 2;
  }
  sluice::test::KafkaServer server(settings);
  if (const sluice::Status started = server.start(); !started) {
    std::fprintf(stderr, "%s\n", started.describe().c_str());
    return 2;
  }
  std::vector<std::string> arguments(argv + at + 1, argv + argc);
  std::vector<char*> list;
  for (std::string& argument : arguments) {
    constexpr std::string_view kAddress = "@ADDRESS@";
    for (size_t found = argument.find(kAddress); found != std::string::npos; found = argument.find(kAddress, found)) {
      argument.replace(found, kAddress.size(), server.address());
    }
    list.push_back(argument.data());
  }
  list.push_back(nullptr);
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
