// SPDX-License-Identifier: Apache-2.0
// Nanoseconds since the epoch without a call of the clock per event: the processor's own counter, tied to the system
// clock anew every kAnchorNs. What it says is within kAnchorNs / 100 of the clock it was tied to; it may step back by
// as much, so whoever needs order adds it (Ring::scan makes the timestamps of a shard rise). A clock that fails is
// counted, and time goes on by the counter.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

#if defined(__x86_64__)
#  include <x86intrin.h>
#endif

namespace sluice::bus {

/// Any thread.
class BusClock {
 public:
  /// How long the counter is trusted.
  static constexpr int64_t kAnchorNs = 250'000;

  /// `wall_ns`: nanoseconds since the epoch; a negative value: it failed. Any thread calls it. Empty: the system's
  /// clock.
  explicit BusClock(std::function<int64_t()> wall_ns = {});

  int64_t now_ns() {
    const uint64_t ticks = read_counter();
    if (ticks - anchored_.load(std::memory_order_relaxed) >= anchor_ticks_) [[unlikely]]
      anchor(ticks);
    return to_ns(ticks) + offset_ns_.load(std::memory_order_relaxed);
  }
  /// Times the clock failed or went back before what it had said.
  uint64_t failures() const { return failures_.load(std::memory_order_relaxed); }
  uint64_t steps_back() const { return steps_back_.load(std::memory_order_relaxed); }
  /// The last call failed.
  bool failing() const { return failing_.load(std::memory_order_relaxed); }

 private:
  uint64_t read_counter() const {
#if defined(__x86_64__)
    if (by_counter_) [[likely]]
      return __rdtsc();
#endif
    return monotonic_ns();
  }
  int64_t to_ns(uint64_t ticks) const {
    return static_cast<int64_t>((static_cast<unsigned __int128>(ticks) * ns_per_tick_) >> 32);
  }
  static uint64_t monotonic_ns();
  struct Reading {
    int64_t ns = -1;
    uint64_t ticks = 0;
  };
  Reading read(bool wall) const;
  void calibrate();
  void anchor(uint64_t ticks);

  std::function<int64_t()> wall_ns_;
  bool by_counter_ = false;            // the counter runs at one rate on all cores; otherwise CLOCK_MONOTONIC
  uint64_t ns_per_tick_ = 1ULL << 32;  // fixed point
  uint64_t anchor_ticks_ = kAnchorNs;
  int64_t seen_ns_ = -1;  // guarded by anchoring_
  std::atomic<bool> anchoring_{false};
  std::atomic<uint64_t> failures_{0};
  std::atomic<uint64_t> steps_back_{0};
  std::atomic<bool> failing_{false};
  alignas(64) std::atomic<uint64_t> anchored_{0};
  std::atomic<int64_t> offset_ns_{0};
};

}  // namespace sluice::bus
