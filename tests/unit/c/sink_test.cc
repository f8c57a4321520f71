// SPDX-License-Identifier: Apache-2.0
// Sinks of an application's own, behind buses and dead letter queues.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <condition_variable>
#include <map>
#include <mutex>

#include "face.hpp"

namespace sluice::c::testing {
namespace {

using ::testing::HasSubstr;

/// A sink that keeps what comes, and answers as it is told: `fail_first` batches with UNAVAILABLE first.
struct Keeping {
  std::mutex mutex;
  std::vector<std::string> values;
  std::map<std::string, std::string> headers;  // of the last one
  std::vector<uint32_t> attempts;
  int fail_first = 0;
  bool hold = false;  // answers are kept
  std::atomic<bool> away{false};
  std::vector<sluice_handle> held;
  int opened = 0;
  int flushed = 0;
  int closed = 0;
  std::atomic<bool> gone{false};

  static Keeping& of(void* context) { return *static_cast<Keeping*>(context); }
  static void open(void* context, sluice_handle answer) {
    ++of(context).opened;
    Failure away;
    away.code = SLUICE_UNAVAILABLE;
    EXPECT_EQ(sluice_answer(answer, of(context).away ? &away : nullptr, nullptr, nullptr), SLUICE_OK);
  }
  static void deliver(void* context, const sluice_event_batch* batch, sluice_handle answer) {
    Keeping& self = of(context);
    Failure later;
    later.code = SLUICE_UNAVAILABLE;
    bool fails = false;
    {
      const std::scoped_lock lock(self.mutex);
      self.attempts.push_back(batch->attempt);
      fails = self.fail_first > 0;
      self.fail_first -= fails ? 1 : 0;
      if (self.hold) {
        self.held.push_back(answer);
        return;
      }
      for (uint64_t i = 0; !fails && i < batch->count; ++i) {
        const sluice_record& record = batch->records[i];
        self.values.emplace_back(view(record.value));
        self.headers.clear();
        for (uint32_t j = 0; j < record.header_count; ++j) {
          self.headers[std::string(view(record.headers[j].name))] = view(record.headers[j].value);
        }
      }
    }
    EXPECT_EQ(sluice_answer(answer, fails ? &later : nullptr, nullptr, nullptr), SLUICE_OK);
    EXPECT_EQ(sluice_answer(answer, nullptr, nullptr, nullptr), SLUICE_NOT_FOUND);
  }
  static void flush(void* context, int64_t timeout_ms, sluice_handle answer) {
    EXPECT_GT(timeout_ms, 0);
    ++of(context).flushed;
    EXPECT_EQ(sluice_answer(answer, nullptr, nullptr, nullptr), SLUICE_OK);
  }
  static void close(void* context, int64_t, sluice_handle answer) {
    ++of(context).closed;
    EXPECT_EQ(sluice_answer(answer, nullptr, nullptr, nullptr), SLUICE_OK);
  }
  static void is_gone(void* context) { of(context).gone = true; }

  sluice_sink_calls calls() {
    sluice_sink_calls made{};
    made.size = sizeof made;
    made.context = this;
    made.open = &open;
    made.deliver = &deliver;
    made.flush = &flush;
    made.close = &close;
    made.gone = &is_gone;
    return made;
  }
  void open_as(Owned& sink) {
    const auto described = calls();
    ASSERT_EQ(sluice_sink_open(&described, &sink.handle, nullptr), SLUICE_OK);
  }
};

std::string sink_of(sluice_handle sink) {
  return fmt::format(R"("sink": {{"kind": "calls", "sink": {}}})", sink);
}
sluice_bus_counts stats(sluice_handle bus) {
  sluice_bus_counts counts{};
  counts.size = sizeof counts;
  EXPECT_EQ(sluice_bus_stats(bus, &counts, nullptr), SLUICE_OK);
  return counts;
}

TEST(SinkFace, a_bus_delivers_to_functions) {
  Keeping keeping;
  keeping.fail_first = 2;
  {
    Owned sink;
    ASSERT_NO_FATAL_FAILURE(keeping.open_as(sink));
    Owned bus;
    open_bus(R"({"shards": 1, "retry": {"first_ms": 1}, )" + sink_of(sink) + "}", bus);
    sluice_handle second = 0;
    Failure failure;
    const std::string config = "{" + sink_of(sink) + "}";
    EXPECT_EQ(sluice_bus_open(config.data(), config.size(), &second, &failure), SLUICE_EXISTS) << failure.text;
    std::vector<std::string> wanted;
    for (int i = 0; i < 100; ++i) {
      wanted.push_back(fmt::format("v{}", i));
      const sluice_event one = event("k", wanted.back());
      ASSERT_EQ(sluice_bus_ingest(bus, &one, nullptr), SLUICE_OK);
    }
    ASSERT_EQ(sluice_bus_shutdown(bus, 60'000, &failure), SLUICE_OK) << failure.text;
    EXPECT_EQ(keeping.values, wanted);
    EXPECT_EQ(keeping.attempts[2], 2U);
    EXPECT_EQ(stats(bus).delivered, 100U);
    EXPECT_EQ(keeping.opened, 1);
    EXPECT_EQ(keeping.closed, 1);
    EXPECT_FALSE(keeping.gone);
  }
  EXPECT_TRUE(comes_true([&] { return keeping.gone.load(); }));
}

TEST(SinkFace, a_flush_reaches_the_sink_and_tells_once_what_failed) {
  Keeping keeping;
  keeping.fail_first = 1;
  Owned sink;
  ASSERT_NO_FATAL_FAILURE(keeping.open_as(sink));
  Owned bus;
  open_bus(R"({"shards": 1, "retry": {"retries": 0}, )" + sink_of(sink) + "}", bus);
  Failure failure;
  ASSERT_EQ(sluice_bus_ingest_raw(bus, span("lost"), nullptr), SLUICE_OK);
  EXPECT_EQ(sluice_bus_flush(bus, 60'000, &failure), SLUICE_UNAVAILABLE) << failure.text;
  EXPECT_EQ(stats(bus).dropped_failed, 1U);
  ASSERT_EQ(sluice_bus_ingest_raw(bus, span("kept"), nullptr), SLUICE_OK);
  EXPECT_EQ(sluice_bus_flush(bus, 60'000, &failure), SLUICE_OK) << failure.text;
  EXPECT_EQ(keeping.values, (std::vector<std::string>{"kept"}));
  EXPECT_EQ(keeping.flushed, 2);
  EXPECT_EQ(sluice_bus_flush(bus, -1, &failure), SLUICE_INVALID);
  EXPECT_EQ(sluice_bus_shutdown(bus, 60'000, &failure), SLUICE_OK) << failure.text;
}

TEST(SinkFace, parts_of_a_batch_are_refused_and_unanswered_ones_failed) {
  Keeping keeping;
  keeping.hold = true;
  Owned sink;
  ASSERT_NO_FATAL_FAILURE(keeping.open_as(sink));
  Owned bus;
  open_bus(
      R"({"shards": 1, "batch": {"max_events": 4, "linger_us": 1000000, "adaptive": false}, )" + sink_of(sink) + "}",
      bus);
  const sluice_event one = event("k", "v");
  const sluice_event* const batch[] = {&one, &one, &one, &one, &one, &one, &one, &one};
  ASSERT_EQ(sluice_bus_ingest_batch(bus, batch, 8, nullptr, nullptr), SLUICE_OK);
  const auto answer = [&] {
    sluice_handle taken = 0;
    EXPECT_TRUE(comes_true([&] {
      const std::scoped_lock lock(keeping.mutex);
      if (keeping.held.empty()) return false;
      taken = keeping.held.front();
      keeping.held.erase(keeping.held.begin());
      return true;
    }));
    return taken;
  };
  const sluice_handle first = answer();
  Failure refusal;
  refusal.code = SLUICE_TOO_LARGE;
  sluice_delivered delivered{};
  delivered.size = sizeof delivered;
  delivered.refused = 5;
  delivered.refusal = &refusal;
  EXPECT_EQ(sluice_answer(first, nullptr, &delivered, nullptr), SLUICE_INVALID);
  delivered.refused = 1;
  delivered.refusal = nullptr;
  EXPECT_EQ(sluice_answer(first, nullptr, &delivered, nullptr), SLUICE_INVALID);
  delivered.refusal = &refusal;
  Failure nothing;
  EXPECT_EQ(sluice_answer(first, &nothing, &delivered, nullptr), SLUICE_INVALID);
  EXPECT_EQ(sluice_answer(first, nullptr, &delivered, nullptr), SLUICE_OK);
  EXPECT_EQ(sluice_release(answer(), nullptr), SLUICE_OK);
  Failure failure;
  EXPECT_NE(sluice_bus_shutdown(bus, 60'000, &failure), SLUICE_OK);
  const auto counts = stats(bus);
  EXPECT_EQ(counts.delivered, 3U);
  EXPECT_EQ(counts.dropped_refused, 1U);
  EXPECT_EQ(counts.dropped_failed, 4U);
}

TEST(SinkFace, S11_what_cannot_be_handled_is_counted_and_sent_with_its_cause) {
  Keeping keeping;
  keeping.fail_first = 2;
  Owned sink;
  ASSERT_NO_FATAL_FAILURE(keeping.open_as(sink));
  Owned queue;
  open_by(&sluice_dead_letters_open,
          R"({"max_records": 10, "retry": {"first_delay_ms": 1, "max_delay_ms": 1}, )" + sink_of(sink) + "}", queue);
  sluice_record record{};
  record.position = 17;
  record.timestamp_ns = SLUICE_NO_TIMESTAMP;
  record.value = span("broken");
  Failure why;
  why.code = SLUICE_CORRUPT;
  sluice_cause cause{};
  cause.size = sizeof cause;
  cause.attempts = 3;
  cause.source = span("orders-0");
  Failure failure;
  EXPECT_EQ(sluice_dead_letters_offer(queue, &record, &cause, &failure), SLUICE_INVALID);
  cause.why = &why;
  EXPECT_EQ(sluice_dead_letters_offer(queue, nullptr, &cause, &failure), SLUICE_INVALID);
  EXPECT_EQ(sluice_dead_letters_offer(queue, &record, nullptr, &failure), SLUICE_INVALID);
  ASSERT_EQ(sluice_dead_letters_offer(queue, &record, &cause, &failure), SLUICE_OK) << failure.text;
  ASSERT_EQ(sluice_dead_letters_close(queue, 60'000, &failure), SLUICE_OK) << failure.text;
  EXPECT_NE(sluice_dead_letters_offer(queue, &record, &cause, &failure), SLUICE_OK);
  sluice_dead_letters_counts counts{};
  counts.size = sizeof counts;
  ASSERT_EQ(sluice_dead_letters_stats(queue, &counts, nullptr), SLUICE_OK);
  EXPECT_EQ(counts.offered, 2U);
  EXPECT_EQ(counts.sent, 1U);
  EXPECT_EQ(counts.dropped, 1U);
  EXPECT_EQ(counts.retries, 2U);
  EXPECT_EQ(keeping.values, (std::vector<std::string>{"broken"}));
  EXPECT_EQ(keeping.headers["sluice.dlq.cause"], "corrupt");
  EXPECT_EQ(keeping.headers["sluice.dlq.source"], "orders-0");
  EXPECT_EQ(keeping.headers["sluice.dlq.position"], "17");
  EXPECT_EQ(keeping.headers["sluice.dlq.attempts"], "3");
}

TEST(SinkFace, a_queue_says_why_its_sink_is_not_open) {
  Keeping keeping;
  keeping.away = true;
  Owned sink;
  ASSERT_NO_FATAL_FAILURE(keeping.open_as(sink));
  Owned queue;
  open_by(&sluice_dead_letters_open, R"({"retry": {"first_delay_ms": 1, "max_delay_ms": 1}, )" + sink_of(sink) + "}",
          queue);
  const auto opening = [&] {
    sluice_dead_letters_counts counts{};
    counts.size = sizeof counts;
    EXPECT_EQ(sluice_dead_letters_stats(queue, &counts, nullptr), SLUICE_OK);
    return counts.opening;
  };
  EXPECT_EQ(opening(), SLUICE_OK) << "nobody has tried";
  sluice_record record{};
  record.timestamp_ns = SLUICE_NO_TIMESTAMP;
  record.value = span("broken");
  Failure why;
  why.code = SLUICE_CORRUPT;
  sluice_cause cause{};
  cause.size = sizeof cause;
  cause.why = &why;
  ASSERT_EQ(sluice_dead_letters_offer(queue, &record, &cause, nullptr), SLUICE_OK);
  EXPECT_TRUE(comes_true([&] { return opening() == SLUICE_UNAVAILABLE; }));
  keeping.away = false;
  ASSERT_EQ(sluice_dead_letters_close(queue, 60'000, nullptr), SLUICE_OK);
  EXPECT_EQ(opening(), SLUICE_OK);
  EXPECT_EQ(keeping.values.size(), 1U);
}

TEST(SinkFace, an_application_may_run_the_queue_itself) {
  Keeping keeping;
  Owned sink;
  ASSERT_NO_FATAL_FAILURE(keeping.open_as(sink));
  Owned queue;
  open_by(&sluice_dead_letters_open, R"({"own_thread": false, )" + sink_of(sink) + "}", queue);
  sluice_record record{};
  record.value = span("x");
  Failure why;
  why.code = SLUICE_CORRUPT;
  const sluice_cause cause{sizeof(sluice_cause), 1, &why, span("s")};
  ASSERT_EQ(sluice_dead_letters_offer(queue, &record, &cause, nullptr), SLUICE_OK);
  EXPECT_TRUE(comes_true([&] {
    int64_t wait_ms = -1;
    EXPECT_EQ(sluice_dead_letters_run(queue, &wait_ms, nullptr), SLUICE_OK);
    EXPECT_GE(wait_ms, 0);
    return keeping.values.size() == 1;
  }));
}

TEST(SinkFace, B03_a_sink_stays_with_its_handle_until_it_is_in_use) {
  Folder folder;
  const std::string state_file = folder.write("file", "") + "/under-a-file/state";
  for (const bool queue : {false, true}) {
    Keeping keeping;
    {
      Owned sink;
      ASSERT_NO_FATAL_FAILURE(keeping.open_as(sink));
      const auto open = queue ? &sluice_dead_letters_open : &sluice_bus_open;
      std::vector<std::string> wrongs = {queue ? R"("max_records": 0)" : R"("capacity_events": 0)"};
      // What only making the bus finds out.
      if (!queue) wrongs.push_back(fmt::format(R"("state_file": "{}")", state_file));
      for (const std::string& wrong : wrongs) {
        const std::string config = fmt::format("{{{}, {}}}", wrong, sink_of(sink));
        sluice_handle made = 0;
        Failure failure;
        const sluice_status status = open(config.data(), config.size(), &made, &failure);
        EXPECT_THAT(status, ::testing::AllOf(::testing::Ne(SLUICE_OK), ::testing::Ne(SLUICE_EXISTS))) << failure.text;
        EXPECT_THAT(std::string(failure.text), ::testing::StartsWith(wrong.substr(1, wrong.find(':') - 2) + ": "));
        EXPECT_FALSE(keeping.gone);
      }
      Owned made;
      open_by(open, "{" + sink_of(sink) + "}", made);
      sluice_handle second = 0;
      const std::string config = "{" + sink_of(sink) + "}";
      EXPECT_EQ(open(config.data(), config.size(), &second, nullptr), SLUICE_EXISTS);
      if (queue) continue;
      ASSERT_EQ(sluice_bus_ingest_raw(made, span("x"), nullptr), SLUICE_OK);
      Failure failure;
      ASSERT_EQ(sluice_bus_shutdown(made, 60'000, &failure), SLUICE_OK) << failure.text;
      EXPECT_EQ(keeping.values, (std::vector<std::string>{"x"}));
      EXPECT_EQ(keeping.opened, 1);
    }
    EXPECT_TRUE(comes_true([&] { return keeping.gone.load(); }));
  }
  // One that nobody could use ends with its handle.
  Keeping keeping;
  Owned sink;
  ASSERT_NO_FATAL_FAILURE(keeping.open_as(sink));
  const std::string config = fmt::format(R"({{"state_file": "{}", {}}})", state_file, sink_of(sink));
  sluice_handle made = 0;
  EXPECT_NE(sluice_bus_open(config.data(), config.size(), &made, nullptr), SLUICE_OK);
  EXPECT_FALSE(keeping.gone);
  EXPECT_EQ(sluice_release(sink, nullptr), SLUICE_OK);
  EXPECT_TRUE(comes_true([&] { return keeping.gone.load(); }));
}

TEST(SinkFace, wrong_arguments_are_told) {
  Failure failure;
  sluice_handle made = 0;
  sluice_sink_calls none{};
  none.size = sizeof none;
  EXPECT_EQ(sluice_sink_open(&none, &made, &failure), SLUICE_INVALID);
  EXPECT_EQ(sluice_sink_open(nullptr, &made, &failure), SLUICE_INVALID);
  EXPECT_EQ(sluice_answer(12345, nullptr, nullptr, &failure), SLUICE_NOT_FOUND);
  struct Case {
    const char* config;
    sluice_status status;
    const char* expected;
  };
  for (const Case& wrong :
       {Case{"{}", SLUICE_INVALID, "sink: is needed"}, Case{R"({"sink": {}})", SLUICE_INVALID, "sink.kind"},
        Case{R"({"sink": {"kind": "calls", "sink": 99999}})", SLUICE_NOT_FOUND, "sink.sink"},
        Case{R"({"sink": {"kind": "calls", "sink": 1}, "max_records": -1})", SLUICE_INVALID, "max_records"},
        Case{R"({"sink": {"kind": "calls", "sink": 1}, "retry": {"jitter_percent": 101}})", SLUICE_INVALID,
             "retry.jitter_percent"}}) {
    EXPECT_EQ(sluice_dead_letters_open(wrong.config, std::string_view(wrong.config).size(), &made, &failure),
              wrong.status)
        << wrong.config;
    EXPECT_THAT(std::string(failure.text), HasSubstr(wrong.expected)) << wrong.config;
  }
}

/// Releases its queue inside a delivery, where the end of the queue would wait for that very thread.
struct Releasing {
  std::atomic<sluice_handle> queue{0};
  std::atomic<bool> gone{false};
  static void deliver(void* context, const sluice_event_batch*, sluice_handle answer) {
    sluice_release(static_cast<Releasing*>(context)->queue, nullptr);
    sluice_answer(answer, nullptr, nullptr, nullptr);
  }
  static void is_gone(void* context) { static_cast<Releasing*>(context)->gone = true; }
};

TEST(SinkFace, S16_a_delivery_may_release_its_queue) {
  Releasing releasing;
  Owned sink;
  sluice_sink_calls calls{};
  calls.size = sizeof calls;
  calls.context = &releasing;
  calls.deliver = &Releasing::deliver;
  calls.gone = &Releasing::is_gone;
  ASSERT_EQ(sluice_sink_open(&calls, &sink.handle, nullptr), SLUICE_OK);
  const std::string config = "{" + sink_of(sink) + "}";
  sluice_handle queue = 0;
  ASSERT_EQ(sluice_dead_letters_open(config.data(), config.size(), &queue, nullptr), SLUICE_OK);
  releasing.queue = queue;
  sluice_record record{};
  record.value = span("x");
  Failure why;
  why.code = SLUICE_CORRUPT;
  const sluice_cause cause{sizeof(sluice_cause), 1, &why, span("s")};
  ASSERT_EQ(sluice_dead_letters_offer(queue, &record, &cause, nullptr), SLUICE_OK);
  EXPECT_TRUE(comes_true([&] { return releasing.gone.load(); }));
  EXPECT_EQ(sluice_release(queue, nullptr), SLUICE_NOT_FOUND);
}

/// Answers deliveries, and lets the answers of other calls go.
struct LettingGo {
  bool opens = true;
  static void open(void* context, sluice_handle answer) {
    if (static_cast<LettingGo*>(context)->opens) {
      sluice_answer(answer, nullptr, nullptr, nullptr);
    } else {
      sluice_release(answer, nullptr);
    }
  }
  static void deliver(void*, const sluice_event_batch*, sluice_handle answer) {
    sluice_answer(answer, nullptr, nullptr, nullptr);
  }
  static void close(void*, int64_t, sluice_handle answer) { sluice_release(answer, nullptr); }

  void take(Owned& sink) {
    sluice_sink_calls calls{};
    calls.size = sizeof calls;
    calls.context = this;
    calls.open = &open;
    calls.deliver = &deliver;
    calls.close = &close;
    ASSERT_EQ(sluice_sink_open(&calls, &sink.handle, nullptr), SLUICE_OK);
  }
};

TEST(SinkFace, an_answer_that_is_let_go_is_told_a_queue) {
  for (const bool opens : {true, false}) {
    LettingGo letting_go{opens};
    Owned sink;
    letting_go.take(sink);
    Owned queue;
    open_by(&sluice_dead_letters_open, "{" + sink_of(sink) + "}", queue);
    sluice_record record{};
    record.value = span("x");
    Failure why;
    why.code = SLUICE_CORRUPT;
    const sluice_cause cause{sizeof(sluice_cause), 1, &why, span("s")};
    ASSERT_EQ(sluice_dead_letters_offer(queue, &record, &cause, nullptr), SLUICE_OK);
    Failure failure;
    EXPECT_EQ(sluice_dead_letters_close(queue, 60'000, &failure), SLUICE_INTERNAL);
    EXPECT_THAT(std::string(failure.text), HasSubstr("let its answer go"));
    sluice_dead_letters_counts counts{};
    counts.size = sizeof counts;
    ASSERT_EQ(sluice_dead_letters_stats(queue, &counts, nullptr), SLUICE_OK);
    EXPECT_EQ(counts.sent, opens ? 1U : 0U);
    EXPECT_EQ(counts.failed, opens ? 0U : 1U);
  }
}

TEST(SinkFace, an_answer_that_is_let_go_is_told_a_bus_once) {
  for (const bool opens : {true, false}) {
    LettingGo letting_go{opens};
    Owned sink;
    letting_go.take(sink);
    Owned bus;
    open_bus(R"({"shards": 1, )" + sink_of(sink) + "}", bus);
    const sluice_event one = event("k", "v");
    ASSERT_EQ(sluice_bus_ingest(bus, &one, nullptr), SLUICE_OK);
    Failure failure;
    EXPECT_EQ(sluice_bus_shutdown(bus, 60'000, &failure), SLUICE_INTERNAL);
    EXPECT_THAT(std::string(failure.text), HasSubstr("let its answer go"));
    const auto counts = stats(bus);
    EXPECT_EQ(counts.delivered, opens ? 1U : 0U);
    EXPECT_EQ(counts.dropped_failed, opens ? 0U : 1U);
  }
}

TEST(SinkFace, B01_offers_race_with_close_and_release) {
  race_with_release(
      50,
      [] {
        sluice_sink_calls calls{};
        calls.size = sizeof calls;
        calls.deliver = [](void*, const sluice_event_batch*, sluice_handle answer) {
          sluice_answer(answer, nullptr, nullptr, nullptr);
        };
        Owned sink;
        EXPECT_EQ(sluice_sink_open(&calls, &sink.handle, nullptr), SLUICE_OK);
        const std::string config = R"({"max_records": 100, )" + sink_of(sink) + "}";
        sluice_handle queue = 0;
        EXPECT_EQ(sluice_dead_letters_open(config.data(), config.size(), &queue, nullptr), SLUICE_OK);
        return queue;
      },
      [](sluice_handle queue) {
        sluice_record record{};
        record.value = span("x");
        Failure why;
        why.code = SLUICE_CORRUPT;
        const sluice_cause cause{sizeof(sluice_cause), 1, &why, span("s")};
        return sluice_dead_letters_offer(queue, &record, &cause, nullptr);
      },
      [](sluice_handle queue) { EXPECT_EQ(sluice_dead_letters_close(queue, 60'000, nullptr), SLUICE_OK); },
      [](sluice_status status) { return status != SLUICE_INTERNAL && status != SLUICE_INVALID; });
}

}  // namespace
}  // namespace sluice::c::testing
