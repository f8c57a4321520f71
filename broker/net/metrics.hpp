// SPDX-License-Identifier: Apache-2.0
// What the network layer counts. Any thread may read; counters only rise, gauges say so.
#pragma once

#include <atomic>
#include <cstdint>

namespace sluice::net {

struct NetMetrics {
  using Counter = std::atomic<uint64_t>;

  std::atomic<int64_t> connections{0};  // gauge
  Counter accepted{0};
  Counter refused_max_connections{0};
  Counter refused_max_connections_per_ip{0};
  Counter accept_errors{0};

  Counter requests{0};
  std::atomic<int64_t> requests_in_flight{0};  // gauge
  Counter bytes_in{0};
  Counter bytes_out{0};

  Counter frames_negative{0};   // size below 0
  Counter frames_empty{0};      // size 0
  Counter frames_too_large{0};  // size above socket.request.max.bytes
  Counter frames_cut{0};        // the peer left in the middle of one
  Counter frames_late{0};       // not whole by the deadline
  Counter frames_no_memory{0};  // the system had none
  Counter budget_waits{0};
  Counter pipeline_waits{0};  // reading paused: too many requests or response bytes wait
  Counter closed_idle{0};
  Counter closed_stalled{0};      // the peer did not read its responses
  Counter closed_by_dispatch{0};  // Response::close_connection
  Counter file_reads_cold{0};
  Counter file_read_errors{0};
};

}  // namespace sluice::net
