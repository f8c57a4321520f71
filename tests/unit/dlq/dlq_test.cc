// SPDX-License-Identifier: Apache-2.0
// By a clock that is moved by hand; the queue runs when the test says so.
#include "sluice/dlq.hpp"

#include <gtest/gtest.h>

#include <random>

#include "../support/metrics.hpp"
#include "support.hpp"

namespace sluice {
namespace {

class Dlq : public ::testing::Test {
 protected:
  void open(std::function<void(DeadLetterSettings&)> change = {}) {
    DeadLetterSettings settings;
    settings.own_thread = false;
    settings.now_ms = [this] { return now_ms_; };
    settings.random = [this] { return random_(); };
    settings.log = [this](std::string_view line) { said_.emplace_back(line); };
    if (change) change(settings);
    queue_ = std::move(DeadLetterQueue::open(std::move(settings), sink_).value());
  }
  Status offer(std::string_view value = "poison") {
    Record record;
    record.value = as_bytes(value);
    DeadLetterCause cause;
    cause.status = Status(StatusCode::corrupt, "byte 17: no JSON");
    return queue_->offer(record, cause);
  }
  // Moves the clock to each time that the queue asks for.
  void run_for(int64_t ms) {
    for (const int64_t end = now_ms_ + ms;;) {
      const int64_t wait_ms = queue_->run();
      if (now_ms_ + wait_ms > end) {
        now_ms_ = end;
        return;
      }
      now_ms_ += wait_ms;
    }
  }
  void expect_exact() const {
    const DeadLetterCounters c = queue_->counters();
    EXPECT_EQ(c.offered, c.dropped + c.sent + c.failed + c.waiting + c.in_flight);
    EXPECT_EQ(c.sent, sink_->taken.size());
  }

  int64_t now_ms_ = 1;
  std::mt19937_64 random_{1};
  std::vector<std::string> said_;
  std::shared_ptr<ScriptedSink> sink_ = std::make_shared<ScriptedSink>();
  std::unique_ptr<DeadLetterQueue> queue_;
};

TEST_F(Dlq, S11_IsBoundedRetriedAndMetered) {
  open([](DeadLetterSettings& settings) {
    settings.max_records = 4'000;
    settings.max_in_flight = 128;
  });
  const int64_t up_at_ms = now_ms_ + 5'000;
  int attempts_while_down = 0;
  sink_->on_deliver = [&](const EventBatch& batch) {
    if (now_ms_ < up_at_ms) {
      attempts_while_down += 1;
      return failing(StatusCode::unavailable);
    }
    Delivery delivery;  // the target refuses the first of each batch
    delivery.refused = 1;
    delivery.refusal = Status(StatusCode::too_large, "as scripted");
    EXPECT_GE(batch.size(), 1U);
    return delivery;
  };
  for (int record = 0; record < 10'000; ++record) {
    const Status status = offer();
    EXPECT_TRUE(status.ok() || status.code() == StatusCode::busy) << status.describe();
    if (record % 2 == 0) run_for(1);
    EXPECT_LE(queue_->counters().in_flight, 128U);
    EXPECT_LE(queue_->counters().waiting + queue_->counters().in_flight, 4'000U);
  }
  run_for(60'000);
  const DeadLetterCounters counters = queue_->counters();
  EXPECT_EQ(counters.sent + counters.failed + counters.dropped, 10'000U);
  EXPECT_EQ(counters.offered, 10'000U);
  EXPECT_EQ(counters.dropped, 6'000U);
  EXPECT_EQ(counters.sent, sink_->taken.size());
  EXPECT_GT(counters.failed, 30U);
  EXPECT_EQ(counters.last_failure.code(), StatusCode::too_large);
  EXPECT_EQ(counters.waiting + counters.in_flight + counters.held_bytes, 0U);
  EXPECT_LE(sink_->most_in_flight, 128U);
  // 20 ms, doubled up to 5 s, of which half is left to chance: no more than 2 * log2(5,000 / 20) tries, and not one.
  EXPECT_GT(attempts_while_down, 5);
  EXPECT_LT(attempts_while_down, 20);
  for (size_t i = 1; i < sink_->taken.size(); ++i) ASSERT_LT(sink_->taken[i - 1].sequence, sink_->taken[i].sequence);
}

TEST_F(Dlq, RecordsComeAsTheyWereWithTheirCauseBehind) {
  open();
  const std::vector<Header> headers = {
      {"tenant", as_bytes("a")}, {"tenant", std::nullopt}, {"", as_bytes("")}, {"tenant", as_bytes("a")}};
  std::string binary(256, '\0');
  for (size_t i = 0; i < binary.size(); ++i) binary[i] = static_cast<char>(i);
  Record record;
  record.partition = 3;
  record.position = 42;
  record.timestamp_ns = 1'700'000'000'000'000'001;
  record.key = Bytes();
  record.value = as_bytes(binary);
  record.headers = Headers(headers);
  DeadLetterCause cause;
  cause.status = Status(StatusCode::corrupt, "byte 17: no JSON", 5);
  cause.source = "orders-3";
  cause.attempts = 4;
  ASSERT_TRUE(queue_->offer(record, cause).ok());
  Record empty;
  ASSERT_TRUE(queue_->offer(empty, {Status(StatusCode::invalid, std::string(2'000, 'x')), "s", 1}).ok());
  run_for(0);
  ASSERT_EQ(sink_->taken.size(), 2U);
  const Taken& taken = sink_->taken[0];
  EXPECT_EQ(taken.key, "");
  EXPECT_EQ(taken.value, binary);
  const std::vector<std::pair<std::string, std::optional<std::string>>> expected = {
      {"tenant", "a"},
      {"tenant", std::nullopt},
      {"", ""},
      {"tenant", "a"},
      {"sluice.dlq.cause", "corrupt"},
      {"sluice.dlq.text", "byte 17: no JSON"},
      {"sluice.dlq.native_code", "5"},
      {"sluice.dlq.source", "orders-3"},
      {"sluice.dlq.partition", "3"},
      {"sluice.dlq.position", "42"},
      {"sluice.dlq.timestamp_ns", "1700000000000000001"},
      {"sluice.dlq.attempts", "4"}};
  EXPECT_EQ(taken.headers, expected);
  EXPECT_EQ(sink_->taken[1].key, std::nullopt);
  EXPECT_EQ(sink_->taken[1].value, std::nullopt);
  EXPECT_EQ(sink_->taken[1].headers.at(1).second->size(), dlq::kMaxTextBytes);
  EXPECT_LT(taken.timestamp_ns, sink_->taken[1].timestamp_ns);
}

TEST_F(Dlq, TelemetryHearsWhatTheCountersSay) {
  const std::shared_ptr<Telemetry> telemetry = std::move(Telemetry::make().value());
  open([&](DeadLetterSettings& settings) {
    settings.max_records = 10;
    settings.telemetry = telemetry;
    settings.name = "poison";
  });
  for (int i = 0; i < 14; ++i) static_cast<void>(offer());
  sink_->on_deliver = [&](const EventBatch& batch) {
    if (sink_->deliveries == 1) return failing(StatusCode::unavailable);
    if (sink_->deliveries == 2) return failing(StatusCode::denied, static_cast<uint32_t>(batch.size()) - 3, 1);
    return Delivery();
  };
  const auto check = [&](const Attributes& mine) {
    const TelemetrySnapshot snapshot = telemetry->snapshot();
    const DeadLetterCounters counters = queue_->counters();
    const auto count = [&](std::string_view name) { return static_cast<uint64_t>(testing::sum(snapshot, name, mine)); };
    EXPECT_EQ(count("sluice.dlq.offered"), counters.offered);
    EXPECT_EQ(count("sluice.dlq.dropped"), counters.dropped);
    EXPECT_EQ(count(semconv::kSentMessages), counters.sent);
    EXPECT_EQ(count("sluice.dlq.failed"), counters.failed);
    EXPECT_EQ(count("sluice.dlq.retries"), counters.retries);
    EXPECT_EQ(count("sluice.dlq.waiting"), counters.waiting);
    EXPECT_EQ(count("sluice.dlq.held"), counters.held_bytes);
  };
  const Attributes mine = {{"messaging.destination.name", "poison"}};
  check(mine);
  run_for(10'000);
  check(mine);
  const TelemetrySnapshot snapshot = telemetry->snapshot();
  EXPECT_EQ(queue_->counters().failed, 4U);
  EXPECT_EQ(testing::sum(snapshot, "sluice.dlq.dropped", {{"error.type", "busy"}}), 4);
  EXPECT_EQ(testing::sum(snapshot, semconv::kOperationDuration, {{"messaging.operation.name", "send"}}), 2);
  EXPECT_EQ(testing::sum(snapshot, semconv::kOperationDuration, {{"messaging.operation.name", "open"}}), 1);
  EXPECT_EQ(testing::sum(snapshot, "sluice.failures", {{"error.type", "unavailable"}}), 1);
  EXPECT_EQ(testing::sum(snapshot, "sluice.failures", {{"error.type", "denied"}}), 1);
  queue_.reset();
  EXPECT_EQ(testing::sum(telemetry->snapshot(), semconv::kSentMessages), 6);
}

TEST_F(Dlq, WhatCannotBeMendedByWaitingIsNotTriedAgain) {
  open();
  for (const StatusCode code : {StatusCode::denied, StatusCode::invalid, StatusCode::internal, StatusCode::no_space,
                                StatusCode::unknown, StatusCode::conflict}) {
    const int before = sink_->deliveries;
    sink_->on_deliver = [&](const EventBatch&) { return failing(code); };
    ASSERT_TRUE(offer().ok());
    run_for(10'000);
    EXPECT_EQ(sink_->deliveries, before + 1);
    EXPECT_EQ(queue_->counters().last_failure.code(), code);
  }
  EXPECT_EQ(queue_->counters().failed, 6U);
  EXPECT_EQ(queue_->counters().retries, 0U);
  expect_exact();
}

TEST_F(Dlq, AnUnknownOutcomeIsTriedAgainWhereTheSinkDeduplicates) {
  sink_->traits_of.deduplicates = true;
  open();
  int attempt = 0;
  std::vector<uint64_t> sequences;
  sink_->on_deliver = [&](const EventBatch& batch) {
    EXPECT_EQ(batch.attempt(), static_cast<uint32_t>(attempt));
    sequences.push_back(batch.first_sequence());
    return ++attempt < 3 ? failing(StatusCode::unknown) : Delivery();
  };
  ASSERT_TRUE(offer().ok());
  run_for(10'000);
  EXPECT_EQ(sequences, (std::vector<uint64_t>{0, 0, 0})) << "by the same name";
  EXPECT_EQ(queue_->counters().sent, 1U);
  EXPECT_EQ(queue_->counters().retries, 2U);
}

TEST_F(Dlq, RetriesAreUsedUpAndThenItHasFailed) {
  open([](DeadLetterSettings& settings) { settings.retry.max_retries = 3; });
  sink_->on_deliver = [](const EventBatch&) { return failing(StatusCode::busy); };
  ASSERT_TRUE(offer().ok());
  ASSERT_TRUE(offer().ok());
  run_for(60'000);
  EXPECT_EQ(sink_->deliveries, 4);
  EXPECT_EQ(queue_->counters().failed, 2U);
  expect_exact();
}

TEST_F(Dlq, WhatWasSettledIsNotSentAgain) {
  open();
  int call = 0;
  sink_->on_deliver = [&](const EventBatch& batch) {
    ++call;
    EXPECT_EQ(batch.size(), call == 1 ? 10U : call == 2 ? 6U : 5U);
    if (call == 1) return failing(StatusCode::unavailable, /*settled=*/4, /*refused=*/2);
    if (call == 2) return failing(StatusCode::unavailable, /*settled=*/1);
    return Delivery();
  };
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(offer(std::to_string(i)).ok());
  run_for(10'000);
  EXPECT_EQ(queue_->counters().sent, 8U);
  EXPECT_EQ(queue_->counters().failed, 2U);
  std::string values;
  for (const Taken& taken : sink_->taken) values += *taken.value;
  EXPECT_EQ(values, "23456789");
  expect_exact();
}

TEST_F(Dlq, ASinkThatPromisesTooMuchIsNotBelieved) {
  open();
  sink_->on_deliver = [](const EventBatch& batch) {
    Delivery delivery = failing(StatusCode::denied, static_cast<uint32_t>(batch.size()), 0);
    delivery.settled = static_cast<uint32_t>(batch.size());
    return delivery;
  };
  ASSERT_TRUE(offer().ok());
  run_for(0);
  EXPECT_EQ(queue_->counters().sent, 1U);
  expect_exact();
}

TEST_F(Dlq, AnAnswerThatNeverComesCountsAsInternal) {
  open();
  sink_->hold = true;
  ASSERT_TRUE(offer().ok());
  run_for(10'000);
  EXPECT_EQ(queue_->counters().in_flight, 1U);
  ASSERT_TRUE(offer().ok());
  run_for(10'000);
  EXPECT_EQ(sink_->held_count(), 1U) << "one batch at a time";
  sink_->release(/*answered=*/false);
  EXPECT_EQ(queue_->counters().last_failure.code(), StatusCode::internal);
  sink_->hold = false;
  run_for(0);
  EXPECT_EQ(queue_->counters().sent, 1U);
  expect_exact();
}

TEST_F(Dlq, TheSinksLimitsOnBatchesHold) {
  sink_->traits_of.max_batch_events = 3;
  sink_->traits_of.max_batch_bytes = 1'500;
  open();
  std::vector<size_t> sizes;
  sink_->on_deliver = [&](const EventBatch& batch) {
    sizes.push_back(batch.size());
    if (batch.size() > 1) {
      EXPECT_LE(batch.payload_bytes(), 1'500U);
    }
    return Delivery();
  };
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(offer("small").ok());
  ASSERT_TRUE(offer(std::string(5'000, 'l')).ok());
  ASSERT_TRUE(offer("small").ok());
  run_for(0);
  EXPECT_EQ(queue_->counters().sent, 6U);
  EXPECT_LE(*std::max_element(sizes.begin(), sizes.end()), 3U);
  expect_exact();
}

TEST_F(Dlq, BytesAreBoundedToo) {
  open([](DeadLetterSettings& settings) { settings.max_bytes = 4'000; });
  EXPECT_EQ(offer(std::string(4'000, 'x')).code(), StatusCode::too_large);
  ASSERT_TRUE(offer(std::string(2'000, 'x')).ok());
  EXPECT_EQ(offer(std::string(2'000, 'x')).code(), StatusCode::busy);
  EXPECT_LE(queue_->counters().held_bytes, 4'000U);
  run_for(0);
  EXPECT_EQ(queue_->counters().held_bytes, 0U);
  EXPECT_TRUE(offer(std::string(2'000, 'x')).ok());
  EXPECT_EQ(queue_->counters().dropped, 2U);
}

TEST_F(Dlq, ASinkThatIsNotThereYetIsOpenedAgain) {
  open();
  int opens = 0;
  sink_->on_open = [&] { return ++opens < 4 ? Status(StatusCode::unavailable, "no server") : Status(); };
  queue_->run();
  EXPECT_EQ(sink_->opens, 0) << "nothing to send";
  ASSERT_TRUE(offer().ok());
  run_for(10'000);
  EXPECT_EQ(sink_->opens, 4);
  EXPECT_EQ(queue_->counters().sent, 1U);
}

TEST_F(Dlq, AnOpeningThatMayHaveHappenedIsTriedAgain) {
  open();
  sink_->on_open = [&] { return sink_->opens == 1 ? Status(StatusCode::unknown, "the connection broke") : Status(); };
  ASSERT_TRUE(offer().ok());
  run_for(10'000);
  EXPECT_EQ(sink_->opens, 2);
  EXPECT_EQ(queue_->counters().sent, 1U);
  expect_exact();
}

TEST_F(Dlq, ASinkThatStaysAwayIsWaitedForWithoutEnd) {
  const std::shared_ptr<Telemetry> telemetry = std::move(Telemetry::make().value());
  open([&](DeadLetterSettings& settings) {
    settings.retry.max_retries = 3;
    settings.max_records = 2;
    settings.telemetry = telemetry;
  });
  sink_->on_open = [] { return Status(StatusCode::unavailable, "no server"); };
  ASSERT_TRUE(offer().ok());
  run_for(3'600'000);
  EXPECT_GT(sink_->opens, 3'600'000 / 5'000) << "no less often than the longest delay says";
  EXPECT_LT(sink_->opens, 2 * 3'600'000 / 5'000 + 20) << "nor more often than it and chance do";
  ASSERT_TRUE(offer().ok());
  EXPECT_EQ(offer().code(), StatusCode::busy) << "no more is held than otherwise";
  DeadLetterCounters counters = queue_->counters();
  EXPECT_EQ(counters.waiting, 2U);
  EXPECT_EQ(counters.failed, 0U);
  EXPECT_EQ(counters.opening.code(), StatusCode::unavailable);
  const Attributes openings = {{"messaging.operation.name", "open"}, {"error.type", "unavailable"}};
  EXPECT_EQ(testing::sum(telemetry->snapshot(), "sluice.failures", openings), sink_->opens);
  const Status closing = queue_->close(0);
  EXPECT_EQ(closing.code(), StatusCode::busy);
  EXPECT_NE(closing.text().find("no server"), std::string::npos) << closing.text();

  sink_->on_open = [] { return Status(); };
  int deliveries = 0;
  sink_->on_deliver = [&](const EventBatch&) { return ++deliveries <= 3 ? failing(StatusCode::busy) : Delivery(); };
  run_for(60'000);
  counters = queue_->counters();
  EXPECT_EQ(counters.sent, 2U) << "what opening took is not counted against the records";
  EXPECT_TRUE(counters.opening.ok());
  expect_exact();
}

TEST_F(Dlq, AnAnswerToOpeningOrClosingThatNeverComesCountsAsInternal) {
  open();
  sink_->forget_open = true;
  ASSERT_TRUE(offer().ok());
  run_for(0);
  EXPECT_EQ(queue_->counters().failed, 1U);
  EXPECT_EQ(queue_->counters().last_failure.code(), StatusCode::internal);
  EXPECT_EQ(queue_->close(60'000).code(), StatusCode::internal);
  expect_exact();

  sink_ = std::make_shared<ScriptedSink>();
  open();
  sink_->forget_close = true;
  ASSERT_TRUE(offer().ok());
  EXPECT_EQ(queue_->close(60'000).code(), StatusCode::internal);
  EXPECT_EQ(queue_->counters().sent, 1U);
}

TEST_F(Dlq, ASinkThatCannotBeOpenedFailsAll) {
  open();
  sink_->on_open = [] { return Status(StatusCode::denied, "no rights"); };
  ASSERT_TRUE(offer().ok());
  run_for(10'000);
  ASSERT_TRUE(offer().ok());
  run_for(10'000);
  EXPECT_EQ(sink_->opens, 1);
  EXPECT_EQ(queue_->counters().failed, 2U);
  EXPECT_EQ(queue_->counters().held_bytes, 0U);
  EXPECT_EQ(queue_->close(1'000).code(), StatusCode::denied);
  expect_exact();
}

TEST_F(Dlq, ClosingTakesNothingMoreAndSendsWhatThereIs) {
  open();
  for (int i = 0; i < 1'000; ++i) ASSERT_TRUE(offer().ok());
  sink_->hold = true;
  EXPECT_EQ(queue_->close(20).code(), StatusCode::busy);
  EXPECT_EQ(offer().code(), StatusCode::fenced);
  sink_->hold = false;
  sink_->release(true);
  EXPECT_TRUE(queue_->close(10'000).ok());
  EXPECT_TRUE(queue_->close(10'000).ok()) << "a second time is harmless";
  EXPECT_EQ(sink_->closes, 1);
  EXPECT_EQ(queue_->counters().sent, 1'000U);
  expect_exact();
}

TEST_F(Dlq, WhatIsGivenUpAtDestructionIsSaid) {
  open();
  sink_->hold = true;
  ASSERT_TRUE(offer().ok());
  queue_->run();
  ASSERT_TRUE(offer().ok());
  queue_.reset();
  ASSERT_EQ(said_.size(), 1U);
  EXPECT_NE(said_[0].find("2 records given up, 1 of them with the sink"), std::string::npos) << said_[0];
  sink_->release(true);  // late, and harmless
  EXPECT_EQ(sink_->taken.size(), 1U);
}

TEST_F(Dlq, SettingsAreCheckedFieldByField) {
  const auto refused = [&](auto change) {
    DeadLetterSettings settings;
    settings.own_thread = false;
    change(settings);
    const auto opened = DeadLetterQueue::open(settings, sink_);
    return opened ? "" : opened.error().text().substr(0, opened.error().text().find(':'));
  };
  EXPECT_EQ(refused([](auto&) {}), "");
  EXPECT_EQ(refused([](auto& s) { s.max_records = 0; }), "dlq.max_records");
  EXPECT_EQ(refused([](auto& s) { s.max_records = SIZE_MAX; }), "dlq.max_records");
  EXPECT_EQ(refused([](auto& s) { s.max_bytes = 0; }), "dlq.max_bytes");
  EXPECT_EQ(refused([](auto& s) { s.max_in_flight = 0; }), "dlq.max_in_flight");
  EXPECT_EQ(refused([](auto& s) { s.max_in_flight = UINT32_MAX; }), "dlq.max_in_flight");
  EXPECT_EQ(refused([](auto& s) { s.retry.first_delay_ms = 0; }), "dlq.retry.first_delay_ms");
  EXPECT_EQ(refused([](auto& s) { s.retry.jitter_percent = 101; }), "dlq.retry.jitter_percent");
  EXPECT_EQ(DeadLetterQueue::open({}, nullptr).error().text(), "dlq.sink: none");
}

}  // namespace
}  // namespace sluice
