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
  Counter writes{0};  // that wrote something

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

  /// Calls `visit(name, help, value, is_gauge)` for each, named for Prometheus.
  template <class Visitor>
  void show(Visitor&& visit) const {
    const auto counter = [&](const char* name, const char* help, const Counter& of) {
      visit(name, help, static_cast<double>(of.load(std::memory_order_relaxed)), false);
    };
    const auto gauge = [&](const char* name, const char* help, const std::atomic<int64_t>& of) {
      visit(name, help, static_cast<double>(of.load(std::memory_order_relaxed)), true);
    };
    gauge("sluice_net_connections", "Open connections.", connections);
    counter("sluice_net_accepted_total", "Connections accepted.", accepted);
    counter("sluice_net_refused_max_connections_total", "Connections refused by max.connections.",
            refused_max_connections);
    counter("sluice_net_refused_max_connections_per_ip_total", "Connections refused by max.connections.per.ip.",
            refused_max_connections_per_ip);
    counter("sluice_net_accept_errors_total", "Failures to accept, such as too many open files.", accept_errors);
    counter("sluice_net_requests_total", "Requests received.", requests);
    gauge("sluice_net_requests_in_flight", "Requests without an answer so far.", requests_in_flight);
    counter("sluice_net_received_bytes_total", "Bytes read from connections.", bytes_in);
    counter("sluice_net_sent_bytes_total", "Bytes written to connections.", bytes_out);
    counter("sluice_net_writes_total", "Writes to connections; responses that are ready together share one.", writes);
    counter("sluice_net_frames_negative_total", "Frames of negative size; each closed its connection.",
            frames_negative);
    counter("sluice_net_frames_empty_total", "Frames of size 0; each closed its connection.", frames_empty);
    counter("sluice_net_frames_too_large_total", "Frames above socket.request.max.bytes.", frames_too_large);
    counter("sluice_net_frames_cut_total", "Frames whose peer left in the middle.", frames_cut);
    counter("sluice_net_frames_late_total", "Frames that did not arrive in time.", frames_late);
    counter("sluice_net_frames_no_memory_total", "Frames that the system had no memory for.", frames_no_memory);
    counter("sluice_net_memory_waits_total", "Times that reading paused because queued.max.request.bytes was used up.",
            budget_waits);
    counter("sluice_net_pipeline_waits_total", "Times that reading paused because a connection's responses waited.",
            pipeline_waits);
    counter("sluice_net_closed_idle_total", "Connections closed by connections.max.idle.ms.", closed_idle);
    counter("sluice_net_closed_stalled_total", "Connections closed because the peer did not read.", closed_stalled);
    counter("sluice_net_closed_by_broker_total", "Connections closed after a response that asked for it.",
            closed_by_dispatch);
    counter("sluice_net_file_reads_cold_total", "Reads of log files that were not in the page cache.", file_reads_cold);
    counter("sluice_net_file_read_errors_total", "Reads of log files that failed.", file_read_errors);
  }
};

}  // namespace sluice::net
