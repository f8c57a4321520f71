// SPDX-License-Identifier: Apache-2.0
// What both limiters do with a decision: count it. Any thread.
#pragma once

#include <atomic>

#include "sluice/limiter.hpp"

namespace sluice::limiter {

class Tally {
 public:
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
};

}  // namespace sluice::limiter
