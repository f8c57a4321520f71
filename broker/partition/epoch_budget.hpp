// SPDX-License-Identifier: Apache-2.0
// How often a partition's leader epoch is raised because its storage lost records, or says so. A loss is rare: the
// first few raise it at once. A storage that reports one after the other is held off, for longer each time, since every
// epoch is an entry in metadata for ever and makes every client start anew. Pure; not thread-safe.
#pragma once

#include <algorithm>
#include <cstdint>

namespace sluice::partition {

class EpochBudget {
 public:
  static constexpr int kFreeRaises = 4;  // as many as one load may find reasons for
  static constexpr int64_t kFirstPauseMs = 1'000;
  static constexpr int64_t kMostPauseMs = 300'000;
  static constexpr int64_t kForgetMs = 2 * kMostPauseMs;  // after so long without one all is forgotten

  /// How long to wait before the next one; 0: none. Milliseconds of a monotonic clock, here and below.
  int64_t wait_ms(int64_t now_ms) const {
    if (raises_ < kFreeRaises || now_ms - last_ms_ >= kForgetMs) return 0;
    return std::max<int64_t>(last_ms_ + pause_ms() - now_ms, 0);
  }
  void raised(int64_t now_ms) {
    raises_ = now_ms - last_ms_ >= kForgetMs ? 1 : raises_ + 1;
    last_ms_ = now_ms;
  }
  /// In a row.
  int raises() const { return raises_; }

 private:
  int64_t pause_ms() const {
    constexpr int kMostDoublings = 16;
    return std::min(kFirstPauseMs << std::min(raises_ - kFreeRaises, kMostDoublings), kMostPauseMs);
  }

  int raises_ = 0;
  int64_t last_ms_ = 0;  // of no meaning while raises_ is 0
};

}  // namespace sluice::partition
