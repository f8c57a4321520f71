// SPDX-License-Identifier: Apache-2.0
// How fast a migration copies: a limit that is kept on average, and what has been reached lately. No clock, no lock.
#pragma once

#include <cstdint>
#include <deque>

namespace sluice::partition {

class CopyRate {
 public:
  static constexpr int64_t kWindowMs = 10'000;  // over which the speed is measured
  static constexpr int64_t kSampleMs = 500;

  /// 0: `bytes` may be copied now, and count. Otherwise: ask again after so many milliseconds. `limit` in bytes per
  /// second; none if not above 0. Time that was not used is lost.
  int64_t take(uint64_t bytes, int64_t limit, int64_t now_ms);
  /// `bytes` were copied.
  void copied(uint64_t bytes, int64_t now_ms);
  /// Bytes per second, lately; 0 if nothing was copied.
  int64_t bytes_per_second(int64_t now_ms) const;

 private:
  struct Sample {
    int64_t at_ms;
    uint64_t total;
  };
  double free_at_ms_ = 0;  // when what was taken has been paid for
  uint64_t total_ = 0;
  std::deque<Sample> samples_;
};

}  // namespace sluice::partition
