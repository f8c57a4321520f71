// SPDX-License-Identifier: Apache-2.0
// A real Kafka broker for tests: the program sluiced, or Apache Kafka where its jars are given.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "support/loopback_server.hpp"

namespace sluice::test {

struct KafkaSettings {
  std::string program = {};                 // sluiced; or the script that starts Apache Kafka
  std::string jars = {};                    // Apache Kafka's; empty: `program` is sluiced
  std::vector<std::string> arguments = {};  // of sluiced, more of them
  // sluiced's plugins.json.
  std::string plugins = R"({"storages": {"disk": {"library": "disk"}}, "default": "disk", "internal": "disk"})";
};

class KafkaServer : public LoopbackServer {
 public:
  /// How long a server may take to take connections after it was started.
  static constexpr int64_t kStartMs = 60'000;

  explicit KafkaServer(KafkaSettings settings)
      : LoopbackServer("kafka", kStartMs, kPorts), settings_(std::move(settings)) {}

  /// Of sluiced, instead of those given, from the next start on.
  void set_arguments(std::vector<std::string> arguments) { settings_.arguments = std::move(arguments); }
  bool is_apache() const { return !settings_.jars.empty(); }

 private:
  static constexpr size_t kPorts = 2;  // the second is that of Apache Kafka's controller

  Command command() override;

  KafkaSettings settings_;
};

}  // namespace sluice::test
