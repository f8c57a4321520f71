// SPDX-License-Identifier: Apache-2.0
#include "base/log_limiter.hpp"

#include <algorithm>
#include <utility>

namespace sluice {

std::optional<std::string> LogLimiter::pass(std::string line, int64_t now_ms) {
  const std::lock_guard lock(mutex_);
  const int64_t quiet_ms = std::clamp<int64_t>(now_ms - seen_ms_, 0, kBurstLines * kLineMs);
  credit_ms_ = std::min(credit_ms_ + quiet_ms, kBurstLines * kLineMs);
  seen_ms_ = std::max(seen_ms_, now_ms);
  if (credit_ms_ < kLineMs) {
    ++left_out_;
    return std::nullopt;
  }
  credit_ms_ -= kLineMs;
  const uint64_t left_out = std::exchange(left_out_, 0);
  if (left_out != 0) line += " (and " + std::to_string(left_out) + " lines like it)";
  return line;
}

}  // namespace sluice
