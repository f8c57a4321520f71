// SPDX-License-Identifier: Apache-2.0
// Runs of reads ahead, first alone, without any storage, then in a partition whose storage answers when the test says.
#include "partition/read_ahead.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/manual_loop.hpp"
#include "partition/log_partition.hpp"
#include "support/scripted_broker.hpp"

namespace sluice::partition {
namespace {

using sluice::testing::batch_offsets;
using sluice::testing::kTestTimeMs;
using sluice::testing::make_append;
using sluice::testing::ScriptedBroker;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr int64_t kNoLimit = INT64_MAX;
constexpr uint64_t kMiB = 1 << 20;

// ---- The state

class ReadAheadTest : public ::testing::Test {
 protected:
  /// Batches of one record each with offsets from `from` on; all in slices of `slice_bytes`, so that batches span them.
  host::ReadResult batches(int64_t from, int count, size_t batch_bytes = 100, size_t slice_bytes = SIZE_MAX) {
    auto bytes = std::make_shared<std::string>();
    for (int i = 0; i < count; ++i) bytes->append(host::testing::make_batch(from + i, 1, 1000, batch_bytes));
    ++leases;
    host::ReadResult read;
    for (size_t at = 0; at < bytes->size(); at += read.slices.back().length) {
      host::Slice slice;
      slice.data = reinterpret_cast<const uint8_t*>(bytes->data()) + at;
      slice.length = std::min(slice_bytes, bytes->size() - at);
      read.slices.push_back(slice);
    }
    read.bytes = bytes->size();
    read.next = from + count;
    read.lease = host::Lease(std::shared_ptr<void>(bytes.get(), [this, bytes](void*) { --leases; }));
    return read;
  }
  /// The run of a reader that read from 0 to 5 and from 5 to 10.
  ReadAhead::RunPtr begin(uint64_t max_bytes = kMiB) {
    EXPECT_EQ(ahead.begin(0, 5, kNoLimit, max_bytes, loop), nullptr);
    return ahead.begin(5, 10, kNoLimit, max_bytes, loop);
  }
  void bring(const ReadAhead::RunPtr& run, host::ReadResult read, bool at_once = false) {
    ASSERT_TRUE(ahead.order(run, kNoLimit, share));
    ahead.arrived(run, &read, at_once);
  }
  static std::vector<int64_t> offsets(const host::ReadResult& read) {
    std::vector<int64_t> result;
    std::string bytes = *host::gather(read);
    EXPECT_EQ(bytes.size(), read.bytes);
    for (size_t at = 0; at < bytes.size();) {
      const auto* header = reinterpret_cast<const uint8_t*>(bytes.data()) + at;
      result.push_back(load_be<int64_t>(header));
      at += records::kLengthPrefixBytes + static_cast<size_t>(load_be<int32_t>(header + records::layout::kBatchLength));
    }
    return result;
  }
  host::ReadResult take(const ReadAhead::RunPtr& run, int64_t limit = kNoLimit, uint64_t max_bytes = kMiB) {
    host::ReadResult into;
    ahead.take(*run, limit, max_bytes, into);
    return into;
  }

  ManualLoop loop;
  std::shared_ptr<AheadShare> share = std::make_shared<AheadShare>();
  int leases = 0;
  ReadAhead ahead;
};

TEST_F(ReadAheadTest, ARunBeginsWhereAReaderGoesOn) {
  EXPECT_EQ(ahead.begin(0, 5, kNoLimit, kMiB, loop), nullptr) << "the first read";
  EXPECT_EQ(ahead.begin(7, 9, kNoLimit, kMiB, loop), nullptr) << "somewhere else";
  const auto run = ahead.begin(5, 12, kNoLimit, kMiB, loop);
  ASSERT_NE(run, nullptr);
  EXPECT_EQ(ahead.find(5), nullptr);
  EXPECT_EQ(ahead.find(12), run);
  const auto order = ahead.order(run, kNoLimit, share);
  ASSERT_TRUE(order);
  EXPECT_EQ(order->offset, 12);
  EXPECT_EQ(order->max_bytes, 2 * kMiB);
  EXPECT_FALSE(ahead.order(run, kNoLimit, share)) << "one at a time";
}

TEST_F(ReadAheadTest, WhoReadsHereAndThereOrAtTheEndHasNoRun) {
  for (int64_t offset = 0; offset < 2'000; offset += 10)
    EXPECT_EQ(ahead.begin(offset * 7 % 2'003, offset * 7 % 2'003 + 1, kNoLimit, kMiB, loop), nullptr);
  for (int64_t offset = 3'000; offset < 3'010; ++offset)
    EXPECT_EQ(ahead.begin(offset, offset + 1, offset + 1, kMiB, loop), nullptr) << "the log ends there";
  EXPECT_NE(ahead.begin(3'010, 3'011, 3'012, kMiB, loop), nullptr) << "until he falls behind";
}

TEST_F(ReadAheadTest, SizesFollowTheReaderWithinBounds) {
  EXPECT_EQ(begin(1)->read_bytes, ReadAhead::kMinReadBytes);
  ahead.drop_all();
  EXPECT_EQ(begin(UINT64_MAX)->read_bytes, ReadAhead::kMaxReadBytes);
}

TEST_F(ReadAheadTest, GivesWhatCameInOrderAndFollowsTheReader) {
  const auto run = begin();
  bring(run, batches(10, 3));
  bring(run, batches(13, 2));
  const auto read = take(run);
  EXPECT_THAT(offsets(read), ElementsAre(10, 11, 12, 13, 14));
  EXPECT_EQ(read.next, 15);
  EXPECT_EQ(ahead.find(15), run);
  EXPECT_EQ(share->bytes.load(), 0);
  EXPECT_EQ(share->taken_bytes.load(), read.bytes);
  EXPECT_EQ(leases, 2) << "they are the reader's now";
}

TEST_F(ReadAheadTest, GivesWholeBatchesUpToTheSizeWhereverSlicesEnd) {
  for (const size_t slice : {size_t{1}, size_t{50}, size_t{100}, size_t{161}, size_t{1'000'000}}) {
    ahead.drop_all();
    loop.run_until_idle();
    const auto run = begin();
    auto all = batches(10, 5, 100, slice);
    const uint64_t batch = all.bytes / 5;
    bring(run, std::move(all));
    EXPECT_THAT(offsets(take(run, kNoLimit, 2 * batch)), ElementsAre(10, 11)) << slice;
    EXPECT_EQ(static_cast<uint64_t>(share->bytes.load()), 3 * batch);
    EXPECT_THAT(offsets(take(run, kNoLimit, 1)), ElementsAre(12)) << "one always";
    EXPECT_THAT(offsets(take(run, kNoLimit, 2 * batch - 1)), ElementsAre(13));
    EXPECT_EQ(ahead.find(14), run);
    EXPECT_THAT(offsets(take(run, kNoLimit, batch)), ElementsAre(14));
    EXPECT_EQ(share->bytes.load(), 0);
    EXPECT_EQ(leases, 0) << "nothing is kept of what was given";
  }
}

TEST_F(ReadAheadTest, AFirstBatchMayBeLargerButNoOther) {
  const auto run = begin();
  bring(run, batches(10, 1, 100));
  bring(run, batches(11, 1, 5'000));
  EXPECT_THAT(offsets(take(run, kNoLimit, 1'000)), ElementsAre(10));
  EXPECT_THAT(offsets(take(run, kNoLimit, 1'000)), ElementsAre(11));
}

TEST_F(ReadAheadTest, GivesNothingAtOrAboveTheReadersLimit) {
  const auto run = begin();
  bring(run, batches(10, 5));
  EXPECT_THAT(offsets(take(run, 10)), IsEmpty());
  EXPECT_THAT(offsets(take(run, 12)), ElementsAre(10, 11));
  EXPECT_THAT(offsets(take(run, 12)), IsEmpty());
  EXPECT_THAT(offsets(take(run, 14)), ElementsAre(12, 13));
  EXPECT_THAT(offsets(take(run, 15)), ElementsAre(14));
}

TEST_F(ReadAheadTest, HoldsABatchBackThatReachesAboveTheLimit) {
  const auto run = begin();
  auto bytes = std::make_shared<std::string>(host::testing::make_batch(10, 5));
  host::ReadResult read;
  read.slices.push_back({reinterpret_cast<const uint8_t*>(bytes->data()), bytes->size(), 0, -1});
  read.bytes = bytes->size();
  read.next = 15;
  read.lease = host::Lease(bytes);
  bring(run, std::move(read));
  EXPECT_THAT(offsets(take(run, 14)), IsEmpty());
  EXPECT_THAT(offsets(take(run, 15)), ElementsAre(10));
}

TEST_F(ReadAheadTest, AsksNoFurtherThanTheLimitAndItsBytes) {
  const auto run = begin(kMiB / 2);
  EXPECT_FALSE(ahead.order(run, 10, share)) << "there is nothing yet";
  int reads = 0;
  for (int64_t at = 10; ahead.order(run, kNoLimit, share); ++at, ++reads) {
    auto read = batches(at, 1, kMiB - 100);
    ahead.arrived(run, &read, false);
  }
  EXPECT_EQ(reads, 4);
  EXPECT_LE(run->held_bytes, ReadAhead::kMaxRunBytes);
  EXPECT_EQ(static_cast<uint64_t>(share->bytes.load()), run->held_bytes);
  take(run, kNoLimit, kMiB);
  EXPECT_TRUE(ahead.order(run, kNoLimit, share)) << "there is room again";
}

TEST_F(ReadAheadTest, AllRunsOfAStorageShareItsBytes) {
  const uint64_t most = static_cast<uint64_t>(AheadShare::kMaxBytes);
  std::vector<std::unique_ptr<ReadAhead>> partitions;
  std::vector<ReadAhead::RunPtr> asked;
  while (share->refused.load() == 0 && partitions.size() < 1'000) {
    auto& one = *partitions.emplace_back(std::make_unique<ReadAhead>());
    one.begin(0, 5, kNoLimit, kMiB, loop);
    const auto run = one.begin(5, 10, kNoLimit, kMiB, loop);
    if (one.order(run, kNoLimit, share)) asked.push_back(run);
    one.tidy(run);
  }
  EXPECT_EQ(asked.size(), most / (2 * kMiB));
  EXPECT_EQ(partitions.back()->runs(), 0u) << "who got nothing reads as before";
  EXPECT_NE(partitions.back()->begin(10, 15, kNoLimit, kMiB, loop), nullptr) << "and is tried again";
  partitions.front()->arrived(asked.front(), nullptr, false);
  EXPECT_EQ(static_cast<uint64_t>(share->bytes.load()), most - 2 * kMiB);
}

TEST_F(ReadAheadTest, ReadersAtDifferentPlacesHaveRunsOfTheirOwn) {
  std::vector<ReadAhead::RunPtr> runs;
  for (int64_t i = 0; i < static_cast<int64_t>(ReadAhead::kMaxRuns); ++i) {
    ahead.begin(100 * i, 100 * i + 1, kNoLimit, kMiB, loop);
    runs.push_back(ahead.begin(100 * i + 1, 100 * i + 2, kNoLimit, kMiB, loop));
    ASSERT_NE(runs.back(), nullptr);
    bring(runs.back(), batches(100 * i + 2, 2));
  }
  ahead.begin(10'000, 10'001, kNoLimit, kMiB, loop);
  EXPECT_EQ(ahead.begin(10'001, 10'002, kNoLimit, kMiB, loop), nullptr) << "nobody loses his";
  for (size_t i = 0; i < runs.size(); ++i) {
    EXPECT_EQ(ahead.find(100 * static_cast<int64_t>(i) + 2), runs[i]);
    EXPECT_EQ(take(runs[i]).next, 100 * static_cast<int64_t>(i) + 4);
  }
}

TEST_F(ReadAheadTest, AStorageThatAnswersAtOnceIsNotAskedAgain) {
  const auto run = begin();
  bring(run, batches(10, 2), true);
  EXPECT_FALSE(ahead.order(run, kNoLimit, share));
  EXPECT_THAT(offsets(take(run)), ElementsAre(10, 11)) << "what is there is good";
  ahead.tidy(run);
  EXPECT_EQ(ahead.runs(), 0u);
}

TEST_F(ReadAheadTest, AFailedReadEndsTheRunAndItsReaderIsStillKnown) {
  const auto run = begin();
  ASSERT_TRUE(ahead.order(run, kNoLimit, share));
  ahead.arrived(run, nullptr, false);
  EXPECT_EQ(ahead.runs(), 0u);
  EXPECT_EQ(share->bytes.load(), 0);
  EXPECT_NE(ahead.begin(10, 12, kNoLimit, kMiB, loop), nullptr);
}

TEST_F(ReadAheadTest, WhatIsDroppedIsLetGoOfOnTheLoopAndWhatComesLaterToo) {
  const auto run = begin();
  bring(run, batches(10, 2));
  ASSERT_TRUE(ahead.order(run, kNoLimit, share));
  ahead.drop_all();
  EXPECT_EQ(leases, 1) << "not with the lock held";
  loop.run_until_idle();
  EXPECT_EQ(leases, 0);
  EXPECT_EQ(ahead.find(10), nullptr);
  {
    auto late = batches(12, 2);
    ahead.arrived(run, &late, false);
    EXPECT_EQ(ahead.runs(), 0u);
  }
  EXPECT_EQ(leases, 0);
  EXPECT_EQ(share->bytes.load(), 0);
  EXPECT_GT(share->dropped_bytes.load(), 0u);
  EXPECT_EQ(ahead.begin(10, 12, kNoLimit, kMiB, loop), nullptr) << "the reader is a new one";
}

TEST_F(ReadAheadTest, WhatWasTrimmedIsDropped) {
  const auto run = begin();
  bring(run, batches(10, 5));
  ahead.drop_below(10);
  EXPECT_EQ(ahead.find(10), run);
  ahead.drop_below(11);
  EXPECT_EQ(ahead.find(10), nullptr);
}

// ---- In a partition

class PartitionReadsAhead : public ::testing::Test {
 protected:
  static constexpr size_t kValueBytes = 100'000;
  static constexpr uint64_t kTwo = 250'000;  // batches fit

  void SetUp() override {
    ASSERT_TRUE(broker.start().ok());
    ASSERT_TRUE(broker.create("t"));
    broker.data.hold = [this](const std::string& name) { return name == "read" && !at_once; };
    broker.data.on_call = [this](const host::testing::Command& command) {
      if (command.name == "read") reads.push_back(command.at);
    };
  }
  void TearDown() override {
    broker.data.hold = nullptr;
    broker.data.refuse = nullptr;
    broker.data.on_call = nullptr;
    broker.stop();
    EXPECT_EQ(broker.data.leases, 0);
    EXPECT_EQ(broker.data.open_handles, 0);
  }

  void append(int count, char letter = 'v') {
    for (int i = 0; i < count; ++i) {
      const auto answer = broker.append(make_append({kTestTimeMs}, {}, std::string(kValueBytes, letter)));
      ASSERT_EQ(answer.error, ErrorCode::kNone);
    }
  }
  Task<ReadOutcome> ask(int64_t offset, uint64_t max_bytes = kTwo) {
    return broker.partition()->read({offset, max_bytes, -1, -1}, broker.loop);
  }
  /// The storage answers the reads that it has, and those that follow from that, up to a number in all.
  void serve(size_t up_to = SIZE_MAX) {
    broker.settle();
    for (auto waiting = broker.data.waiting("read"); !waiting.empty() && served < up_to;
         waiting = broker.data.waiting("read")) {
      broker.data.carry_out_and_reply(waiting.front());
      ++served;
      broker.settle();
    }
  }
  ReadOutcome read(int64_t offset, uint64_t max_bytes = kTwo) {
    std::optional<ReadOutcome> outcome;
    start(ask(offset, max_bytes), [&](ReadOutcome read) { outcome = std::move(read); });
    while (!outcome && !broker.data.waiting("read").empty()) serve(served + 1);
    EXPECT_TRUE(outcome);
    return outcome ? std::move(*outcome) : ReadOutcome{};
  }
  std::shared_ptr<AheadShare> share() { return broker.context->ahead.of("data"); }
  /// Reads 0, 1 and 2, 3: then what follows is read ahead.
  void read_on() {
    EXPECT_THAT(batch_offsets(read(0)), ElementsAre(0, 1));
    EXPECT_THAT(batch_offsets(read(2)), ElementsAre(2, 3));
  }

  ScriptedBroker broker;
  std::vector<int64_t> reads;  // that the storage was asked for
  size_t served = 0;
  bool at_once = false;  // it answers inside the call
};

TEST_F(PartitionReadsAhead, WhoGoesOnFindsWhatFollows) {
  append(10);
  read_on();
  EXPECT_THAT(reads, ElementsAre(0, 2, 4));
  serve();
  EXPECT_THAT(reads, ElementsAre(0, 2, 4, 8)) << "asked for before anybody did";
  for (const int64_t offset : {4, 6, 8}) EXPECT_THAT(batch_offsets(read(offset)), ElementsAre(offset, offset + 1));
  EXPECT_EQ(reads.size(), 4u) << "each batch was read once";
  EXPECT_EQ(broker.data.leases, 0);
  EXPECT_EQ(share()->bytes.load(), 0);
  EXPECT_THAT(batch_offsets(read(10)), IsEmpty());
  append(2);
  EXPECT_THAT(batch_offsets(read(10)), ElementsAre(10, 11)) << "at the end nothing is ahead";
}

TEST_F(PartitionReadsAhead, AReaderWaitsForWhatIsOnItsWay) {
  append(6);
  read_on();
  EXPECT_THAT(reads, ElementsAre(0, 2, 4));
  std::optional<ReadOutcome> outcome;
  start(ask(4), [&](ReadOutcome read) { outcome = std::move(read); });
  broker.settle();
  EXPECT_FALSE(outcome);
  EXPECT_EQ(reads.size(), 3u) << "it is not asked for twice";
  serve();
  ASSERT_TRUE(outcome);
  EXPECT_THAT(batch_offsets(*outcome), ElementsAre(4, 5));
}

TEST_F(PartitionReadsAhead, OneReadMayTakeSeveralThatWereMadeAhead) {
  append(60);
  read_on();
  const auto many = batch_offsets(read(4, 5'000'000));
  EXPECT_GE(many.size(), 24u) << "half of what was asked for, at least";
  for (size_t i = 0; i < many.size(); ++i) EXPECT_EQ(many[i], static_cast<int64_t>(i) + 4);
}

TEST_F(PartitionReadsAhead, ReadersHereAndThereCauseNoReads) {
  append(10);
  for (const int64_t offset : {0, 5, 1, 8, 4, 1, 0, 5}) read(offset);
  EXPECT_THAT(reads, ElementsAre(0, 5, 1, 8, 4, 1, 0, 5));
}

TEST_F(PartitionReadsAhead, AStorageThatAnswersAtOnceIsNotReadAhead) {
  at_once = true;
  append(10);
  read_on();
  EXPECT_THAT(reads, ElementsAre(0, 2));
  EXPECT_EQ(broker.data.leases, 0);
}

TEST_F(PartitionReadsAhead, WhoComesNoMorePinsNothing) {
  append(10);
  read_on();
  serve();
  EXPECT_EQ(broker.data.leases, 2);
  EXPECT_GT(share()->bytes.load(), 0);
  broker.advance_ms(ReadAhead::kUnusedMs * 2 + 100);
  EXPECT_EQ(broker.data.leases, 0);
  EXPECT_EQ(share()->bytes.load(), 0);
  EXPECT_THAT(batch_offsets(read(4)), ElementsAre(4, 5)) << "and may come back";
}

TEST_F(PartitionReadsAhead, ASlowReaderKeepsItsRun) {
  append(10);
  read_on();
  serve();
  for (const int64_t offset : {4, 6, 8}) {
    broker.advance_ms(ReadAhead::kUnusedMs - 100);
    EXPECT_THAT(batch_offsets(read(offset)), ElementsAre(offset, offset + 1));
  }
  EXPECT_EQ(reads.size(), 4u);
}

TEST_F(PartitionReadsAhead, ErrorsAreTheReadersOwn) {
  append(6);
  broker.data.refuse = [this](const host::testing::Command& command) -> std::optional<sluice_status> {
    return command.name == "read" && reads.size() == 3 ? std::optional<sluice_status>(SLUICE_UNAVAILABLE)
                                                       : std::nullopt;
  };
  read_on();
  EXPECT_THAT(reads, ElementsAre(0, 2, 4));
  EXPECT_EQ(broker.context->metrics.read_errors.load(), 0u) << "nobody asked for it";
  EXPECT_THAT(batch_offsets(read(4)), ElementsAre(4, 5));
  EXPECT_THAT(reads, ElementsAre(0, 2, 4, 4));
}

TEST_F(PartitionReadsAhead, WhatWasDeletedIsNotShown) {
  append(10);
  read_on();
  serve();
  const OffsetAnswer deleted = broker.wait(broker.partition()->delete_records(5, broker.loop));
  EXPECT_EQ(deleted.error, ErrorCode::kNone);
  broker.settle();
  EXPECT_EQ(broker.data.leases, 0);
  EXPECT_EQ(read(4).error, ErrorCode::kOffsetOutOfRange);
  EXPECT_THAT(batch_offsets(read(5)), ElementsAre(5, 6));
}

TEST_F(PartitionReadsAhead, AfterALossOthersAreAtTheseOffsets) {
  append(10);
  read_on();
  serve();
  EXPECT_EQ(broker.data.leases, 2);
  auto& stored = broker.stored();
  while (!stored.batches.empty() && stored.batches.back().base_offset >= 4) stored.batches.pop_back();
  stored.end = 4;
  at_once = true;
  auto topic = broker.cluster->state().topic("t");
  ASSERT_TRUE(
      broker.wait(broker.cluster->raise_leader_epoch(topic->id, 0, topic->partitions[0].leader_epoch, broker.loop)));
  EXPECT_EQ(broker.wait(broker.partition()->list_offset(-1, -1, broker.loop)).offset, 4);
  EXPECT_EQ(broker.data.leases, 0);
  append(2, 'n');
  const ReadOutcome now = read(4);
  EXPECT_THAT(batch_offsets(now), ElementsAre(4, 5));
  ASSERT_FALSE(now.slices.empty());
  EXPECT_EQ(now.slices.back().data[now.slices.back().length - 2], 'n');
}

TEST_F(PartitionReadsAhead, WhatComesAfterTheEpochEndedIsNotUsed) {
  append(6);
  read_on();
  std::optional<ReadOutcome> outcome;
  start(ask(4), [&](ReadOutcome read) { outcome = std::move(read); });
  broker.settle();
  ASSERT_FALSE(outcome);
  auto topic = broker.cluster->state().topic("t");
  ASSERT_TRUE(
      broker.wait(broker.cluster->raise_leader_epoch(topic->id, 0, topic->partitions[0].leader_epoch, broker.loop)));
  broker.settle();
  EXPECT_THAT(reads, ElementsAre(0, 2, 4, 4)) << "who waited asks the storage himself";
  const auto waiting = broker.data.waiting("read");
  ASSERT_EQ(waiting.size(), 2u);
  broker.data.carry_out_and_reply(waiting.back());
  broker.settle();
  ASSERT_TRUE(outcome);
  EXPECT_THAT(batch_offsets(*outcome), ElementsAre(4, 5));
  outcome.reset();
  broker.data.carry_out_and_reply(waiting.front());
  broker.settle();
  EXPECT_EQ(broker.data.leases, 0);
  EXPECT_EQ(share()->bytes.load(), 0);
}

TEST_F(PartitionReadsAhead, ALogThatAnotherWriterTookHoldsNothing) {
  append(10);
  read_on();
  serve();
  EXPECT_EQ(broker.data.leases, 2);
  broker.stored().token = UINT64_MAX;
  EXPECT_EQ(broker.append(make_append({kTestTimeMs})).error, ErrorCode::kNotLeaderOrFollower);
  EXPECT_EQ(broker.data.leases, 0);
}

TEST_F(PartitionReadsAhead, ADeletedTopicHoldsNothing) {
  append(10);
  read_on();
  serve();
  EXPECT_EQ(broker.data.leases, 2);
  ASSERT_EQ(broker.wait(broker.cluster->delete_topic(broker.cluster->state().topic("t")->id, broker.loop)).code,
            ErrorCode::kNone);
  broker.settle();
  EXPECT_EQ(broker.data.leases, 0);
}

}  // namespace
}  // namespace sluice::partition
