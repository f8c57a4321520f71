// SPDX-License-Identifier: Apache-2.0
// Threads that put stamped events into a bus at a rate that may change, and count what became of each call.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "sluice/bus.hpp"
#include "stamp.hpp"

namespace sluice::soak {

struct Produced {
  uint64_t offered = 0;
  uint64_t queued = 0;
  uint64_t dropped = 0;       // at once
  uint64_t refused = 0;       // full, timed_out, no_memory, exhausted
  uint64_t unrouted = 0;      // no_route, shutting_down
  uint64_t other = 0;         // outcomes that must not be
  uint64_t sum = 0;           // of those queued
  bool mixed_causes = false;  // several of a group were not accepted, and only the first said why
  bool sum_known = true;      // false: some of a batch were queued, and nobody knows which
  void add(const Produced& more);
};

struct ProducerPlan {
  uint32_t bus = 0;
  size_t threads = 1;  // up to kMaxProducers
  size_t group = 1;    // events of one call
};

class Producers {
 public:
  static constexpr size_t kMaxGroup = 256;

  /// Begins. `bus` lives until join(). `rate`: events per second of all threads together; 0: as fast as they can.
  Producers(Bus& bus, ProducerPlan plan, double rate, std::atomic<uint64_t>& offered_now);
  ~Producers() { join(); }
  Producers(const Producers&) = delete;
  Producers& operator=(const Producers&) = delete;

  void set_rate(double events_per_s) { rate_ = events_per_s; }
  /// Ends them.
  Produced join();

 private:
  void run(size_t index);

  Bus& bus_;
  const ProducerPlan plan_;
  std::atomic<double> rate_;
  std::atomic<bool> stop_{false};
  std::atomic<uint64_t>& offered_now_;
  std::vector<Produced> each_;
  std::vector<std::thread> threads_;
};

}  // namespace sluice::soak
