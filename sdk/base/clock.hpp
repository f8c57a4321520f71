// SPDX-License-Identifier: Apache-2.0
// Time as a parameter.
#pragma once

#include <atomic>
#include <cstdint>

namespace sluice {

/// Any thread.
class Clock {
 public:
  virtual ~Clock() = default;
  /// Milliseconds since the epoch, as in Kafka timestamps; may jump.
  virtual int64_t wall_ms() const = 0;
  /// Milliseconds from an arbitrary start; never goes back.
  virtual int64_t monotonic_ms() const = 0;
  /// Nanoseconds of the same.
  virtual int64_t monotonic_ns() const = 0;
};

/// The machine's clocks.
Clock& system_clock();

/// A clock that tests move by hand.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(int64_t wall_ms = 1'600'000'000'000) : wall_ms_(wall_ms) {}
  int64_t wall_ms() const override { return wall_ms_; }
  int64_t monotonic_ms() const override { return monotonic_ms_; }
  int64_t monotonic_ns() const override { return monotonic_ms_ * 1'000'000; }
  void advance_ms(int64_t by) {
    wall_ms_ += by;
    monotonic_ms_ += by;
  }

 private:
  std::atomic<int64_t> wall_ms_;
  std::atomic<int64_t> monotonic_ms_{1};
};

}  // namespace sluice
