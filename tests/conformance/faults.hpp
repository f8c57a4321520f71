// SPDX-License-Identifier: Apache-2.0
// What the kit needs to attack an adapter's server, and the surroundings of such an attack: a server of the check's
// own, our proxy before it, storages through the proxy and past it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "conformance/world.hpp"
#include "support/loopback_server.hpp"
#include "support/tcp_proxy.hpp"

namespace sluice::conformance {

/// The server as the author's command starts it: on a port and with a directory that the kit chooses, and keeps over
/// kill() and start().
class FaultServer : public test::LoopbackServer {
 public:
  /// How long it may take until it takes connections.
  static constexpr int64_t kStartMs = 30'000;

  explicit FaultServer(const FaultPlan& plan) : LoopbackServer("faults", kStartMs), plan_(plan) {}

  /// Failure when it does not come up.
  void must_start();
  /// Runs a command of the plan's, with its {port} and {directory}; Failure unless it ends with 0.
  void run(const std::string& shell_command) const;
  /// Stands before it, also when it is started again.
  test::TcpProxy& proxy() { return *proxy_; }
  /// `text` with {port}, {proxy} and {directory} replaced.
  std::string expand(std::string text, uint16_t at_port) const;

 private:
  Command command() override;

  const FaultPlan& plan_;
  std::unique_ptr<test::TcpProxy> proxy_;  // made when the port is known: at the first start
};

/// One attack's surroundings. Throws Inapplicable where the kit was not told how to start a server.
class FaultWorld {
 public:
  /// Throws Inapplicable too where the storage is of another kind.
  FaultWorld(Context& context, uint32_t kind);

  Context& context() { return context_; }
  const FaultPlan& plan() const { return plan_; }
  FaultServer& server() { return server_; }
  test::TcpProxy& proxy() { return server_.proxy(); }
  /// Through the proxy, started, made when first asked for.
  Storage& storage();
  /// Stops and destroys it.
  void drop_storage() { storage_.reset(); }
  /// Another one, past the proxy (unless the server sends its clients there), started.
  std::unique_ptr<Storage> direct();
  /// ... through the proxy, not started.
  std::unique_ptr<Storage> idle() { return make(server_.proxy().port()); }
  /// ... with the options that the server refuses.
  std::unique_ptr<Storage> refused();
  bool durable() const;
  bool atomic() const;
  /// At most what one append may carry, and `wanted`.
  size_t unit_bytes(size_t wanted) const;
  /// OK within `within_ms` of trying again and again, or Failure.
  void must_create(Storage& storage, const Descriptor& descriptor, int64_t within_ms = 30'000);

 private:
  std::unique_ptr<Storage> make(uint16_t port, const host::OptionInputs& changed = {});

  Context& context_;
  const FaultPlan& plan_;
  FaultServer server_;
  std::unique_ptr<Storage> storage_;
};

using test::eventually;

}  // namespace sluice::conformance
