// SPDX-License-Identifier: Apache-2.0
#include "group/options.hpp"

#include <fmt/format.h>

namespace sluice::group {

Status Options::validate() const {
  struct Rule {
    const char* name;
    int64_t value;
    int64_t least;
  };
  const Rule rules[] = {
      {"group.min.session.timeout.ms", group_min_session_timeout_ms, 1},
      {"group.max.session.timeout.ms", group_max_session_timeout_ms, group_min_session_timeout_ms},
      {"group.initial.rebalance.delay.ms", group_initial_rebalance_delay_ms, 0},
      {"group.max.size", group_max_size, 1},
      {"offset.metadata.max.bytes", offset_metadata_max_bytes, 0},
      {"offsets.retention.minutes", offsets_retention_ms, 1},
      {"offsets.retention.check.interval.ms", offsets_retention_check_interval_ms, 1},
      {"group.new.member.join.timeout.ms", new_member_join_timeout_ms, 1},
      {"group.max.pending.members", max_pending_members, 1},
      {"group.max.groups.per.shard", max_groups_per_shard, 1},
      {"group.max.commits.in.flight", max_commits_in_flight, 1},
      {"group.max.record.bytes", max_record_bytes, 1},
  };
  // Times this large would overflow when added to a clock.
  constexpr int64_t kMostMs = std::numeric_limits<int64_t>::max() / 4;
  for (const Rule& rule : rules) {
    if (rule.value < rule.least || rule.value > kMostMs) {
      return Status(StatusCode::invalid,
                    fmt::format("{} is {}, must be {} to {}", rule.name, rule.value, rule.least, kMostMs));
    }
  }
  return Status{};
}

}  // namespace sluice::group
