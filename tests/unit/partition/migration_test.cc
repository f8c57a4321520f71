// SPDX-License-Identifier: Apache-2.0
// A topic that moves from one storage to another beside its clients, and what is found whenever the broker, a storage
// or the operator ends it on the way: what was acknowledged is there once, under its offset, and no log is left over.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "cluster/extents.hpp"
#include "partition/log_partition.hpp"
#include "partition/migrator.hpp"
#include "support/scripted_broker.hpp"

namespace sluice::partition {
namespace {

using host::testing::Command;
using host::testing::FakeEngine;
using sluice::testing::batch_offsets;
using sluice::testing::kTestTimeMs;
using sluice::testing::make_append;
using sluice::testing::Producing;
using sluice::testing::ScriptedBroker;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Migration : public ::testing::Test {
 protected:
  using Answer = sluice::testing::ProduceAnswer;

  void SetUp() override {
    ASSERT_TRUE(broker.start().ok());
    ASSERT_TRUE(broker.create("t"));
  }
  void TearDown() override {
    broker.meta.hold = broker.data.hold = broker.other.hold = nullptr;
    broker.meta.refuse = broker.data.refuse = broker.other.refuse = nullptr;
    stop_moving();
    broker.stop();
    for (FakeEngine* engine : {&broker.data, &broker.other}) {
      EXPECT_EQ(engine->leases, 0);
      EXPECT_EQ(engine->open_handles, 0);
    }
  }

  // ---- The migrator

  void start_moving() {
    moving_ = true;
    moving_ended_ = false;
    MigratorOptions options;
    options.pause = [this](int64_t ms) -> Task<bool> {
      if (moving_) co_await sleep_for(broker.loop, ms);
      co_return moving_;
    };
    migrator = std::make_unique<Migrator>(*broker.cluster, *broker.partitions, broker.loop, options);
    start(migrator->run(), [this] { moving_ended_ = true; });
    broker.settle();
  }
  void end_moving() {
    moving_ = false;
    for (int i = 0; i < 10'000 && !moving_ended_; ++i) broker.advance_ms(50);
    EXPECT_TRUE(moving_ended_);
  }
  void stop_moving() {
    if (!migrator) return;
    end_moving();
    migrator.reset();
  }
  bool migrating() { return broker.cluster->state().topic("t")->migration.has_value(); }
  void wait_until_moved() {
    for (int i = 0; i < 10'000 && migrating(); ++i) broker.advance_ms(50);
    ASSERT_FALSE(migrating()) << migrator->describe(*broker.cluster->state().topic("t"));
  }
  ErrorCode migrate_to(const std::string& storage) { return broker.alter("t", "sluice.storage", storage); }
  nlohmann::json status() { return nlohmann::json::parse(migrator->describe(*broker.cluster->state().topic("t"))); }

  // ---- Steps by hand

  class NoPace final : public CopyPace {
   public:
    void begin(int64_t bytes_in_all, int64_t) override { in_all = bytes_in_all; }
    Task<bool> admit(uint64_t) override { co_return admit_now(0); }
    bool admit_now(uint64_t) override { return left > 0 && left-- > 0; }
    void copied(uint64_t bytes) override { total += static_cast<int64_t>(bytes); }
    int left = INT32_MAX;
    int64_t in_all = 0;
    int64_t total = 0;
  };
  Status switch_now() { return broker.wait(broker.partition()->switch_storage(broker.loop)); }
  Status copy_now() {
    NoPace pace;
    return broker.wait(broker.partition()->copy_extents(pace, broker.loop));
  }

  // ---- Clients

  Answer queue(Producing producer = {}, std::string_view value = "value", int64_t timestamp = kTestTimeMs) {
    return broker.queue(make_append({timestamp}, producer, value));
  }
  ProduceOutcome append(Producing producer = {}, std::string_view value = "value", int64_t timestamp = kTestTimeMs) {
    return broker.append(make_append({timestamp}, producer, value));
  }
  void append_ok(int count) {
    for (int i = 0; i < count; ++i) ASSERT_EQ(append().error, ErrorCode::kNone);
  }
  ReadOutcome read(int64_t offset, uint64_t max_bytes = 1 << 20) {
    return broker.wait(broker.partition()->read({offset, max_bytes, -1, -1}, broker.loop));
  }
  OffsetAnswer offset_of(int64_t timestamp) {
    return broker.wait(broker.partition()->list_offset(timestamp, -1, broker.loop));
  }
  /// All that a reader finds from the log start on.
  std::vector<int64_t> read_all() {
    std::vector<int64_t> offsets;
    int64_t at = offset_of(-2).offset;
    const int64_t end = offset_of(-1).offset;
    while (at < end) {
      const ReadOutcome outcome = read(at, 1);
      EXPECT_EQ(outcome.error, ErrorCode::kNone) << "at " << at;
      const auto found = batch_offsets(outcome);
      if (found.empty()) break;
      offsets.insert(offsets.end(), found.begin(), found.end());
      at = found.back() + 1;
    }
    EXPECT_EQ(at, end);
    return offsets;
  }
  static std::vector<int64_t> from_to(int64_t from, int64_t to) {
    std::vector<int64_t> all;
    for (int64_t i = from; i < to; ++i) all.push_back(i);
    return all;
  }
  std::vector<cluster::Extent> extents() { return broker.cluster->state().topic("t")->partitions[0].extents; }
  /// What metadata names is there, and nothing else.
  void expect_no_log_left_over() {
    std::set<host::LogId> named;
    for (const auto& topic : broker.cluster->state().topics(true)) {
      for (const auto& partition : topic->partitions)
        cluster::for_each_log(partition, [&](const cluster::Extent& extent) { named.insert(extent.log); });
    }
    std::set<host::LogId> there;
    for (FakeEngine* engine : {&broker.data, &broker.other}) {
      for (const auto& [id, log] : engine->logs) there.insert(id);
    }
    EXPECT_EQ(there, named);
  }

  ScriptedBroker broker;
  std::unique_ptr<Migrator> migrator;

 private:
  bool moving_ = false;
  bool moving_ended_ = true;
};

// ---- Readers over extents

TEST_F(Migration, ReadersSeeOneLog) {
  for (int i = 0; i < 5; ++i) ASSERT_EQ(append({}, "value", kTestTimeMs + i).error, ErrorCode::kNone);
  ASSERT_EQ(migrate_to("other"), ErrorCode::kNone);
  ASSERT_TRUE(switch_now().ok());
  for (int i = 5; i < 9; ++i) ASSERT_EQ(append({}, "value", kTestTimeMs + i).base_offset, i);
  ASSERT_EQ(extents().size(), 2u);
  EXPECT_EQ(extents()[0].to, 5);
  EXPECT_EQ(broker.data.log(extents()[0].log).batches.size(), 5u);
  EXPECT_EQ(broker.other.log(extents()[1].log).batches.size(), 4u);

  EXPECT_EQ(read_all(), from_to(0, 9));
  EXPECT_EQ(batch_offsets(read(3)), from_to(3, 9)) << "one answer from both logs";
  const uint64_t size = read(0, 1).bytes;
  EXPECT_EQ(batch_offsets(read(3, 3 * size)), from_to(3, 6));
  EXPECT_EQ(batch_offsets(read(3, 3 * size - 1)), from_to(3, 5)) << "no more than was asked for";
  EXPECT_EQ(read(10).error, ErrorCode::kOffsetOutOfRange);

  for (int i = 0; i < 9; ++i) EXPECT_EQ(offset_of(kTestTimeMs + i).offset, i);
  EXPECT_EQ(offset_of(kTestTimeMs + 9).offset, -1);
  EXPECT_EQ(offset_of(-3).offset, 8);
  EXPECT_EQ(offset_of(-2).offset, 0);
  EXPECT_EQ(offset_of(-1).offset, 9);
  const int32_t epoch = broker.partition()->leader_epoch();
  EXPECT_EQ(broker.wait(broker.partition()->end_of_epoch(epoch, -1, broker.loop)).offset, 9) << "the epoch is the same";
}

TEST_F(Migration, DeletingRecordsDropsWholeExtents) {
  append_ok(5);
  ASSERT_EQ(migrate_to("other"), ErrorCode::kNone);
  ASSERT_TRUE(switch_now().ok());
  append_ok(3);
  EXPECT_EQ(broker.wait(broker.partition()->delete_records(3, broker.loop)).offset, 3);
  EXPECT_EQ(extents().size(), 2u);
  EXPECT_EQ(broker.data.log(extents()[0].log).start, 3) << "trimmed";
  EXPECT_EQ(read_all(), from_to(3, 8));
  ASSERT_TRUE(broker.restart().ok());
  EXPECT_EQ(read_all(), from_to(3, 8));
  EXPECT_EQ(offset_of(kTestTimeMs).offset, 3);
  EXPECT_EQ(broker.wait(broker.partition()->delete_records(6, broker.loop)).offset, 6);
  EXPECT_EQ(extents().size(), 1u) << "nothing of the old log is left";
  EXPECT_EQ(read_all(), from_to(6, 8));
  EXPECT_TRUE(copy_now().ok()) << "nothing to do";
  broker.wait(broker.cluster->maintain());
  EXPECT_TRUE(broker.data.logs.empty());
  expect_no_log_left_over();
}

TEST_F(Migration, RetentionGoesOverExtents) {
  ASSERT_EQ(broker.alter("t", "segment.ms", "1"), ErrorCode::kNone);
  ASSERT_EQ(broker.alter("t", "retention.ms", "100000"), ErrorCode::kNone) << "settings count at once";
  append_ok(2);
  broker.advance_ms(100);
  append_ok(2);
  ASSERT_EQ(migrate_to("other"), ErrorCode::kNone);
  ASSERT_TRUE(switch_now().ok());
  broker.advance_ms(150'000);
  ASSERT_EQ(append({}, "value", broker.clock.wall_ms()).base_offset, 4);
  broker.wait(broker.partition()->maintain(broker.loop));
  EXPECT_EQ(offset_of(-2).offset, 4);
  EXPECT_EQ(extents().size(), 1u);
  EXPECT_EQ(read_all(), from_to(4, 5));
}

TEST_F(Migration, ASealedLogThatEndsTooEarlyIsDamageAndNoEnd) {
  append_ok(5);
  ASSERT_EQ(migrate_to("other"), ErrorCode::kNone);
  ASSERT_TRUE(switch_now().ok());
  append_ok(2);
  broker.stop();
  auto& log = broker.data.logs.begin()->second;
  log.batches.resize(3);
  log.end = 3;
  ASSERT_TRUE(broker.start().ok());
  EXPECT_EQ(read(1).error, ErrorCode::kCorruptMessage);
  EXPECT_EQ(read(4).error, ErrorCode::kCorruptMessage);
  EXPECT_EQ(broker.lines_with("DATA LOSS"), 1u) << "told once";
  EXPECT_EQ(append().base_offset, 7) << "those who write go on";
  EXPECT_EQ(batch_offsets(read(5)), from_to(5, 8));
  EXPECT_EQ(copy_now().code(), StatusCode::corrupt) << "and nothing is copied as if it were whole";
}

// As where its storage comes back without the newest of it while the broker runs.
TEST_F(Migration, ASealedLogThatLosesItsTailAfterItWasReadIsDamageAndNoGap) {
  append_ok(5);
  ASSERT_EQ(migrate_to("other"), ErrorCode::kNone);
  ASSERT_TRUE(switch_now().ok());
  append_ok(2);
  EXPECT_EQ(read_all(), from_to(0, 7));
  auto& log = broker.data.logs.begin()->second;
  log.batches.resize(3);
  log.end = 3;
  EXPECT_EQ(read(3).error, ErrorCode::kCorruptMessage);
  EXPECT_NE(read(4).error, ErrorCode::kNone);
  EXPECT_EQ(broker.lines_with("DATA LOSS"), 1u) << "told once";
  EXPECT_EQ(batch_offsets(read(5)), from_to(5, 7));
}

TEST_F(Migration, WhatAStorageForgotIsAGap) {
  broker.data.capabilities = 0;
  ASSERT_TRUE(broker.restart().ok());
  append_ok(5);
  ASSERT_EQ(migrate_to("other"), ErrorCode::kNone);
  ASSERT_TRUE(switch_now().ok());
  append_ok(2);
  broker.stop();
  broker.data.logs.clear();
  ASSERT_TRUE(broker.start().ok());
  EXPECT_EQ(batch_offsets(read(2)), from_to(5, 7)) << "readers go on behind it";
  EXPECT_EQ(broker.lines_with("forgot the records from 0 to 5"), 1u);
  EXPECT_EQ(broker.context->metrics.lost_logs.load(), 1u);
  EXPECT_EQ(extents().size(), 1u);
  EXPECT_EQ(append().base_offset, 7);
  EXPECT_EQ(offset_of(-2).offset, 0);
  broker.wait(broker.partition()->maintain(broker.loop));
  EXPECT_EQ(offset_of(-2).offset, 5);
}

TEST_F(Migration, AnOpenLogThatIsForgottenLeavesWhatIsSealed) {
  broker.other.capabilities = 0;
  ASSERT_TRUE(broker.restart().ok());
  append_ok(1);
  ASSERT_EQ(append({7, 0, 0}).base_offset, 1);
  append_ok(3);
  EXPECT_EQ(broker.wait(broker.partition()->delete_records(1, broker.loop)).offset, 1);
  ASSERT_EQ(migrate_to("other"), ErrorCode::kNone);
  ASSERT_TRUE(switch_now().ok());
  append_ok(3);
  const int32_t epoch = broker.partition()->leader_epoch();
  broker.stop();
  broker.other.logs.clear();
  ASSERT_TRUE(broker.start().ok());
  EXPECT_EQ(read_all(), from_to(1, 5)) << "the log start and the sealed records are there";
  EXPECT_GT(broker.partition()->leader_epoch(), epoch + 1) << "the restart's, and another";
  EXPECT_EQ(append({7, 0, 0}).base_offset, 1) << "a duplicate: its producer is known from the sealed log";
  EXPECT_EQ(append().base_offset, 5);
}

// ---- The switch

TEST_F(Migration, ProducersGoOnAcrossTheSwitch) {
  for (int32_t i = 0; i < 4; ++i) ASSERT_EQ(append({7, 0, i}).base_offset, i);
  const int32_t epoch = broker.partition()->leader_epoch();
  ASSERT_EQ(migrate_to("other"), ErrorCode::kNone);
  ASSERT_TRUE(switch_now().ok());
  EXPECT_EQ(append({7, 0, 3}).base_offset, 3) << "a retry of what lies in the old log";
  EXPECT_EQ(append({7, 0, 5}).error, ErrorCode::kOutOfOrderSequenceNumber);
  EXPECT_EQ(append({7, 0, 4}).base_offset, 4);
  EXPECT_EQ(broker.partition()->leader_epoch(), epoch);
  ASSERT_TRUE(broker.restart().ok());
  EXPECT_EQ(append({7, 0, 4}).base_offset, 4);
  EXPECT_EQ(append({7, 0, 2}).base_offset, 2);
  EXPECT_EQ(append({7, 0, 5}).base_offset, 5);
}

TEST_F(Migration, WhoAppendsAndReadsMeanwhileIsToldNothing) {
  append_ok(3);
  ASSERT_EQ(migrate_to("other"), ErrorCode::kNone);
  // The new log takes its time.
  broker.other.hold = [](const std::string& name) { return name == "save"; };
  std::optional<Status> moved;
  start(broker.partition()->switch_storage(broker.loop), [&](Status status) { moved = std::move(status); });
  broker.settle();
  ASSERT_FALSE(broker.other.waiting("save").empty());
  const Answer first = queue({7, 0, 0});
  const Answer second = queue({7, 0, 1});
  std::optional<ReadOutcome> seen;
  start(broker.partition()->read({0, 1 << 20, -1, -1}, broker.loop), [&](ReadOutcome o) { seen = std::move(o); });
  broker.settle();
  EXPECT_FALSE(first->has_value());
  EXPECT_FALSE(seen.has_value());
  broker.other.hold = nullptr;
  broker.other.carry_out_and_reply(broker.other.waiting("save").front());
  for (int i = 0; i < 100 && !moved; ++i) broker.advance_ms(50);
  ASSERT_TRUE(moved && moved->ok()) << moved->describe();
  ASSERT_TRUE(first->has_value() && second->has_value() && seen.has_value());
  EXPECT_EQ((*first)->base_offset, 3);
  EXPECT_EQ((*second)->base_offset, 4);
  EXPECT_EQ(seen->error, ErrorCode::kNone);
  EXPECT_EQ(read_all(), from_to(0, 5));
  EXPECT_EQ(broker.other.log(extents()[1].log).batches.size(), 2u);
}

TEST_F(Migration, AnAppendInDoubtIsSettledBeforeTheSwitch) {
  append_ok(2);
  ASSERT_EQ(migrate_to("other"), ErrorCode::kNone);
  broker.data.hold = [](const std::string& name) { return name == "append"; };
  const Answer late = queue({7, 0, 0});
  std::optional<Status> moved;
  start(broker.partition()->switch_storage(broker.loop), [&](Status status) { moved = std::move(status); });
  broker.settle();
  EXPECT_FALSE(moved) << "it waits for the answer";
  EXPECT_EQ(extents().size(), 1u);
  // The command is carried out, its answer is lost: a fence finds it.
  broker.data.hold = nullptr;
  const size_t index = broker.data.waiting("append").front();
  broker.data.carry_out(index);
  broker.data.reply(index, SLUICE_UNKNOWN);
  for (int i = 0; i < 200 && !moved; ++i) broker.advance_ms(50);
  ASSERT_TRUE(moved);
  if (!moved->ok()) {
    ASSERT_TRUE(switch_now().ok());
  }
  ASSERT_TRUE(late->has_value());
  EXPECT_EQ((*late)->base_offset, 2);
  EXPECT_EQ(extents()[0].to, 3);
  EXPECT_EQ(append({7, 0, 0}).base_offset, 2);
  EXPECT_EQ(read_all(), from_to(0, 3));
}

TEST_F(Migration, NothingIsAppendedWhileASwitchIsUnknown) {
  append_ok(3);
  ASSERT_EQ(migrate_to("other"), ErrorCode::kNone);
  // From the switch on nobody hears of the metadata log; the command itself lands.
  int appends = 0;
  broker.meta.on_outcome = [&](Command& c, sluice_status status) {
    return c.name == "append" && ++appends >= 2 ? SLUICE_UNKNOWN : status;  // the first one records the new log
  };
  std::optional<Status> moved;
  start(broker.partition()->switch_storage(broker.loop), [&](Status status) { moved = std::move(status); });
  broker.settle();
  EXPECT_FALSE(moved);
  const Answer waiting = queue();
  for (int i = 0; i < 4'000 && !(moved && waiting->has_value()); ++i) broker.advance_ms(50);
  ASSERT_TRUE(moved);
  EXPECT_FALSE(moved->ok());
  ASSERT_TRUE(waiting->has_value());
  EXPECT_NE((*waiting)->error, ErrorCode::kNone);
  EXPECT_NE(append().error, ErrorCode::kNone);
  EXPECT_EQ(broker.data.logs.begin()->second.end, 3) << "what was appended there would be lost";
  broker.meta.on_outcome = nullptr;
  ASSERT_TRUE(broker.restart().ok());
  EXPECT_EQ(extents().size(), 2u) << "the switch had happened";
  EXPECT_EQ(append().base_offset, 3);
  EXPECT_EQ(read_all(), from_to(0, 4));
}

TEST_F(Migration, ATargetThatIsAwayHoldsUpNobody) {
  append_ok(3);
  ASSERT_EQ(migrate_to("other"), ErrorCode::kNone);
  for (const char* call : {"bounds", "create_log", "fence", "save"}) {
    SCOPED_TRACE(call);
    broker.other.refuse = [call](const Command& c) {
      return c.name == call ? std::optional<sluice_status>(SLUICE_UNAVAILABLE) : std::nullopt;
    };
    EXPECT_EQ(switch_now().code(), StatusCode::unavailable);
    ASSERT_EQ(append().error, ErrorCode::kNone);
  }
  broker.other.refuse = nullptr;
  EXPECT_EQ(extents().size(), 1u);
  ASSERT_TRUE(switch_now().ok());
  EXPECT_EQ(extents()[0].to, 7);
  EXPECT_EQ(append().base_offset, 7);
  EXPECT_EQ(read_all(), from_to(0, 8));
}

TEST_F(Migration, ATargetThatHangsInTheSwitchIsGivenUp) {
  append_ok(3);
  ASSERT_EQ(migrate_to("other"), ErrorCode::kNone);
  int64_t end = 3;
  for (const char* call : {"create_log", "fence", "save"}) {
    SCOPED_TRACE(call);
    // It answers when it is asked how it is, and then no more.
    broker.other.hold = [call](const std::string& name) { return name == call; };
    std::optional<Status> moved;
    start(broker.partition()->switch_storage(broker.loop), [&](Status status) { moved = std::move(status); });
    broker.settle();
    ASSERT_FALSE(broker.other.waiting(call).empty());
    const Answer waiting = queue();
    for (int64_t ms = 0; ms < LogPartition::kMaxTargetMs + 200; ms += 50) broker.advance_ms(50);
    ASSERT_TRUE(waiting->has_value()) << "producers wait no longer than that";
    EXPECT_EQ((*waiting)->error, ErrorCode::kNone);
    EXPECT_EQ((*waiting)->base_offset, end++);
    EXPECT_EQ(extents().size(), 1u);
    broker.other.hold = nullptr;
    // What was asked lands when nobody expects it any more.
    for (const size_t index : broker.other.waiting(call)) broker.other.carry_out_and_reply(index);
    for (int i = 0; i < 1'000 && !moved; ++i) broker.advance_ms(50);
    ASSERT_TRUE(moved);
    EXPECT_FALSE(moved->ok());
  }
  ASSERT_TRUE(switch_now().ok());
  EXPECT_EQ(extents()[0].to, end);
  EXPECT_EQ(append().base_offset, end);
  EXPECT_EQ(read_all(), from_to(0, end + 1));
  ASSERT_TRUE(broker.restart().ok());
  EXPECT_EQ(read_all(), from_to(0, end + 1));
}

// ---- The copy

TEST_F(Migration, ACopyIsTheSameBytes) {
  append_ok(20);
  const auto original = broker.stored().batches;
  ASSERT_EQ(migrate_to("other"), ErrorCode::kNone);
  ASSERT_TRUE(switch_now().ok());
  append_ok(1);
  ASSERT_TRUE(copy_now().ok());
  ASSERT_EQ(extents().size(), 2u);
  EXPECT_EQ(extents()[0].storage, "other");
  const auto& copied = broker.other.log(extents()[0].log);
  ASSERT_EQ(copied.batches.size(), original.size());
  EXPECT_EQ(broker.context->metrics.switches.load(), 1u);
  EXPECT_GT(broker.context->metrics.bytes_copied.load(), 20u * 60);
  for (size_t i = 0; i < original.size(); ++i) EXPECT_EQ(copied.batches[i].bytes, original[i].bytes);
  EXPECT_EQ(copied.end, 20);
  broker.wait(broker.cluster->maintain());
  EXPECT_TRUE(broker.data.logs.empty());
  EXPECT_EQ(read_all(), from_to(0, 21));
  ASSERT_TRUE(broker.restart().ok());
  EXPECT_EQ(read_all(), from_to(0, 21));
}

TEST_F(Migration, ACopyReadsOnWhileTheTargetWrites) {
  const std::string large(300 * 1024, 'x');
  for (int i = 0; i < 60; ++i) ASSERT_EQ(append({}, large).error, ErrorCode::kNone);
  ASSERT_EQ(migrate_to("other"), ErrorCode::kNone);
  ASSERT_TRUE(switch_now().ok());
  std::vector<int64_t> asked;  // of the storage that is copied from
  broker.data.on_call = [&](const Command& c) {
    if (c.name == "read") asked.push_back(c.at);
  };
  broker.other.hold = [](const std::string& name) { return name == "append"; };
  NoPace pace;
  std::optional<Status> copied;
  start(broker.partition()->copy_extents(pace, broker.loop), [&](Status status) { copied = std::move(status); });
  broker.settle();
  // What is under way is limited; behind it one read has come already, and no more are asked for.
  const int64_t sent = pace.total / static_cast<int64_t>(large.size());
  EXPECT_GT(pace.total, static_cast<int64_t>(LogPartition::kCopyInFlightBytes));
  EXPECT_LT(pace.total, static_cast<int64_t>(LogPartition::kCopyInFlightBytes + 2 * LogPartition::kCopyReadBytes));
  ASSERT_FALSE(asked.empty());
  EXPECT_EQ(asked.back(), sent);
  broker.other.hold = nullptr;
  broker.other.carry_out_and_reply(broker.other.waiting("append").front());
  for (int i = 0; i < 100 && !copied; ++i) broker.advance_ms(50);
  ASSERT_TRUE(copied && copied->ok());
  broker.data.on_call = nullptr;
  EXPECT_EQ(pace.total, pace.in_all) << "nothing was copied twice";
  EXPECT_EQ(read_all(), from_to(0, 60));
}

TEST_F(Migration, ACopyThatFailsWaitsForTheReadThatIsUnderWay) {
  const std::string large(300 * 1024, 'x');
  for (int i = 0; i < 60; ++i) ASSERT_EQ(append({}, large).error, ErrorCode::kNone);
  ASSERT_EQ(migrate_to("other"), ErrorCode::kNone);
  ASSERT_TRUE(switch_now().ok());
  broker.other.refuse = [&](const Command& c) {
    return c.name == "append" ? std::optional<sluice_status>(SLUICE_NO_SPACE) : std::nullopt;
  };
  bool slow = false;  // once the copy has begun, reads of what it is made from take their time
  broker.data.on_call = [&](const Command& c) { slow = slow || (c.name == "read" && c.at > 0); };
  broker.data.hold = [&](const std::string& name) { return name == "read" && slow; };
  NoPace pace;
  std::optional<Status> copied;
  start(broker.partition()->copy_extents(pace, broker.loop), [&](Status status) { copied = std::move(status); });
  broker.advance_ms(1'000);
  ASSERT_EQ(broker.data.waiting("read").size(), 1u);
  EXPECT_FALSE(copied) << "somebody is at work for it still";
  broker.data.hold = nullptr;
  broker.data.carry_out_and_reply(broker.data.waiting("read").front());
  broker.settle();
  ASSERT_TRUE(copied);
  EXPECT_EQ(copied->code(), StatusCode::no_space);
  EXPECT_EQ(broker.data.leases, 0);
  broker.data.on_call = nullptr;
  broker.other.refuse = nullptr;
  EXPECT_TRUE(copy_now().ok());
  EXPECT_EQ(read_all(), from_to(0, 60));
}

TEST_F(Migration, ACopyGoesOnWhereItEnded) {
  const std::string large(300 * 1024, 'x');
  for (int i = 0; i < 20; ++i) ASSERT_EQ(append({}, large).error, ErrorCode::kNone);
  ASSERT_EQ(migrate_to("other"), ErrorCode::kNone);
  ASSERT_TRUE(switch_now().ok());
  NoPace pace;
  pace.left = 2;
  EXPECT_EQ(broker.wait(broker.partition()->copy_extents(pace, broker.loop)).code(), StatusCode::unavailable);
  const int64_t first = pace.total;
  EXPECT_GT(first, 0);
  const host::LogId copy = broker.cluster->state().topic("t")->partitions[0].copy->extent.log;
  ASSERT_TRUE(broker.restart().ok());
  NoPace rest;
  EXPECT_TRUE(broker.wait(broker.partition()->copy_extents(rest, broker.loop)).ok());
  EXPECT_EQ(extents()[0].log, copy) << "the same log";
  EXPECT_EQ(first + rest.total, pace.in_all) << "nothing was copied twice";
  EXPECT_EQ(read_all(), from_to(0, 20));
}

TEST_F(Migration, ACopyWhoseEndMayNotBeDurableBeginsAgain) {
  append_ok(5);
  ASSERT_EQ(migrate_to("other"), ErrorCode::kNone);
  ASSERT_TRUE(switch_now().ok());
  // The broker ends after the copy is whole and before metadata says so.
  broker.meta.refuse = [](const Command& c) {
    return c.name == "append" ? std::optional<sluice_status>(SLUICE_INTERNAL) : std::nullopt;
  };
  const auto plan = [&] { return broker.cluster->state().topic("t")->partitions[0].copy; };
  EXPECT_FALSE(copy_now().ok()) << "it could not even be recorded";
  EXPECT_FALSE(plan());
  int appends = 0;
  broker.meta.refuse = [&](const Command& c) {
    return c.name == "append" && ++appends > 1 ? std::optional<sluice_status>(SLUICE_INTERNAL) : std::nullopt;
  };
  EXPECT_FALSE(copy_now().ok());
  ASSERT_TRUE(plan());
  const host::LogId first = plan()->extent.log;
  EXPECT_EQ(broker.other.log(first).end, 5);
  broker.meta.refuse = nullptr;
  ASSERT_TRUE(broker.restart().ok());
  ASSERT_TRUE(copy_now().ok());
  EXPECT_NE(extents()[0].log, first) << "nobody knows whether its last unit was synced";
  EXPECT_EQ(read_all(), from_to(0, 5));
  broker.wait(broker.cluster->maintain());
  expect_no_log_left_over();
}

TEST_F(Migration, DeletedRecordsAreNotCopied) {
  append_ok(10);
  EXPECT_EQ(broker.wait(broker.partition()->delete_records(4, broker.loop)).offset, 4);
  ASSERT_EQ(migrate_to("other"), ErrorCode::kNone);
  ASSERT_TRUE(switch_now().ok());
  ASSERT_TRUE(copy_now().ok());
  EXPECT_EQ(extents()[0].from, 4);
  EXPECT_EQ(broker.other.log(extents()[0].log).batches.size(), 6u);
  EXPECT_EQ(read_all(), from_to(4, 10));
  EXPECT_EQ(offset_of(-2).offset, 4);
}

TEST_F(Migration, ABatchThatTheTargetDoesNotTakeStopsTheCopyWithTheReason) {
  ASSERT_EQ(append({}, std::string(5'000, 'x')).error, ErrorCode::kNone);
  append_ok(1);
  broker.other.largest_unit = 4'096;
  ASSERT_TRUE(broker.restart().ok());
  EXPECT_EQ(migrate_to("other"), ErrorCode::kInvalidConfig);
  EXPECT_EQ(broker.lines_with("It takes at most 4096 bytes at once"), 1u);
  // Smaller from now on, but the large one is there.
  ASSERT_EQ(broker.alter("t", "max.message.bytes", "4096"), ErrorCode::kNone);
  ASSERT_EQ(migrate_to("other"), ErrorCode::kNone);
  start_moving();
  broker.advance_ms(5'000);
  EXPECT_TRUE(migrating());
  EXPECT_THAT(status()["error"].get<std::string>(), HasSubstr("storage \"other\" takes 4096 at most"));
  EXPECT_EQ(append().base_offset, 2);
  EXPECT_EQ(read_all(), from_to(0, 3)) << "what cannot be moved is read where it is";
  ASSERT_EQ(migrate_to("data"), ErrorCode::kNone);
  wait_until_moved();
  EXPECT_EQ(read_all(), from_to(0, 3));
  expect_no_log_left_over();
}

TEST_F(Migration, DamageIsNotCopied) {
  append_ok(5);
  ASSERT_EQ(migrate_to("other"), ErrorCode::kNone);
  ASSERT_TRUE(switch_now().ok());
  broker.data.log(extents()[0].log).batches[2].bytes.back() ^= 1;
  EXPECT_EQ(copy_now().code(), StatusCode::corrupt);
  EXPECT_EQ(extents()[0].storage, "data");
}

// ---- What the operator sees

TEST_F(Migration, GoesByItself) {
  start_moving();
  append_ok(30);
  EXPECT_EQ(migrator->describe(*broker.cluster->state().topic("t")), "");
  ASSERT_EQ(migrate_to("other"), ErrorCode::kNone);
  EXPECT_EQ(status()["state"], "switching");
  EXPECT_EQ(status()["from"], "data");
  EXPECT_EQ(status()["to"], "other");
  std::vector<Answer> answers;
  for (int i = 0; i < 20; ++i) {
    answers.push_back(queue());
    broker.advance_ms(50);
  }
  wait_until_moved();
  for (const Answer& answer : answers) EXPECT_EQ((*answer)->error, ErrorCode::kNone) << "nobody was told anything";
  EXPECT_EQ(read_all(), from_to(0, 50));
  EXPECT_TRUE(broker.data.logs.empty());
  expect_no_log_left_over();
  ASSERT_EQ(broker.cluster->state().topic("t")->configs.at("sluice.storage"), "other");
  ASSERT_EQ(migrate_to("data"), ErrorCode::kNone);
  wait_until_moved();
  EXPECT_EQ(read_all(), from_to(0, 50));
  EXPECT_TRUE(broker.other.logs.empty());
}

TEST_F(Migration, BeginsAtOnceWhenItIsTold) {
  append_ok(5);
  start_moving();
  ASSERT_EQ(migrate_to("other"), ErrorCode::kNone);
  broker.settle();
  EXPECT_EQ(extents().size(), 1u) << "nobody has looked yet";
  migrator->look();
  broker.settle();
  EXPECT_EQ(extents().front().storage, "other") << "without any time passing";
  // Who is told too late does nothing.
  wait_until_moved();
  end_moving();
  ASSERT_EQ(migrate_to("data"), ErrorCode::kNone);
  migrator->look();
  broker.advance_ms(1'000);
  EXPECT_TRUE(migrating());
}

TEST_F(Migration, KeepsToItsRateAndRests) {
  const std::string large(200 * 1024, 'x');
  for (int i = 0; i < 50; ++i) ASSERT_EQ(append({}, large).error, ErrorCode::kNone);  // 10 MiB
  ASSERT_EQ(broker.alter("t", "sluice.migration.max.bytes.per.second", "1048576"), ErrorCode::kNone);
  start_moving();
  ASSERT_EQ(migrate_to("other"), ErrorCode::kNone);
  broker.advance_ms(5'000);
  nlohmann::json now = status();
  EXPECT_EQ(now["state"], "copying");
  EXPECT_GT(now["bytes_copied"].get<int64_t>(), 3 << 20);
  EXPECT_LT(now["bytes_copied"].get<int64_t>(), 6 << 20);
  EXPECT_NEAR(now["bytes_total"].get<double>(), 10e6, 1e6);
  EXPECT_NEAR(now["bytes_per_second"].get<double>(), 1e6, 3e5);
  EXPECT_NEAR(now["remaining_ms"].get<double>(), 5'000, 2'500);
  ASSERT_EQ(broker.alter("t", "sluice.migration.paused", "true"), ErrorCode::kNone);
  broker.advance_ms(2'000);
  now = status();
  EXPECT_EQ(now["state"], "paused");
  broker.advance_ms(20'000);
  EXPECT_EQ(status()["bytes_copied"], now["bytes_copied"]);
  EXPECT_FALSE(now.contains("error"));
  ASSERT_EQ(broker.alter("t", "sluice.migration.paused", std::nullopt), ErrorCode::kNone);
  ASSERT_EQ(broker.alter("t", "sluice.migration.max.bytes.per.second", "-1"), ErrorCode::kNone);
  wait_until_moved();
  EXPECT_EQ(read_all(), from_to(0, 50));
}

TEST_F(Migration, IsCancelledInEachPhase) {
  const std::string large(300 * 1024, 'x');
  for (int i = 0; i < 12; ++i) ASSERT_EQ(append({}, large).error, ErrorCode::kNone);
  int64_t end = 12;
  const auto back = [&] {
    ASSERT_EQ(migrate_to("data"), ErrorCode::kNone);
    start_moving();
    ASSERT_NO_FATAL_FAILURE(wait_until_moved());
    stop_moving();
    EXPECT_TRUE(broker.other.logs.empty());
    expect_no_log_left_over();
    EXPECT_EQ(read_all(), from_to(0, end));
    EXPECT_EQ(append().base_offset, end++);
  };
  // Before anything moved.
  ASSERT_EQ(migrate_to("other"), ErrorCode::kNone);
  back();
  // With a log made ready.
  ASSERT_EQ(migrate_to("other"), ErrorCode::kNone);
  ASSERT_TRUE(broker.wait(broker.cluster->record_next(broker.cluster->state().topic("t")->id, 0, broker.loop)));
  back();
  // After the switch, with records on the target.
  ASSERT_EQ(migrate_to("other"), ErrorCode::kNone);
  ASSERT_TRUE(switch_now().ok());
  ASSERT_EQ(append().base_offset, end++);
  back();
  // In the midst of the copy.
  ASSERT_EQ(migrate_to("other"), ErrorCode::kNone);
  ASSERT_TRUE(switch_now().ok());
  ASSERT_EQ(append().base_offset, end++);
  NoPace pace;
  pace.left = 2;
  EXPECT_FALSE(broker.wait(broker.partition()->copy_extents(pace, broker.loop)).ok());
  back();
  // When all is copied.
  ASSERT_EQ(migrate_to("other"), ErrorCode::kNone);
  ASSERT_TRUE(switch_now().ok());
  while (!cluster::run_to_copy(broker.cluster->state().topic("t")->partitions[0], "other").empty())
    ASSERT_TRUE(copy_now().ok());
  ASSERT_EQ(append().base_offset, end++);
  back();
}

TEST_F(Migration, IsRefusedWithTheReason) {
  broker.lines.clear();
  EXPECT_EQ(migrate_to("nowhere"), ErrorCode::kInvalidConfig);
  EXPECT_EQ(broker.lines_with("There is no such storage; there are: meta, data, other"), 1u);
  EXPECT_EQ(migrate_to("data"), ErrorCode::kNone) << "it is there already";
  EXPECT_FALSE(migrating());
  ASSERT_EQ(migrate_to("other"), ErrorCode::kNone);
  EXPECT_EQ(migrate_to("meta"), ErrorCode::kInvalidConfig);
  EXPECT_EQ(broker.lines_with("A migration from \"data\" to \"other\" is under way"), 1u);
  EXPECT_EQ(broker.alter("t", "retention.ms", "5"), ErrorCode::kNone) << "other settings can be changed";
  EXPECT_EQ(broker.alter("t", "sluice.storage", std::nullopt), ErrorCode::kNone);
  EXPECT_TRUE(migrating()) << "not to say where is no cancellation";
  EXPECT_EQ(broker.alter("t", "sluice.migration", "x"), ErrorCode::kInvalidConfig);
  EXPECT_EQ(broker.alter("t", "sluice.migration.max.bytes.per.second", "0"), ErrorCode::kInvalidConfig);
  EXPECT_EQ(broker.alter("t", "sluice.migration.paused", "maybe"), ErrorCode::kInvalidConfig);
  EXPECT_EQ(broker.alter("nobody", "retention.ms", "5"), ErrorCode::kUnknownTopicOrPartition);
  EXPECT_EQ(broker.alter("t", "no.such.setting", "5"), ErrorCode::kInvalidConfig);
}

TEST_F(Migration, NativeStoragesTakeNoPart) {
  broker.other.kind = SLUICE_KIND_NATIVE;
  ASSERT_TRUE(broker.restart().ok());
  EXPECT_EQ(migrate_to("other"), ErrorCode::kInvalidConfig);
  EXPECT_EQ(broker.lines_with("A storage of kind NATIVE numbers its records itself"), 1u);
  ASSERT_TRUE(broker.create("n", 1, {{"sluice.storage", "other"}}));
  EXPECT_EQ(broker.alter("n", "sluice.storage", "data"), ErrorCode::kInvalidConfig);
  EXPECT_EQ(broker.lines_with("The topic cannot leave \"other\", which is of kind NATIVE"), 1u);
}

// ---- Ends at every step

/// From call `crash_at` on, of those that change something, no storage hears anything more of this broker.
class MigrationCrash : public Migration {
 protected:
  void SetUp() override {
    Migration::SetUp();
    for (FakeEngine* engine : {&broker.meta, &broker.data, &broker.other}) {
      engine->refuse = [this](const Command& c) { return before(c); };
      engine->on_outcome = [this](Command&, sluice_status status) { return after(status); };
    }
  }
  void TearDown() override {
    crash_at(-1, false);
    Migration::TearDown();
  }
  void crash_at(int number, bool landed) {
    calls_ = 0;
    crash_at_ = number;
    landed_ = landed;
    crashed_ = cut_ = false;
  }
  std::optional<sluice_status> before(const Command& c) {
    static const std::set<std::string> kChanges = {"append", "create_log", "delete_log", "save", "fence", "trim"};
    if (crashed_) return SLUICE_UNAVAILABLE;
    if (!kChanges.contains(c.name) || calls_++ != crash_at_) return std::nullopt;
    if (!landed_) {
      crashed_ = true;
      return SLUICE_UNAVAILABLE;
    }
    cut_ = true;
    return std::nullopt;
  }
  sluice_status after(sluice_status status) {
    if (!std::exchange(cut_, false)) return status;
    crashed_ = true;
    return SLUICE_UNKNOWN;
  }

  int calls_ = 0;
  int crash_at_ = -1;
  bool landed_ = false;
  bool crashed_ = false;
  bool cut_ = false;
};

TEST_F(MigrationCrash, NothingIsLostWhereverTheBrokerEnds) {
  int32_t next = 0;
  std::map<int32_t, int64_t> by_sequence;
  const auto produce = [&](const Answer& answer, int32_t sequence) {
    if (!answer->has_value() || (*answer)->error != ErrorCode::kNone) return false;
    const auto [known, fresh] = by_sequence.emplace(sequence, (*answer)->base_offset);
    EXPECT_EQ(known->second, (*answer)->base_offset) << "sequence " << sequence << " got another offset";
    return true;
  };
  std::string target = "other";
  bool happened = true;
  int crashes = 0;
  for (const bool landed : {false, true}) {
    happened = true;
    for (int step = 0; happened && !HasFatalFailure(); ++step) {
      SCOPED_TRACE(::testing::Message() << (landed ? "after" : "before") << " step " << step);
      ASSERT_LT(step, 200) << "endless";
      start_moving();
      crash_at(step, landed);
      if (broker.alter("t", "sluice.storage", target) != ErrorCode::kNone) {
        EXPECT_TRUE(crashed_);
      }
      // One idempotent producer, one batch at a time, that retries what it got no answer to.
      for (int i = 0; i < 100 && !crashed_; ++i) {
        const Answer answer = queue({7, 0, next});
        for (int wait = 0; wait < 3 && !answer->has_value(); ++wait) broker.advance_ms(50);
        if (produce(answer, next)) ++next;
        if (!migrating() && cluster::home_of(*broker.cluster->state().topic("t")) == target) break;
      }
      happened = crashed_;
      crashes += happened;
      // The process is gone with all that it had queued; the next one goes on.
      stop_moving();
      broker.stop();
      crash_at(-1, false);
      ASSERT_TRUE(broker.start().ok());
      start_moving();
      ASSERT_EQ(broker.alter("t", "sluice.storage", target), ErrorCode::kNone);
      for (int tries = 0; tries < 50; ++tries) {
        const Answer answer = queue({7, 0, next});
        for (int wait = 0; wait < 200 && !answer->has_value(); ++wait) broker.advance_ms(50);
        if (produce(answer, next)) break;
      }
      ASSERT_TRUE(by_sequence.contains(next)) << "the producer cannot go on";
      ++next;
      ASSERT_NO_FATAL_FAILURE(wait_until_moved());
      stop_moving();
      broker.wait(broker.cluster->maintain());
      expect_no_log_left_over();
      for (const auto& extent : extents()) EXPECT_EQ(extent.storage, target);
      EXPECT_EQ(read_all(), from_to(0, next)) << "once each, in order";
      for (const auto& [sequence, offset] : by_sequence) ASSERT_EQ(offset, sequence);
      target = target == "other" ? "data" : "other";
      // Now and then the log begins anew, so that extents do not grow without end.
      if (step % 8 == 7) {
        ASSERT_TRUE(
            broker.wait(broker.cluster->delete_topic(broker.cluster->state().topic("t")->id, broker.loop)).code ==
            ErrorCode::kNone);
        ASSERT_TRUE(broker.create("t"));
        target = "other";
        next = 0;
        by_sequence.clear();
      }
    }
  }
  EXPECT_GT(crashes, 20);
}

}  // namespace
}  // namespace sluice::partition
