// SPDX-License-Identifier: Apache-2.0
#include "records/control.hpp"

#include <gtest/gtest.h>

#include "records/builder.hpp"

namespace sluice::records {
namespace {

TEST(Marker, round_trips) {
  for (const MarkerType type : {MarkerType::abort, MarkerType::commit}) {
    const Buffer bytes = make_marker({type, 1'234, 7, 99}, 5'000);
    const BatchView batch = *BatchView::parse(bytes);
    EXPECT_TRUE(batch.is_control());
    EXPECT_TRUE(batch.is_transactional());
    EXPECT_EQ(batch.max_timestamp(), 5'000);
    const Result<TransactionMarker> marker = parse_marker(batch);
    ASSERT_TRUE(marker);
    EXPECT_EQ(marker->type, type);
    EXPECT_EQ(marker->producer_id, 1'234);
    EXPECT_EQ(marker->producer_epoch, 7);
    EXPECT_EQ(marker->coordinator_epoch, 99);
  }
}

StatusCode code_of(Bytes key, Bytes value, bool is_control = true) {
  BatchBuilder builder({.is_control = is_control});
  EXPECT_TRUE(builder.add({.key = key, .value = value}).ok());
  const Buffer bytes = *builder.build();
  const Result<TransactionMarker> marker = parse_marker(*BatchView::parse(bytes));
  return marker ? StatusCode::ok : marker.error().code();
}

TEST(Marker, later_versions_may_be_longer_other_kinds_are_told_apart) {
  const uint8_t commit[] = {0, 0, 0, 1};
  const uint8_t later_commit[] = {0, 1, 0, 1, 9};
  const uint8_t snapshot[] = {0, 0, 0, 3};
  const uint8_t epoch[] = {0, 0, 0, 0, 0, 5};
  const uint8_t later_epoch[] = {0, 1, 0, 0, 0, 5, 9, 9};
  EXPECT_EQ(code_of(commit, epoch), StatusCode::ok);
  EXPECT_EQ(code_of(later_commit, later_epoch), StatusCode::ok);
  EXPECT_EQ(code_of(snapshot, epoch), StatusCode::unsupported);
  EXPECT_EQ(code_of(Bytes(commit).first(3), epoch), StatusCode::corrupt);
  EXPECT_EQ(code_of(commit, Bytes(epoch).first(5)), StatusCode::corrupt);
  EXPECT_EQ(code_of(commit, epoch, false), StatusCode::invalid);
  const Buffer empty = *BatchBuilder({.is_control = true}).build();
  EXPECT_EQ(parse_marker(*BatchView::parse(empty)).error().code(), StatusCode::corrupt);
}

}  // namespace
}  // namespace sluice::records
