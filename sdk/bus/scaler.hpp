// SPDX-License-Identifier: Apache-2.0
// Decides when a bus gets another shard or loses one: a state machine that is told the load and the time, and does
// nothing itself. It acts only on samples that were really taken, after a warm-up, when a threshold stayed passed for a
// while (two thresholds, apart from each other), not again within a cooldown, and only as often as a budget allows.
#pragma once

#include <cstdint>
#include <deque>

#include "sluice/bus_options.hpp"

namespace sluice::bus {

struct LoadSample {
  double fill = 0;          // of the fullest shard, 0 to 1
  double events_per_s = 0;  // accepted by all shards
  uint32_t shards = 0;      // that take events
};

enum class ScaleDecision : uint8_t { stay, grow, shrink };

/// One thread at a time.
class Scaler {
 public:
  /// `options` were validated. `now_ms`: any clock that never goes back.
  Scaler(const ScaleOptions& options, int64_t now_ms) : options_(options), started_ms_(now_ms), changed_ms_(now_ms) {}

  /// Samples that are no numbers, or negative, change nothing.
  ScaleDecision observe(const LoadSample& sample, int64_t now_ms);
  /// A decision was carried out (or a shard was added or removed by hand).
  void changed(int64_t now_ms);

 private:
  bool may_change(int64_t now_ms);

  ScaleOptions options_;
  int64_t started_ms_;
  int64_t changed_ms_;
  bool ever_changed_ = false;
  bool measured_ = false;
  double fill_ = 0;
  double rate_ = 0;
  int64_t above_since_ms_ = -1;
  int64_t below_since_ms_ = -1;
  std::deque<int64_t> changes_ms_;  // within the budget's time
};

}  // namespace sluice::bus
