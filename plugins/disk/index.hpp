// SPDX-License-Identifier: Apache-2.0
// The sparse index of one segment: an entry for a batch when the stretch since the last entry has become long enough,
// so that every batch of that size and more has one. Each entry carries its stretch's greatest timestamp, which makes
// it the time index as well. Not synchronised.
#pragma once

#include <cstdint>
#include <vector>

#include "disk/layout.hpp"

namespace sluice::disk {

class SparseIndex {
 public:
  explicit SparseIndex(uint64_t interval_bytes) : interval_bytes_(interval_bytes) {}
  SparseIndex(uint64_t interval_bytes, std::vector<IndexEntry> entries)
      : interval_bytes_(interval_bytes), entries_(std::move(entries)) {}

  /// Batches come in the order of the file. `from_offset` is the end of the one before: a gap belongs to the batch
  /// behind it.
  void add(int64_t from_offset, int64_t max_timestamp, uint64_t position);

  /// Where to begin to walk for the batch that holds `offset`; nullptr when the first batch is above it, or there is
  /// none.
  const IndexEntry* at_or_below_offset(int64_t offset) const;
  /// The last entry not behind `position`; nullptr likewise.
  const IndexEntry* at_or_below_position(uint64_t position) const;
  /// The first stretch that has a timestamp >= `timestamp` and does not end at or before `from_position`; nullptr if
  /// none.
  const IndexEntry* first_at_time(int64_t timestamp, uint64_t from_position) const;
  /// The first entry behind `position`; nullptr if none.
  const IndexEntry* behind_position(uint64_t position) const;

  const std::vector<IndexEntry>& entries() const { return entries_; }
  uint64_t memory_bytes() const { return sizeof *this + entries_.capacity() * sizeof(IndexEntry); }

 private:
  uint64_t interval_bytes_;
  std::vector<IndexEntry> entries_;
};

}  // namespace sluice::disk
