// SPDX-License-Identifier: Apache-2.0
// Partitions of topics that live in the engine's own form, where others write too.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "partition/native_partition.hpp"
#include "support/scripted_broker.hpp"

namespace sluice::partition {
namespace {

using host::testing::Command;
using host::testing::StoredBatch;
using sluice::testing::batch_offsets;
using sluice::testing::kTestTimeMs;
using sluice::testing::make_append;
using sluice::testing::Producing;
using sluice::testing::ScriptedBroker;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int64_t kMinuteMs = 60'000;

class NativePartitionTest : public ::testing::Test {
 protected:
  using Answer = sluice::testing::ProduceAnswer;

  void SetUp() override {
    broker.data.kind = SLUICE_KIND_NATIVE;
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
  Answer queue(Producing producer = {}, int records = 1) {
    return broker.queue(make_append(std::vector<int64_t>(static_cast<size_t>(records), kTestTimeMs), producer));
  }
  ProduceOutcome append(Producing producer = {}, int records = 1) {
    return broker.append(make_append(std::vector<int64_t>(static_cast<size_t>(records), kTestTimeMs), producer));
  }
  ReadOutcome read(int64_t offset) {
    return broker.wait(broker.partition()->read({offset, 1 << 20, -1, -1}, broker.loop));
  }
  OffsetAnswer offset(int64_t timestamp) {
    return broker.wait(broker.partition()->list_offset(timestamp, -1, broker.loop));
  }
  host::LogId log_id() { return broker.cluster->state().topic("t")->partitions[0].extents.back().log; }
  /// Another program writes `count` records, or as many entries that are none.
  void write_foreign(int64_t count, bool records = true, int64_t timestamp = kTestTimeMs) {
    StoredBatch batch;
    batch.last_offset = count - 1;
    batch.max_timestamp = timestamp;
    if (records) {
      const auto request = make_append(std::vector<int64_t>(static_cast<size_t>(count), timestamp));
      batch.bytes.assign(reinterpret_cast<const char*>(request.batch.data()), request.batch.size());
    }
    broker.data.write_foreign(log_id(), std::move(batch));
  }
  /// Waits on the partition as a fetch does; whether it was woken shows in the result.
  std::shared_ptr<bool> wait_for_records(int64_t end_seen, bool expect_added = true) {
    auto woken = std::make_shared<bool>(false);
    waiter = std::make_shared<FetchWaiter>(1, broker.loop, [woken] { *woken = true; });
    EXPECT_EQ(broker.partition()->add_waiter(waiter, end_seen), expect_added);
    broker.settle();
    return woken;
  }

  ScriptedBroker broker;
  std::shared_ptr<FetchWaiter> waiter;
};

TEST_F(NativePartitionTest, TheEngineGivesTheOffsets) {
  EXPECT_EQ(append().base_offset, 0);
  write_foreign(3);
  EXPECT_EQ(append({}, 2).base_offset, 4);
  const ReadOutcome outcome = read(0);
  EXPECT_EQ(outcome.error, ErrorCode::kNone);
  EXPECT_THAT(batch_offsets(outcome), ElementsAre(0, 1, 4));
  EXPECT_EQ(outcome.high_watermark, 6);
  EXPECT_EQ(outcome.log_start, 0);
  EXPECT_EQ(offset(-1).offset, 6);
  EXPECT_EQ(offset(-2).offset, 0);
}

TEST_F(NativePartitionTest, OthersWakeThoseWhoWait) {
  append();
  EXPECT_EQ(read(1).high_watermark, 1);
  const auto woken = wait_for_records(1);
  broker.advance_ms(100);
  EXPECT_FALSE(*woken);
  write_foreign(1);
  broker.settle();
  EXPECT_TRUE(*woken);
  EXPECT_THAT(batch_offsets(read(1)), ElementsAre(1));
  // One that saw an old end is told to look again.
  wait_for_records(1, false);
  // The next one waits as well, also once the first watch has been over for long.
  const auto again = wait_for_records(2);
  broker.advance_ms(10 * kMinuteMs);
  EXPECT_FALSE(*again);
  broker.partition()->remove_waiter(waiter);
  const auto last = wait_for_records(2);
  write_foreign(1);
  broker.settle();
  EXPECT_TRUE(*last);
}

TEST_F(NativePartitionTest, AWatchThatFailsWakesNobodyInALoop) {
  append();
  read(1);
  int watches = 0;
  broker.data.refuse = [&](const Command& command) -> std::optional<sluice_status> {
    if (command.name != "watch") return std::nullopt;
    ++watches;
    return SLUICE_UNAVAILABLE;
  };
  const auto woken = wait_for_records(1);
  broker.advance_ms(kMinuteMs);
  EXPECT_FALSE(*woken);
  EXPECT_EQ(watches, 1);
  // Our own appends wake without it.
  append();
  EXPECT_TRUE(*woken);
}

TEST_F(NativePartitionTest, EntriesThatAreNoRecordsWedgeNoReader) {
  append();
  write_foreign(1'000, false);
  const ReadOutcome outcome = read(1);
  ASSERT_EQ(outcome.slices.size(), 1u);
  const auto batch = records::single_batch({outcome.slices[0].data, outcome.slices[0].length});
  ASSERT_TRUE(batch);
  EXPECT_EQ(batch->base_offset(), 1);
  EXPECT_EQ(batch->records_count(), 0);
  EXPECT_EQ(batch->next_offset(), 1'001) << "a client goes on behind it";
  EXPECT_EQ(batch->crc(), batch->compute_crc());
  EXPECT_EQ(broker.context->metrics.entries_skipped, 1'000u);
  EXPECT_THAT(batch_offsets(read(1'001)), IsEmpty());
  write_foreign(1);
  EXPECT_THAT(batch_offsets(read(1)), ElementsAre(1'001));
}

// Offsets made of times: what was deleted of a day, at the end of a stream.
TEST_F(NativePartitionTest, AGapOfADayIsPassedInAFewReads) {
  constexpr int64_t kDay = (int64_t{86'400'000} << 20);
  append();
  write_foreign(kDay, false);
  int64_t at = 1;
  int reads = 0;
  for (; at < kDay + 1 && reads < 100; ++reads) {
    const ReadOutcome outcome = read(at);
    ASSERT_EQ(outcome.error, ErrorCode::kNone);
    ASSERT_EQ(outcome.slices.size(), 1u);
    ASSERT_LE(outcome.bytes, uint64_t{1} << 20);
    Bytes rest{outcome.slices[0].data, outcome.slices[0].length};
    while (!rest.empty()) {
      const auto batch = records::take_batch(rest);
      ASSERT_TRUE(batch);
      EXPECT_EQ(batch->base_offset(), at);
      EXPECT_EQ(batch->crc(), batch->compute_crc());
      at = batch->next_offset();
    }
  }
  EXPECT_EQ(at, kDay + 1);
  EXPECT_LE(reads, 5);
  const ReadOutcome one = broker.wait(broker.partition()->read({1, 10, -1, -1}, broker.loop));
  EXPECT_EQ(one.bytes, records::kBatchHeaderBytes) << "a reader that takes little gets one";
}

TEST_F(NativePartitionTest, RetriesAreKnownAsLongAsTheFirstTryIs) {
  const Producing first{7, 0, 0};
  EXPECT_EQ(append(first).base_offset, 0);
  EXPECT_EQ(append(first).base_offset, 0) << "the first try's";
  EXPECT_EQ(append({7, 0, 1}).base_offset, 1);
  EXPECT_EQ(append({7, 0, 5'000}).base_offset, 2) << "any sequence is taken";
  EXPECT_EQ(append({7, 1, 0}).base_offset, 3);
  EXPECT_EQ(append({7, 0, 9}).error, ErrorCode::kInvalidProducerEpoch);
  EXPECT_EQ(offset(-1).offset, 4);
}

TEST_F(NativePartitionTest, ARetryWaitsForTheFirstTry) {
  append();
  broker.data.hold = [](const std::string& name) { return name == "append"; };
  const Answer first = queue({7, 0, 0});
  const Answer again = queue({7, 0, 0});
  broker.data.carry_out_and_reply(broker.data.waiting("append").at(0));
  broker.settle();
  ASSERT_TRUE(first->has_value() && again->has_value());
  EXPECT_EQ((*first)->base_offset, 1);
  EXPECT_EQ((*again)->base_offset, 1);
  EXPECT_EQ(offset(-1).offset, 2);
}

TEST_F(NativePartitionTest, AnOutcomeThatNobodyKnowsIsToldAsATimeout) {
  append();
  broker.data.refuse = [](const Command& c) {
    return c.name == "append" ? std::optional(SLUICE_UNKNOWN) : std::nullopt;
  };
  EXPECT_EQ(append({7, 0, 0}).error, ErrorCode::kRequestTimedOut);
  broker.data.refuse = [](const Command& c) {
    return c.name == "append" ? std::optional(SLUICE_UNAVAILABLE) : std::nullopt;
  };
  EXPECT_EQ(append({7, 0, 0}).error, ErrorCode::kNotLeaderOrFollower);
  broker.data.refuse = nullptr;
  EXPECT_EQ(append({7, 0, 0}).base_offset, 1);
}

// A client that is told of a server's error sends again for minutes; the reason is the engine's.
TEST_F(NativePartitionTest, WhatTheEngineDoesNotTakeIsRefusedWithTheReason) {
  append();
  sluice_status answer = SLUICE_INVALID;
  broker.data.refuse = [&](const Command& c) { return c.name == "append" ? std::optional(answer) : std::nullopt; };
  const ProduceOutcome refused = append({7, 0, 0});
  EXPECT_EQ(refused.error, ErrorCode::kInvalidRecord);
  EXPECT_THAT(refused.message, HasSubstr("invalid"));
  EXPECT_EQ(broker.lines_with("t-0: an append was refused: invalid"), 1u);
  answer = SLUICE_UNSUPPORTED;
  EXPECT_EQ(append({7, 0, 0}).error, ErrorCode::kInvalidRequest);
  answer = SLUICE_TOO_LARGE;
  EXPECT_EQ(append({7, 0, 0}).error, ErrorCode::kMessageTooLarge);
  // Not a line for each of very many.
  const size_t before = broker.lines.size();
  for (int i = 0; i < 500; ++i) append();
  EXPECT_LT(broker.lines.size() - before, 100u);
  broker.data.refuse = nullptr;
  EXPECT_EQ(append({7, 0, 0}).base_offset, 1);
}

TEST_F(NativePartitionTest, AnEngineThatIsAwayIsToldAndComesBack) {
  broker.data.refuse = [](const Command&) { return std::optional(SLUICE_UNAVAILABLE); };
  EXPECT_EQ(append().error, ErrorCode::kNotLeaderOrFollower);
  EXPECT_EQ(read(0).error, ErrorCode::kNotLeaderOrFollower);
  EXPECT_EQ(offset(-1).error, ErrorCode::kNotLeaderOrFollower);
  broker.data.refuse = nullptr;
  EXPECT_EQ(append().base_offset, 0);
  EXPECT_EQ(read(5).error, ErrorCode::kOffsetOutOfRange);
}

TEST_F(NativePartitionTest, OffsetsByTime) {
  write_foreign(2, true, kTestTimeMs);
  write_foreign(5, false);
  write_foreign(2, true, kTestTimeMs + 10);
  EXPECT_EQ(offset(kTestTimeMs - 1).offset, 0);
  EXPECT_EQ(offset(kTestTimeMs + 1).offset, 7);
  EXPECT_EQ(offset(kTestTimeMs + 1).timestamp, kTestTimeMs + 10);
  EXPECT_EQ(offset(kTestTimeMs + 11).offset, -1);
  EXPECT_EQ(offset(-3).error, ErrorCode::kUnsupportedForMessageFormat) << "the engine does not know";
  EXPECT_EQ(offset(-5).offset, -1);
}

TEST_F(NativePartitionTest, EpochsAndDeletedRecords) {
  append({}, 5);
  const int32_t epoch = broker.partition()->leader_epoch();
  const auto of_epoch = [&](int32_t asked) {
    return broker.wait(broker.partition()->end_of_epoch(asked, -1, broker.loop));
  };
  EXPECT_EQ(of_epoch(epoch).offset, 5);
  EXPECT_EQ(of_epoch(epoch + 1).offset, -1);
  ReadRequest fenced{0, 1 << 20, epoch + 1, -1};
  EXPECT_EQ(broker.wait(broker.partition()->read(fenced, broker.loop)).error, ErrorCode::kUnknownLeaderEpoch);
  const auto deleted = [&](int64_t at) { return broker.wait(broker.partition()->delete_records(at, broker.loop)); };
  EXPECT_EQ(deleted(3).offset, 3);
  EXPECT_EQ(offset(-2).offset, 3);
  EXPECT_EQ(deleted(6).error, ErrorCode::kOffsetOutOfRange);
  broker.data.refuse = [](const Command& c) {
    return c.name == "trim" ? std::optional(SLUICE_UNSUPPORTED) : std::nullopt;
  };
  EXPECT_EQ(deleted(-1).error, ErrorCode::kPolicyViolation);
}

TEST_F(NativePartitionTest, ATopicThatIsDeletedWakesAndEnds) {
  append();
  read(1);
  const auto partition = broker.partition();
  const auto woken = wait_for_records(1);
  broker.wait(broker.cluster->delete_topic(broker.cluster->state().topic("t")->id, broker.loop));
  EXPECT_TRUE(*woken);
  EXPECT_EQ(broker.wait(partition->read({0, 1, -1, -1}, broker.loop)).error, ErrorCode::kUnknownTopicOrPartition);
}

// ---- Making such topics

TEST_F(NativePartitionTest, ARestartFindsTheTopicAsItIs) {
  append();
  write_foreign(2);
  ASSERT_TRUE(broker.restart().ok());
  EXPECT_EQ(offset(-1).offset, 3);
  EXPECT_EQ(append().base_offset, 3);
}

TEST_F(NativePartitionTest, WhatIsTheEnginesOwnIsRefusedWithTheReason) {
  const auto refused = broker.create("u", 1, {{"retention.ms", "1000"}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidConfig);
  EXPECT_THAT(refused.error().text, HasSubstr("Storage \"data\" keeps topics in its engine's own form"));
  const auto shown_only = broker.create("u", 1, {{"sluice.native.adopted", "true"}});
  EXPECT_FALSE(shown_only);
}

TEST_F(NativePartitionTest, ATopicThatIsThereIsAdoptedAndNotTaken) {
  broker.data.foreign["orders"] = 3;
  const auto taken = broker.create("orders");
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, ErrorCode::kTopicAlreadyExists);
  EXPECT_THAT(taken.error().text, HasSubstr("adopt it by the setting sluice.native.name"));

  const auto unknown = broker.create("mine", -1, {{"sluice.native.name", "order"}});
  ASSERT_FALSE(unknown);
  EXPECT_THAT(unknown.error().text, HasSubstr("holds no such topic; it holds: orders"));
  EXPECT_FALSE(broker.create("mine", 2, {{"sluice.native.name", "orders"}})) << "it has three partitions";

  const auto mine = broker.create("mine", -1, {{"sluice.native.name", "orders"}});
  ASSERT_TRUE(mine) << mine.error().text;
  EXPECT_EQ((*mine)->partitions.size(), 3u);
  EXPECT_THAT(broker.data.adopted, ElementsAre("orders", "orders", "orders"));
  const auto twice = broker.create("other", -1, {{"sluice.native.name", "orders"}});
  ASSERT_FALSE(twice);
  EXPECT_THAT(twice.error().text, HasSubstr("Topic 'mine' stands for it already"));

  // Where it comes from it grows, and so it does here.
  EXPECT_EQ(broker.wait(broker.cluster->add_partitions("mine", 4, false, broker.loop)).code,
            ErrorCode::kInvalidRequest);
  broker.data.foreign["orders"] = 5;
  broker.wait(broker.cluster->maintain());
  broker.advance_ms(cluster::Cluster::kFollowNativeEveryMs);
  broker.wait(broker.cluster->maintain());
  EXPECT_EQ(broker.cluster->state().topic("mine")->ready_partitions, 5);
}

TEST_F(NativePartitionTest, OurOwnPlaceHasNothingToAdopt) {
  broker.stop();
  broker.data.kind = SLUICE_KIND_LOG;
  ASSERT_TRUE(broker.start().ok());
  const auto refused = broker.create("v", -1, {{"sluice.native.name", "x"}});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().text, HasSubstr("no topics of others to adopt"));
}

}  // namespace
}  // namespace sluice::partition
