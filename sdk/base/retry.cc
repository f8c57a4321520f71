// SPDX-License-Identifier: Apache-2.0
#include "base/retry.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace sluice {

bool may_retry(const Status& status, Effect effect) {
  switch (status_class(status.code())) {
    case 300:
      return true;
    case 200:
      return effect == Effect::repeatable && status.code() != StatusCode::fenced;
    case 400:
      return effect == Effect::repeatable;
    default:
      return false;
  }
}

std::optional<int64_t> retry_delay_ms(const RetryPolicy& policy, const Status& status, Effect effect, uint32_t retries,
                                      uint64_t random) {
  if (!may_retry(status, effect) || retries >= policy.max_retries) return std::nullopt;
  int64_t delay = policy.first_delay_ms;
  for (uint32_t i = 0; i < retries && delay < policy.max_delay_ms; ++i) delay *= 2;
  delay = std::min(delay, policy.max_delay_ms);
  const auto share = [&](int64_t of) { return of * policy.jitter_percent / 100; };
  // Advice is a floor under chance, not its middle: who asked for a pause gets all of it. Above it chance begins anew,
  // or all who were given the same advice would come back at once.
  const int64_t advice = std::min(status.retry_after_ms(), policy.max_delay_ms);
  const int64_t least = std::max(delay - share(delay), advice);
  const int64_t most = std::min(std::max(delay, least + share(least)), policy.max_delay_ms);
  return least + static_cast<int64_t>(random % static_cast<uint64_t>(most - least + 1));
}

Status validate(const RetryPolicy& policy, std::string_view path) {
  const auto bad = [&](std::string_view field, auto value, auto least, auto most) {
    return Status(StatusCode::invalid, fmt::format("{}.{}: {} is not {} to {}", path, field, value, least, most));
  };
  if (policy.max_retries > RetryPolicy::kMaxRetries)
    return bad("max_retries", policy.max_retries, 0, RetryPolicy::kMaxRetries);
  if (policy.max_delay_ms < 1 || policy.max_delay_ms > RetryPolicy::kMaxDelayMs)
    return bad("max_delay_ms", policy.max_delay_ms, 1, RetryPolicy::kMaxDelayMs);
  if (policy.first_delay_ms < 1 || policy.first_delay_ms > policy.max_delay_ms)
    return bad("first_delay_ms", policy.first_delay_ms, 1, policy.max_delay_ms);
  if (policy.jitter_percent > 100) return bad("jitter_percent", policy.jitter_percent, 0, 100);
  return {};
}

}  // namespace sluice
