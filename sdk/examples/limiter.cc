// SPDX-License-Identifier: Apache-2.0
// Five requests at once and ten per second for each tenant, in this process. make_redis_limiter() makes one of the same
// interface that several processes share.
#include "sluice/limiter.hpp"

#include <cstdio>

int main() {
  sluice::LocalLimiterSettings settings;
  settings.rate = {.tokens = 10, .period_ms = 1'000, .burst = 5};
  const auto limiter = sluice::make_local_limiter(settings);
  if (!limiter) return 1;
  for (int i = 0; i < 8; ++i) {
    const sluice::LimiterDecision decision = (*limiter)->acquire("tenant-1");
    if (decision.allowed) {
      std::printf("request %d passes\n", i);
    } else {
      std::printf("request %d: again in %ld ms\n", i, static_cast<long>(decision.retry_after_ms));
    }
  }
  const sluice::LimiterCounters counters = (*limiter)->counters();
  std::printf("%lu passed, %lu refused\n", static_cast<unsigned long>(counters.allowed),
              static_cast<unsigned long>(counters.refused));
  return counters.allowed + counters.refused == 8 && counters.allowed >= 5 ? 0 : 1;
}
