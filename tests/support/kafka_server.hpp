// SPDX-License-Identifier: Apache-2.0
// A real Kafka broker for tests: the program sluiced, or Apache Kafka where its jars are given; on a port of the
// loopback that it keeps over restarts, with data of its own that are removed at the end. Each is ended by its own
// process id, and dies with the thread that started it. One thread at a time.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/status.hpp"

namespace sluice::test {

struct KafkaSettings {
  std::string program = {};                 // sluiced; or the script that starts Apache Kafka
  std::string jars = {};                    // Apache Kafka's; empty: `program` is sluiced
  std::vector<std::string> arguments = {};  // of sluiced, more of them
  // sluiced's plugins.json.
  std::string plugins = R"({"storages": {"disk": {"library": "disk"}}, "default": "disk", "internal": "disk"})";
};

class KafkaServer {
 public:
  /// How long a server may take to take connections after it was started.
  static constexpr int64_t kStartMs = 60'000;

  explicit KafkaServer(KafkaSettings settings);
  ~KafkaServer();
  KafkaServer(const KafkaServer&) = delete;
  KafkaServer& operator=(const KafkaServer&) = delete;

  /// Starts it, again with what it has and on the same port; waits until it takes connections.
  Status start();
  /// Of sluiced, instead of those given, from the next start on.
  void set_arguments(std::vector<std::string> arguments) { settings_.arguments = std::move(arguments); }
  /// SIGKILL.
  void kill();
  /// SIGSTOP, when it has stopped, and SIGCONT.
  void pause();
  void resume();
  bool running() const { return process_ > 0; }
  bool is_apache() const { return !settings_.jars.empty(); }

  std::string address() const;
  uint16_t port() const { return port_; }
  /// What the server said, for a message about a failure.
  std::string log() const;

 private:
  Status launch();

  KafkaSettings settings_;
  std::string directory_;
  uint16_t port_ = 0;
  uint16_t controller_port_ = 0;
  pid_t process_ = -1;
};

}  // namespace sluice::test
