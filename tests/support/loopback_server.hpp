// SPDX-License-Identifier: Apache-2.0
// A server of a test's on a port of the loopback: brought up on ports that nobody else has, which it keeps over kill()
// and start() together with its directory. Each is ended by its own process id, and dies with the thread that started
// it. Not having the server installed is an error, never a reason to skip. One thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.hpp"
#include "support/server_process.hpp"

namespace sluice::test {

class LoopbackServer {
 public:
  virtual ~LoopbackServer() = default;
  LoopbackServer(const LoopbackServer&) = delete;
  LoopbackServer& operator=(const LoopbackServer&) = delete;

  /// Starts it, again with what its directory holds and on the same ports; waits until it answers, UNAVAILABLE with its
  /// log where it does not in time.
  Status start();
  /// SIGKILL, and waits.
  void kill() { process_.kill(); }
  /// SIGSTOP, waiting until nothing of it runs any more, and SIGCONT.
  void pause() { process_.pause(); }
  void resume() { process_.resume(); }
  bool running() const { return process_.running(); }

  /// CPU time that it used since it was started.
  double cpu_seconds() const { return process_.cpu_seconds(); }

  /// 0 before the first start.
  uint16_t port() const { return ports_.front(); }
  /// "127.0.0.1:PORT".
  std::string address() const;
  const std::string& directory() const { return process_.directory(); }
  /// What the server said, for a message about a failure.
  std::string log() const { return process_.log(); }

 protected:
  struct Command {
    std::vector<std::string> arguments;  // the program first
    std::vector<std::pair<std::string, std::string>> environment = {};
  };

  /// `kind` is a part of the directory's name, `start_ms` how long it may take to answer after it was started, `ports`
  /// how many it needs.
  LoopbackServer(const std::string& kind, int64_t start_ms, size_t ports = 1)
      : process_(kind), start_ms_(start_ms), ports_(ports) {}

  uint16_t port(size_t index) const { return ports_[index]; }

 private:
  /// Writes the configuration, and says how the server is started; with the ports at hand.
  virtual Command command() = 0;
  /// Whether it serves; asked again and again while it starts.
  virtual bool answers() const;

  ServerProcess process_;
  const int64_t start_ms_;
  std::vector<uint16_t> ports_;
};

/// A port of the loopback that was free a moment ago, and that no client is given; 0 if there is none. Any thread.
uint16_t free_port();
/// Whether somebody takes connections on a port of the loopback.
bool takes_connections(uint16_t port);
/// What somebody on a port of the loopback says first, at most 4 KiB and within half a second; "" when nothing comes.
std::string greeting(uint16_t port);

/// Waits until `holds`, asking every 2 ms; false when the time is up.
bool eventually(const std::function<bool()>& holds, int64_t within_ms = 20'000);

/// "A,B,C" of what `name` says of each of the servers.
template <class Servers, class Name>
std::string joined(const Servers& servers, Name name) {
  std::string all;
  for (const auto& server : servers) all += (all.empty() ? "" : ",") + name(*server);
  return all;
}

}  // namespace sluice::test
