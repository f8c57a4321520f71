// SPDX-License-Identifier: Apache-2.0
#include "jetstream/kept_units.hpp"

#include <algorithm>
#include <utility>

namespace sluice::jetstream {

void KeptUnits::enter(uint64_t epoch) {
  if (epoch == epoch_) return;
  epoch_ = epoch;
  kept_.clear();
  bytes_ = 0;
}

void KeptUnits::keep(uint64_t epoch, const Uuid& log, const Stored& unit) {
  enter(epoch);
  if (!unit.entry || unit.payload.size() > kMostBytes) return;
  kept_.push_back({log, unit});
  bytes_ += unit.payload.size();
  while (kept_.size() > kMost || bytes_ > kMostBytes) {
    bytes_ -= kept_.front().unit.payload.size();
    kept_.pop_front();
  }
}

std::optional<Stored> KeptUnits::take(uint64_t epoch, const Uuid& log, int64_t offset) {
  enter(epoch);
  const auto found = std::find_if(kept_.begin(), kept_.end(), [&](const Kept& kept) {
    return kept.log == log && kept.unit.entry->base <= offset && offset < kept.unit.entry->end;
  });
  if (found == kept_.end()) return std::nullopt;
  Stored unit = std::move(found->unit);
  kept_.erase(found);
  bytes_ -= unit.payload.size();
  return unit;
}

void KeptUnits::forget(const Uuid& log) {
  std::erase_if(kept_, [&](const Kept& kept) {
    if (kept.log == log) bytes_ -= kept.unit.payload.size();
    return kept.log == log;
  });
}

}  // namespace sluice::jetstream
