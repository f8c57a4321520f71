// SPDX-License-Identifier: Apache-2.0
#include "group/options.hpp"

#include <gtest/gtest.h>

namespace sluice::group {
namespace {

TEST(OptionsTest, DefaultsAreValid) {
  EXPECT_TRUE(Options{}.validate().ok());
}

TEST(OptionsTest, B03_EachBadValueIsNamed) {
  const auto refused = [](auto member, auto value, const char* name) {
    Options options;
    options.*member = value;
    const Status status = options.validate();
    EXPECT_EQ(status.code(), StatusCode::invalid);
    EXPECT_NE(status.text().find(name), std::string::npos) << status.text();
  };
  refused(&Options::group_min_session_timeout_ms, 0, "group.min.session.timeout.ms");
  refused(&Options::group_max_session_timeout_ms, 5'999, "group.max.session.timeout.ms");
  refused(&Options::group_initial_rebalance_delay_ms, -1, "group.initial.rebalance.delay.ms");
  refused(&Options::group_max_size, 0, "group.max.size");
  refused(&Options::offset_metadata_max_bytes, -1, "offset.metadata.max.bytes");
  refused(&Options::offsets_retention_ms, 0, "offsets.retention.minutes");
  refused(&Options::offsets_retention_ms, std::numeric_limits<int64_t>::max(), "offsets.retention.minutes");
  refused(&Options::offsets_retention_check_interval_ms, 0, "offsets.retention.check.interval.ms");
  refused(&Options::new_member_join_timeout_ms, 0, "group.new.member.join.timeout.ms");
  refused(&Options::max_pending_members, 0, "group.max.pending.members");
  refused(&Options::max_groups_per_shard, 0, "group.max.groups.per.shard");
  refused(&Options::max_commits_in_flight, 0, "group.max.commits.in.flight");
  refused(&Options::max_record_bytes, 0, "group.max.record.bytes");
}

}  // namespace
}  // namespace sluice::group
