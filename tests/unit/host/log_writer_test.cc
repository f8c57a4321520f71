// SPDX-License-Identifier: Apache-2.0
// Queueing, units, order, limits and generations of a log's writer.
#include <gtest/gtest.h>

#include "base/thread_loop.hpp"
#include "host/log_impl.hpp"
#include "log_fixture.hpp"

namespace sluice::host::testing {
namespace {

class LogWriterTest : public LogFixture {
 protected:
  void SetUp() override { open(); }
  void hold_appends() {
    engine.hold = [](const std::string& name) { return name == "append"; };
  }
  size_t append_waiting() {
    settle();
    const auto waiting = engine.waiting("append");
    EXPECT_EQ(waiting.size(), 1u);
    return waiting.empty() ? SIZE_MAX : waiting.front();
  }
};

TEST_F(LogWriterTest, NothingIsQueuedBeforeAcquire) {
  EXPECT_EQ(append(1).code(), StatusCode::unavailable);
  EXPECT_TRUE(outcomes.empty());
}

TEST_F(LogWriterTest, WhatIsQueuedWhileOneIsInFlightBecomesTheNextUnit) {
  acquire(1);
  hold_appends();
  ASSERT_TRUE(append(1).ok());
  log->send();
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(append(2).ok());
    log->send();
  }
  const size_t first = append_waiting();
  EXPECT_EQ(engine.commands[first]->batches, 1u);
  EXPECT_EQ(engine.commands[first]->at, 0);
  engine.carry_out_and_reply(first);
  const size_t second = append_waiting();
  EXPECT_EQ(engine.commands[second]->batches, 3u);
  EXPECT_EQ(engine.commands[second]->at, 1);
  EXPECT_EQ(outcomes.size(), 1u);
  engine.carry_out_and_reply(second);
  settle();
  ASSERT_EQ(outcomes.size(), 4u);
  EXPECT_EQ(outcomes[3].first_offset, 5);
  EXPECT_EQ(outcomes[3].log_end, 7);
}

TEST_F(LogWriterTest, UnitsAreBounded) {
  acquire(1);
  hold_appends();
  ASSERT_TRUE(append(1).ok());
  log->send();
  for (size_t i = 0; i < kMaxUnitBatches + 5; ++i) ASSERT_TRUE(append(1).ok());
  engine.carry_out_and_reply(append_waiting());
  EXPECT_EQ(engine.commands[append_waiting()]->batches, kMaxUnitBatches);
  engine.carry_out_and_reply(append_waiting());
  EXPECT_EQ(engine.commands[append_waiting()]->batches, 5u);
  engine.carry_out_and_reply(append_waiting());
  settle();
  EXPECT_EQ(outcomes.size(), kMaxUnitBatches + 6);
  for (size_t i = 0; i < outcomes.size(); ++i) EXPECT_EQ(outcomes[i].first_offset, static_cast<int64_t>(i));
}

TEST_F(LogWriterTest, UnitsKeepTheStoragesLargest) {
  engine.largest_unit = 300;
  ASSERT_TRUE(storage->health().has_value());
  acquire(1);
  hold_appends();
  for (int i = 0; i < 9; ++i) ASSERT_TRUE(append(1).ok());  // 71 bytes each
  log->send();
  EXPECT_EQ(engine.commands[append_waiting()]->batches, 4u);
  auto bytes = std::make_shared<std::string>(make_batch(log->position().end, 1, 1000, 300));
  AppendEntry entry = make_entry(bytes, log->position().end, 1);
  entry.done = [](AppendOutcome) { FAIL(); };
  EXPECT_EQ(log->enqueue(std::move(entry), log->position().generation, loop).code(), StatusCode::too_large);
}

TEST_F(LogWriterTest, UnitsAreGatheredAsTheStoragePrefers) {
  constexpr size_t kWaiting = 9;  // of 71 bytes each
  const auto first_unit = [&](uint32_t kind, uint64_t largest, uint64_t preferred) {
    engine.kind = kind;
    engine.largest_unit = largest;
    engine.preferred_unit = preferred;
    EXPECT_TRUE(storage->health().has_value());
    for (size_t i = 0; i < kWaiting; ++i) EXPECT_TRUE(append(1).ok());
    log->send();
    const size_t unit = append_waiting();
    const size_t batches = engine.commands[unit]->batches;
    for (size_t told = outcomes.size() + kWaiting; outcomes.size() < told;) {
      engine.carry_out_and_reply(engine.waiting("append").at(0));
      settle();
    }
    return batches;
  };
  acquire(1);
  hold_appends();
  EXPECT_EQ(first_unit(SLUICE_KIND_LOG, 0, 300), 4u);
  EXPECT_EQ(first_unit(SLUICE_KIND_LOG, 200, 300), 2u);  // all of an append is bounded
  EXPECT_EQ(first_unit(SLUICE_KIND_LOG, 0, UINT64_MAX), kWaiting);
  EXPECT_EQ(first_unit(SLUICE_KIND_NATIVE, 200, 300), 4u);  // each batch is
  EXPECT_EQ(first_unit(SLUICE_KIND_NATIVE, 200, 0), 2u);
}

TEST_F(LogWriterTest, GapsAreAskedForAndOverlapsRefused) {
  acquire(1);
  ASSERT_TRUE(append_at({10, log->position().generation}, 2).ok());
  EXPECT_EQ(log->position().end, 12);
  EXPECT_EQ(append_at({11, log->position().generation}, 1).code(), StatusCode::invalid);
  log->send();
  settle();
  ASSERT_EQ(outcomes.size(), 1u);
  EXPECT_TRUE(outcomes[0].status.ok());
  EXPECT_EQ(engine.log(log->descriptor().id).end, 12);
}

TEST_F(LogWriterTest, AFailureDropsWhatIsQueuedBehindItAndBeginsAGeneration) {
  acquire(1);
  hold_appends();
  const uint64_t generation = log->position().generation;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(append(1).ok());
    log->send();
  }
  engine.reply(append_waiting(), SLUICE_NO_SPACE);
  settle();
  ASSERT_EQ(outcomes.size(), 3u);
  EXPECT_EQ(outcomes[0].status.code(), StatusCode::no_space);
  EXPECT_EQ(outcomes[1].status.code(), StatusCode::unavailable);
  EXPECT_EQ(outcomes[2].status.code(), StatusCode::unavailable);
  EXPECT_EQ(log->position().end, 0);
  EXPECT_NE(log->position().generation, generation);
  EXPECT_EQ(append_at({3, generation}, 1).code(), StatusCode::conflict);
  // The next goes where the failed one would have been, with no fence between.
  engine.hold = nullptr;
  ASSERT_TRUE(append(1).ok());
  log->send();
  settle();
  EXPECT_TRUE(outcomes.back().status.ok());
  EXPECT_EQ(outcomes.back().first_offset, 0);
  EXPECT_EQ(storage->metrics().fences.load(), 1u);
  EXPECT_EQ(storage->metrics().bytes_in_flight.load(), 0);
}

TEST_F(LogWriterTest, TheBudgetOfBytesInFlightIsKept) {
  StorageOptions options = engine.options();
  options.max_bytes_in_flight = 150;
  log = nullptr;
  open(std::move(options));
  acquire(1);
  hold_appends();
  ASSERT_TRUE(append(1).ok());
  ASSERT_TRUE(append(1).ok());
  EXPECT_EQ(append(1).code(), StatusCode::busy);
  EXPECT_EQ(storage->metrics().refused_busy.load(), 1u);
  log->send();
  engine.carry_out_and_reply(append_waiting());
  settle();
  EXPECT_TRUE(append(1).ok());
  log->send();
  engine.carry_out_and_reply(append_waiting());
}

TEST_F(LogWriterTest, ABatchAboveTheBudgetGoesAlone) {
  StorageOptions options = engine.options();
  options.max_bytes_in_flight = 10;
  log = nullptr;
  open(std::move(options));
  acquire(1);
  EXPECT_TRUE(append(1).ok());
  EXPECT_EQ(append(1).code(), StatusCode::busy);
  log->send();
  settle();
  EXPECT_TRUE(append(1).ok());
}

TEST_F(LogWriterTest, SyncOfOneBatchIsSyncOfItsUnit) {
  uint32_t flags = 0;
  acquire(1);
  auto bytes = std::make_shared<std::string>(make_batch(0, 1));
  AppendEntry entry = make_entry(bytes, 0, 1);
  entry.sync = true;
  entry.done = [&](AppendOutcome outcome) { flags = outcome.status.ok() ? 1 : 0; };
  ASSERT_TRUE(log->enqueue(std::move(entry), log->position().generation, loop).ok());
  log->send();
  settle();
  EXPECT_EQ(flags, 1u);
}

TEST_F(LogWriterTest, BytesWithoutAnOwnerAreCopiedBeforeTheyAreSent) {
  acquire(1);
  hold_appends();
  std::string bytes = make_batch(0, 1);
  const std::string copy = bytes;
  AppendEntry entry = make_entry(std::make_shared<std::string>(), 0, 1);
  entry.owner = nullptr;
  entry.bytes = {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()};
  entry.done = [](AppendOutcome) {};
  ASSERT_TRUE(log->enqueue(std::move(entry), log->position().generation, loop).ok());
  log->send();
  bytes.assign(bytes.size(), '!');
  engine.carry_out_and_reply(append_waiting());
  EXPECT_EQ(engine.log(log->descriptor().id).batches.front().bytes, copy);
}

TEST_F(LogWriterTest, AnOwnerIsHeldUntilALateAdapterLetsGo) {
  acquire(1);
  hold_appends();
  auto bytes = std::make_shared<std::string>(make_batch(0, 1));
  const std::weak_ptr<std::string> watch = bytes;
  AppendEntry entry = make_entry(std::move(bytes), 0, 1);
  entry.done = [this](AppendOutcome outcome) { outcomes.push_back(std::move(outcome)); };
  ASSERT_TRUE(log->enqueue(std::move(entry), log->position().generation, loop).ok());
  log->send();
  advance_ms(31'000);
  ASSERT_EQ(outcomes.size(), 1u);
  EXPECT_EQ(outcomes[0].status.code(), StatusCode::unavailable);
  EXPECT_FALSE(watch.expired());
  EXPECT_GT(storage->metrics().bytes_in_flight.load(), 0);
  engine.reply(engine.waiting("append").front(), SLUICE_UNKNOWN);
  settle();
  EXPECT_TRUE(watch.expired());
  EXPECT_EQ(storage->metrics().bytes_in_flight.load(), 0);
  EXPECT_EQ(storage->metrics().tickets_pending.load(), 0);
}

TEST_F(LogWriterTest, DonesRunInOrderAndOnTheExecutorOfTheirUnit) {
  acquire(1);
  hold_appends();
  ManualLoop other;
  std::vector<int> order;
  const auto queue = [&](int number, Executor& on) {
    const WritePosition position = log->position();
    AppendEntry entry = make_entry(std::make_shared<std::string>(make_batch(position.end, 1)), position.end, 1);
    entry.done = [&order, number](AppendOutcome outcome) {
      EXPECT_TRUE(outcome.status.ok());
      order.push_back(number);
    };
    ASSERT_TRUE(log->enqueue(std::move(entry), position.generation, on).ok());
    log->send();
  };
  queue(1, loop);
  queue(2, other);
  queue(3, loop);
  engine.carry_out_and_reply(engine.waiting("append").front());
  other.run_until_idle();
  EXPECT_TRUE(order.empty());
  loop.run_until_idle();
  EXPECT_EQ(order, std::vector<int>{1});
  engine.carry_out_and_reply(engine.waiting("append").front());
  loop.run_until_idle();
  EXPECT_EQ(order, std::vector<int>{1});
  other.run_until_idle();
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
}

TEST_F(LogWriterTest, AUnitThatOverlapsTheTellingOfTheOneBeforeWaitsForIt) {
  acquire(1);
  ManualLoop other;
  std::vector<int> order;
  hold_appends();
  const auto queue = [&](int number, Executor& on, UniqueFunction<void()> inside) {
    const WritePosition position = log->position();
    AppendEntry entry = make_entry(std::make_shared<std::string>(make_batch(position.end, 1)), position.end, 1);
    entry.done = [&order, number, inside = std::move(inside)](AppendOutcome) mutable {
      if (inside) inside();
      order.push_back(number);
    };
    ASSERT_TRUE(log->enqueue(std::move(entry), position.generation, on).ok());
    log->send();
  };
  // While the first unit's done runs, the second unit ends, and its executor runs: it still comes second.
  queue(1, loop, [&] {
    engine.carry_out_and_reply(engine.waiting("append").front());
    other.run_until_idle();
  });
  queue(2, other, nullptr);
  engine.carry_out_and_reply(engine.waiting("append").front());
  loop.run_until_idle();
  EXPECT_EQ(order, std::vector<int>{1});
  other.run_until_idle();
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
}

TEST_F(LogWriterTest, LettingGoOfTheLogInsideDoneIsFine) {
  acquire(1);
  const WritePosition position = log->position();
  AppendEntry entry = make_entry(std::make_shared<std::string>(make_batch(0, 1)), 0, 1);
  bool told = false;
  entry.done = [&](AppendOutcome) {
    log = nullptr;
    told = true;
  };
  ASSERT_TRUE(log->enqueue(std::move(entry), position.generation, loop).ok());
  log->send();
  EXPECT_TRUE(told);
}

TEST_F(LogWriterTest, PendingWorkKeepsTheLog) {
  acquire(1);
  hold_appends();
  ASSERT_TRUE(append(1).ok());
  log->send();
  log = nullptr;
  EXPECT_EQ(engine.open_handles, 1);
  engine.carry_out_and_reply(append_waiting());
  settle();
  ASSERT_EQ(outcomes.size(), 1u);
  EXPECT_TRUE(outcomes[0].status.ok());
  EXPECT_EQ(engine.open_handles, 0);
}

TEST_F(LogWriterTest, WhatWasNeverSentIsToldSo) {
  acquire(1);
  ASSERT_TRUE(append(1).ok());
  log = nullptr;
  ASSERT_EQ(outcomes.size(), 1u);
  EXPECT_EQ(outcomes[0].status.code(), StatusCode::unavailable);
  EXPECT_EQ(storage->metrics().bytes_in_flight.load(), 0);
}

TEST_F(LogWriterTest, StopEndsWhatIsInFlight) {
  acquire(1);
  hold_appends();
  ASSERT_TRUE(append(1).ok());
  log->send();
  ASSERT_TRUE(append(1).ok());
  EXPECT_TRUE(storage->stop(1000).ok());
  settle();
  ASSERT_EQ(outcomes.size(), 2u);
  EXPECT_EQ(outcomes[0].status.code(),
            StatusCode::unknown);  // the fake's stop says so, and nobody can be asked any more
  EXPECT_EQ(outcomes[1].status.code(), StatusCode::unavailable);
  EXPECT_EQ(append(1).code(), StatusCode::unavailable);
  const auto read = wait(log->read(0, INT64_MAX, 1, loop));
  EXPECT_EQ(read.error().status.code(), StatusCode::unavailable);
}

TEST_F(LogWriterTest, ARestartedStorageIsFencedBeforeTheNextAppend) {
  acquire(1);
  EXPECT_EQ(engine.log(log->descriptor().id).token, (uint64_t{1} << 32) + 1);
  ASSERT_TRUE(storage->stop(1000).ok());
  ASSERT_TRUE(storage->start().has_value());
  ASSERT_TRUE(append(1).ok());
  log->send();
  settle();
  ASSERT_EQ(outcomes.size(), 1u);
  EXPECT_TRUE(outcomes[0].status.ok());
  EXPECT_EQ(engine.log(log->descriptor().id).token, (uint64_t{1} << 32) + 2);
}

TEST_F(LogWriterTest, NativeStoragesGiveTheOffsets) {
  engine.kind = SLUICE_KIND_NATIVE;
  ASSERT_TRUE(storage->health().has_value());
  engine.log(log->descriptor().id).end = 100;
  const WritePosition position = acquire(0);
  EXPECT_EQ(position.end, 100);
  EXPECT_EQ(storage->metrics().fences.load(), 0u);
  ASSERT_TRUE(append_at({0, position.generation}, 3).ok());
  ASSERT_TRUE(append_at({0, position.generation}, 2).ok());
  log->send();
  settle();
  ASSERT_EQ(outcomes.size(), 2u);
  EXPECT_EQ(outcomes[0].first_offset, 100);
  EXPECT_EQ(outcomes[1].last_offset, 104);
  EXPECT_EQ(log->position().end, 105);
  // Batches of one unit count up from 0, whatever stands in them, and the unit asks for no place.
  engine.hold = [](const std::string& name) { return name == "append"; };
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(append_at({0, log->position().generation}, 2).ok());
  log->send();
  settle();
  const Command& unit = *engine.commands.at(engine.waiting("append").at(0));
  EXPECT_EQ(unit.at, 0);
  EXPECT_EQ(unit.offsets, (std::vector<int64_t>{0, 2, 4}));
  engine.hold = nullptr;
  engine.carry_out_and_reply(engine.waiting("append").at(0));
  settle();
  engine.refuse = [](const Command& c) { return c.name == "append" ? std::optional(SLUICE_UNKNOWN) : std::nullopt; };
  ASSERT_TRUE(append_at(log->position(), 1).ok());
  log->send();
  settle();
  EXPECT_EQ(outcomes.back().status.code(), StatusCode::unknown);
  EXPECT_EQ(storage->metrics().fences.load(), 0u);
}

// ---- NATIVE: several appends in flight

class PipelineTest : public LogWriterTest {
 protected:
  void SetUp() override {
    LogWriterTest::SetUp();
    may_have(3);
    hold_appends();
  }
  void may_have(uint32_t appends) {
    engine.kind = SLUICE_KIND_NATIVE;
    engine.appends_in_flight = appends;
    ASSERT_TRUE(storage->health().has_value());
    acquire(0);
  }
  /// Queues a batch of that many records, whose outcome comes to outcomes and `told`, and sends what can be sent.
  void send(int32_t records) {
    auto bytes = std::make_shared<std::string>(make_batch(0, records));
    AppendEntry entry = make_entry(std::move(bytes), 0, records);
    entry.done = [this, records](AppendOutcome outcome) {
      told.push_back(records);
      outcomes.push_back(std::move(outcome));
    };
    ASSERT_TRUE(log->enqueue(std::move(entry), log->position().generation, loop).ok());
    log->send();
    settle();
  }
  std::vector<size_t> waiting() {
    settle();
    return engine.waiting("append");
  }
  void reply(size_t index, std::optional<sluice_status> instead = std::nullopt) {
    if (instead) engine.commands[index]->outcome = *instead;
    if (!instead) engine.carry_out(index);
    engine.reply(index, instead);
    settle();
  }

  std::vector<int32_t> told;  // by their numbers of records
};

TEST_F(PipelineTest, AsManyAppendsAreInFlightAsTheAdapterTakes) {
  for (int i = 1; i <= 5; ++i) send(i);
  const auto sent = waiting();
  ASSERT_EQ(sent.size(), 3u);
  EXPECT_EQ(engine.commands[sent[0]]->of_run, engine.commands[sent[2]]->of_run);
  EXPECT_GT(engine.commands[sent[0]]->of_run, 0u);
  // What waits becomes one unit, as ever, when there is room.
  reply(sent[0]);
  EXPECT_EQ(told, (std::vector<int32_t>{1}));
  ASSERT_EQ(waiting().size(), 3u);
  EXPECT_EQ(engine.commands[waiting()[2]]->batches, 2u);
}

TEST_F(PipelineTest, CallersHearInTheOrderOfTheirsWhateverEndsFirst) {
  for (int i = 1; i <= 3; ++i) send(i);
  const auto sent = waiting();
  ASSERT_EQ(sent.size(), 3u);
  for (const size_t each : sent) engine.carry_out(each);
  engine.reply(sent[2]);
  engine.reply(sent[1]);
  settle();
  EXPECT_TRUE(told.empty());
  send(4);  // what was not told yet holds its place
  EXPECT_EQ(waiting().size(), 1u);
  engine.reply(sent[0]);
  settle();
  EXPECT_EQ(told, (std::vector<int32_t>{1, 2, 3}));
  EXPECT_EQ(outcomes[1].first_offset, 1);
  EXPECT_EQ(outcomes[2].last_offset, 5);
  EXPECT_EQ(outcomes[2].log_end, 6);
  EXPECT_EQ(waiting().size(), 1u);
}

TEST_F(PipelineTest, BehindAFailureNothingIsSentBeforeTheRestOfItsRunHasEnded) {
  for (int i = 1; i <= 5; ++i) send(i);
  const auto sent = waiting();
  ASSERT_EQ(sent.size(), 3u);
  reply(sent[0], SLUICE_UNAVAILABLE);
  EXPECT_EQ(told, (std::vector<int32_t>{1}));
  EXPECT_EQ(outcomes[0].status.code(), StatusCode::unavailable);
  send(6);
  EXPECT_EQ(waiting().size(), 2u) << "sent beside what may land before it or behind it";
  reply(sent[1]);
  EXPECT_EQ(told, (std::vector<int32_t>{1, 2}));
  EXPECT_TRUE(outcomes[1].status.ok()) << "it is there";
  EXPECT_EQ(waiting().size(), 1u);
  // The second failure drops nothing that was queued since the first.
  reply(sent[2], SLUICE_UNKNOWN);
  EXPECT_EQ(told, (std::vector<int32_t>{1, 2, 3, 4, 5}));
  EXPECT_EQ(outcomes[2].status.code(), StatusCode::unknown);
  EXPECT_EQ(outcomes[3].status.code(), StatusCode::unavailable);
  EXPECT_EQ(outcomes[4].status.code(), StatusCode::unavailable);
  ASSERT_EQ(waiting().size(), 1u);
  EXPECT_EQ(engine.commands[waiting()[0]]->of_run, engine.commands[sent[0]]->of_run + 1);
  reply(waiting()[0]);
  EXPECT_EQ(told.back(), 6);
  EXPECT_TRUE(outcomes.back().status.ok());
  EXPECT_EQ(storage->metrics().bytes_in_flight.load(), 0);
}

TEST_F(PipelineTest, OneThatIsOverdueEndsTheRunToo) {
  StorageOptions options = engine.options();
  options.call_timeout_ms = 1'000;
  log = nullptr;
  storage = nullptr;
  open(std::move(options));
  may_have(3);
  for (int i = 1; i <= 2; ++i) send(i);
  const auto sent = waiting();
  ASSERT_EQ(sent.size(), 2u);
  reply(sent[1]);
  advance_ms(1'100);
  EXPECT_EQ(told, (std::vector<int32_t>{1, 2}));
  EXPECT_EQ(outcomes[0].status.code(), StatusCode::unknown);
  EXPECT_TRUE(outcomes[1].status.ok());
  send(3);
  ASSERT_EQ(waiting().size(), 2u);  // one is overdue
  EXPECT_EQ(engine.commands[waiting()[1]]->of_run, engine.commands[sent[0]]->of_run + 1);
}

TEST_F(PipelineTest, ManyLogsHaveOneAppendInFlightEach) {
  may_have(2);
  std::vector<std::shared_ptr<Log>> logs{log};
  for (uint8_t i = 2; i <= 4; ++i) {
    engine.logs.try_emplace(make_descriptor(i).id);
    logs.push_back(*storage->open(make_descriptor(i)));
    ASSERT_TRUE(wait(logs.back()->acquire(0, loop)).has_value());
  }
  std::vector<size_t> in_flight;
  for (const auto& each : logs) {
    log = each;
    const size_t before = waiting().size();
    for (int i = 0; i < 3; ++i) send(1);
    in_flight.push_back(waiting().size() - before);
  }
  EXPECT_EQ(in_flight, (std::vector<size_t>{2, 2, 1, 1}));
  while (!waiting().empty()) reply(waiting().front());
  EXPECT_EQ(told.size(), 12u);
  log = logs.front();
  for (int i = 0; i < 3; ++i) send(1);
  EXPECT_EQ(waiting().size(), 2u) << "places that were taken are not given back";
}

TEST_F(PipelineTest, LogsOfTheOtherKindHaveOneWhateverIsSaid) {
  engine.kind = SLUICE_KIND_LOG;
  ASSERT_TRUE(storage->health().has_value());
  acquire(1);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(append(1).ok());
    log->send();
  }
  ASSERT_EQ(waiting().size(), 1u);
  EXPECT_EQ(engine.commands[waiting()[0]]->of_run, 0u);
}

TEST_F(LogWriterTest, LogsThatSeveralWrite) {
  LogDescriptor descriptor = make_descriptor(2);
  descriptor.flags = SLUICE_LOG_SEVERAL_WRITERS;
  ASSERT_TRUE(wait(storage->create_log(descriptor, loop)).ok());
  const std::shared_ptr<Log> shared = *storage->open(descriptor);
  EXPECT_EQ(wait(shared->acquire(1, loop)).error().code(), StatusCode::invalid);
  AppendOutcome outcome = wait(shared->append_at(0, {make_batch(0, 2), make_batch(2, 1)}, loop));
  EXPECT_TRUE(outcome.status.ok());
  EXPECT_EQ(outcome.log_end, 3);
  outcome = wait(shared->append_at(0, {make_batch(0, 1)}, loop));
  EXPECT_EQ(outcome.status.code(), StatusCode::conflict);
  EXPECT_EQ(outcome.log_end, 3);
  EXPECT_EQ(wait(shared->append_at(3, {"rubbish"}, loop)).status.code(), StatusCode::invalid);
  EXPECT_TRUE(wait(shared->trim_shared(2, loop)).ok());
  engine.hold = [](const std::string& name) { return name == "append"; };
  std::optional<AppendOutcome> late;
  sluice::start(shared->append_at(3, {make_batch(3, 1)}, loop), [&](AppendOutcome o) { late = std::move(o); });
  advance_ms(31'000);
  ASSERT_TRUE(late.has_value());
  EXPECT_EQ(late->status.code(), StatusCode::unknown);
  engine.carry_out_and_reply(append_waiting());
  settle();
  EXPECT_EQ(storage->metrics().bytes_in_flight.load(), 0);
}

}  // namespace
}  // namespace sluice::host::testing
