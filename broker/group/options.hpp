// SPDX-License-Identifier: Apache-2.0
// The settings of the group coordinator, under Kafka's own names where Kafka has one, and the limits that are ours.
#pragma once

#include <cstdint>
#include <limits>

#include "base/status.hpp"

namespace sluice::group {

struct Options {
  // --- Kafka's settings; dots become underscores ---

  /// group.min.session.timeout.ms, group.max.session.timeout.ms: outside of these a join gets INVALID_SESSION_TIMEOUT.
  int32_t group_min_session_timeout_ms = 6'000;
  int32_t group_max_session_timeout_ms = 1'800'000;
  /// group.initial.rebalance.delay.ms: how long the first rebalance of an empty group waits for more members. Each
  /// member that joins meanwhile extends it by the same time, up to the rebalance timeout in all. 0: no wait.
  int32_t group_initial_rebalance_delay_ms = 3'000;
  /// group.max.size: members of one group; beyond, a join gets GROUP_MAX_SIZE_REACHED.
  int32_t group_max_size = std::numeric_limits<int32_t>::max();
  /// offset.metadata.max.bytes: of one partition's metadata; beyond, OFFSET_METADATA_TOO_LARGE.
  int32_t offset_metadata_max_bytes = 4'096;
  /// offsets.retention.minutes, in milliseconds: how long offsets outlive the group's last member or, without members
  /// or without a subscription to their topic, their commit.
  int64_t offsets_retention_ms = int64_t{7} * 24 * 60 * 60 * 1000;
  /// offsets.retention.check.interval.ms: how often each group is looked at for offsets to expire.
  int64_t offsets_retention_check_interval_ms = 600'000;

  // --- limits that Kafka has as constants or not at all ---

  /// A member that joined for the first time and waits for the rebalance to end is dropped after this: its client may
  /// be gone.
  int32_t new_member_join_timeout_ms = 300'000;
  /// Member ids of one group handed out by MEMBER_ID_REQUIRED and not used yet; beyond, GROUP_MAX_SIZE_REACHED.
  int32_t max_pending_members = 10'000;
  /// Groups of one shard; beyond, a join gets GROUP_MAX_SIZE_REACHED and a commit POLICY_VIOLATION.
  int32_t max_groups_per_shard = 1'000'000;
  /// Offset commits of one shard handed to its log and not yet answered; beyond, COORDINATOR_LOAD_IN_PROGRESS (clients
  /// retry).
  int32_t max_commits_in_flight = 10'000;
  /// A record of committed offsets is cut at about this size; the parts of one commit stay one atomic append.
  int32_t max_record_bytes = 256 * 1024;

  /// invalid, naming the field, if a value is outside of what it may be.
  Status validate() const;
};

}  // namespace sluice::group
