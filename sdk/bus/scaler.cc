// SPDX-License-Identifier: Apache-2.0
#include "bus/scaler.hpp"

#include <algorithm>
#include <cmath>

namespace sluice::bus {
namespace {

constexpr double kNewSampleShare = 0.3;

bool is_usable(double value) {
  return std::isfinite(value) && value >= 0;
}

}  // namespace

ScaleDecision Scaler::observe(const LoadSample& sample, int64_t now_ms) {
  if (!is_usable(sample.fill) || !is_usable(sample.events_per_s)) return ScaleDecision::stay;
  const double fill = std::min(sample.fill, 1.0);
  fill_ = measured_ ? fill_ + kNewSampleShare * (fill - fill_) : fill;
  rate_ = measured_ ? rate_ + kNewSampleShare * (sample.events_per_s - rate_) : sample.events_per_s;
  measured_ = true;

  const bool above = fill_ > options_.grow_above;
  const bool below =
      fill_ < options_.shrink_below && rate_ < options_.shrink_events_per_s * std::max<uint32_t>(sample.shards, 1);
  above_since_ms_ = !above ? -1 : above_since_ms_ < 0 ? now_ms : above_since_ms_;
  below_since_ms_ = !below ? -1 : below_since_ms_ < 0 ? now_ms : below_since_ms_;
  if (!may_change(now_ms)) return ScaleDecision::stay;
  const auto sustained = [&](int64_t since_ms) { return since_ms >= 0 && now_ms - since_ms >= options_.sustain_ms; };
  if (sustained(above_since_ms_) && sample.shards < options_.max_shards) return ScaleDecision::grow;
  if (sustained(below_since_ms_) && sample.shards > options_.min_shards) return ScaleDecision::shrink;
  return ScaleDecision::stay;
}

bool Scaler::may_change(int64_t now_ms) {
  if (now_ms - started_ms_ < options_.warm_up_ms) return false;
  if (ever_changed_ && now_ms - changed_ms_ < options_.cooldown_ms) return false;
  while (!changes_ms_.empty() && now_ms - changes_ms_.front() >= options_.budget_ms) changes_ms_.pop_front();
  return changes_ms_.size() < options_.budget_changes;
}

void Scaler::changed(int64_t now_ms) {
  ever_changed_ = true;
  changed_ms_ = now_ms;
  above_since_ms_ = below_since_ms_ = -1;
  changes_ms_.push_back(now_ms);
}

}  // namespace sluice::bus
