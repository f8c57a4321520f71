// SPDX-License-Identifier: Apache-2.0
// Listeners and their connections: accepts, reads frames within limits, hands requests to a function, writes responses
// in order. A connection stays on one loop of the pool. Whatever one peer sends costs that peer its connection at most.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.hpp"
#include "net/loops.hpp"
#include "net/metrics.hpp"
#include "net/request.hpp"

namespace sluice::net {

/// Every bound of the network layer. Kafka's names where it has one.
struct NetLimits {
  int64_t max_frame_bytes = 104857600;           // socket.request.max.bytes
  int64_t max_request_memory_bytes = 256 << 20;  // queued.max.request.bytes: what all requests together hold
  size_t max_connections = 10000;                // max.connections
  size_t max_connections_per_ip = 10000;         // max.connections.per.ip
  int64_t max_idle_ms = 600000;        // connections.max.idle.ms: no request in flight, nothing read; 0: no limit
  size_t max_pipelined_requests = 64;  // begun and not yet written, per connection
  uint64_t max_queued_response_bytes = 4 << 20;  // finished and not yet written, per connection: beyond, reading pauses
  int64_t max_frame_ms = 30000;                  // from a frame's first byte to its last, and then ...
  int64_t min_frame_bytes_per_second = 64 << 10;  // ... a second more for each of these in its size
  int64_t max_write_stall_ms = 60000;             // a peer that reads nothing of its responses for so long is gone
  int send_buffer_bytes = 0;                      // socket.send.buffer.bytes; 0 or less: the system's
  int receive_buffer_bytes = 0;                   // socket.receive.buffer.bytes; likewise
};

enum class LogLevel { information, warning, error };
/// Called from loop threads with one line of text; must not block for long. Rates are limited by the network.
using LogFunction = std::function<void(LogLevel, std::string_view)>;

struct ServerOptions {
  std::vector<ListenerOptions> listeners = {};
  NetLimits limits = {};
  LogFunction log = {};  // empty: silence
};

/// Thread-safe, but for destruction. The loops must outlive it, and every request it has handed out.
class Server {
 public:
  Server(LoopPool& loops, ServerOptions options, Dispatch dispatch);
  /// stop(0).
  ~Server();

  /// Checks the options, binds all listeners and begins to accept. INVALID names the option; any other error names
  /// listener and address; nothing listens then. Once.
  Status start();

  /// What was bound, in the order of the options, with ports and advertised addresses filled in. Empty before start().
  std::vector<ListenerOptions> listeners() const;

  /// Stops accepting and reading, lets requests in flight end and their responses leave for up to `deadline_ms`, then
  /// closes what is left. Waiting requests hear of it by Connection::on_close at once. Blocks; not from a loop. True if
  /// nothing was cut off. A second call returns the first one's result.
  bool stop(int64_t deadline_ms);

  const NetMetrics& metrics() const;
  /// Memory that requests hold at this moment, in bytes, as the budget counts it.
  int64_t request_memory_bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sluice::net
