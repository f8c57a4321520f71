// SPDX-License-Identifier: Apache-2.0
// The rules of KIP-98, one event after the other.
#include "partition/producer_state.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace sluice::partition {
namespace {

using Kind = ProducerStates::Verdict::Kind;

constexpr int32_t kMaxSequence = std::numeric_limits<int32_t>::max();
constexpr int64_t kNow = 1'600'000'000'000;

records::BatchInfo batch(int32_t first, int32_t count = 1, int16_t epoch = 0, int64_t id = 7) {
  records::BatchInfo info;
  info.producer_id = id;
  info.producer_epoch = epoch;
  info.base_sequence = first;
  info.records_count = count;
  info.last_offset_delta = count - 1;
  return info;
}

class ProducerStatesTest : public testing::Test {
 protected:
  ProducerStates states;
  int64_t end = 100;

  int64_t queue(const records::BatchInfo& info, uint64_t generation = 1) {
    const int64_t base = end;
    states.add_pending(info, base, -1, generation);
    end += info.last_offset_delta + 1;
    return base;
  }
  int64_t store(const records::BatchInfo& info, int64_t now_ms = kNow) {
    const int64_t base = queue(info);
    EXPECT_TRUE(states.commit(info, base, now_ms).empty());
    return base;
  }
  void expect_accepted(const records::BatchInfo& info) {
    EXPECT_EQ(states.check(info).kind, Kind::accept) << info.base_sequence;
  }
  void expect_refused(const records::BatchInfo& info, ErrorCode error) {
    const auto verdict = states.check(info);
    EXPECT_EQ(verdict.kind, Kind::refuse) << info.base_sequence;
    EXPECT_EQ(verdict.error, error) << info.base_sequence;
  }
  void expect_behind_refused(const records::BatchInfo& info) {
    EXPECT_EQ(states.check(info).kind, Kind::behind_refused) << info.base_sequence;
  }
  void expect_duplicate(const records::BatchInfo& info, int64_t base) {
    const auto verdict = states.check(info);
    EXPECT_EQ(verdict.kind, Kind::duplicate) << info.base_sequence;
    EXPECT_EQ(verdict.first.base_offset, base) << info.base_sequence;
  }
};

TEST_F(ProducerStatesTest, AnUnknownProducerMayBeginAnywhere) {
  expect_accepted(batch(0));
  expect_accepted(batch(4711, 3, 5));
}

TEST_F(ProducerStatesTest, SequencesFollowEachOther) {
  store(batch(0, 3));
  expect_accepted(batch(3));
  expect_refused(batch(4), ErrorCode::kOutOfOrderSequenceNumber);
  expect_refused(batch(2), ErrorCode::kOutOfOrderSequenceNumber);
}

TEST_F(ProducerStatesTest, TheLastFiveBatchesAreKnownAgain) {
  int64_t base[7];
  for (int i = 0; i < 7; ++i) base[i] = store(batch(i * 2, 2));
  for (int i = 2; i < 7; ++i) expect_duplicate(batch(i * 2, 2), base[i]);
  expect_refused(batch(0, 2), ErrorCode::kOutOfOrderSequenceNumber);
  expect_refused(batch(2, 2), ErrorCode::kOutOfOrderSequenceNumber);
}

TEST_F(ProducerStatesTest, ARepeatMustHaveTheSameLastSequence) {
  store(batch(0, 3));
  expect_refused(batch(0, 2), ErrorCode::kOutOfOrderSequenceNumber);
}

TEST_F(ProducerStatesTest, ADuplicateTellsItsAppendTime) {
  states.add_pending(batch(0), 100, kNow, 1);
  EXPECT_EQ(states.check(batch(0)).kind, Kind::pending_duplicate);
  states.commit(batch(0), 100, kNow);
  EXPECT_EQ(states.check(batch(0)).first.timestamp_ms, kNow);
}

TEST_F(ProducerStatesTest, PendingBatchesDecideWhatComesNext) {
  queue(batch(0, 2));
  queue(batch(2, 2));
  expect_accepted(batch(4));
  expect_refused(batch(5), ErrorCode::kOutOfOrderSequenceNumber);
  EXPECT_EQ(states.check(batch(0, 2)).kind, Kind::pending_duplicate);
  EXPECT_EQ(states.check(batch(2, 2)).kind, Kind::pending_duplicate);
}

TEST_F(ProducerStatesTest, ARepeatOfAPendingBatchSharesItsFate) {
  const int64_t base = queue(batch(0));
  int told = 0;
  states.wait_for(batch(0), [&](ProduceOutcome outcome) { told += outcome.base_offset == base ? 1 : 100; });
  states.wait_for(batch(0), [&](ProduceOutcome outcome) { told += outcome.base_offset == base ? 1 : 100; });
  auto waiting = states.commit(batch(0), base, kNow);
  ASSERT_EQ(waiting.size(), 2u);
  EXPECT_EQ(told, 0);
  for (auto& done : waiting) done(ProduceOutcome{ErrorCode::kNone, "", base, -1, 0});
  EXPECT_EQ(told, 2);
}

TEST_F(ProducerStatesTest, SequencesWrapToZero) {
  store(batch(kMaxSequence - 1, 2));
  expect_accepted(batch(0));
  expect_refused(batch(1), ErrorCode::kOutOfOrderSequenceNumber);
  const int64_t base = store(batch(0));
  expect_duplicate(batch(0), base);

  // A batch across the end.
  const int64_t across = store(batch(kMaxSequence, 3, 0, 8));
  expect_duplicate(batch(kMaxSequence, 3, 0, 8), across);
  expect_accepted(batch(2, 1, 0, 8));
}

TEST_F(ProducerStatesTest, AReplayedBatchAcrossTheEndIsKnown) {
  records::BatchHeader header;
  header.producer_id = 7;
  header.base_sequence = kMaxSequence;
  header.last_offset_delta = 2;
  header.base_offset = 40;
  states.replay(header, header.max_timestamp);
  expect_duplicate(batch(kMaxSequence, 3), 40);
  expect_accepted(batch(2));
}

TEST_F(ProducerStatesTest, AnOldEpochIsRefused) {
  store(batch(0, 1, 3));
  expect_refused(batch(1, 1, 2), ErrorCode::kInvalidProducerEpoch);
}

TEST_F(ProducerStatesTest, ANewEpochBeginsAtZero) {
  store(batch(0, 5, 3));
  expect_refused(batch(5, 1, 4), ErrorCode::kOutOfOrderSequenceNumber);
  expect_accepted(batch(0, 1, 4));
  const int64_t base = store(batch(0, 1, 4));
  expect_duplicate(batch(0, 1, 4), base);
  expect_refused(batch(0, 5, 3), ErrorCode::kInvalidProducerEpoch);
}

TEST_F(ProducerStatesTest, APendingNewEpochFencesTheOldOne) {
  store(batch(0, 1, 0));
  queue(batch(0, 1, 1));
  expect_refused(batch(1, 1, 0), ErrorCode::kInvalidProducerEpoch);
  expect_accepted(batch(1, 1, 1));
  states.drop_pending(1);
  expect_accepted(batch(1, 1, 0));
}

TEST_F(ProducerStatesTest, AFailureDropsWhatIsPendingOfItsGeneration) {
  store(batch(0));
  queue(batch(1), 1);
  queue(batch(2), 1);
  int told = 0;
  states.wait_for(batch(2), [&](ProduceOutcome) { ++told; });
  auto waiting = states.drop_pending(1);
  ASSERT_EQ(waiting.size(), 1u);
  waiting[0](ProduceOutcome{});
  EXPECT_EQ(told, 1);
  expect_behind_refused(batch(3));
  expect_accepted(batch(1));
  queue(batch(1), 2);
  EXPECT_TRUE(states.drop_pending(1).empty());
  EXPECT_EQ(states.check(batch(1)).kind, Kind::pending_duplicate) << "of a later generation";
}

TEST_F(ProducerStatesTest, WhatTheLogHasStaysPendingUntilItsAnswerComes) {
  const int64_t landed = queue(batch(0), 1);
  const int64_t lost = queue(batch(1), 1);
  EXPECT_TRUE(states.drop_pending(1, lost).empty());
  EXPECT_EQ(states.check(batch(0)).kind, Kind::pending_duplicate);
  expect_accepted(batch(1));
  end = lost;
  const int64_t again = queue(batch(1), 2);
  states.commit(batch(0), landed, kNow);
  states.commit(batch(1), again, kNow);
  expect_duplicate(batch(0), landed);
  expect_duplicate(batch(1), again);
  expect_accepted(batch(2));
}

TEST_F(ProducerStatesTest, WhatWasSentBehindAFailedFirstBatchIsNotTheBeginning) {
  queue(batch(5));
  EXPECT_EQ(states.size(), 1u);
  states.drop_pending(1);
  EXPECT_EQ(states.size(), 0u) << "unknown again";
  expect_behind_refused(batch(6));
  expect_accepted(batch(0, 1, 1));
  expect_accepted(batch(5));
  ProducerStates loaded;
  loaded.inherit_refused(states);
  std::swap(states, loaded);
  expect_behind_refused(batch(6));
  store(batch(5));
  store(batch(6));
}

TEST_F(ProducerStatesTest, WhatWasRefusedBeforeItWasQueuedCountsToo) {
  states.refused(batch(0));
  states.refused(batch(1));
  states.refused(records::BatchInfo{});
  expect_behind_refused(batch(1));
  expect_accepted(batch(0));
  states.refused(batch(3, 1, 2));
  expect_behind_refused(batch(4, 1, 2));
  expect_accepted(batch(3, 1, 2));
}

// librdkafka takes OUT_OF_ORDER_SEQUENCE_NUMBER for records that the broker lost, begins a new epoch, and sends again
// what may be stored already.
TEST_F(ProducerStatesTest, WhatWasSentBehindARefusedBatchWaitsForItsRetry) {
  store(batch(0, 5));
  states.refused(batch(7));
  states.refused(batch(5, 2));
  expect_behind_refused(batch(7));
  expect_behind_refused(batch(8));
  const int64_t retry = queue(batch(5, 2));
  expect_accepted(batch(7));
  expect_behind_refused(batch(8));
  states.commit(batch(5, 2), retry, kNow);
  expect_refused(batch(8), ErrorCode::kOutOfOrderSequenceNumber);  // nothing is refused any more
  store(batch(7));

  // Of an epoch that is new here.
  states.refused(batch(0, 1, 1));
  expect_behind_refused(batch(1, 1, 1));
  const int64_t old = queue(batch(8));
  states.commit(batch(8), old, kNow);
  expect_behind_refused(batch(1, 1, 1));  // an older epoch is no retry
  store(batch(0, 1, 1));
  store(batch(1, 1, 1));
}

// What was refused may turn out to be stored: then its retry is a duplicate, and nothing is waited for any more.
TEST_F(ProducerStatesTest, ARetryThatIsADuplicateEndsTheRefusal) {
  store(batch(0));
  const int64_t base = store(batch(1));
  states.refused(batch(1));
  expect_duplicate(batch(1), base);
  states.expire(kNow + 1);
  expect_accepted(batch(2));

  // Who is forgotten is so with what was refused of him.
  store(batch(2));
  states.refused(batch(3));
  states.expire(kNow + 1);
  expect_accepted(batch(4));
}

TEST_F(ProducerStatesTest, AnEarlierBatchOnItsWayEndsNoRefusal) {
  const int64_t first = queue(batch(0));
  states.refused(batch(1));
  states.commit(batch(0), first, kNow);
  expect_behind_refused(batch(2));
  store(batch(1));
  store(batch(2));
}

TEST_F(ProducerStatesTest, WhoNeverTriesAgainIsTold) {
  store(batch(0));
  states.refused(batch(1));
  for (uint32_t i = 0; i < ProducerStates::kMaxBehindRefused; ++i) expect_behind_refused(batch(2));
  expect_refused(batch(2), ErrorCode::kOutOfOrderSequenceNumber);
  states.refused(batch(1));
  expect_behind_refused(batch(2));
}

TEST_F(ProducerStatesTest, RefusalsKnowThatSequencesWrap) {
  store(batch(kMaxSequence - 2));
  states.refused(batch(kMaxSequence - 1, 2));
  expect_behind_refused(batch(0));
  expect_behind_refused(batch(3));
  store(batch(kMaxSequence - 1, 2));
  store(batch(0));
}

TEST_F(ProducerStatesTest, QuietProducersAreForgotten) {
  store(batch(0, 1, 0, 1), kNow);
  store(batch(0, 1, 0, 2), kNow + 1);
  queue(batch(0, 1, 0, 3));
  states.expire(kNow + 1);
  EXPECT_EQ(states.size(), 2u) << "seen at the limit, or with something pending: kept";
  expect_accepted(batch(9, 1, 0, 1));
  expect_refused(batch(9, 1, 0, 2), ErrorCode::kOutOfOrderSequenceNumber);
}

TEST_F(ProducerStatesTest, TheOneThatWasQuietLongestMakesRoom) {
  for (size_t i = 0; i < ProducerStates::kMaxProducers; ++i) {
    Producer producer;
    producer.id = static_cast<int64_t>(i);
    producer.epoch = 0;
    producer.last_seen_ms = kNow + (i == 500 ? -1 : 1);
    states.restore(std::move(producer));
  }
  store(batch(0, 1, 0, 1'000'000));
  EXPECT_EQ(states.size(), ProducerStates::kMaxProducers);
  const auto all = states.all();
  EXPECT_TRUE(std::none_of(all.begin(), all.end(), [](const Producer& p) { return p.id == 500; }));
  EXPECT_TRUE(std::any_of(all.begin(), all.end(), [](const Producer& p) { return p.id == 1'000'000; }));
}

TEST_F(ProducerStatesTest, ReplayPassesOverControlBatchesAndOthers) {
  records::BatchHeader header;
  header.producer_id = 7;
  header.attributes = records::kControlBit;
  states.replay(header, header.max_timestamp);
  header.attributes = 0;
  header.producer_id = records::kNoProducerId;
  states.replay(header, header.max_timestamp);
  EXPECT_EQ(states.size(), 0u);
}

TEST_F(ProducerStatesTest, ReplayTellsAppendTimesOnly) {
  records::BatchHeader header;
  header.producer_id = 7;
  header.max_timestamp = kNow;
  states.replay(header, header.max_timestamp);
  EXPECT_EQ(states.check(batch(0)).first.timestamp_ms, -1);
  header.base_sequence = 1;
  header.attributes = records::kLogAppendTimeBit;
  states.replay(header, header.max_timestamp);
  EXPECT_EQ(states.check(batch(1)).first.timestamp_ms, kNow);
}

}  // namespace
}  // namespace sluice::partition
