// SPDX-License-Identifier: Apache-2.0
// Buses one after the other at full rate with a sink that counts and checks: every mode of a full shard in turn, loads
// that swing so that shards come and go, holds, failures, flushes, and an end at random.
#pragma once

#include <atomic>
#include <cstdint>

#include "common.hpp"

namespace sluice::soak {

/// Events per second of one producer, one by one, as fast as it can, over `seconds`.
double measure_full_speed(double seconds, Verdict& verdict);

class FastLane {
 public:
  /// `rate`: events per second to hold.
  FastLane(Terms terms, double rate) : terms_(terms), rate_(rate), random_(terms.seed) {}

  /// Until the time is over.
  void run();

  const Tally& tally() const { return tally_; }
  /// Events per second that were offered while buses lived, to now.
  double held() const;
  Clock::time_point last_end() const { return last_end_; }

 private:
  void live_and_end();

  const Terms terms_;
  const double rate_;
  Random random_;
  Tally tally_;
  uint32_t buses_ = 0;
  std::atomic<Clock::time_point> last_end_{Clock::now()};
};

}  // namespace sluice::soak
