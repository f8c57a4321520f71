// SPDX-License-Identifier: Apache-2.0
#include "jetstream/positions.hpp"

#include <algorithm>

namespace sluice::jetstream {

void Positions::add(const Position& position) {
  const auto at = std::lower_bound(known_.begin(), known_.end(), position.sequence,
                                   [](const Position& known, uint64_t wanted) { return known.sequence < wanted; });
  if (at != known_.end() && at->sequence == position.sequence) return;
  if (known_.size() < kMost) {
    known_.insert(at, position);
    return;
  }
  // Every other one goes, but not the newest: it is what appends and readers of the end ask for.
  size_t kept = 0;
  for (size_t i = 1; i < known_.size(); i += 2) known_[kept++] = known_[i];
  known_.resize(kept);
  add(position);
}

std::optional<Position> Positions::at_or_below(int64_t offset) const {
  const auto after = std::upper_bound(known_.begin(), known_.end(), offset,
                                      [](int64_t wanted, const Position& known) { return wanted < known.base; });
  if (after == known_.begin()) return std::nullopt;
  return *(after - 1);
}

std::optional<Position> Positions::above(int64_t offset) const {
  const auto after = std::upper_bound(known_.begin(), known_.end(), offset,
                                      [](int64_t wanted, const Position& known) { return wanted < known.base; });
  if (after == known_.end()) return std::nullopt;
  return *after;
}

std::optional<Position> Positions::last_older(int64_t timestamp) const {
  const auto after = std::partition_point(known_.begin(), known_.end(),
                                          [timestamp](const Position& known) { return known.greatest < timestamp; });
  if (after == known_.begin()) return std::nullopt;
  return *(after - 1);
}

std::optional<Position> Positions::first_not_older(int64_t timestamp) const {
  const auto after = std::partition_point(known_.begin(), known_.end(),
                                          [timestamp](const Position& known) { return known.greatest < timestamp; });
  if (after == known_.end()) return std::nullopt;
  return *after;
}

void Positions::forget_below(int64_t offset) {
  std::erase_if(known_, [offset](const Position& known) { return known.end <= offset; });
}

}  // namespace sluice::jetstream
