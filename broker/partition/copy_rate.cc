// SPDX-License-Identifier: Apache-2.0
#include "partition/copy_rate.hpp"

#include <algorithm>
#include <cmath>

namespace sluice::partition {

int64_t CopyRate::take(uint64_t bytes, int64_t limit, int64_t now_ms) {
  const auto now = static_cast<double>(now_ms);
  if (limit <= 0) {
    free_at_ms_ = now;
    return 0;
  }
  if (free_at_ms_ > now) return static_cast<int64_t>(std::ceil(free_at_ms_ - now));
  free_at_ms_ = now + static_cast<double>(bytes) * 1000 / static_cast<double>(limit);
  return 0;
}

void CopyRate::copied(uint64_t bytes, int64_t now_ms) {
  if (samples_.empty() || now_ms - samples_.back().at_ms >= kSampleMs) samples_.push_back({now_ms, total_});
  while (samples_.size() > 1 && now_ms - samples_.front().at_ms > kWindowMs) samples_.pop_front();
  total_ += bytes;
}

int64_t CopyRate::bytes_per_second(int64_t now_ms) const {
  if (samples_.empty() || now_ms - samples_.back().at_ms > kWindowMs) return 0;
  const int64_t passed_ms = std::max(now_ms - samples_.front().at_ms, kSampleMs);
  return static_cast<int64_t>(static_cast<double>(total_ - samples_.front().total) * 1000 /
                              static_cast<double>(passed_ms));
}

}  // namespace sluice::partition
