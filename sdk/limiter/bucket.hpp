// SPDX-License-Identifier: Apache-2.0
// One token bucket as a state machine: time comes from the caller, all arithmetic is exact. One thread at a time.
#pragma once

#include <cstdint>

#include "base/status.hpp"
#include "sluice/limiter.hpp"

namespace sluice::limiter {

/// INVALID names the field that is out of its range.
Status check(const LimiterRate& rate);
/// INVALID or TOO_LARGE: a request that no bucket of this rate will ever grant.
Status check(const LimiterRate& rate, const LimiterRequest& request);
/// How long an empty bucket takes to be full, rounded up.
int64_t fill_ms(const LimiterRate& rate);

class TokenBucket {
 public:
  /// Full. `rate` has passed check(), as for all calls.
  TokenBucket(const LimiterRate& rate, int64_t now_ns);

  /// Takes `tokens` if there are as many. A clock that goes back adds nothing.
  bool take(const LimiterRate& rate, uint64_t tokens, int64_t now_ns);
  /// How long until there are `tokens` <= burst, in nanoseconds, rounded up; 0: there are.
  int64_t wait_ns(const LimiterRate& rate, uint64_t tokens, int64_t now_ns);
  bool full(const LimiterRate& rate, int64_t now_ns);
  /// When it is full if nothing more is taken, at most INT64_MAX; only taking changes it, to later.
  int64_t full_at_ns(const LimiterRate& rate) const;

 private:
  // Tokens times the nanoseconds of a period: what a nanosecond adds is then a whole number.
  __extension__ using Credit = unsigned __int128;

  void refill(const LimiterRate& rate, int64_t now_ns);

  Credit credit_;
  int64_t at_ns_;
};

}  // namespace sluice::limiter
