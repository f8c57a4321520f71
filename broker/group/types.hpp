// SPDX-License-Identifier: Apache-2.0
// What goes into the group coordinator and what comes out of it: plain values, one pair for each API, wide enough for
// every version of that API, so that handlers only copy fields. Where versions differ in meaning a flag says so. No
// type here has a threading rule of its own.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/loop.hpp"
#include "base/uuid.hpp"
#include "errors/error_code.hpp"

namespace sluice::group {

/// A topic's identity (a topic created anew under an old name has another). All zero: not known.
using TopicId = Uuid;
inline constexpr TopicId kNoTopicId{};

/// The generation that a client without membership names ("simple consumer", administration).
inline constexpr int32_t kNoGeneration = -1;
/// The offset that says "none committed".
inline constexpr int64_t kNoOffset = -1;

/// One moment on both clocks: timers use the monotonic one, what is stored and shown the wall clock.
struct Now {
  int64_t monotonic_ms = 0;
  int64_t wall_ms = 0;
};

/// States as Kafka names them; state_name gives Kafka's spelling ("PreparingRebalance").
enum class GroupState : uint8_t { empty, preparing_rebalance, completing_rebalance, stable, dead };
std::string_view state_name(GroupState state);

/// The answer to one request, given exactly once, always as a job of the executor that the request came with: never on
/// the thread of the call, never with a lock held. Move-only.
template <class T>
class Completion {
 public:
  Completion() = default;
  /// `executor` outlives the answer.
  Completion(Executor& executor, UniqueFunction<void(T)> done) : executor_(&executor), done_(std::move(done)) {}
  explicit operator bool() const { return static_cast<bool>(done_); }
  /// The job that answers with `value`; this object is empty afterwards.
  Job bind(T value) {
    return [done = std::move(done_), answer = std::move(value)]() mutable { done(std::move(answer)); };
  }
  Executor& executor() const { return *executor_; }

 private:
  Executor* executor_ = nullptr;
  UniqueFunction<void(T)> done_;
};

// --- JoinGroup (11), versions 0 to 9 ---

/// One assignment strategy that a member offers, with its metadata (for consumers: the subscription); opaque.
struct MemberProtocol {
  std::string name;
  std::string metadata;
  bool operator==(const MemberProtocol&) const = default;
};

struct JoinRequest {
  std::string group_id;
  std::string member_id;                         ///< empty at the first join
  std::optional<std::string> group_instance_id;  ///< v5+: a static member (KIP-345)
  std::string client_id;
  std::string client_host;  ///< as Kafka shows it: "/127.0.0.1"
  int32_t session_timeout_ms = 0;
  int32_t rebalance_timeout_ms = 0;  ///< v0: the session timeout
  std::string protocol_type;         ///< "consumer", "connect", ...
  std::vector<MemberProtocol> protocols;
  std::string reason;                     ///< v8+ (KIP-800)
  bool require_known_member_id = false;   ///< v4+ (KIP-394): a first join only gets a member id
  bool supports_skip_assignment = false;  ///< v9+ (KIP-814)
};

struct JoinedMember {
  std::string member_id;
  std::optional<std::string> group_instance_id;
  std::string metadata;  ///< of the chosen protocol
};

/// Nullable fields are null in errors; versions that cannot say null send "".
struct JoinResult {
  static JoinResult refused(ErrorCode error, std::string member_id = {}) {
    JoinResult result;
    result.error = error;
    result.member_id = std::move(member_id);
    return result;
  }

  ErrorCode error = ErrorCode::kNone;
  int32_t generation_id = kNoGeneration;
  std::optional<std::string> protocol_type;
  std::optional<std::string> protocol_name;
  std::string leader;
  bool skip_assignment = false;
  std::string member_id;              ///< with MEMBER_ID_REQUIRED: the one to use
  std::vector<JoinedMember> members;  ///< the leader's answer alone has them
};

// --- SyncGroup (14), versions 0 to 5 ---

struct MemberAssignment {
  std::string member_id;
  std::string assignment;
};

struct SyncRequest {
  std::string group_id;
  int32_t generation_id = kNoGeneration;
  std::string member_id;
  std::optional<std::string> group_instance_id;
  /// v5+ (KIP-559), where absence of either is INCONSISTENT_GROUP_PROTOCOL (the handler's check); null in older
  /// versions.
  std::optional<std::string> protocol_type;
  std::optional<std::string> protocol_name;
  std::vector<MemberAssignment> assignments;  ///< from the leader
};

struct SyncResult {
  static SyncResult refused(ErrorCode error) {
    SyncResult result;
    result.error = error;
    return result;
  }

  ErrorCode error = ErrorCode::kNone;
  std::optional<std::string> protocol_type;
  std::optional<std::string> protocol_name;
  std::string assignment;
};

// --- Heartbeat (12), versions 0 to 4: answered by an ErrorCode ---

struct HeartbeatRequest {
  std::string group_id;
  int32_t generation_id = kNoGeneration;
  std::string member_id;
  std::optional<std::string> group_instance_id;
};

// --- LeaveGroup (13), versions 0 to 5 ---

struct LeavingMember {
  std::string member_id;  ///< empty: whoever holds the instance id
  std::optional<std::string> group_instance_id;
  std::string reason;  ///< v5+
};

struct LeaveRequest {
  std::string group_id;
  std::vector<LeavingMember> members;  ///< v0 to v2: one
};

struct LeftMember {
  std::string member_id;
  std::optional<std::string> group_instance_id;
  ErrorCode error = ErrorCode::kNone;
};

/// v0 to v2 have one error: `error`, or the only member's where that is none.
struct LeaveResult {
  ErrorCode error = ErrorCode::kNone;
  std::vector<LeftMember> members;
};

// --- OffsetCommit (8), versions 2 to 10 ---

struct CommittedPartition {
  int32_t partition = 0;
  int64_t offset = 0;
  int32_t leader_epoch = -1;  ///< v6+
  std::string metadata;       ///< null is ""
};

struct CommitTopic {
  std::string name;
  TopicId id = kNoTopicId;  ///< the id that the name has now, in every version
  std::vector<CommittedPartition> partitions;
};

struct CommitRequest {
  std::string group_id;
  int32_t generation_id = kNoGeneration;  ///< "generation id or member epoch" of v9+
  std::string member_id;
  std::optional<std::string> group_instance_id;  ///< v7+
  int64_t retention_time_ms = -1;                ///< v2 to v4; -1: the broker's setting
  std::vector<CommitTopic> topics;               ///< those that exist: the handler answers for the others
};

struct PartitionError {
  int32_t partition = 0;
  ErrorCode error = ErrorCode::kNone;
};

struct TopicErrors {
  std::string name;
  TopicId id = kNoTopicId;
  std::vector<PartitionError> partitions;
};

/// Topics and partitions of the request, in its order. A commit that is refused as a whole has the same error
/// everywhere.
struct CommitResult {
  std::vector<TopicErrors> topics;
};

// --- OffsetFetch (9), versions 1 to 10, one group at a time ---

struct FetchTopic {
  std::string name;
  TopicId id = kNoTopicId;  ///< if known: offsets committed to a topic of another id are not shown
  std::vector<int32_t> partitions;
};

struct OffsetFetchRequest {
  std::string group_id;
  std::optional<std::string> member_id;           ///< v9+; meaningful to groups of KIP-848 alone
  int32_t member_epoch = -1;                      ///< v9+
  std::optional<std::vector<FetchTopic>> topics;  ///< null (v2+): all that the group has committed
  bool require_stable = false;                    ///< v7+: offsets of open transactions are UNSTABLE_OFFSET_COMMIT
};

struct FetchedPartition {
  int32_t partition = 0;
  int64_t offset = kNoOffset;
  int32_t leader_epoch = -1;
  std::string metadata;
  ErrorCode error = ErrorCode::kNone;
};

struct FetchedTopic {
  std::string name;
  TopicId id = kNoTopicId;  ///< the one committed to (all topics) or asked for
  std::vector<FetchedPartition> partitions;
};

/// Where all topics were asked for, a topic whose id is no longer that of its name is the handler's to leave out.
struct OffsetFetchResult {
  std::string group_id;
  ErrorCode error = ErrorCode::kNone;  ///< of the group; with one, `topics` is empty
  std::vector<FetchedTopic> topics;
};

// --- ListGroups (16), versions 0 to 5 ---

struct ListRequest {
  std::vector<std::string> states;  ///< v4+: names in any case; empty: all
  std::vector<std::string> types;   ///< v5+: "classic", "consumer", ... in any case; empty: all
};

struct ListedGroup {
  std::string group_id;
  std::string protocol_type;  ///< "" where the group only has offsets
  std::string state;
  std::string type;  ///< "classic"
};

/// With COORDINATOR_LOAD_IN_PROGRESS or COORDINATOR_NOT_AVAILABLE the groups of the other shards are still listed.
struct ListResult {
  ErrorCode error = ErrorCode::kNone;
  std::vector<ListedGroup> groups;
};

// --- DescribeGroups (15), versions 0 to 6, one group at a time ---

struct DescribedMember {
  std::string member_id;
  std::optional<std::string> group_instance_id;
  std::string client_id;
  std::string client_host;
  std::string metadata;    ///< "" unless the group is Stable
  std::string assignment;  ///< "" unless the group is Stable
};

/// A group that is not there has GROUP_ID_NOT_FOUND and state "Dead": v6+ sends both, older versions no error.
struct DescribedGroup {
  ErrorCode error = ErrorCode::kNone;
  std::string error_message;
  std::string group_id;
  std::string state;
  std::string protocol_type;
  std::string protocol_data;  ///< the chosen protocol, "" unless the group is Stable
  std::vector<DescribedMember> members;
};

// --- DeleteGroups (42), versions 0 to 2 ---

struct DeletedGroup {
  std::string group_id;
  ErrorCode error = ErrorCode::kNone;
};

// --- OffsetDelete (47), version 0 ---

struct OffsetDeleteRequest {
  std::string group_id;
  std::vector<FetchTopic> topics;
};

struct OffsetDeleteResult {
  ErrorCode error = ErrorCode::kNone;  ///< of the group; with one, `topics` is empty
  std::vector<TopicErrors> topics;     ///< of the request, in its order
};

/// A topic that is gone.
struct DeletedTopic {
  std::string name;
  TopicId id = kNoTopicId;
};

}  // namespace sluice::group
