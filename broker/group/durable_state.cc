// SPDX-License-Identifier: Apache-2.0
#include "group/durable_state.hpp"

#include <utility>

namespace sluice::group {
namespace {

/// More than a stored partition's numbers and lengths ever take.
constexpr size_t kPartitionOverheadBytes = 48;

}  // namespace

const StoredOffset* StoredGroup::find(const TopicKey& topic, int32_t partition) const {
  const auto in_topic = [&](const TopicKey& key) -> const StoredOffset* {
    const auto found = offsets.find(key);
    if (found == offsets.end()) return nullptr;
    const auto value = found->second.find(partition);
    return value == found->second.end() ? nullptr : &value->second;
  };
  if (!topic.id.is_zero()) {
    const StoredOffset* exact = in_topic(topic);
    return exact != nullptr ? exact : in_topic({topic.name, kNoTopicId});
  }
  const StoredOffset* newest = nullptr;
  for (auto at = offsets.lower_bound(topic); at != offsets.end() && at->first.name == topic.name; ++at) {
    const auto value = at->second.find(partition);
    if (value == at->second.end()) continue;
    if (newest == nullptr || value->second.commit_ms >= newest->commit_ms) newest = &value->second;
  }
  return newest;
}

void DurableState::reset() {
  groups_.clear();
  offset_count_ = 0;
}

Status DurableState::apply(std::string_view record) {
  Result<Record> decoded = decode(record);
  if (!decoded) return decoded.error();
  std::visit([&](auto& kind) { apply(kind, record); }, *decoded);
  return Status{};
}

void DurableState::apply(const GroupRecord& record, std::string_view bytes) {
  groups_[record.group_id].record = std::string(bytes);
}

void DurableState::apply(const GroupDeletedRecord& record, std::string_view) {
  const auto found = groups_.find(record.group_id);
  if (found == groups_.end()) return;
  for (const auto& [topic, partitions] : found->second.offsets) offset_count_ -= partitions.size();
  groups_.erase(found);
}

void DurableState::apply(OffsetsRecord& record, std::string_view) {
  for (OffsetsRecord::Topic& topic : record.topics) {
    if (topic.partitions.empty()) continue;  // makes no group either: a snapshot would not tell of it
    PartitionOffsets& partitions = groups_[record.group_id].offsets[topic.topic];
    for (OffsetsRecord::Partition& partition : topic.partitions) {
      if (partitions.insert_or_assign(partition.partition, std::move(partition.value)).second) ++offset_count_;
    }
  }
}

void DurableState::apply(const OffsetsDeletedRecord& record, std::string_view) {
  const auto group = groups_.find(record.group_id);
  if (group == groups_.end()) return;
  GroupOffsets& offsets = group->second.offsets;
  for (const OffsetsDeletedRecord::Topic& topic : record.topics) {
    const auto found = offsets.find(topic.topic);
    if (found == offsets.end()) continue;
    for (const int32_t partition : topic.partitions) offset_count_ -= found->second.erase(partition);
    if (found->second.empty()) offsets.erase(found);
  }
  if (group->second.empty()) groups_.erase(group);
}

void DurableState::apply(const TopicDeletedRecord& record, std::string_view) {
  for (auto at = groups_.begin(); at != groups_.end();) {
    drop_topic(at->second, record.topic);
    drop_topic(at->second, {record.topic.name, kNoTopicId});
    at = at->second.empty() ? groups_.erase(at) : std::next(at);
  }
}

void DurableState::drop_topic(StoredGroup& group, const TopicKey& topic) {
  const auto found = group.offsets.find(topic);
  if (found == group.offsets.end()) return;
  offset_count_ -= found->second.size();
  group.offsets.erase(found);
}

std::vector<std::string> DurableState::snapshot(int32_t max_record_bytes) const {
  std::vector<std::string> records;
  for (const auto& [id, group] : groups_) {
    if (!group.record.empty()) records.push_back(group.record);
    if (group.offsets.empty()) continue;
    OffsetsRecord all{id, {}};
    for (const auto& [topic, partitions] : group.offsets) {
      OffsetsRecord::Topic& target = all.topics.emplace_back(OffsetsRecord::Topic{topic, {}});
      for (const auto& [partition, value] : partitions) target.partitions.push_back({partition, value});
    }
    for (OffsetsRecord& part : split_offsets(std::move(all), max_record_bytes))
      records.push_back(encode(std::move(part)));
  }
  return records;
}

const StoredGroup* DurableState::find(const std::string& group_id) const {
  const auto found = groups_.find(group_id);
  return found == groups_.end() ? nullptr : &found->second;
}

bool DurableState::has_offsets_of(const TopicKey& topic) const {
  for (const auto& [id, group] : groups_) {
    if (group.offsets.contains(topic) || group.offsets.contains({topic.name, kNoTopicId})) return true;
  }
  return false;
}

std::vector<OffsetsRecord> split_offsets(OffsetsRecord offsets, int32_t max_record_bytes) {
  std::vector<OffsetsRecord> parts;
  size_t bytes = 0;
  for (OffsetsRecord::Topic& topic : offsets.topics) {
    bool opened = false;
    for (OffsetsRecord::Partition& partition : topic.partitions) {
      if (parts.empty() || bytes >= static_cast<size_t>(max_record_bytes)) {
        parts.push_back({offsets.group_id, {}});
        bytes = offsets.group_id.size();
        opened = false;
      }
      if (!opened) {
        parts.back().topics.push_back({topic.topic, {}});
        bytes += topic.topic.name.size() + kPartitionOverheadBytes;
        opened = true;
      }
      bytes += partition.value.metadata.size() + kPartitionOverheadBytes;
      parts.back().topics.back().partitions.push_back(std::move(partition));
    }
  }
  return parts;
}

}  // namespace sluice::group
