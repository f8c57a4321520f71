// SPDX-License-Identifier: Apache-2.0
// A partition whose storage loses data, loses answers, refuses and is late. What counts is what clients rely on: what
// was acknowledged is there, once and in order, and whoever got no acknowledgement was told something that he may
// retry.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <set>

#include "partition/log_partition.hpp"
#include "support/scripted_broker.hpp"

namespace sluice::partition {
namespace {

using host::testing::Command;
using host::testing::StoredLog;
using sluice::testing::batch_offsets;
using sluice::testing::kTestTimeMs;
using sluice::testing::make_append;
using sluice::testing::Producing;
using sluice::testing::ScriptedBroker;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

bool retriable(ErrorCode error) {
  return error == ErrorCode::kNotLeaderOrFollower || error == ErrorCode::kRequestTimedOut ||
         error == ErrorCode::kKafkaStorageError;
}

/// The storage goes back in time: what is at `end` and behind it was never there.
void roll_back(StoredLog& log, int64_t end) {
  while (!log.batches.empty() && log.batches.back().base_offset >= end) log.batches.pop_back();
  log.end = end;
}

class PartitionFaults : public ::testing::Test {
 protected:
  using Answer = sluice::testing::ProduceAnswer;

  void SetUp() override {
    ASSERT_TRUE(broker.start().ok());
    ASSERT_TRUE(broker.create("t"));
  }
  void TearDown() override {
    broker.data.hold = nullptr;
    broker.data.refuse = nullptr;
    broker.stop();
    EXPECT_EQ(broker.data.leases, 0);
    EXPECT_EQ(broker.data.open_handles, 0);
  }

  /// Queues a batch; the answer comes when the storage gives it.
  Answer queue(Producing producer = {}) { return broker.queue(make_append({kTestTimeMs}, producer)); }
  ProduceOutcome append(Producing producer = {}) { return broker.append(make_append({kTestTimeMs}, producer)); }
  void append_ok(int count) {
    for (int i = 0; i < count; ++i) ASSERT_EQ(append().error, ErrorCode::kNone);
  }
  ReadOutcome read(int64_t offset, int32_t leader_epoch = -1, int32_t last_fetched_epoch = -1) {
    return broker.wait(broker.partition()->read({offset, 1 << 20, leader_epoch, last_fetched_epoch}, broker.loop));
  }
  int64_t end() { return broker.wait(broker.partition()->list_offset(-1, -1, broker.loop)).offset; }
  int32_t epoch() { return broker.partition()->leader_epoch(); }
  const PartitionMetrics& metrics() const { return broker.context->metrics; }
  std::vector<int64_t> stored() {
    std::vector<int64_t> offsets;
    for (const auto& batch : broker.stored().batches) offsets.push_back(batch.base_offset);
    return offsets;
  }
  void raise_epoch() {
    auto topic = broker.cluster->state().topic("t");
    ASSERT_TRUE(
        broker.wait(broker.cluster->raise_leader_epoch(topic->id, 0, topic->partitions[0].leader_epoch, broker.loop)));
  }
  /// What clients see after offsets from 3 to 5 were lost in `old_epoch`.
  void expect_truncated_at_3(int32_t old_epoch) {
    EXPECT_EQ(end(), 3);
    EXPECT_GT(epoch(), old_epoch);
    EXPECT_EQ(read(5, old_epoch).error, ErrorCode::kFencedLeaderEpoch);
    const auto of_epoch = broker.wait(broker.partition()->end_of_epoch(old_epoch, epoch(), broker.loop));
    EXPECT_EQ(of_epoch.leader_epoch, old_epoch);
    EXPECT_EQ(of_epoch.offset, 3);
    EXPECT_EQ(read(5).error, ErrorCode::kOffsetOutOfRange) << "a client that knows no epochs";
    EXPECT_EQ(append().base_offset, 3);
    EXPECT_EQ(append().base_offset, 4);
    EXPECT_EQ(append().base_offset, 5);
    const ReadOutcome diverging = read(5, epoch(), old_epoch);
    ASSERT_TRUE(diverging.diverging) << "others are at these offsets now";
    EXPECT_EQ(*diverging.diverging, (EpochStart{old_epoch, 3}));
    EXPECT_FALSE(read(3, epoch(), old_epoch).diverging);
  }

  ScriptedBroker broker;
};

// ---- Data loss

TEST_F(PartitionFaults, ALossThatAnAppendFindsRaisesTheEpoch) {
  append_ok(5);
  const int32_t before = epoch();
  roll_back(broker.stored(), 3);
  EXPECT_TRUE(retriable(append().error)) << "it was numbered behind what is gone";
  expect_truncated_at_3(before);
  EXPECT_EQ(metrics().data_losses.load(), 1u);
  EXPECT_EQ(metrics().lost_offsets.load(), 2u);
  EXPECT_EQ(broker.lines_with(
                "t-0: DATA LOSS: storage \"data\" acknowledged everything below offset 5, and the log ends at 3 now"),
            1u);
}

TEST_F(PartitionFaults, ALossThatAReaderFindsIsJudgedByAFence) {
  for (const int64_t offset : {3, 4}) {
    ASSERT_TRUE(broker.wait(broker.cluster->delete_topic(broker.cluster->state().topic("t")->id, broker.loop)).code ==
                ErrorCode::kNone);
    ASSERT_TRUE(broker.create("t"));
    append_ok(5);
    const int32_t before = epoch();
    roll_back(broker.stored(), 3);
    EXPECT_EQ(read(offset).error, ErrorCode::kNotLeaderOrFollower) << "not yet known which offsets there are";
    expect_truncated_at_3(before);
  }
  EXPECT_EQ(metrics().data_losses.load(), 2u);
}

TEST_F(PartitionFaults, ALossThatALoadFindsRaisesTheEpochOnceMore) {
  append_ok(5);
  const int32_t before = epoch();
  roll_back(broker.stored(), 3);
  raise_epoch();
  expect_truncated_at_3(before);
  EXPECT_EQ(metrics().data_losses.load(), 1u);
}

TEST_F(PartitionFaults, AWholeLogMayBeLost) {
  append_ok(5);
  const int32_t before = epoch();
  roll_back(broker.stored(), 0);
  EXPECT_TRUE(retriable(append().error));
  EXPECT_EQ(end(), 0);
  EXPECT_EQ(broker.wait(broker.partition()->end_of_epoch(before, epoch(), broker.loop)).offset, 0);
  EXPECT_EQ(append().base_offset, 0);
  EXPECT_EQ(metrics().lost_offsets.load(), 5u);
}

TEST_F(PartitionFaults, LostBatchesAreForgottenByProducerState) {
  for (int i = 0; i < 5; ++i) ASSERT_EQ(append({7, 0, i}).base_offset, i);
  roll_back(broker.stored(), 3);
  EXPECT_TRUE(retriable(append({7, 0, 5}).error));
  broker.settle();
  EXPECT_EQ(append({7, 0, 2}).base_offset, 2) << "still there: the offset of the first try";
  EXPECT_EQ(append({7, 0, 5}).error, ErrorCode::kOutOfOrderSequenceNumber);
  EXPECT_EQ(append({8, 0, 0}).base_offset, 3);
  EXPECT_EQ(append({7, 0, 3}).base_offset, 4) << "lost, so that this is no repeat";
}

TEST_F(PartitionFaults, ALossFoundBehindAcknowledgementsOnTheirWay) {
  append_ok(2);
  broker.data.hold = [](const std::string& name) { return name == "append"; };
  const Answer first = queue();
  const Answer second = queue();
  // The first is acknowledged, and the second finds that both it and what was before are gone.
  broker.data.carry_out_and_reply(broker.data.waiting("append").at(0));
  broker.settle();
  ASSERT_TRUE(first->has_value());
  EXPECT_EQ((*first)->base_offset, 2);
  roll_back(broker.stored(), 1);
  broker.data.hold = nullptr;
  broker.data.carry_out_and_reply(broker.data.waiting("append").at(0));
  broker.settle();
  ASSERT_TRUE(second->has_value());
  EXPECT_TRUE(retriable((*second)->error));
  EXPECT_EQ(end(), 1);
  EXPECT_EQ(metrics().lost_offsets.load(), 2u);
  EXPECT_EQ(append().base_offset, 1);
}

TEST_F(PartitionFaults, WhoWaitsForRecordsLooksAgainAfterALoss) {
  append_ok(5);
  bool woken = false;
  auto waiter = std::make_shared<FetchWaiter>(1 << 20, broker.loop, [&] { woken = true; });
  ASSERT_TRUE(broker.partition()->add_waiter(waiter, 5));
  roll_back(broker.stored(), 3);
  (void)append();
  EXPECT_EQ(end(), 3) << "somebody looks";
  broker.settle();
  EXPECT_TRUE(woken);
}

TEST_F(PartitionFaults, NothingIsServedBeforeTheEpochCouldBeRaised) {
  append_ok(5);
  const int32_t before = epoch();
  roll_back(broker.stored(), 3);
  EXPECT_TRUE(retriable(append().error));
  broker.meta.refuse = [](const Command& c) -> std::optional<sluice_status> {
    return c.name == "append" ? std::optional<sluice_status>(SLUICE_UNAVAILABLE) : std::nullopt;
  };
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(retriable(append().error));
    EXPECT_TRUE(retriable(read(0).error));
    broker.advance_ms(LogPartition::kLoadRetryMs);
  }
  EXPECT_EQ(broker.stored().end, 3);
  broker.meta.refuse = nullptr;
  broker.advance_ms(LogPartition::kLoadRetryMs);
  expect_truncated_at_3(before);
  EXPECT_EQ(metrics().data_losses.load(), 1u) << "one loss is told once";
}

TEST_F(PartitionFaults, AStorageThatLosesAgainAndAgainIsHeldOffAndSpendsFewEpochs) {
  append_ok(5);
  const int32_t before = epoch();
  size_t held = 0;
  for (int i = 0; i < 300; ++i) {
    // It acknowledges, and forgets.
    const ProduceOutcome first = append();
    if (first.error == ErrorCode::kNone) roll_back(broker.stored(), 3);
    EXPECT_TRUE(first.error == ErrorCode::kNone || retriable(first.error));
    if (first.message.find("in a row: it is held off for") != std::string::npos) ++held;
    EXPECT_TRUE(retriable(append().error)) << "lost meanwhile, or held off";
    broker.advance_ms(LogPartition::kLoadRetryMs);
  }
  // A minute: those that are free, and after 1, 2, 4, 8, 16 and 32 seconds.
  EXPECT_LE(epoch() - before, EpochBudget::kFreeRaises + 6);
  EXPECT_GT(held, 100u);
  EXPECT_GE(broker.lines_with("it is held off for"), 1u);
  // It mends its ways.
  broker.advance_ms(EpochBudget::kMostPauseMs);
  const ProduceOutcome there = append();
  ASSERT_EQ(there.error, ErrorCode::kNone) << there.message;
  EXPECT_EQ(append().base_offset, there.base_offset + 1);
}

TEST_F(PartitionFaults, ReadersThatSeeLessThanTheFenceDoNotRaiseEpochsForEver) {
  append_ok(5);
  const int32_t before = epoch();
  broker.data.refuse = [](const Command& c) -> std::optional<sluice_status> {
    return c.name == "read" && c.at == 4 ? std::optional<sluice_status>(SLUICE_OUT_OF_RANGE) : std::nullopt;
  };
  EXPECT_EQ(read(4).error, ErrorCode::kNotLeaderOrFollower);
  broker.data.refuse = [](const Command& c) -> std::optional<sluice_status> {
    return c.name == "read" && c.at == 3 ? std::optional<sluice_status>(SLUICE_OUT_OF_RANGE) : std::nullopt;
  };
  for (int i = 0; i < 20; ++i) EXPECT_EQ(read(3).error, ErrorCode::kKafkaStorageError);
  EXPECT_EQ(epoch(), before + 1);
  EXPECT_EQ(metrics().data_losses.load(), 0u) << "the fence found everything";
  EXPECT_EQ(batch_offsets(read(0)).size(), 5u);
}

TEST_F(PartitionFaults, ALossWhileTheBrokerWasDownIsTold) {
  append_ok(2);
  broker.wait(broker.partition()->save_state(broker.loop));
  append_ok(3);
  ASSERT_EQ(broker.wait(broker.partition()->delete_records(4, broker.loop)).offset, 4);
  broker.wait(broker.partition()->save_state(broker.loop));
  const int32_t before = epoch();
  broker.stop();
  for (auto& [id, log] : broker.data.logs) {
    log.start = 0;  // the trim is rolled back too
    roll_back(log, 3);
  }
  ASSERT_TRUE(broker.start().ok());
  EXPECT_EQ(broker.wait(broker.partition()->list_offset(-2, -1, broker.loop)).offset, 3)
      << "what was deleted stays deleted";
  expect_truncated_at_3(before);
  EXPECT_EQ(metrics().lost_offsets.load(), 2u);
  EXPECT_EQ(broker.lines_with("DATA LOSS: its saved state knows everything below offset 5, and the log ends at 3 now"),
            1u);
  ASSERT_TRUE(broker.restart().ok());
  EXPECT_EQ(end(), 6);
  EXPECT_EQ(broker.wait(broker.partition()->list_offset(-2, -1, broker.loop)).offset, 3)
      << "others were deleted than are there now";
  EXPECT_EQ(broker.lines_with("DATA LOSS"), 1u) << "told once";
}

TEST_F(PartitionFaults, AForgetfulStorageStartsAgainEmptyUnderANewEpoch) {
  broker.data.capabilities = 0;
  ASSERT_TRUE(broker.restart().ok());
  append_ok(5);
  const int32_t before = epoch();
  broker.stop();
  broker.data.logs.clear();
  broker.data.cluster = {};
  ASSERT_TRUE(broker.start().ok());
  EXPECT_EQ(end(), 0);
  EXPECT_GT(epoch(), before + 1);
  EXPECT_EQ(read(5, before).error, ErrorCode::kFencedLeaderEpoch);
  EXPECT_EQ(read(5).error, ErrorCode::kOffsetOutOfRange) << "a committed offset of before";
  EXPECT_EQ(broker.wait(broker.partition()->end_of_epoch(before, epoch(), broker.loop)).offset, 0);
  EXPECT_EQ(append().base_offset, 0);
  EXPECT_EQ(metrics().lost_logs.load(), 1u);
  EXPECT_EQ(broker.lines_with("forgot its records"), 1u);
  // Half done: recorded, and the broker ended before the log was made.
  broker.stop();
  broker.data.logs.clear();
  ASSERT_TRUE(broker.start().ok());
  broker.data.refuse = [](const Command& c) -> std::optional<sluice_status> {
    return c.name == "create_log" ? std::optional<sluice_status>(SLUICE_UNAVAILABLE) : std::nullopt;
  };
  EXPECT_NE(read(0).error, ErrorCode::kNone);
  // However often: the names of logs that cannot be made cost metadata and epochs.
  for (int i = 0; i < 100; ++i) {
    broker.advance_ms(LogPartition::kLoadRetryMs);
    EXPECT_NE(read(0).error, ErrorCode::kNone);
  }
  EXPECT_LT(broker.cluster->state().topic("t")->partitions[0].leader_epoch, before + 20);
  broker.data.refuse = nullptr;
  ASSERT_TRUE(broker.restart().ok());
  EXPECT_EQ(end(), 0);
  EXPECT_EQ(append().base_offset, 0);
}

// No append was on its way, and nobody reads below the end: the next append finds it out.
TEST_F(PartitionFaults, AStorageThatForgetsALogWhileTheBrokerRunsIsNoticedByWhoAppends) {
  broker.data.capabilities = 0;
  ASSERT_TRUE(broker.restart().ok());
  append_ok(3);
  bool refused = false;
  broker.data.refuse = [&](const Command& c) -> std::optional<sluice_status> {
    if (c.name != "append" || std::exchange(refused, true)) return std::nullopt;
    broker.data.logs.clear();
    return SLUICE_UNAVAILABLE;  // as who reconnected wants to be fenced first
  };
  EXPECT_NE(append().error, ErrorCode::kNone);
  bool goes_on = false;
  for (int i = 0; i < 5 && !goes_on; ++i) {
    goes_on = append().error == ErrorCode::kNone;
    broker.advance_ms(LogPartition::kLoadRetryMs);
  }
  EXPECT_TRUE(goes_on);
  EXPECT_EQ(metrics().lost_logs.load(), 1u);
}

TEST_F(PartitionFaults, ADurableStorageThatLostALogIsNotTakenForEmpty) {
  append_ok(5);
  broker.stop();
  const auto saved = broker.data.logs;
  broker.data.logs.clear();
  ASSERT_TRUE(broker.start().ok());
  EXPECT_NE(append().error, ErrorCode::kNone);
  EXPECT_GE(broker.lines_with("although it is durable"), 1u);
  broker.data.logs = saved;  // the operator puts it back
  broker.advance_ms(LogPartition::kLoadRetryMs);
  EXPECT_EQ(append().base_offset, 5);
}

// ---- Loads

TEST_F(PartitionFaults, ALoadWaitsForAppendsThatWereQueued) {
  append_ok(1);
  broker.data.hold = [](const std::string& name) { return name == "append"; };
  const Answer first = queue({7, 0, 0});
  const Answer second = queue({7, 0, 1});
  raise_epoch();
  const Answer third = queue({7, 0, 2});  // begins the load, and waits for it
  broker.advance_ms(100);
  EXPECT_FALSE(first->has_value());
  EXPECT_THAT(broker.data.waiting("fence"), IsEmpty());
  broker.data.carry_out_and_reply(broker.data.waiting("append").at(0));
  broker.settle();
  ASSERT_TRUE(first->has_value());
  EXPECT_FALSE(second->has_value());
  EXPECT_FALSE(third->has_value());
  broker.data.carry_out_and_reply(broker.data.waiting("append").at(0));
  broker.data.hold = nullptr;
  broker.settle();
  for (const auto index : broker.data.waiting("append")) broker.data.carry_out_and_reply(index);
  broker.settle();
  ASSERT_TRUE(second->has_value() && third->has_value());
  EXPECT_EQ((*first)->base_offset, 1);
  EXPECT_EQ((*second)->base_offset, 2);
  EXPECT_EQ((*third)->base_offset, 3);
  EXPECT_THAT(stored(), ElementsAre(0, 1, 2, 3));
  EXPECT_EQ(append({7, 0, 1}).base_offset, 2) << "a repeat of what was answered during the load";
  EXPECT_EQ(end(), 4);
}

TEST_F(PartitionFaults, AnUnknownAppendIsSettledByAFence) {
  for (const bool landed : {true, false}) {
    SCOPED_TRACE(landed ? "it landed" : "it did not");
    const int64_t at = end();
    const Producing producer{landed ? 7 : 8, 0, 0};
    broker.data.hold = [](const std::string& name) { return name == "append"; };
    const Answer answer = queue(producer);
    const Answer repeat = queue(producer);
    const size_t index = broker.data.waiting("append").at(0);
    broker.data.hold = nullptr;
    if (landed) broker.data.carry_out(index);
    broker.data.reply(index, SLUICE_UNKNOWN);
    broker.settle();
    ASSERT_TRUE(answer->has_value() && repeat->has_value());
    if (landed) {
      EXPECT_EQ((*answer)->error, ErrorCode::kNone);
      EXPECT_EQ((*answer)->base_offset, at);
      EXPECT_EQ((*repeat)->base_offset, at);
    } else {
      EXPECT_TRUE(retriable((*answer)->error));
      EXPECT_TRUE(retriable((*repeat)->error)) << "the first try of which is gone";
    }
    EXPECT_EQ(append(producer).base_offset, at) << "a retry gets one place, whatever became of the first";
    EXPECT_EQ(end(), at + 1);
  }
  EXPECT_THAT(stored(), ElementsAre(0, 1));
}

TEST_F(PartitionFaults, AnAppendThatNobodyCanSettleIsFoundByTheNextLoad) {
  append_ok(1);
  for (const bool landed : {true, false}) {
    SCOPED_TRACE(landed ? "it landed" : "it did not");
    const int64_t at = end();
    const Producing producer{landed ? 7 : 8, 0, 0};
    broker.data.hold = [](const std::string& name) { return name == "append"; };
    const Answer answer = queue(producer);
    const Answer behind = queue({9, 0, landed ? 0 : 1});
    const size_t index = broker.data.waiting("append").at(0);
    if (landed) broker.data.carry_out(index);
    broker.data.hold = nullptr;
    broker.data.refuse = [](const Command& c) -> std::optional<sluice_status> {
      return c.name == "fence" ? std::optional<sluice_status>(SLUICE_UNAVAILABLE) : std::nullopt;
    };
    broker.data.reply(index, SLUICE_UNKNOWN);
    for (int i = 0; i < 100 && !answer->has_value(); ++i) broker.advance_ms(1'000);
    ASSERT_TRUE(answer->has_value() && behind->has_value());
    EXPECT_EQ((*answer)->error, ErrorCode::kRequestTimedOut);
    EXPECT_TRUE(retriable((*behind)->error));
    EXPECT_TRUE(retriable(append(producer).error)) << "the storage is still away";
    broker.data.refuse = nullptr;
    broker.advance_ms(LogPartition::kLoadRetryMs);
    EXPECT_EQ(append(producer).base_offset, at);
    EXPECT_EQ(end(), at + 1);
    EXPECT_EQ(append({9, 0, landed ? 0 : 1}).base_offset, at + 1);
  }
  EXPECT_EQ(metrics().data_losses.load(), 0u);
}

// A client that is told of a server's error sends again for minutes.
TEST_F(PartitionFaults, WhatTheStorageDoesNotTakeIsRefusedWithTheReason) {
  append_ok(1);
  sluice_status answer = SLUICE_INVALID;
  broker.data.refuse = [&](const Command& c) { return c.name == "append" ? std::optional(answer) : std::nullopt; };
  const ProduceOutcome refused = append({7, 0, 0});
  EXPECT_EQ(refused.error, ErrorCode::kInvalidRecord);
  EXPECT_THAT(refused.message, ::testing::HasSubstr("invalid"));
  EXPECT_EQ(broker.lines_with("t-0: an append was refused: invalid"), 1u);
  answer = SLUICE_UNSUPPORTED;
  EXPECT_EQ(append({7, 0, 0}).error, ErrorCode::kInvalidRequest);
  answer = SLUICE_TOO_LARGE;
  EXPECT_EQ(append({7, 0, 0}).error, ErrorCode::kMessageTooLarge);
  const size_t before = broker.lines.size();
  for (int i = 0; i < 500; ++i) append();
  EXPECT_LT(broker.lines.size() - before, 100u) << "not a line for each of very many";
  broker.data.refuse = nullptr;
  EXPECT_EQ(append({7, 0, 0}).base_offset, 1);
}

TEST_F(PartitionFaults, AnotherWriterRefusesWhatIsQueued) {
  append_ok(2);
  broker.data.hold = [](const std::string& name) { return name == "append"; };
  const Answer first = queue({7, 0, 0});
  const Answer second = queue({7, 0, 1});
  broker.stored().token = static_cast<uint64_t>(epoch() + 1) << 32 | 1;  // somebody with the next epoch
  broker.data.hold = nullptr;
  broker.data.carry_out_and_reply(broker.data.waiting("append").at(0));
  broker.settle();
  ASSERT_TRUE(first->has_value() && second->has_value());
  EXPECT_EQ((*first)->error, ErrorCode::kNotLeaderOrFollower);
  EXPECT_EQ((*second)->error, ErrorCode::kNotLeaderOrFollower);
  EXPECT_EQ(append({7, 0, 0}).error, ErrorCode::kNotLeaderOrFollower)
      << "while metadata does not say that we lead again";
  EXPECT_EQ(read(0).error, ErrorCode::kNotLeaderOrFollower);
  raise_epoch();
  raise_epoch();
  EXPECT_EQ(append({7, 0, 0}).base_offset, 2);
  EXPECT_EQ(append({7, 0, 1}).base_offset, 3);
  EXPECT_THAT(stored(), ElementsAre(0, 1, 2, 3));
}

TEST_F(PartitionFaults, AFailedLoadIsToldAndTriedAgain) {
  append_ok(3);
  ASSERT_TRUE(broker.restart().ok());
  for (const char* call : {"fence", "bounds", "load", "read"}) {
    SCOPED_TRACE(call);
    raise_epoch();
    int calls = 0;
    broker.data.refuse = [&](const Command& c) -> std::optional<sluice_status> {
      ++calls;
      return c.name == call ? std::optional<sluice_status>(SLUICE_UNAVAILABLE) : std::nullopt;
    };
    const int64_t at = broker.stored().end;
    std::vector<Answer> answers;
    for (int i = 0; i < 3; ++i) answers.push_back(queue());
    broker.advance_ms(100);
    for (const Answer& answer : answers) {
      ASSERT_TRUE(answer->has_value());
      EXPECT_EQ((*answer)->error, ErrorCode::kNotLeaderOrFollower);
    }
    const int tried = calls;
    EXPECT_TRUE(retriable(append().error));
    EXPECT_EQ(calls, tried) << "not tried again at once";
    broker.data.refuse = nullptr;
    broker.advance_ms(LogPartition::kLoadRetryMs);
    EXPECT_EQ(append().base_offset, at);
    ASSERT_TRUE(broker.restart().ok());
  }
}

TEST_F(PartitionFaults, ATopicMayBeDeletedWhileItLoads) {
  append_ok(3);
  for (const char* call : {"fence", "bounds", "load", "read"}) {
    SCOPED_TRACE(call);
    if (!broker.cluster->state().topic("t")) {
      ASSERT_TRUE(broker.create("t"));
      append_ok(3);
    }
    raise_epoch();
    const auto kept = broker.partition();
    broker.data.hold = [call](const std::string& name) { return name == call; };
    const Answer answer = queue();
    std::optional<ErrorCode> read_error;
    start(kept->read({}, broker.loop), [&](ReadOutcome outcome) { read_error = outcome.error; });
    broker.settle();
    ASSERT_FALSE(answer->has_value());
    const Uuid id = kept->topic()->id;
    EXPECT_EQ(broker.wait(broker.cluster->delete_topic(id, broker.loop)).code, ErrorCode::kNone);
    broker.data.hold = nullptr;
    for (const size_t index : broker.data.waiting(call)) broker.data.carry_out_and_reply(index);
    broker.settle();
    ASSERT_TRUE(answer->has_value() && read_error);
    EXPECT_EQ((*answer)->error, ErrorCode::kUnknownTopicOrPartition);
    EXPECT_EQ(*read_error, ErrorCode::kUnknownTopicOrPartition);
    EXPECT_EQ(broker.partition(), nullptr);
    EXPECT_FALSE(broker.data.logs.contains(kept->topic()->partitions[0].extents[0].log));
  }
}

TEST_F(PartitionFaults, ManyReadersWaitThroughAppendsAndALoad) {
  constexpr int kReaders = 200;
  append_ok(1);
  struct Reader {
    bool woken = false;
    std::shared_ptr<FetchWaiter> waiter;
  };
  std::vector<Reader> readers(kReaders);
  const auto wait_all = [&](int64_t missing, int64_t end_seen) {
    for (Reader& reader : readers) {
      reader.woken = false;
      reader.waiter = std::make_shared<FetchWaiter>(missing, broker.loop, [&reader] { reader.woken = true; });
      ASSERT_TRUE(broker.partition()->add_waiter(reader.waiter, end_seen));
    }
  };
  const auto woken = [&] {
    return std::count_if(readers.begin(), readers.end(), [](const Reader& r) { return r.woken; });
  };
  wait_all(1, 1);
  append_ok(1);
  EXPECT_EQ(woken(), kReaders);
  wait_all(1 << 20, 2);
  append_ok(1);
  EXPECT_EQ(woken(), 0) << "they asked for more";
  raise_epoch();
  broker.settle();
  EXPECT_EQ(woken(), kReaders) << "they have to learn of the epoch";
  EXPECT_FALSE(broker.partition()->add_waiter(readers[0].waiter, 3)) << "not loaded: who waits would wait for ever";
  // All read at the same time: one load serves them.
  const uint64_t loads = metrics().loads.load();
  broker.data.hold = [](const std::string& name) { return name == "fence"; };
  int answered = 0;
  for (int i = 0; i < kReaders; ++i) {
    start(broker.partition()->read({}, broker.loop), [&](ReadOutcome outcome) {
      EXPECT_EQ(outcome.error, ErrorCode::kNone);
      EXPECT_EQ(outcome.high_watermark, 3);
      ++answered;
    });
  }
  broker.settle();
  EXPECT_EQ(answered, 0);
  broker.data.hold = nullptr;
  broker.data.carry_out_and_reply(broker.data.waiting("fence").at(0));
  broker.settle();
  EXPECT_EQ(answered, kReaders);
  EXPECT_EQ(metrics().loads.load(), loads + 1);
}

// ---- All of it together

/// Idempotent producers as clients are: each keeps some batches in flight, in order, and sends again what failed.
class PartitionRandom : public ::testing::TestWithParam<int> {
 protected:
  struct Producer {
    int64_t id;
    int32_t next = 0;                // sequence
    std::deque<int32_t> unanswered;  // sequences sent and not acknowledged, oldest first
    std::map<int32_t, int64_t> acknowledged;
    int in_flight = 0;
    bool resend = false;
  };
};

TEST_P(PartitionRandom, AcknowledgedOnceAndInOrder) {
  constexpr int kProducers = 3;
  constexpr int kSteps = 600;
  constexpr size_t kMaxInFlight = 4;
  ScriptedBroker broker;
  std::mt19937 random(static_cast<uint32_t>(GetParam()));
  const auto chance = [&](uint32_t percent) { return random() % 100 < percent; };
  ASSERT_TRUE(broker.start().ok());
  ASSERT_TRUE(broker.create("t"));
  std::vector<Producer> producers(kProducers);
  for (int i = 0; i < kProducers; ++i) producers[static_cast<size_t>(i)].id = 100 + i;
  bool faults = true;
  broker.data.refuse = [&](const Command&) -> std::optional<sluice_status> {
    return faults && chance(4) ? std::optional<sluice_status>(SLUICE_UNAVAILABLE) : std::nullopt;
  };
  broker.data.hold = [&](const std::string& name) { return faults && name == "append" && chance(30); };
  const auto in_flight = [&] {
    int count = 0;
    for (const Producer& producer : producers) count += producer.in_flight;
    return count;
  };
  const auto send = [&](Producer& producer, int32_t sequence) {
    const auto partition = broker.partition();
    if (!partition) return;
    AppendRequest request = make_append({kTestTimeMs}, {producer.id, 0, sequence});
    request.executor = &broker.loop;
    ++producer.in_flight;
    request.done = [&, sequence](ProduceOutcome outcome) {
      --producer.in_flight;
      if (outcome.error == ErrorCode::kNone) {
        const auto known = producer.acknowledged.emplace(sequence, outcome.base_offset).first;
        EXPECT_EQ(known->second, outcome.base_offset) << "a second offset for the same batch";
        std::erase(producer.unanswered, sequence);
      } else {
        // Behind a failed one too: the client sends all of them again, under the same epoch.
        EXPECT_TRUE(retriable(outcome.error)) << static_cast<int>(outcome.error);
        producer.resend = true;
      }
    };
    partition->append(std::move(request), broker.loop);
  };
  const auto step_storage = [&] {
    const auto waiting = broker.data.waiting("append");
    if (waiting.empty()) return;
    const size_t index = waiting[random() % waiting.size()];
    if (chance(70)) {
      broker.data.carry_out_and_reply(index);
    } else {
      if (chance(50)) broker.data.carry_out(index);
      broker.data.reply(index, SLUICE_UNKNOWN);
    }
  };
  const auto act = [&] {
    for (Producer& producer : producers) {
      if (producer.resend && producer.in_flight == 0) {
        producer.resend = false;
        for (const int32_t sequence : std::deque<int32_t>(producer.unanswered)) send(producer, sequence);
      } else if (!producer.resend && producer.unanswered.size() < kMaxInFlight && chance(60)) {
        producer.unanswered.push_back(producer.next);
        send(producer, producer.next++);
      }
    }
  };
  for (int step = 0; step < kSteps; ++step) {
    act();
    if (chance(60)) broker.settle();
    if (chance(50)) step_storage();
    if (chance(3)) {
      const auto topic = broker.cluster->state().topic("t");
      start(broker.cluster->raise_leader_epoch(topic->id, 0, topic->partitions[0].leader_epoch, broker.loop),
            [](auto) {});
    }
    if (chance(10)) {
      start(broker.partition()->read({}, broker.loop), [](ReadOutcome outcome) {
        if (outcome.error == ErrorCode::kNone) batch_offsets(outcome);
      });
    }
    if (chance(2)) start(broker.partition()->save_state(broker.loop));
    if (chance(20)) broker.advance_ms(chance(10) ? 1'000 : 50);
    if (chance(1)) {
      ASSERT_TRUE(broker.restart().ok());
      ASSERT_EQ(in_flight(), 0) << "an append that was never answered";
    }
  }
  faults = false;
  for (int i = 0; i < 1'000; ++i) {
    for (const size_t index : broker.data.waiting("append")) broker.data.carry_out_and_reply(index);
    broker.advance_ms(100);
    bool done = in_flight() == 0;
    for (Producer& producer : producers) {
      if (producer.resend && producer.in_flight == 0) {
        producer.resend = false;
        for (const int32_t sequence : std::deque<int32_t>(producer.unanswered)) send(producer, sequence);
      }
      done = done && producer.unanswered.empty();
    }
    if (done) break;
  }
  EXPECT_EQ(in_flight(), 0);
  // The log itself is the judge.
  std::map<int64_t, std::vector<std::pair<int32_t, int64_t>>> found;  // by producer: sequence, offset
  int64_t next = 0;
  for (const auto& batch : broker.stored().batches) {
    const auto header = records::parse_batch_header(as_bytes(batch.bytes));
    ASSERT_TRUE(header);
    EXPECT_EQ(header->base_offset, next) << "a gap, or an overlap";
    next = header->base_offset + 1;
    found[header->producer_id].emplace_back(header->base_sequence, header->base_offset);
  }
  for (const Producer& producer : producers) {
    EXPECT_TRUE(producer.unanswered.empty()) << "a producer that never got through";
    const auto& mine = found[producer.id];
    ASSERT_EQ(mine.size(), static_cast<size_t>(producer.next)) << "each batch once";
    for (size_t i = 0; i < mine.size(); ++i) {
      EXPECT_EQ(mine[i].first, static_cast<int32_t>(i)) << "in order";
      EXPECT_EQ(producer.acknowledged.at(mine[i].first), mine[i].second) << "where it was told to be";
    }
  }
  EXPECT_EQ(broker.context->metrics.data_losses.load(), 0u);
  broker.stop();
  EXPECT_EQ(broker.data.leases, 0);
}

INSTANTIATE_TEST_SUITE_P(Seeds, PartitionRandom, ::testing::Range(0, 30));

}  // namespace
}  // namespace sluice::partition
