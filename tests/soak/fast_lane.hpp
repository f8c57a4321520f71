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
  explicit FastLane(Terms terms) : terms_(terms), random_(terms.seed) {}

  /// Lives as in run() until then, with producers as fast as they can: events per second that were delivered, with all
  /// that happens to these buses and to the lanes beside them. What was counted begins anew.
  double full_speed(Clock::time_point until);
  /// Until the time is over. `rate`: events per second to hold.
  void run(double rate);

  const Tally& tally() const { return tally_; }
  /// Events per second that were offered while buses lived, to now.
  double held() const;
  Clock::time_point last_end() const { return last_end_; }

 private:
  void live_and_end();

  const Terms terms_;
  double rate_ = 0;  // 0: as fast as they can
  Random random_;
  Tally tally_;
  uint32_t buses_ = 0;
  std::atomic<Clock::time_point> last_end_{Clock::now()};
};

}  // namespace sluice::soak
