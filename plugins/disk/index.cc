// SPDX-License-Identifier: Apache-2.0
#include "disk/index.hpp"

#include <algorithm>

namespace sluice::disk {

void SparseIndex::add(int64_t from_offset, int64_t max_timestamp, uint64_t position) {
  if (entries_.empty() || position - entries_.back().position >= interval_bytes_) {
    entries_.push_back({from_offset, max_timestamp, position});
  } else {
    entries_.back().max_timestamp = std::max(entries_.back().max_timestamp, max_timestamp);
  }
}

const IndexEntry* SparseIndex::at_or_below_offset(int64_t offset) const {
  const auto above = std::ranges::upper_bound(entries_, offset, {}, &IndexEntry::offset);
  return above == entries_.begin() ? nullptr : &*std::prev(above);
}

const IndexEntry* SparseIndex::at_or_below_position(uint64_t position) const {
  const auto above = std::ranges::upper_bound(entries_, position, {}, &IndexEntry::position);
  return above == entries_.begin() ? nullptr : &*std::prev(above);
}

const IndexEntry* SparseIndex::first_at_time(int64_t timestamp, uint64_t from_position) const {
  const IndexEntry* first = at_or_below_position(from_position);
  const size_t begin = first == nullptr ? 0 : static_cast<size_t>(first - entries_.data());
  for (size_t i = begin; i < entries_.size(); ++i) {
    if (entries_[i].max_timestamp >= timestamp) return &entries_[i];
  }
  return nullptr;
}

const IndexEntry* SparseIndex::behind_position(uint64_t position) const {
  const auto above = std::ranges::upper_bound(entries_, position, {}, &IndexEntry::position);
  return above == entries_.end() ? nullptr : &*above;
}

}  // namespace sluice::disk
