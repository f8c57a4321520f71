// SPDX-License-Identifier: Apache-2.0
// What follows when an append fails, or when nobody knows whether it did: fences, tokens, losses, deadlines.
#include <gtest/gtest.h>

#include "host/log_impl.hpp"
#include "log_fixture.hpp"

namespace sluice::host::testing {
namespace {

constexpr uint64_t token(uint64_t epoch, uint64_t attempt) {
  return epoch << 32 | attempt;
}

class LogSettleTest : public LogFixture {
 protected:
  void SetUp() override {
    StorageOptions options = engine.options();
    options.log = [this](int, const std::string& text) { lines.push_back(text); };
    open(std::move(options));
    acquire(7);
  }
  void hold(std::vector<std::string> names) {
    engine.hold = [names = std::move(names)](const std::string& name) {
      return std::find(names.begin(), names.end(), name) != names.end();
    };
  }
  /// Queues and sends `count` batches, each in front of what is in flight.
  void append_and_send(int count = 1) {
    for (int i = 0; i < count; ++i) {
      ASSERT_TRUE(append(1).ok());
      log->send();
    }
    settle();
  }
  StoredLog& stored() { return engine.log(log->descriptor().id); }
  std::vector<StatusCode> codes() const {
    std::vector<StatusCode> result;
    for (const AppendOutcome& outcome : outcomes) result.push_back(outcome.status.code());
    return result;
  }
  bool said(std::string_view what) const {
    return std::any_of(lines.begin(), lines.end(),
                       [&](const std::string& line) { return line.find(what) != std::string::npos; });
  }
  using Codes = std::vector<StatusCode>;

  std::vector<std::string> lines;
};

TEST_F(LogSettleTest, UnknownThatLandedIsAcknowledgedAndTheQueueGoesOn) {
  hold({"append"});
  append_and_send(3);
  const size_t first = engine.waiting("append").front();
  engine.carry_out(first);
  engine.hold = nullptr;
  engine.reply(first, SLUICE_UNKNOWN);
  settle();
  EXPECT_EQ(codes(), (Codes{StatusCode::ok, StatusCode::ok, StatusCode::ok}));
  EXPECT_EQ(stored().batches.size(), 3u);
  EXPECT_EQ(stored().token, token(7, 2));
  EXPECT_EQ(storage->metrics().settled_applied.load(), 1u);
}

TEST_F(LogSettleTest, UnknownThatDidNotLandIsUnavailableForGood) {
  hold({"append"});
  const uint64_t generation = log->position().generation;
  append_and_send(3);
  const size_t first = engine.waiting("append").front();
  engine.hold = nullptr;
  engine.reply(first, SLUICE_UNKNOWN);
  settle();
  EXPECT_EQ(codes(), (Codes{StatusCode::unavailable, StatusCode::unavailable, StatusCode::unavailable}));
  EXPECT_EQ(log->position().end, 0);
  EXPECT_NE(log->position().generation, generation);
  EXPECT_EQ(engine.carry_out(first), SLUICE_FENCED);  // the late command finds the fence
  EXPECT_EQ(storage->metrics().settled_absent.load(), 1u);
  append_and_send();
  EXPECT_EQ(outcomes.back().status.code(), StatusCode::ok);
  EXPECT_EQ(outcomes.back().first_offset, 0);
}

TEST_F(LogSettleTest, AnOverdueAppendIsSettledAndItsLateReplyIgnored) {
  hold({"append"});
  append_and_send();
  const size_t late = engine.waiting("append").front();
  engine.carry_out(late);
  engine.hold = nullptr;
  advance_ms(29'000);
  EXPECT_TRUE(outcomes.empty());
  advance_ms(2'000);
  EXPECT_EQ(codes(), Codes{StatusCode::ok});
  EXPECT_EQ(storage->metrics().overdue.load(), 1u);
  append_and_send();
  engine.reply(late, SLUICE_OK);
  settle();
  EXPECT_EQ(codes(), (Codes{StatusCode::ok, StatusCode::ok}));
}

TEST_F(LogSettleTest, LostFencesAreTriedAgainWithHigherAttempts) {
  hold({"append", "fence"});
  append_and_send();
  const size_t lost = engine.waiting("append").front();
  engine.reply(lost, SLUICE_UNKNOWN);
  settle();
  ASSERT_EQ(engine.waiting("fence").size(), 1u);
  advance_ms(kFenceTimeoutMs + kFirstSettlePauseMs + 20);
  ASSERT_EQ(engine.waiting("fence").size(), 2u);
  const size_t first_fence = engine.waiting("fence")[0];
  const size_t second_fence = engine.waiting("fence")[1];
  EXPECT_EQ(engine.commands[first_fence]->token, token(7, 2));
  EXPECT_EQ(engine.commands[second_fence]->token, token(7, 3));
  engine.carry_out_and_reply(second_fence);
  settle();
  EXPECT_EQ(codes(), Codes{StatusCode::unavailable});
  EXPECT_EQ(engine.carry_out(first_fence), SLUICE_FENCED);
  engine.hold = nullptr;
  append_and_send();
  EXPECT_EQ(outcomes.back().status.code(), StatusCode::ok);
}

TEST_F(LogSettleTest, SettlingEndsAtItsDeadlineAndTheNextAppendFencesFirst) {
  hold({"append", "fence"});
  append_and_send(2);
  const size_t lost = engine.waiting("append").front();
  engine.carry_out(lost);
  engine.reply(lost, SLUICE_UNKNOWN);
  advance_ms(kSettleDeadlineMs - 100);
  EXPECT_TRUE(outcomes.empty());
  advance_ms(200);
  EXPECT_EQ(codes(), (Codes{StatusCode::unknown, StatusCode::unavailable}));
  EXPECT_EQ(storage->metrics().unsettled.load(), 1u);
  engine.hold = nullptr;
  // The unit is there after all. The next append is numbered where it was, so that it fails; the one after lands.
  append_and_send();
  EXPECT_EQ(outcomes.back().status.code(), StatusCode::unavailable);
  append_and_send();
  EXPECT_EQ(outcomes.back().status.code(), StatusCode::ok);
  EXPECT_EQ(outcomes.back().first_offset, 1);
  EXPECT_FALSE(said("somebody else"));
}

TEST_F(LogSettleTest, FencedWhileSettlingIsNeverAcknowledged) {
  hold({"append"});
  append_and_send(2);
  const size_t lost = engine.waiting("append").front();
  engine.carry_out(lost);
  stored().token = token(8, 1);
  engine.reply(lost, SLUICE_UNKNOWN);
  settle();
  EXPECT_EQ(codes(), (Codes{StatusCode::fenced, StatusCode::fenced}));
  EXPECT_EQ(append(1).code(), StatusCode::fenced);
}

TEST_F(LogSettleTest, FencedIsFinalForTheEpoch) {
  stored().token = token(9, 4);
  append_and_send();
  EXPECT_EQ(codes(), Codes{StatusCode::fenced});
  EXPECT_EQ(append(1).code(), StatusCode::fenced);
  EXPECT_EQ(wait(log->trim(0, loop)).code(), StatusCode::fenced);
  EXPECT_EQ(wait(log->save("a", "b", loop)).code(), StatusCode::fenced);
  EXPECT_EQ(wait(log->acquire(7, loop)).error().code(), StatusCode::fenced);
  EXPECT_EQ(wait(log->acquire(8, loop)).error().code(), StatusCode::fenced);
  EXPECT_EQ(acquire(10).end, 0);
  append_and_send();
  EXPECT_EQ(outcomes.back().status.code(), StatusCode::ok);
  EXPECT_EQ(wait(log->acquire(9, loop)).error().code(), StatusCode::fenced);
}

TEST_F(LogSettleTest, AfterUnavailableTheLogIsFencedBeforeTheNextAppend) {
  engine.refuse = [](const Command& c) {
    return c.name == "append" ? std::optional(SLUICE_UNAVAILABLE) : std::nullopt;
  };
  append_and_send();
  EXPECT_EQ(codes(), Codes{StatusCode::unavailable});
  EXPECT_EQ(stored().token, token(7, 1));
  engine.refuse = nullptr;
  append_and_send();
  EXPECT_EQ(outcomes.back().status.code(), StatusCode::ok);
  EXPECT_EQ(stored().token, token(7, 2));
}

TEST_F(LogSettleTest, AStorageThatStaysAwayFailsEachAppendAndRecovers) {
  engine.refuse = [](const Command&) { return std::optional(SLUICE_UNAVAILABLE); };
  for (int i = 0; i < 5; ++i) append_and_send();
  EXPECT_EQ(codes(), Codes(5, StatusCode::unavailable));
  engine.refuse = nullptr;
  append_and_send();
  EXPECT_EQ(outcomes.back().status.code(), StatusCode::ok);
  EXPECT_EQ(stored().batches.size(), 1u);
}

TEST_F(LogSettleTest, BusyIsPassedOnWithItsAdvice) {
  engine.refuse = [](const Command& c) {
    if (c.name != "append") return std::optional<sluice_status>();
    c.ticket->error->retry_after_ms = 250;
    return std::optional(SLUICE_BUSY);
  };
  append_and_send();
  EXPECT_EQ(codes(), Codes{StatusCode::busy});
  EXPECT_EQ(outcomes[0].status.retry_after_ms(), 250);
  engine.refuse = nullptr;
  append_and_send();
  EXPECT_EQ(storage->metrics().fences.load(), 1u);  // acquire's alone
}

TEST_F(LogSettleTest, LossOfAcknowledgedDataIsReported) {
  append_and_send(3);
  stored().batches.pop_back();
  stored().end = 2;
  append_and_send();
  settle();
  EXPECT_EQ(outcomes.back().status.code(), StatusCode::unavailable);
  EXPECT_EQ(storage->metrics().data_losses.load(), 1u);
  EXPECT_TRUE(said("DATA LOSS"));
  EXPECT_EQ(log->position().end, 2);
  append_and_send();
  EXPECT_EQ(outcomes.back().status.code(), StatusCode::ok);
  EXPECT_EQ(outcomes.back().first_offset, 2);
  EXPECT_EQ(storage->metrics().data_losses.load(), 1u);
}

TEST_F(LogSettleTest, AStorageThatForgotItsFenceIsFencedAgain) {
  append_and_send(1);
  stored().token = token(7, 0);
  append_and_send();
  EXPECT_EQ(outcomes.back().status.code(), StatusCode::unavailable);
  append_and_send();
  EXPECT_EQ(outcomes.back().status.code(), StatusCode::ok);
  EXPECT_EQ(stored().token, token(7, 2));
}

TEST_F(LogSettleTest, AForeignWriterIsNoticed) {
  stored().end = 5;
  append_and_send();
  EXPECT_EQ(outcomes.back().status.code(), StatusCode::unavailable);
  EXPECT_TRUE(said("somebody else wrote"));
  EXPECT_EQ(log->position().end, 5);
  append_and_send();
  EXPECT_EQ(outcomes.back().first_offset, 5);
}

TEST_F(LogSettleTest, AUnitThatIsThereInPartIsNotAcknowledged) {
  hold({"append"});
  append_and_send();
  append_and_send(2);
  engine.carry_out_and_reply(engine.waiting("append").front());
  settle();
  const size_t lost = engine.waiting("append").front();
  stored().end = 2;  // half of a unit of two batches
  engine.hold = nullptr;
  engine.reply(lost, SLUICE_UNKNOWN);
  settle();
  EXPECT_EQ(codes(), (Codes{StatusCode::ok, StatusCode::unknown, StatusCode::unknown}));
  EXPECT_TRUE(said("all or nothing"));
}

TEST_F(LogSettleTest, AcquireIsHarmlessWhenRepeated) {
  ASSERT_TRUE(append(1).ok());
  const WritePosition position = log->position();
  const WritePosition again = acquire(7);
  EXPECT_EQ(again.end, position.end);
  EXPECT_EQ(again.generation, position.generation);
  EXPECT_EQ(storage->metrics().fences.load(), 1u);
}

TEST_F(LogSettleTest, AcquireWaitsForTheAppendInFlightAndDropsWhatIsQueued) {
  hold({"append"});
  append_and_send(2);
  std::optional<Result<WritePosition>> position;
  sluice::start(log->acquire(8, loop), [&](Result<WritePosition> p) { position = std::move(p); });
  settle();
  EXPECT_FALSE(position.has_value());
  EXPECT_EQ(append(1).code(), StatusCode::unavailable);
  engine.carry_out_and_reply(engine.waiting("append").front());
  settle();
  ASSERT_TRUE(position.has_value());
  EXPECT_EQ((*position)->end, 1);
  EXPECT_EQ(codes(), (Codes{StatusCode::ok, StatusCode::unavailable}));
  EXPECT_EQ(stored().token, token(8, 1));
}

TEST_F(LogSettleTest, AcquireAfterAnOverdueAppendNeedNotWaitForItsTicket) {
  hold({"append"});
  append_and_send();
  advance_ms(31'000);
  EXPECT_EQ(codes(), Codes{StatusCode::unavailable});
  EXPECT_EQ(engine.waiting("append").size(), 1u);
  EXPECT_EQ(acquire(8).end, 0);
}

TEST_F(LogSettleTest, AFailedAcquireLeavesTheLogUnacquiredUntilOneSucceeds) {
  engine.refuse = [](const Command&) { return std::optional(SLUICE_UNAVAILABLE); };
  EXPECT_EQ(wait(log->acquire(8, loop)).error().code(), StatusCode::unavailable);
  EXPECT_EQ(append(1).code(), StatusCode::unavailable);
  EXPECT_EQ(wait(log->save("a", "b", loop)).code(), StatusCode::unavailable);
  engine.refuse = nullptr;
  acquire(8);
  EXPECT_EQ(stored().token, token(8, 2));
  append_and_send();
  EXPECT_EQ(codes(), Codes{StatusCode::ok});
}

TEST_F(LogSettleTest, SeveralAcquiresAtOnceAreAnsweredInTurn) {
  hold({"fence"});
  std::vector<StatusCode> answers;
  for (const int epoch : {8, 10, 9}) {
    sluice::start(log->acquire(epoch, loop),
                  [&](Result<WritePosition> p) { answers.push_back(p ? StatusCode::ok : p.error().code()); });
  }
  engine.carry_out_and_reply(engine.waiting("fence").front());
  settle();
  engine.carry_out_and_reply(engine.waiting("fence").front());
  settle();
  EXPECT_EQ(answers, (Codes{StatusCode::ok, StatusCode::ok, StatusCode::fenced}));
}

TEST_F(LogSettleTest, SaveFollowsATokenThatMovesUnderIt) {
  hold({"append", "save"});
  append_and_send();
  std::optional<Status> saved;
  sluice::start(log->save("state", "x", loop), [&](Status s) { saved = std::move(s); });
  settle();
  const size_t first = engine.waiting("save").front();
  engine.reply(engine.waiting("append").front(), SLUICE_UNKNOWN);
  settle();  // settled: the token is (7, 2) now
  engine.hold = nullptr;
  EXPECT_EQ(engine.carry_out(first), SLUICE_FENCED);
  engine.reply(first);
  settle();
  ASSERT_TRUE(saved.has_value());
  EXPECT_TRUE(saved->ok());
  EXPECT_EQ(stored().saved.at("state"), "x");
}

TEST_F(LogSettleTest, SaveThatIsFencedAsksAFenceAndBelievesIt) {
  stored().token = token(9, 1);
  EXPECT_EQ(wait(log->save("state", "x", loop)).code(), StatusCode::fenced);
  EXPECT_EQ(append(1).code(), StatusCode::fenced);
}

TEST_F(LogSettleTest, SaveAndTrimWaitForAFenceThatIsUnderWay) {
  hold({"append", "fence"});
  append_and_send();
  engine.reply(engine.waiting("append").front(), SLUICE_UNKNOWN);
  settle();
  std::optional<Status> saved;
  std::optional<Status> trimmed;
  sluice::start(log->save("state", "x", loop), [&](Status s) { saved = std::move(s); });
  sluice::start(log->trim(0, loop), [&](Status s) { trimmed = std::move(s); });
  settle();
  EXPECT_FALSE(saved.has_value());
  engine.hold = nullptr;
  engine.carry_out_and_reply(engine.waiting("fence").front());
  settle();
  ASSERT_TRUE(saved.has_value());
  ASSERT_TRUE(trimmed.has_value());
  EXPECT_TRUE(saved->ok());
  EXPECT_TRUE(trimmed->ok());
}

TEST_F(LogSettleTest, ADeletedLogEndsSettling) {
  hold({"append"});
  append_and_send();
  engine.logs.clear();
  engine.reply(engine.waiting("append").front(), SLUICE_UNKNOWN);
  settle();
  EXPECT_EQ(codes(), Codes{StatusCode::not_found});
}

// Fences after a refusal find a log that is gone for good: who appends is told that, and not to try again for ever.
TEST_F(LogSettleTest, ADeletedLogIsToldToWhoAppendsAfterARefusal) {
  engine.refuse = [](const Command& c) {
    return c.name == "append" ? std::optional(SLUICE_UNAVAILABLE) : std::nullopt;
  };
  append_and_send();
  engine.refuse = nullptr;
  engine.logs.clear();
  append_and_send();
  EXPECT_EQ(codes(), (Codes{StatusCode::unavailable, StatusCode::not_found}));
}

TEST_F(LogSettleTest, AStatusOutsideTheAbiCountsAsUnknown) {
  engine.on_outcome = [](Command& c, sluice_status status) { return c.name == "append" ? -7 : status; };
  append_and_send();
  EXPECT_EQ(codes(), Codes{StatusCode::ok});  // it had landed, as the fence showed
  engine.on_outcome = nullptr;
  engine.refuse = [](const Command& c) { return c.name == "append" ? std::optional(777) : std::nullopt; };
  append_and_send();
  EXPECT_EQ(outcomes.back().status.code(), StatusCode::unavailable);
}

TEST_F(LogSettleTest, AnUnknownCodeMeansItsClass) {
  engine.refuse = [](const Command& c) { return c.name == "append" ? std::optional(377) : std::nullopt; };
  append_and_send();
  EXPECT_EQ(static_cast<int>(outcomes.back().status.code()), 377);
  engine.refuse = nullptr;
  append_and_send();
  EXPECT_EQ(outcomes.back().status.code(), StatusCode::ok);
  EXPECT_EQ(stored().token, token(7, 2));
}

TEST_F(LogSettleTest, AnAppendThatThrowsIsSettled) {
  sluice_ticket* ticket = nullptr;
  engine.on_call = [&](const Command& c) {
    if (c.name != "append") return;
    ticket = c.ticket;
    throw std::runtime_error("oops");
  };
  append_and_send();
  EXPECT_EQ(codes(), Codes{StatusCode::unavailable});
  EXPECT_TRUE(said("threw a C++ exception out of append: oops"));
  engine.on_call = nullptr;
  append_and_send();
  EXPECT_EQ(outcomes.back().status.code(), StatusCode::ok);
  // Whether it would still complete the call could not be known: until it does, the call stays in memory.
  EXPECT_EQ(storage->metrics().tickets_pending.load(), 1);
  engine.host->complete(engine.host, ticket, SLUICE_UNKNOWN);
  settle();
  EXPECT_EQ(storage->metrics().tickets_pending.load(), 0);
}

}  // namespace
}  // namespace sluice::host::testing
