// SPDX-License-Identifier: Apache-2.0
#include "limiter/bucket.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace sluice::limiter {
namespace {

constexpr int64_t kNanosPerMs = 1'000'000;

Status out_of_range(const char* field, uint64_t value, uint64_t most) {
  return Status(StatusCode::invalid, fmt::format("limiter.rate.{}: {} is not from 1 to {}", field, value, most));
}

}  // namespace

Status check(const LimiterRate& rate) {
  if (rate.tokens < 1 || rate.tokens > kMaxLimiterTokens) return out_of_range("tokens", rate.tokens, kMaxLimiterTokens);
  if (rate.period_ms < 1 || rate.period_ms > kMaxLimiterPeriodMs) {
    return Status(StatusCode::invalid,
                  fmt::format("limiter.rate.period_ms: {} is not from 1 to {}", rate.period_ms, kMaxLimiterPeriodMs));
  }
  if (rate.burst < 1 || rate.burst > kMaxLimiterTokens) return out_of_range("burst", rate.burst, kMaxLimiterTokens);
  return {};
}

Status check(const LimiterRate& rate, const LimiterRequest& request) {
  if (request.key.empty() || request.key.size() > kMaxLimiterKeyBytes) {
    return Status(StatusCode::invalid,
                  fmt::format("a key of {} bytes, not from 1 to {}", request.key.size(), kMaxLimiterKeyBytes));
  }
  if (request.tokens == 0) return Status(StatusCode::invalid, "no tokens asked for");
  if (request.tokens > rate.burst) {
    return Status(StatusCode::too_large,
                  fmt::format("{} tokens of a bucket that holds {}", request.tokens, rate.burst));
  }
  return {};
}

int64_t fill_ms(const LimiterRate& rate) {
  const auto credit = static_cast<__int128>(rate.burst) * rate.period_ms;
  const auto fill = (credit + static_cast<__int128>(rate.tokens) - 1) / static_cast<__int128>(rate.tokens);
  return static_cast<int64_t>(fill);  // at most 10^9 * 86,400,000
}

TokenBucket::TokenBucket(const LimiterRate& rate, int64_t now_ns)
    : credit_(static_cast<Credit>(rate.burst) * static_cast<Credit>(rate.period_ms * kNanosPerMs)), at_ns_(now_ns) {}

void TokenBucket::refill(const LimiterRate& rate, int64_t now_ns) {
  if (now_ns <= at_ns_) return;
  const auto elapsed = static_cast<uint64_t>(now_ns) - static_cast<uint64_t>(at_ns_);
  at_ns_ = now_ns;
  const Credit most = static_cast<Credit>(rate.burst) * static_cast<Credit>(rate.period_ms * kNanosPerMs);
  credit_ = std::min(most, credit_ + static_cast<Credit>(elapsed) * rate.tokens);
}

bool TokenBucket::take(const LimiterRate& rate, uint64_t tokens, int64_t now_ns) {
  refill(rate, now_ns);
  const Credit cost = static_cast<Credit>(tokens) * static_cast<Credit>(rate.period_ms * kNanosPerMs);
  if (cost > credit_) return false;
  credit_ -= cost;
  return true;
}

int64_t TokenBucket::wait_ns(const LimiterRate& rate, uint64_t tokens, int64_t now_ns) {
  refill(rate, now_ns);
  const Credit cost = static_cast<Credit>(tokens) * static_cast<Credit>(rate.period_ms * kNanosPerMs);
  if (cost <= credit_) return 0;
  const Credit wait = (cost - credit_ + rate.tokens - 1) / rate.tokens;
  return static_cast<int64_t>(std::min(wait, static_cast<Credit>(INT64_MAX)));
}

bool TokenBucket::full(const LimiterRate& rate, int64_t now_ns) {
  return wait_ns(rate, rate.burst, now_ns) == 0;
}

int64_t TokenBucket::full_at_ns(const LimiterRate& rate) const {
  const Credit most = static_cast<Credit>(rate.burst) * static_cast<Credit>(rate.period_ms * kNanosPerMs);
  const Credit wait = (most - credit_ + rate.tokens - 1) / rate.tokens;
  const auto until_end = static_cast<uint64_t>(INT64_MAX) - static_cast<uint64_t>(at_ns_);
  if (wait >= until_end) return INT64_MAX;
  return static_cast<int64_t>(static_cast<uint64_t>(at_ns_) + static_cast<uint64_t>(wait));
}

}  // namespace sluice::limiter
