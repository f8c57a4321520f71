// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cstdio>
#include <new>

#include "bus/shard.hpp"

namespace sluice::bus {

Context::Context(BusOptions bus_options)
    : options(std::move(bus_options)),
      retry{.max_retries = options.retry.retries,
            .first_delay_ms = options.retry.first_ms,
            .max_delay_ms = options.retry.longest_ms,
            .jitter_percent = 50} {}

// A warning for which there is no memory is not said: who warns may have nobody to throw at.
void Context::warn(std::string line) try {
  const std::optional<std::string> passed = limiter_.pass(std::move(line), monotonic_ns() / 1'000'000);
  if (!passed) return;
  const std::string text = "bus " + options.name + ": " + *passed;
  if (options.log) {
    options.log(text);
  } else {
    static_cast<void>(std::fprintf(stderr, "%s\n", text.c_str()));
  }
} catch (const std::bad_alloc&) {
}

void Context::record_failure(uint64_t events, Status why) {
  {
    const std::lock_guard lock(mutex_);
    failed_events_ += events;
    if (failures_++ == 0) first_failure_ = why;
  }
  warn(fmt::format("{} events lost: {}", events, why.describe()));
}

Status Context::take_failure() {
  const std::lock_guard lock(mutex_);
  if (failures_ == 0) return {};
  Status status = first_failure_.in(fmt::format("{} events failed, first", failed_events_));
  failed_events_ = failures_ = 0;
  first_failure_ = Status();
  return status;
}

void Context::made_progress() {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (waiting_.load(std::memory_order_relaxed) == 0) return;
  const std::lock_guard lock(mutex_);
  progress_.notify_all();
}

}  // namespace sluice::bus
