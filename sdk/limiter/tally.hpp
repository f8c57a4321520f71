// SPDX-License-Identifier: Apache-2.0
// What both limiters do with a decision: count it, and tell a telemetry that asks. Any thread.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.hpp"
#include "sluice/limiter.hpp"
#include "sluice/telemetry.hpp"

namespace sluice::limiter {

inline constexpr std::string_view kTelemetrySystem = "sluice.limiter";

/// INVALID: a name that telemetry does not take.
Status check_name(const std::string& name);

class Tally {
 public:
  /// `telemetry` may be null.
  Tally(std::shared_ptr<Telemetry> telemetry, std::string name);

  void count(const LimiterDecision& decision) {
    if (decision.allowed) {
      add(allowed_);
    } else if (decision.status.ok()) {
      add(refused_);
    } else if (status_class(decision.status.code()) == static_cast<int32_t>(StatusCode::invalid)) {
      add(invalid_);
    } else {
      add(failed_);
    }
  }
  LimiterCounters counters() const {
    LimiterCounters counters;
    counters.allowed = allowed_.load(std::memory_order_relaxed);
    counters.refused = refused_.load(std::memory_order_relaxed);
    counters.failed = failed_.load(std::memory_order_relaxed);
    counters.invalid = invalid_.load(std::memory_order_relaxed);
    return counters;
  }

 private:
  static void add(std::atomic<uint64_t>& counter) { counter.fetch_add(1, std::memory_order_relaxed); }

  std::atomic<uint64_t> allowed_{0};
  std::atomic<uint64_t> refused_{0};
  std::atomic<uint64_t> failed_{0};
  std::atomic<uint64_t> invalid_{0};
  const std::shared_ptr<Telemetry> telemetry_;
  Observing observing_;  // last, so that it ends first
};

}  // namespace sluice::limiter
