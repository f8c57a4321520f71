// SPDX-License-Identifier: Apache-2.0
// Whether and when to try again: by the class of the error, with a delay that grows and is jittered, up to a limit.
// Pure functions; randomness comes from the caller. Any thread.
#pragma once

#include <cstdint>
#include <optional>

#include "status.hpp"

namespace sluice {

struct RetryPolicy {
  static constexpr uint32_t kMaxRetries = 1'000'000;
  static constexpr int64_t kMaxDelayMs = 3'600'000;

  uint32_t max_retries = 100;    // after the first attempt; 0: none
  int64_t first_delay_ms = 20;   // 1 to max_delay_ms; doubles with each retry
  int64_t max_delay_ms = 5'000;  // at most kMaxDelayMs
  uint32_t jitter_percent = 50;  // of the delay that is left to chance: 0 to 100
};

/// What is tried: something that may be done twice without harm, or something that must not be.
enum class Effect { repeatable, once };

/// `effect` once: UNAVAILABLE and BUSY alone (not applied). Repeatable: also CONFLICT (look again) and UNKNOWN. Never
/// what is the caller's fault or the operator's affair.
bool may_retry(const Status& status, Effect effect);

/// How long to wait before trying again after `retries` retries have failed too; nullopt: give up. `random`: any
/// number, evenly distributed. Never sooner than the status's own advice (retry_after_ms), unless that is beyond
/// max_delay_ms; chance then comes on top of it, up to max_delay_ms.
std::optional<int64_t> retry_delay_ms(const RetryPolicy& policy, const Status& status, Effect effect, uint32_t retries,
                                      uint64_t random);

/// Names the first field that is out of its range as `path`.field.
Status validate(const RetryPolicy& policy, std::string_view path);

}  // namespace sluice
