// SPDX-License-Identifier: Apache-2.0
// Keeps a log readable while somebody misbehaves: lines pass in bursts and at a steady rate, the others are counted,
// and the next line that passes tells how many they were.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>

namespace sluice {

/// Thread-safe. Time comes from the caller.
class LogLimiter {
 public:
  static constexpr int64_t kLinesPerSecond = 10;
  static constexpr int64_t kBurstLines = 50;  // that pass at once after a quiet time

  /// The line to write, with the number of those left out before it; nothing: it is left out too. `now_ms`: monotonic.
  std::optional<std::string> pass(std::string line, int64_t now_ms);

 private:
  static constexpr int64_t kLineMs = 1000 / kLinesPerSecond;

  std::mutex mutex_;
  int64_t credit_ms_ = kBurstLines * kLineMs;  // guarded by mutex_, as what follows
  int64_t seen_ms_ = 0;
  uint64_t left_out_ = 0;
};

}  // namespace sluice
