// SPDX-License-Identifier: Apache-2.0
// HTTP for operators, on a port of its own: /health, /ready, /metrics, and pages that others add. No secrets are shown
// and nothing can be changed, but there is no authentication either: it listens on loopback unless told otherwise.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "admin/metrics.hpp"
#include "base/status.hpp"

namespace sluice::admin {

enum class Health { ok, degraded, down };

/// The state of one part of the broker, such as a storage.
struct Component {
  std::string name;
  Health health = Health::ok;
  std::string detail = {};  // one sentence; empty when there is nothing to say
};

struct Readiness {
  bool ready = false;
  std::string reason = {};  // why not
};

/// A page of JSON with all that is below it.
struct JsonPage {
  std::string path;  // "/storages"
  /// `rest` is empty for the path itself, else what follows its slash, with %XX decoded. Gives a JSON text. NOT_FOUND
  /// is told as 404, INVALID as 400, every other error as 503. Thread-safe; may block for a few seconds.
  std::function<Result<std::string>(const std::string& rest)> answer;
};

struct AdminOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 9644;  // 0: any free one
  /// Asked for each /health. Thread-safe, quick.
  std::function<std::vector<Component>()> health;
  /// Asked for each /ready. Thread-safe, quick.
  std::function<Readiness()> ready;
  std::vector<JsonPage> pages = {};
};

/// Answers
///   GET /health    JSON {"status": "ok" | "degraded" | "down", "components": [{"name", "status", "detail"?}]}; the
///   worst counts;
///                  503 when down, else 200
///   GET /ready     JSON {"ready": bool, "reason"?}; 200 or 503
///   GET /metrics   the registry
///   GET a page     its JSON, or {"error": text}
/// anything else with 404, other methods with 405.
///
/// Two threads at most serve, each connection for one request.
class AdminServer {
 public:
  static constexpr int kMaxThreads = 2;
  static constexpr int kMaxQueuedConnections = 16;
  static constexpr int64_t kRequestTimeoutMs = 5000;

  /// `registry` must outlive it.
  AdminServer(const Registry& registry, AdminOptions options);
  /// stop().
  ~AdminServer();

  /// Binds and serves. UNAVAILABLE: the address cannot be had. Once.
  Status start();
  /// Ends when the requests in progress have been answered, after a quarter of a second at most if there are none.
  /// Later calls do nothing.
  void stop();
  /// What was bound; 0 before start().
  uint16_t port() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sluice::admin
