// SPDX-License-Identifier: Apache-2.0
// The records of a shard's log, and their bytes: kind (1), version (1), then fields in order; numbers as zigzag
// varints, strings and counts with their length first. A kind or version that this build does not know, a length beyond
// the record's end and a byte too many are errors: nothing is ever skipped. Pure functions, any thread.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/status.hpp"
#include "group/types.hpp"

namespace sluice::group {

/// A member as of a completed rebalance. All of its protocols are kept, so that after a restart a member that joins
/// again unchanged is recognised as such.
struct StoredMember {
  std::string member_id;
  std::optional<std::string> group_instance_id;
  std::string client_id;
  std::string client_host;
  int32_t session_timeout_ms = 0;
  int32_t rebalance_timeout_ms = 0;
  std::vector<MemberProtocol> protocols;
  std::string assignment;
  bool operator==(const StoredMember&) const = default;
};

/// A group of the classic protocol: Stable with these members, or Empty. Replaces what was known of it.
struct GroupRecord {
  std::string group_id;
  int32_t generation_id = 0;
  std::optional<std::string> protocol_type;
  std::optional<std::string> protocol_name;
  std::optional<std::string> leader;
  int64_t state_since_ms = 0;  ///< wall clock, when it became Stable or Empty
  std::vector<StoredMember> members;
  bool operator==(const GroupRecord&) const = default;
};

/// The group and all of its offsets are gone.
struct GroupDeletedRecord {
  std::string group_id;
  bool operator==(const GroupDeletedRecord&) const = default;
};

inline constexpr int64_t kNoExpireTime = -1;

struct StoredOffset {
  int64_t offset = 0;
  int32_t leader_epoch = -1;
  std::string metadata;
  int64_t commit_ms = 0;              ///< wall clock
  int64_t expire_ms = kNoExpireTime;  ///< wall clock, where the client asked for a retention of its own
  bool operator==(const StoredOffset&) const = default;
};

/// Offsets belong to a topic's identity: a topic created anew inherits none.
struct TopicKey {
  std::string name;
  TopicId id = kNoTopicId;
  auto operator<=>(const TopicKey&) const = default;
};

struct OffsetsRecord {
  struct Partition {
    int32_t partition = 0;
    StoredOffset value;
    bool operator==(const Partition&) const = default;
  };
  struct Topic {
    TopicKey topic;
    std::vector<Partition> partitions;
    bool operator==(const Topic&) const = default;
  };
  std::string group_id;
  std::vector<Topic> topics;
  bool operator==(const OffsetsRecord&) const = default;
};

/// Committed offsets that expired or were deleted.
struct OffsetsDeletedRecord {
  struct Topic {
    TopicKey topic;
    std::vector<int32_t> partitions;
    bool operator==(const Topic&) const = default;
  };
  std::string group_id;
  std::vector<Topic> topics;
  bool operator==(const OffsetsDeletedRecord&) const = default;
};

/// A topic is gone: offsets that were committed to it, or to its name without an id, go with it, in all groups of the
/// shard.
struct TopicDeletedRecord {
  TopicKey topic;
  bool operator==(const TopicDeletedRecord&) const = default;
};

using Record = std::variant<GroupRecord, GroupDeletedRecord, OffsetsRecord, OffsetsDeletedRecord, TopicDeletedRecord>;

std::string encode(const Record& record);
/// unsupported: a kind or version of a later build. corrupt: anything else that encode() does not make.
Result<Record> decode(std::string_view bytes);

}  // namespace sluice::group
