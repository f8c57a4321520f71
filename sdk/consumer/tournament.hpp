// SPDX-License-Identifier: Apache-2.0
// Which of many has the least key: a tree of matches, in which one changed key costs one match per level. Ties go to
// the lower leaf. Plain value.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace sluice::consumer {

class Tournament {
 public:
  struct Entry {
    uint64_t key;
    uint32_t leaf;
  };
  static constexpr uint64_t kAbsent = UINT64_MAX;

  /// A signed key in the tree's terms; INT64_MAX counts as the number before it.
  static uint64_t key_of(int64_t key) {
    const uint64_t mapped = static_cast<uint64_t>(key) ^ (uint64_t{1} << 63);
    return mapped == kAbsent ? kAbsent - 1 : mapped;
  }

  /// `leaves` leaves, all absent.
  void reset(size_t leaves) {
    base_ = std::bit_ceil(leaves == 0 ? size_t{1} : leaves);
    nodes_.assign(2 * base_, {kAbsent, 0});
    for (size_t i = 0; i < base_; ++i) nodes_[base_ + i].leaf = static_cast<uint32_t>(i);
  }
  /// `key` kAbsent takes the leaf out.
  void set(uint32_t leaf, uint64_t key) {
    size_t node = base_ + leaf;
    Entry best{key, leaf};
    nodes_[node] = best;
    for (; node > 1; node >>= 1) {
      const Entry other = nodes_[node ^ 1];
      const bool lose = other.key < best.key || (other.key == best.key && other.leaf < best.leaf);
      if (lose) best = other;
      nodes_[node >> 1] = best;
    }
  }
  const Entry& least() const { return nodes_[1]; }

 private:
  size_t base_ = 1;
  std::vector<Entry> nodes_ = {{kAbsent, 0}, {kAbsent, 0}};
};

}  // namespace sluice::consumer
