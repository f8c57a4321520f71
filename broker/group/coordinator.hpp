// SPDX-License-Identifier: Apache-2.0
// The coordinator of consumer groups and keeper of committed offsets.
//
// Groups are spread over shards by Kafka's own hash of their id. A shard is a StateMachine over one StateLog: its
// offsets, and its groups as of their last completed rebalance, are what that log says, no more and no less. What a
// group is doing at the moment (who waits, whose session runs out when) is in memory only, and starts anew, Stable,
// when the log is replayed.
//
// Threading: every function may be called by any thread. A shard has one mutex, held for arithmetic only: never while a
// log is called, a callback run or a job posted. Answers are posted to the executor that came with the request, exactly
// once each, whatever happens, `stop` included.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/loop.hpp"
#include "base/status.hpp"
#include "group/options.hpp"
#include "group/types.hpp"
#include "storage/state_log.hpp"

namespace sluice::group {

class Shard;

/// Makes the random part of member ids, never the same one twice. Called by any thread; does not call the coordinator.
using MemberIdSource = std::function<std::string()>;

/// A random UUID of 36 characters, from the machine's randomness. Any thread.
std::string random_member_suffix();

/// The shard of a group among `shard_count` (> 0): abs(String.hashCode) mod n, as Kafka places groups on
/// __consumer_offsets.
size_t shard_of(std::string_view group_id, size_t shard_count);

/// Counters since start, and present sizes; summed over shards.
struct Metrics {
  uint64_t groups = 0;
  uint64_t members = 0;
  uint64_t offsets = 0;
  uint64_t rebalances_completed = 0;
  uint64_t members_expired = 0;
  uint64_t commits = 0;
  uint64_t commits_refused_by_limit = 0;
  uint64_t offsets_expired = 0;
  uint64_t appends_failed = 0;
};

class GroupCoordinator {
 public:
  static constexpr int64_t kNoDeadline = std::numeric_limits<int64_t>::max();

  /// `options` have been validated, `shard_count` > 0 and the same at every start (it decides where groups live).
  /// `executor` runs the coordinator's own completions; it and `clock` outlive the coordinator and the logs' callbacks.
  GroupCoordinator(Options options, size_t shard_count, Clock& clock, Executor& executor,
                   MemberIdSource member_ids = random_member_suffix);
  /// Calls stop().
  ~GroupCoordinator();
  GroupCoordinator(const GroupCoordinator&) = delete;
  GroupCoordinator& operator=(const GroupCoordinator&) = delete;

  // --- shards; their owner is the app ---

  size_t shard_count() const { return shards_.size(); }
  /// What the shard's log replays into. The coordinator outlives the log's use of it: stop(), destroy the logs, destroy
  /// the coordinator.
  storage::StateMachine& machine(size_t shard);
  /// The shard's log has been replayed: its groups are served from now on, sessions start anew. Until then, and after a
  /// reset of the machine, requests get COORDINATOR_LOAD_IN_PROGRESS. `log` lives until shard_unavailable() or stop()
  /// has returned.
  void shard_loaded(size_t shard, storage::StateLog& log);
  /// The shard's log failed: waiting requests and later ones get COORDINATOR_NOT_AVAILABLE, until shard_loaded. Not to
  /// be called by the log within append.
  void shard_unavailable(size_t shard);

  /// Runs what is due by the clock (sessions, rebalances, expiry) and returns when to come back at the latest, in
  /// milliseconds of clock.monotonic_ms(), or kNoDeadline; a request may bring that forward, so come every 100 ms at
  /// least. Costs nothing for groups with nothing due.
  int64_t tick();

  /// Answers everything that waits, and everything to come, with COORDINATOR_NOT_AVAILABLE; appends under way are
  /// answered as they end. No log is called once it has returned. Repeatable.
  void stop();

  // --- membership: the classic protocol ---

  /// Waits for the rebalance: up to the largest rebalance timeout among the members, or longer for an initial delay.
  /// INVALID_GROUP_ID, INVALID_SESSION_TIMEOUT, MEMBER_ID_REQUIRED (KIP-394), UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID
  /// (KIP-345), INCONSISTENT_GROUP_PROTOCOL, GROUP_MAX_SIZE_REACHED, COORDINATOR_*. REBALANCE_IN_PROGRESS: a later join
  /// of the same member took this one's place.
  void join_group(JoinRequest request, Executor& executor, UniqueFunction<void(JoinResult)> done);

  /// Waits for the leader's assignment to be durable. UNKNOWN_MEMBER_ID, ILLEGAL_GENERATION, REBALANCE_IN_PROGRESS,
  /// INCONSISTENT_GROUP_PROTOCOL (KIP-559), FENCED_INSTANCE_ID, INVALID_GROUP_ID, COORDINATOR_*.
  void sync_group(SyncRequest request, Executor& executor, UniqueFunction<void(SyncResult)> done);

  /// REBALANCE_IN_PROGRESS tells a member to join again, and keeps its session alive as success does.
  /// UNKNOWN_MEMBER_ID, ILLEGAL_GENERATION, FENCED_INSTANCE_ID, INVALID_GROUP_ID, COORDINATOR_*.
  ErrorCode heartbeat(const HeartbeatRequest& request);

  /// An error for each member: UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID; for all: INVALID_GROUP_ID, COORDINATOR_*.
  LeaveResult leave_group(const LeaveRequest& request);

  // --- offsets ---

  /// Answers when the offsets are durable. For each partition: OFFSET_METADATA_TOO_LARGE; for all: UNKNOWN_MEMBER_ID,
  /// ILLEGAL_GENERATION, REBALANCE_IN_PROGRESS, FENCED_INSTANCE_ID, INVALID_COMMIT_OFFSET_SIZE, COORDINATOR_*.
  void commit_offsets(CommitRequest request, Executor& executor, UniqueFunction<void(CommitResult)> done);

  /// What is durable. A group or partition without offsets has offset -1 and no error. For the group: COORDINATOR_*.
  OffsetFetchResult fetch_offsets(const OffsetFetchRequest& request) const;

  /// GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP (members of another protocol type than "consumer"), INVALID_GROUP_ID; for each
  /// partition: GROUP_SUBSCRIBED_TO_TOPIC.
  void delete_offsets(OffsetDeleteRequest request, Executor& executor, UniqueFunction<void(OffsetDeleteResult)> done);

  /// Drops every group's offsets of these topics, and later shows none that were committed to those ids. Shards that
  /// are not loaded do so once they are.
  void topics_deleted(const std::vector<DeletedTopic>& topics);

  // --- administration ---

  ListResult list_groups(const ListRequest& request) const;
  DescribedGroup describe_group(const std::string& group_id) const;
  /// In request order: GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP, COORDINATOR_*.
  void delete_groups(std::vector<std::string> group_ids, Executor& executor,
                     UniqueFunction<void(std::vector<DeletedGroup>)> done);

  Metrics metrics() const;

 private:
  Shard& shard_for(std::string_view group_id) const;

  const Options options_;
  const MemberIdSource member_ids_;
  std::vector<std::shared_ptr<Shard>> shards_;
};

}  // namespace sluice::group
