// SPDX-License-Identifier: Apache-2.0
#include "bus/bus_clock.hpp"

#include <time.h>

#include <utility>
#if defined(__x86_64__)
#  include <cpuid.h>
#endif

namespace sluice::bus {
namespace {

constexpr int64_t kCalibrationNs = 100'000;
constexpr int kReadings = 5;
constexpr uint64_t kNarrowTicks = 1'000;  // below a microsecond, whatever the processor

int64_t read_ns(clockid_t id) {
  timespec t{};
  clock_gettime(id, &t);
  return static_cast<int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

bool counter_is_steady() {
#if defined(__x86_64__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(0x80000007, &a, &b, &c, &d) != 0 && (d & (1U << 8)) != 0;  // invariant TSC
#else
  return false;
#endif
}

}  // namespace

uint64_t BusClock::monotonic_ns() {
  return static_cast<uint64_t>(read_ns(CLOCK_MONOTONIC));
}

BusClock::BusClock(std::function<int64_t()> wall_ns)
    : wall_ns_(wall_ns ? std::move(wall_ns) : [] { return read_ns(CLOCK_REALTIME); }),
      by_counter_(counter_is_steady()) {
  calibrate();
  const uint64_t ticks = read_counter();
  // Until the clock is read for the first time, and if it never can be, time runs from the machine's start.
  offset_ns_.store(static_cast<int64_t>(monotonic_ns()) - to_ns(ticks), std::memory_order_relaxed);
  anchor(ticks);
}

BusClock::Reading BusClock::read(bool wall) const {
  // A thread that is interrupted between clock and counter would tie them wrongly: the narrowest of some readings
  // counts.
  Reading best;
  uint64_t narrowest = UINT64_MAX;
  for (int i = 0; i < kReadings; ++i) {
    const uint64_t before = read_counter();
    const int64_t ns = wall ? wall_ns_() : static_cast<int64_t>(monotonic_ns());
    const uint64_t width = read_counter() - before;
    if (width < narrowest) best = {ns, before + width / 2};
    narrowest = width < narrowest ? width : narrowest;
    if (ns < 0 || narrowest <= kNarrowTicks) break;
  }
  return best;
}

void BusClock::calibrate() {
  if (!by_counter_) return;
  const Reading from = read(false);
  while (static_cast<int64_t>(monotonic_ns()) - from.ns < kCalibrationNs) {
  }
  const Reading to = read(false);
  ns_per_tick_ = (static_cast<uint64_t>(to.ns - from.ns) << 32) / ((to.ticks - from.ticks) | 1);
  anchor_ticks_ = (static_cast<uint64_t>(kAnchorNs) << 32) / (ns_per_tick_ | 1);
}

void BusClock::anchor(uint64_t ticks) {
  if (anchoring_.exchange(true, std::memory_order_acquire)) return;  // another thread is at it
  const Reading now = read(true);
  const bool failed = now.ns < 0;
  failing_.store(failed, std::memory_order_relaxed);
  if (failed) {
    failures_.fetch_add(1, std::memory_order_relaxed);
  } else {
    if (now.ns < seen_ns_) steps_back_.fetch_add(1, std::memory_order_relaxed);
    seen_ns_ = now.ns;
    ticks = now.ticks;
    offset_ns_.store(now.ns - to_ns(ticks), std::memory_order_relaxed);
  }
  anchored_.store(ticks, std::memory_order_relaxed);
  anchoring_.store(false, std::memory_order_release);
}

}  // namespace sluice::bus
