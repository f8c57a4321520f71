// SPDX-License-Identifier: Apache-2.0
// What a shard's log says: each group as of its last completed rebalance, and the committed offsets. Changed by records
// alone, in log order, so that a replay gives the same state. Not synchronised: its shard guards it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/status.hpp"
#include "group/records.hpp"

namespace sluice::group {

using PartitionOffsets = std::map<int32_t, StoredOffset>;
using GroupOffsets = std::map<TopicKey, PartitionOffsets>;

struct StoredGroup {
  /// The last GroupRecord, encoded; empty for a group that only has offsets.
  std::string record;
  GroupOffsets offsets;

  /// What is committed for a partition of `topic`: for its id, else for its name without an id. Without an id in
  /// `topic`: the newest for its name. nullptr: nothing.
  const StoredOffset* find(const TopicKey& topic, int32_t partition) const;
  bool empty() const { return record.empty() && offsets.empty(); }
};

class DurableState {
 public:
  using Groups = std::unordered_map<std::string, StoredGroup>;

  void reset();
  /// As decode(), nothing changed on error.
  Status apply(std::string_view record);
  /// Records that make this state from an empty one. Parts of a group's offsets are of about `max_record_bytes` each.
  std::vector<std::string> snapshot(int32_t max_record_bytes) const;

  /// Valid until the next call that is not const.
  const StoredGroup* find(const std::string& group_id) const;
  const Groups& groups() const { return groups_; }
  /// Committed partitions of all groups.
  uint64_t offset_count() const { return offset_count_; }
  /// True if any group has offsets that deleting `topic` would drop.
  bool has_offsets_of(const TopicKey& topic) const;

 private:
  void apply(const GroupRecord& record, std::string_view bytes);
  void apply(const GroupDeletedRecord& record, std::string_view bytes);
  void apply(OffsetsRecord& record, std::string_view bytes);
  void apply(const OffsetsDeletedRecord& record, std::string_view bytes);
  void apply(const TopicDeletedRecord& record, std::string_view bytes);
  void drop_topic(StoredGroup& group, const TopicKey& topic);

  Groups groups_;
  uint64_t offset_count_ = 0;
};

/// Cuts `offsets` into records of about `max_record_bytes` each; a single partition is never cut.
std::vector<OffsetsRecord> split_offsets(OffsetsRecord offsets, int32_t max_record_bytes);

}  // namespace sluice::group
