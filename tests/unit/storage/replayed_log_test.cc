// SPDX-License-Identifier: Apache-2.0
#include "storage/replayed_log.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "base/manual_loop.hpp"
#include "fake_log.hpp"

namespace sluice::storage {
namespace {

using ::testing::ElementsAre;
using testing::FakeEngine;
using testing::FakeLog;
using testing::Fault;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr auto kCommands = UnitHeader::Kind::commands;
constexpr auto kSnapshot = UnitHeader::Kind::snapshot;

/// Remembers every record in order; "poison" it cannot read.
class Ledger final : public StateMachine {
 public:
  void reset() override { records.clear(); }
  Status apply(std::string_view record, int64_t, int64_t) override {
    if (record == "poison") return Status(StatusCode::unsupported, "poison");
    records.emplace_back(record);
    return {};
  }
  std::vector<std::string> snapshot() const override { return records; }

  std::vector<std::string> records;
};

class ReplayedLogTest : public ::testing::Test {
 protected:
  struct Writer {
    Ledger ledger;
    std::shared_ptr<ReplayedLog> log;
    std::map<std::string, Status> answers;  // by record
    std::vector<std::string> reports;
  };

  std::unique_ptr<Writer> writer(int32_t broker, bool several = false, int32_t epoch = 1, uint64_t incarnation = 1) {
    auto result = std::make_unique<Writer>();
    ReplayedLogOptions options;
    options.name = "test log";
    options.several_writers = several;
    options.leader_epoch = epoch;
    options.writer = {broker, incarnation};
    options.snapshot_every_bytes = snapshot_every_bytes_;
    options.clock = &clock_;
    options.report = [w = result.get()](const std::string& line) { w->reports.push_back(line); };
    result->log = std::make_shared<ReplayedLog>(std::make_shared<FakeLog>(engine_, loop_), result->ledger, loop_,
                                                std::move(options));
    return result;
  }

  Status run(Task<Status> task) {
    std::optional<Status> result;
    start(std::move(task), [&](Status status) { result = std::move(status); });
    settle();
    EXPECT_TRUE(result.has_value()) << "never ended";
    return result.value_or(Status(StatusCode::internal, "never ended"));
  }

  Status load(Writer& w) { return run(w.log->load()); }

  void append(Writer& w, const std::string& record) {
    w.log->append({record}, loop_, [&w, record](Status status) { w.answers[record] = std::move(status); });
  }

  Status append_and_wait(Writer& w, const std::string& record) {
    append(w, record);
    settle();
    EXPECT_TRUE(w.answers.contains(record));
    return w.answers[record];
  }

  /// Runs until nothing is left to do, pauses between tries included.
  void settle() {
    loop_.run_until_idle();
    for (int i = 0; i < 1'000 && loop_.timers() > 0; ++i) loop_.advance_ms(ReplayedLog::kMaxBackoffMs);
  }

  /// What a broker that starts now sees.
  std::vector<std::string> replayed(bool several) {
    const auto saved = std::exchange(engine_->fault, nullptr);
    auto reader = writer(99, several, 1'000'000);
    EXPECT_TRUE(load(*reader).ok()) << load(*reader).describe();
    engine_->fault = saved;
    return reader->ledger.records;
  }

  /// Every snapshot in the log, with what follows it, is the same state as the whole log.
  void check_snapshots(bool several) {
    const std::vector<std::string> truth = replayed(several);
    const std::shared_ptr<FakeEngine> whole = engine_;
    for (const auto& batch : whole->batches) {
      const auto view = *records::BatchView::parse(as_bytes(batch.bytes));
      const UnitHeader header = decode_unit(view)->header;
      if (header.kind != kSnapshot || header.part != 0) continue;
      engine_ = std::make_shared<FakeEngine>();
      engine_->batches = whole->batches;
      engine_->end = whole->end;
      engine_->trim_to(batch.base);
      auto reader = writer(99, several, 1'000'000);
      const Status status = load(*reader);
      // It may be one that its writer gave up.
      EXPECT_TRUE(status.ok() || status.code() == StatusCode::corrupt) << status.describe();
      if (status.ok()) {
        EXPECT_EQ(reader->ledger.records, truth) << "from the snapshot at " << batch.base;
      }
    }
    engine_ = whole;
  }

  /// A unit put into the log by hand.
  void put_unit(UnitHeader::Kind kind, WriterId writer, uint64_t sequence, std::vector<std::string> records,
                uint32_t part = 0, uint32_t parts = 0, std::vector<WriterProgress> progress = {}) {
    UnitHeader header;
    header.kind = kind;
    header.previous_crc = previous_crc_;
    header.writer = writer;
    header.sequence = sequence;
    header.part = part;
    header.parts = parts;
    header.progress = std::move(progress);
    const Buffer unit = encode_unit(header, records, engine_->end, 1, 1'000).value();
    previous_crc_ = records::BatchView::parse(unit.view())->crc();
    engine_->put(std::string(as_text(unit.view())));
  }

  ManualLoop loop_;
  ManualClock clock_;
  std::shared_ptr<FakeEngine> engine_ = std::make_shared<FakeEngine>();
  uint64_t snapshot_every_bytes_ = 4 << 20;
  uint32_t previous_crc_ = 0;
};

constexpr WriterId kOne{1, 1}, kTwo{2, 1};

TEST_F(ReplayedLogTest, AppliesWhatIsAppendedAndReplaysIt) {
  auto w = writer(1);
  ASSERT_TRUE(load(*w).ok());
  EXPECT_TRUE(append_and_wait(*w, "a").ok());
  EXPECT_TRUE(append_and_wait(*w, "b").ok());
  EXPECT_THAT(w->ledger.records, ElementsAre("a", "b"));
  EXPECT_EQ(replayed(false), w->ledger.records);
}

TEST_F(ReplayedLogTest, RefusesBeforeItIsLoaded) {
  auto w = writer(1);
  EXPECT_EQ(append_and_wait(*w, "a").code(), StatusCode::unavailable);
  engine_->fault = [](const std::string& call) { return call == "bounds" ? Fault::unavailable : Fault::none; };
  EXPECT_EQ(load(*w).code(), StatusCode::unavailable);
  EXPECT_EQ(append_and_wait(*w, "b").code(), StatusCode::unavailable);
  engine_->fault = nullptr;
  EXPECT_TRUE(load(*w).ok());
  EXPECT_TRUE(append_and_wait(*w, "c").ok());
  EXPECT_THAT(replayed(false), ElementsAre("c"));
}

TEST_F(ReplayedLogTest, WhatComesTogetherIsOneUnit) {
  auto w = writer(1);
  ASSERT_TRUE(load(*w).ok());
  for (const char* record : {"a", "b", "c"}) append(*w, record);
  settle();
  EXPECT_EQ(engine_->batches.size(), 1u);
  EXPECT_THAT(w->ledger.records, ElementsAre("a", "b", "c"));
}

TEST_F(ReplayedLogTest, UnitsAreBounded) {
  auto w = writer(1);
  ASSERT_TRUE(load(*w).ok());
  for (char c = 'a'; c <= 'd'; ++c) append(*w, std::string(ReplayedLog::kMaxUnitBytes / 3, c));
  settle();
  EXPECT_EQ(engine_->batches.size(), 2u);
  EXPECT_EQ(w->ledger.records.size(), 4u);
}

TEST_F(ReplayedLogTest, SeveralRecordsOfOneAppendStayTogether) {
  auto w = writer(1);
  ASSERT_TRUE(load(*w).ok());
  Status answer(StatusCode::internal);
  w->log->append({"a", "b"}, loop_, [&](Status status) { answer = std::move(status); });
  w->log->append({}, loop_, [&](Status) {});
  settle();
  EXPECT_TRUE(answer.ok());
  EXPECT_THAT(w->ledger.records, ElementsAre("a", "b"));
}

TEST_F(ReplayedLogTest, ANewerEpochEndsTheOldWriter) {
  auto old = writer(1, false, 1);
  ASSERT_TRUE(load(*old).ok());
  ASSERT_TRUE(append_and_wait(*old, "a").ok());
  auto successor = writer(2, false, 2);
  ASSERT_TRUE(load(*successor).ok());
  EXPECT_THAT(successor->ledger.records, ElementsAre("a"));
  EXPECT_EQ(append_and_wait(*old, "b").code(), StatusCode::fenced);
  EXPECT_EQ(old->log->failure().code(), StatusCode::fenced);
  EXPECT_THAT(old->reports, ElementsAre(HasSubstr("test log stops: fenced")));
  EXPECT_EQ(append_and_wait(*old, "c").code(), StatusCode::fenced);
  EXPECT_TRUE(append_and_wait(*successor, "d").ok());
  EXPECT_THAT(replayed(false), ElementsAre("a", "d"));
  auto late = writer(3, false, 1);
  EXPECT_EQ(load(*late).code(), StatusCode::fenced);
}

TEST_F(ReplayedLogTest, AnIncarnationThatOpensAgainGoesOnCounting) {
  auto first = writer(1, false, 1);
  ASSERT_TRUE(load(*first).ok());
  for (const char* record : {"a", "b", "c"}) ASSERT_TRUE(append_and_wait(*first, record).ok());
  auto second = writer(1, false, 2);
  ASSERT_TRUE(load(*second).ok());
  ASSERT_TRUE(append_and_wait(*second, "d").ok());
  EXPECT_THAT(second->ledger.records, ElementsAre("a", "b", "c", "d"));
  EXPECT_THAT(replayed(false), ElementsAre("a", "b", "c", "d"));
}

TEST_F(ReplayedLogTest, OneWriterSettlesLostAnswers) {
  for (const Fault fault : {Fault::unknown_landed, Fault::unknown_lost, Fault::unknown_later}) {
    engine_ = std::make_shared<FakeEngine>();
    auto w = writer(1);
    ASSERT_TRUE(load(*w).ok());
    ASSERT_TRUE(append_and_wait(*w, "a").ok());
    int left = 1;
    engine_->fault = [&](const std::string& call) { return call == "append" && left-- > 0 ? fault : Fault::none; };
    const Status status = append_and_wait(*w, "b");
    EXPECT_EQ(status.code(), fault == Fault::unknown_landed ? StatusCode::ok : StatusCode::unavailable);
    EXPECT_TRUE(append_and_wait(*w, "c").ok());
    if (status.ok()) {
      EXPECT_THAT(w->ledger.records, ElementsAre("a", "b", "c"));
    } else {
      EXPECT_THAT(w->ledger.records, ElementsAre("a", "c")) << "what was fenced off never lands";
    }
    EXPECT_EQ(replayed(false), w->ledger.records);
  }
}

TEST_F(ReplayedLogTest, OneWriterIsToldSoonThatTheStorageIsAway) {
  auto w = writer(1);
  ASSERT_TRUE(load(*w).ok());
  int tries = 0;
  engine_->fault = [&](const std::string& call) {
    if (call != "append") return Fault::none;
    ++tries;
    return Fault::unavailable;
  };
  EXPECT_EQ(append_and_wait(*w, "a").code(), StatusCode::unavailable);
  EXPECT_EQ(tries, ReplayedLog::kMaxUnavailableTries + 1);
  EXPECT_TRUE(w->log->failure().ok()) << "it may come back";
  engine_->fault = nullptr;
  EXPECT_TRUE(append_and_wait(*w, "b").ok());
  EXPECT_THAT(replayed(false), ElementsAre("b"));
}

TEST_F(ReplayedLogTest, NoSpaceIsAnAnswer) {
  for (const bool several : {false, true}) {
    engine_ = std::make_shared<FakeEngine>();
    auto w = writer(1, several);
    ASSERT_TRUE(load(*w).ok());
    engine_->fault = [](const std::string& call) { return call == "append" ? Fault::no_space : Fault::none; };
    EXPECT_EQ(append_and_wait(*w, "a").code(), StatusCode::no_space);
    engine_->fault = nullptr;
    EXPECT_TRUE(append_and_wait(*w, "b").ok());
    EXPECT_THAT(replayed(several), ElementsAre("b"));
  }
}

TEST_F(ReplayedLogTest, OneOfSeveralSendsTheSameUnitUntilItIsAnswered) {
  for (const Fault fault : {Fault::unknown_landed, Fault::unknown_lost, Fault::unknown_later}) {
    engine_ = std::make_shared<FakeEngine>();
    auto w = writer(1, true);
    ASSERT_TRUE(load(*w).ok());
    int left = 2;
    engine_->fault = [&](const std::string& call) { return call == "append" && left-- > 0 ? fault : Fault::none; };
    EXPECT_TRUE(append_and_wait(*w, "a").ok());
    EXPECT_THAT(w->ledger.records, ElementsAre("a"));
    EXPECT_THAT(replayed(true), ElementsAre("a")) << "once";
  }
}

TEST_F(ReplayedLogTest, AnUnansweredUnitIsNotGivenUpWhenAnotherErrorFollows) {
  // Landed unseen; then the storage is full; then it answers that the end is elsewhere, and cannot be read for a while.
  auto w = writer(1, true);
  ASSERT_TRUE(load(*w).ok());
  std::deque<Fault> appends{Fault::unknown_landed, Fault::no_space, Fault::unavailable};
  int unreadable = 3;
  engine_->fault = [&](const std::string& call) {
    if (call == "bounds" && appends.empty() && unreadable-- > 0) return Fault::unavailable;
    if (call != "append" || appends.empty()) return Fault::none;
    const Fault fault = appends.front();
    appends.pop_front();
    return fault;
  };
  EXPECT_TRUE(append_and_wait(*w, "a").ok());
  EXPECT_THAT(replayed(true), ElementsAre("a"));
}

TEST_F(ReplayedLogTest, StopsWhenAnOutcomeStaysUnknown) {
  auto w = writer(1, true);
  ASSERT_TRUE(load(*w).ok());
  engine_->fault = [](const std::string& call) { return call == "append" ? Fault::unknown_lost : Fault::none; };
  EXPECT_EQ(append_and_wait(*w, "a").code(), StatusCode::unknown);
  EXPECT_EQ(w->log->failure().code(), StatusCode::unknown);
  engine_->fault = nullptr;
  EXPECT_EQ(append_and_wait(*w, "b").code(), StatusCode::unknown);
}

TEST_F(ReplayedLogTest, TriesNothingAgainOnceClosed) {
  for (const Fault fault : {Fault::unavailable, Fault::unknown_lost}) {
    for (const bool several : {false, true}) {
      engine_ = std::make_shared<FakeEngine>();
      auto w = writer(1, several);
      ASSERT_TRUE(load(*w).ok());
      engine_->fault = [fault](const std::string&) { return fault; };
      append(*w, "a");
      loop_.run_until_idle();
      EXPECT_FALSE(w->answers.contains("a")) << "it is being tried";
      w->log->close();
      loop_.advance_ms(ReplayedLog::kMaxBackoffMs);
      ASSERT_TRUE(w->answers.contains("a"));
      EXPECT_FALSE(w->answers["a"].ok());
      EXPECT_EQ(loop_.timers(), 0u);
    }
  }
}

TEST_F(ReplayedLogTest, SeveralWritersAgree) {
  auto one = writer(1, true), two = writer(2, true);
  ASSERT_TRUE(load(*one).ok());
  ASSERT_TRUE(load(*two).ok());
  append(*one, "a");
  append(*two, "b");
  settle();
  EXPECT_TRUE(one->answers["a"].ok());
  EXPECT_TRUE(two->answers["b"].ok());
  EXPECT_TRUE(run(one->log->catch_up()).ok());
  EXPECT_TRUE(run(two->log->catch_up()).ok());
  EXPECT_EQ(one->ledger.records, two->ledger.records);
  EXPECT_EQ(one->ledger.records.size(), 2u);
  EXPECT_EQ(replayed(true), one->ledger.records);
}

TEST_F(ReplayedLogTest, StopsWhenItsStorageLostWhatWasApplied) {
  for (const bool several : {false, true}) {
    SCOPED_TRACE(several ? "several writers" : "one writer");
    engine_ = std::make_shared<FakeEngine>();
    auto w = writer(1, several);
    ASSERT_TRUE(load(*w).ok());
    for (const char* record : {"a", "b", "c"}) ASSERT_TRUE(append_and_wait(*w, record).ok());
    engine_->batches.pop_back();
    engine_->end = engine_->batches.back().next;
    EXPECT_EQ(append_and_wait(*w, "d").code(), StatusCode::corrupt) << "what was told to others is not so";
    EXPECT_FALSE(w->log->failure().ok());
    EXPECT_THAT(w->reports.back(), HasSubstr("DATA LOSS"));
    EXPECT_EQ(append_and_wait(*w, "e").code(), StatusCode::corrupt);
    EXPECT_THAT(replayed(several), ElementsAre("a", "b")) << "nothing was appended behind the hole";
  }
}

TEST_F(ReplayedLogTest, ALossIsNoticedByWhoCatchesUp) {
  auto w = writer(1, true);
  ASSERT_TRUE(load(*w).ok());
  for (const char* record : {"a", "b"}) ASSERT_TRUE(append_and_wait(*w, record).ok());
  engine_->batches.pop_back();
  engine_->end = engine_->batches.back().next;
  EXPECT_EQ(run(w->log->catch_up()).code(), StatusCode::corrupt);
  EXPECT_FALSE(w->log->failure().ok());
}

TEST_F(ReplayedLogTest, CatchingUpDuringAnAppendAppliesOnce) {
  auto w = writer(1, true);
  ASSERT_TRUE(load(*w).ok());
  std::vector<Status> caught;
  for (int i = 0; i < 10; ++i) {
    append(*w, std::to_string(i));
    for (int turn = 0; turn < i; ++turn) loop_.run_one();
    start(w->log->catch_up(), [&](Status status) { caught.push_back(std::move(status)); });
  }
  settle();
  EXPECT_EQ(caught.size(), 10u);
  for (const Status& status : caught) EXPECT_TRUE(status.ok()) << status.describe();
  EXPECT_EQ(w->ledger.records.size(), 10u);
  EXPECT_TRUE(w->log->failure().ok());
}

TEST_F(ReplayedLogTest, TrimsToTheSecondNewestSnapshot) {
  for (const bool several : {false, true}) {
    engine_ = std::make_shared<FakeEngine>();
    snapshot_every_bytes_ = 2'000;
    auto w = writer(1, several);
    ASSERT_TRUE(load(*w).ok());
    uint64_t largest = 0;
    for (int i = 0; i < 200; ++i) {
      ASSERT_TRUE(append_and_wait(*w, std::to_string(i)).ok());
      largest = std::max<uint64_t>(largest, engine_->batches.size());
      if (w->ledger.records.size() > 20)
        w->ledger.records.erase(w->ledger.records.begin());  // state that does not grow
    }
    EXPECT_GT(engine_->trims, 3u);
    EXPECT_LT(largest, 100u) << "the log does not grow with history";
    // It begins with a snapshot's first unit, and one newer whole snapshot is behind it.
    std::vector<int64_t> snapshots;
    for (const auto& batch : engine_->batches) {
      const auto view = *records::BatchView::parse(as_bytes(batch.bytes));
      if (decode_unit(view)->header.kind == kSnapshot) snapshots.push_back(batch.base);
    }
    ASSERT_EQ(snapshots.size(), 2u);
    EXPECT_EQ(snapshots.front(), engine_->start);
    EXPECT_THAT(w->reports, IsEmpty());
  }
}

TEST_F(ReplayedLogTest, ASnapshotBeatenByACommandIsTakenAnew) {
  snapshot_every_bytes_ = 1;
  auto w = writer(1, true);
  ASSERT_TRUE(load(*w).ok());
  int appends = 0;
  engine_->fault = [&](const std::string& call) {
    if (call == "append" && ++appends == 2) {  // the snapshot is on its way
      previous_crc_ = records::BatchView::parse(as_bytes(engine_->batches.back().bytes))->crc();
      put_unit(kCommands, kTwo, 1, {"b"});
    }
    return Fault::none;
  };
  ASSERT_TRUE(append_and_wait(*w, "a").ok());
  EXPECT_EQ(appends, 3);
  EXPECT_THAT(w->ledger.records, ElementsAre("a", "b"));
  check_snapshots(true);
}

TEST_F(ReplayedLogTest, ASnapshotOfManyPartsIsTheState) {
  snapshot_every_bytes_ = 1 << 20;
  auto w = writer(1);
  ASSERT_TRUE(load(*w).ok());
  for (char c = 'a'; c <= 'z'; ++c) ASSERT_TRUE(append_and_wait(*w, std::string(100'000, c)).ok());
  EXPECT_GT(engine_->start, 0);
  EXPECT_EQ(replayed(false), w->ledger.records);
}

TEST_F(ReplayedLogTest, AFailedTrimIsReportedAndHarmless) {
  snapshot_every_bytes_ = 500;
  auto w = writer(1);
  ASSERT_TRUE(load(*w).ok());
  engine_->fault = [](const std::string& call) { return call == "trim" ? Fault::unavailable : Fault::none; };
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(append_and_wait(*w, std::to_string(i)).ok());
  EXPECT_EQ(engine_->start, 0);
  EXPECT_THAT(w->reports, ::testing::Contains(HasSubstr("not trimmed")));
  EXPECT_EQ(replayed(false), w->ledger.records);
}

TEST_F(ReplayedLogTest, CommandsBetweenPartsApplyAfterTheSnapshot) {
  put_unit(kCommands, kOne, 1, {"lost with the trim"});
  const int64_t start = engine_->end;
  put_unit(kSnapshot, kOne, 2, {"s1"}, 0, 3, {{kOne, 1}, {kTwo, 7}});
  put_unit(kCommands, kTwo, 8, {"c1"});
  put_unit(kSnapshot, kOne, 3, {"s2"}, 1, 3);
  put_unit(kCommands, kTwo, 9, {"c2"});
  put_unit(kSnapshot, kOne, 4, {"s3"}, 2, 3);
  put_unit(kCommands, kTwo, 10, {"c3"});
  engine_->trim_to(start);
  EXPECT_THAT(replayed(true), ElementsAre("s1", "s2", "s3", "c1", "c2", "c3"));
}

TEST_F(ReplayedLogTest, UnfinishedAndForeignPartsAreNoSnapshot) {
  put_unit(kCommands, kOne, 1, {"a"});
  const int64_t start = engine_->end;
  put_unit(kSnapshot, kOne, 2, {"wrong"}, 1, 2);  // its beginning was trimmed away
  put_unit(kSnapshot, kOne, 3, {"x1"}, 0, 2, {{kOne, 1}});
  put_unit(kSnapshot, kTwo, 1, {"y1"}, 0, 2, {{kOne, 1}});  // another one begins: the first is given up
  put_unit(kSnapshot, kOne, 4, {"x2"}, 1, 2);
  put_unit(kCommands, kTwo, 2, {"b"});
  put_unit(kSnapshot, kTwo, 3, {"a", "b"}, 0, 1, {{kOne, 1}, {kTwo, 2}});
  put_unit(kCommands, kTwo, 4, {"c"});
  engine_->trim_to(start);
  EXPECT_THAT(replayed(true), ElementsAre("a", "b", "c"));
}

TEST_F(ReplayedLogTest, RepeatsAreDropped) {
  put_unit(kCommands, kOne, 1, {"a"});
  put_unit(kCommands, kOne, 1, {"a"});
  put_unit(kCommands, kTwo, 1, {"b"});
  put_unit(kCommands, kOne, 2, {"c"});
  put_unit(kCommands, kTwo, 1, {"b"});
  put_unit(kCommands, {1, 2}, 1, {"d"});  // a later incarnation counts anew
  EXPECT_THAT(replayed(true), ElementsAre("a", "b", "c", "d"));
}

TEST_F(ReplayedLogTest, SnapshotsRememberWhatWasDone) {
  put_unit(kCommands, kOne, 5, {"a"});
  const int64_t start = engine_->end;
  put_unit(kSnapshot, kTwo, 1, {"a"}, 0, 1, {{kOne, 5}});
  put_unit(kCommands, kOne, 5, {"a"});
  put_unit(kCommands, kOne, 6, {"b"});
  engine_->trim_to(start);
  EXPECT_THAT(replayed(true), ElementsAre("a", "b"));
}

TEST_F(ReplayedLogTest, AnotherHistoryIsCorrupt) {
  put_unit(kCommands, kOne, 1, {"a"});
  previous_crc_ ^= 1;
  put_unit(kCommands, kOne, 2, {"b"});
  auto w = writer(1);
  const Status status = load(*w);
  EXPECT_EQ(status.code(), StatusCode::corrupt);
  EXPECT_THAT(status.text(), HasSubstr("test log: the unit at 2 does not follow the one before it"));
  EXPECT_EQ(append_and_wait(*w, "c").code(), StatusCode::unavailable);
}

TEST_F(ReplayedLogTest, TheFirstUnitFollowsNothing) {
  previous_crc_ = 7;
  put_unit(kCommands, kOne, 1, {"a"});
  auto w = writer(1);
  EXPECT_EQ(load(*w).code(), StatusCode::corrupt);
}

TEST_F(ReplayedLogTest, DamagedUnitsAreCorrupt) {
  put_unit(kCommands, kOne, 1, {"abcdef"});
  const std::string good = engine_->batches[0].bytes;
  // Base offset and leader epoch are outside of the checksum; the length decides where the next batch begins.
  for (size_t i = 16; i < good.size(); ++i) {
    engine_->batches[0].bytes = good;
    engine_->batches[0].bytes[i] ^= 0x40;
    auto w = writer(1);
    const Status status = load(*w);
    EXPECT_TRUE(status.code() == StatusCode::corrupt || status.code() == StatusCode::unsupported)
        << i << status.describe();
    EXPECT_THAT(w->ledger.records, IsEmpty()) << i;
  }
}

TEST_F(ReplayedLogTest, ATrimmedLogWithoutSnapshotIsCorrupt) {
  put_unit(kCommands, kOne, 1, {"a"});
  put_unit(kCommands, kOne, 2, {"b"});
  engine_->trim_to(2);
  auto w = writer(1);
  EXPECT_EQ(load(*w).code(), StatusCode::corrupt);
  engine_->trim_to(engine_->end);
  EXPECT_EQ(load(*w).code(), StatusCode::corrupt) << "an empty log that once held something";
}

TEST_F(ReplayedLogTest, NeverSkipsWhatTheMachineCannotRead) {
  auto one = writer(1, true), two = writer(2, true);
  ASSERT_TRUE(load(*one).ok());
  ASSERT_TRUE(load(*two).ok());
  EXPECT_EQ(append_and_wait(*one, "poison").code(), StatusCode::unsupported);
  EXPECT_EQ(one->log->failure().code(), StatusCode::unsupported);
  EXPECT_EQ(append_and_wait(*two, "a").code(), StatusCode::unsupported);
  EXPECT_EQ(two->log->failure().code(), StatusCode::unsupported);
  EXPECT_THAT(two->ledger.records, IsEmpty());
}

TEST_F(ReplayedLogTest, AWriterLeftBehindReadsAnew) {
  snapshot_every_bytes_ = 500;
  auto behind = writer(1, true), busy = writer(2, true);
  ASSERT_TRUE(load(*behind).ok());
  ASSERT_TRUE(load(*busy).ok());
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(append_and_wait(*busy, std::to_string(i)).ok());
  ASSERT_GT(engine_->start, 0);
  EXPECT_TRUE(append_and_wait(*behind, "late").ok());
  EXPECT_EQ(behind->ledger.records.size(), 101u);
  EXPECT_EQ(behind->ledger.records.back(), "late");
  EXPECT_EQ(replayed(true), behind->ledger.records);
}

/// Many writers, one log, every kind of fault, from one seed. Whatever was acknowledged is there once; whatever was
/// refused is not; all who still serve agree with each other and with a broker that starts now.
class ReplayedLogRace : public ReplayedLogTest, public ::testing::WithParamInterface<int> {};

TEST_P(ReplayedLogRace, SeveralWriters) {
  std::mt19937 random(static_cast<uint32_t>(GetParam()));
  const auto chance = [&](int percent) { return static_cast<int>(random() % 100) < percent; };
  snapshot_every_bytes_ = 300 + random() % 3'000;
  engine_->turns = [&] { return static_cast<int>(random() % 4); };
  std::vector<std::unique_ptr<Writer>> writers;
  for (int i = 0; i < 3; ++i) {
    writers.push_back(writer(i, true));
    ASSERT_TRUE(load(*writers.back()).ok());
  }
  const int faults = static_cast<int>(random() % 30);
  engine_->fault = [&, faults](const std::string& call) {
    if (!chance(faults)) return Fault::none;
    if (call != "append") return chance(30) ? Fault::unavailable : Fault::none;
    constexpr Fault kFaults[] = {Fault::unavailable, Fault::no_space, Fault::unknown_landed, Fault::unknown_lost,
                                 Fault::unknown_later};
    return kFaults[random() % 5];
  };
  int number = 0;
  for (int step = 0; step < 400; ++step) {
    Writer& w = *writers[random() % writers.size()];
    // Now and then a record that makes a snapshot have several parts.
    if (chance(60)) append(w, fmt::format("{}:{}", number++, std::string(chance(1) ? 150'000 : 5, 'x')));
    if (chance(10)) start(w.log->catch_up(), [](Status) {});
    for (int turns = static_cast<int>(random() % 20); turns > 0; --turns) loop_.run_one();
    if (chance(30)) loop_.advance_ms(static_cast<int64_t>(random() % 20));
    if (step % 50 == 49) {
      settle();
      check_snapshots(true);
    }
  }
  settle();
  engine_->fault = nullptr;
  engine_->land_delayed();
  check_snapshots(true);
  const std::vector<std::string> truth = replayed(true);
  const std::multiset<std::string> in_log(truth.begin(), truth.end());
  for (const std::string& record : truth) EXPECT_EQ(in_log.count(record), 1u) << record.substr(0, 20);
  size_t answered = 0;
  for (auto& w : writers) {
    answered += w->answers.size();
    const bool serves = w->log->failure().ok();
    for (const auto& [record, status] : w->answers) {
      if (status.ok()) {
        EXPECT_TRUE(in_log.contains(record)) << record.substr(0, 20);
      } else if (serves) {
        EXPECT_FALSE(in_log.contains(record)) << record.substr(0, 20) << " " << status.describe();
      }
    }
    if (!serves) continue;
    EXPECT_TRUE(run(w->log->catch_up()).ok());
    EXPECT_EQ(w->ledger.records, truth);
  }
  EXPECT_EQ(answered, static_cast<size_t>(number));
}

TEST_P(ReplayedLogRace, OneWriterAfterTheOther) {
  std::mt19937 random(static_cast<uint32_t>(GetParam()) + 77'000);
  const auto chance = [&](int percent) { return static_cast<int>(random() % 100) < percent; };
  snapshot_every_bytes_ = 300 + random() % 3'000;
  engine_->turns = [&] { return static_cast<int>(random() % 4); };
  const int faults = static_cast<int>(random() % 30);
  std::vector<std::unique_ptr<Writer>> writers;
  int number = 0;
  for (int epoch = 1; epoch <= 5; ++epoch) {
    engine_->fault = nullptr;
    writers.push_back(writer(epoch % 2, false, epoch, static_cast<uint64_t>(epoch)));
    ASSERT_TRUE(load(*writers.back()).ok());
    engine_->fault = [&](const std::string& call) {
      if (!chance(faults)) return Fault::none;
      if (call != "append") return chance(30) ? Fault::unavailable : Fault::none;
      constexpr Fault kFaults[] = {Fault::unavailable, Fault::no_space, Fault::unknown_landed, Fault::unknown_lost,
                                   Fault::unknown_later};
      return kFaults[random() % 5];
    };
    for (int step = 0; step < 150; ++step) {
      append(*writers[random() % writers.size()], std::to_string(number++));  // the old ones too: they do not know
      for (int turns = static_cast<int>(random() % 20); turns > 0; --turns) loop_.run_one();
      if (chance(30)) loop_.advance_ms(static_cast<int64_t>(random() % 20));
    }
    if (chance(50)) settle();
  }
  settle();
  engine_->fault = nullptr;
  const std::vector<std::string> truth = replayed(false);
  const std::multiset<std::string> in_log(truth.begin(), truth.end());
  for (const std::string& record : truth) EXPECT_EQ(in_log.count(record), 1u) << record;
  size_t answered = 0;
  for (auto& w : writers) {
    answered += w->answers.size();
    for (const auto& [record, status] : w->answers) {
      if (status.ok()) {
        EXPECT_TRUE(in_log.contains(record)) << record;
      } else if (w->log->failure().ok()) {
        EXPECT_FALSE(in_log.contains(record)) << record << " " << status.describe();
      }
    }
  }
  EXPECT_EQ(answered, static_cast<size_t>(number));
  if (writers.back()->log->failure().ok()) {
    EXPECT_EQ(writers.back()->ledger.records, truth);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, ReplayedLogRace, ::testing::Range(0, 16));

}  // namespace
}  // namespace sluice::storage
