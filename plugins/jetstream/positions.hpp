// SPDX-License-Identifier: Apache-2.0
// Which message holds which offsets, as far as it is known: a sparse index that is filled by what passes by and that
// forgets every other entry when it is full. What it says is true for as long as the stream lives, so it needs no care:
// it only saves questions. Plain value; one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace sluice::jetstream {

struct Position {
  uint64_t sequence = 0;
  int64_t base = 0;
  int64_t end = 0;
  int64_t greatest = 0;  // timestamp, of all units up to this one
  bool operator==(const Position&) const = default;
};

class Positions {
 public:
  static constexpr size_t kMost = 256;

  void add(const Position& position);
  /// The last known unit that begins at or below `offset`, and the first that begins above it.
  std::optional<Position> at_or_below(int64_t offset) const;
  std::optional<Position> above(int64_t offset) const;
  /// The last known unit up to which every timestamp is below `timestamp`, and the first with one that is not.
  std::optional<Position> last_older(int64_t timestamp) const;
  std::optional<Position> first_not_older(int64_t timestamp) const;
  /// Forgets units that end at or below `offset`.
  void forget_below(int64_t offset);
  void clear() { known_.clear(); }
  size_t size() const { return known_.size(); }

 private:
  std::vector<Position> known_;  // rising in every member but greatest, which does not fall
};

}  // namespace sluice::jetstream
