// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <cmath>

#include "sluice/telemetry.hpp"

namespace sluice {
namespace {

// Bucket 0 is what is below 128 ns; then four to each doubling; the last is what is longer than all.
constexpr int kFirstBit = 7;
constexpr uint64_t kFirstEnd = uint64_t{1} << kFirstBit;
constexpr size_t kPerDoubling = 4;

}  // namespace

size_t DurationCounts::bucket_of(uint64_t nanos) {
  if (nanos < kFirstEnd) return 0;
  const int top = std::bit_width(nanos) - 1;
  const uint64_t quarter = (nanos >> (top - 2)) & 3;
  return std::min(kBuckets - 1, 1 + kPerDoubling * static_cast<size_t>(top - kFirstBit) + quarter);
}

uint64_t DurationCounts::end_of(size_t bucket) {
  if (bucket == 0) return kFirstEnd;
  if (bucket >= kBuckets - 1) return UINT64_MAX;
  const size_t doubling = (bucket - 1) / kPerDoubling;
  const size_t quarter = (bucket - 1) % kPerDoubling;
  return (kPerDoubling + quarter + 1) << (kFirstBit + doubling - 2);
}

uint64_t DurationCounts::quantile_ns(double q) const {
  if (count == 0) return 0;
  const double clamped = std::isnan(q) ? 1.0 : std::clamp(q, 0.0, 1.0);
  const auto wanted = std::max<uint64_t>(1, static_cast<uint64_t>(std::ceil(clamped * static_cast<double>(count))));
  uint64_t seen = 0;
  for (size_t bucket = 0; bucket < kBuckets; ++bucket) {
    seen += buckets[bucket];
    if (seen >= wanted) return end_of(bucket);
  }
  return UINT64_MAX;
}

void Durations::record_ns(int64_t nanos) {
  const uint64_t value = nanos < 0 ? 0 : static_cast<uint64_t>(nanos);
  Share& share = shares_[telemetry_detail::cell() % kShares];
  share.buckets[DurationCounts::bucket_of(value)].fetch_add(1, std::memory_order_relaxed);
  share.sum_ns.fetch_add(value, std::memory_order_relaxed);
}

DurationCounts Durations::counts() const {
  DurationCounts counts;
  for (const Share& share : shares_) {
    for (size_t bucket = 0; bucket < DurationCounts::kBuckets; ++bucket) {
      counts.buckets[bucket] += share.buckets[bucket].load(std::memory_order_relaxed);
    }
    counts.sum_ns += share.sum_ns.load(std::memory_order_relaxed);
  }
  for (const uint64_t bucket : counts.buckets) counts.count += bucket;
  return counts;
}

}  // namespace sluice
