// SPDX-License-Identifier: Apache-2.0
// with_kafka SLUICED [--jars DIR] -- COMMAND [ARGUMENT...]
//
// Starts a Kafka broker: the program SLUICED, or, with the jars of Apache Kafka, the script SLUICED that starts it.
// Runs the command with @ADDRESS@ in its arguments replaced by the broker's address, ends the broker, and ends as the
// command did.
#include <cstdio>
#include <string_view>

#include "support/kafka_server.hpp"
#include "support/server_process.hpp"

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
  return sluice::test::run_command({argv + at + 1, argv + argc}, "@ADDRESS@", server.address());
}
