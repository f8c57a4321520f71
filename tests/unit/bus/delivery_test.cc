// SPDX-License-Identifier: Apache-2.0
// What the bus makes of a sink's answers: retries by class, order, failures that surface; and its end.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "test_sinks.hpp"

namespace sluice::bus {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

int64_t ms_since(steady_clock::time_point from) {
  return std::chrono::duration_cast<milliseconds>(steady_clock::now() - from).count();
}

double cpu_ms() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  return static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e3 +
         static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e3;
}

Delivery failed(StatusCode code, uint32_t settled = 0) {
  Delivery delivery;
  delivery.status = Status(code, "as told", 42);
  delivery.settled = settled;
  return delivery;
}

TEST(Bus, B33_what_a_sink_refuses_is_counted_and_flush_reports_it) {
  const auto sink = std::make_shared<TestSink>();
  sink->judge = [](const EventBatch& batch) {
    Delivery delivery;
    delivery.refused = static_cast<uint32_t>(batch.size());
    delivery.refusal = Status(StatusCode::too_large, "not that", 10);
    return delivery;
  };
  auto bus = make_bus(options_for(sink));
  for (int i = 0; i < 10; ++i) ASSERT_EQ(bus->ingest(event(std::to_string(i), "v")), Outcome::queued);
  const Status status = bus->flush(kPatienceMs);
  EXPECT_EQ(status.code(), StatusCode::too_large);
  EXPECT_EQ(status.native_code(), 10);
  EXPECT_NE(status.text().find("10 events failed"), std::string::npos) << status.text();
  EXPECT_EQ(bus->stats().dropped.refused, 10U);
  EXPECT_EQ(bus->stats().delivered, 0U);
  EXPECT_TRUE(bus->flush(kPatienceMs)) << "told once";
  EXPECT_TRUE(bus->shutdown(kPatienceMs));
}

TEST(Bus, B21_retries_obey_the_class_of_the_error) {
  for (const StatusCode code :
       {StatusCode::internal, StatusCode::denied, StatusCode::invalid, StatusCode::unavailable, StatusCode::busy}) {
    const bool again = status_class(code) == 300;
    const auto sink = std::make_shared<TestSink>();
    std::vector<steady_clock::time_point> calls;
    sink->judge = [&](const EventBatch& batch) {
      EXPECT_EQ(batch.attempt(), calls.size());
      calls.push_back(steady_clock::now());
      return failed(code);
    };
    BusOptions options = options_for(sink);
    options.retry = {.retries = 4, .first_ms = 8, .longest_ms = 1'000};
    auto bus = make_bus(std::move(options));
    ASSERT_EQ(bus->ingest(event("k", "v")), Outcome::queued);
    const Status status = bus->flush(kPatienceMs);
    EXPECT_EQ(status.code(), code);
    EXPECT_EQ(status.native_code(), 42);
    EXPECT_EQ(calls.size(), again ? 5U : 1U);
    EXPECT_EQ(bus->stats().dropped.failed, 1U);
    // 8, 16, 32, 64 ms, of which half is left to chance.
    for (size_t i = 1; i < calls.size(); ++i) EXPECT_GE(calls[i] - calls[i - 1], milliseconds(4 << (i - 1)));
    EXPECT_TRUE(bus->shutdown(kPatienceMs));
  }
}

TEST(Bus, B12_an_unknown_outcome_is_tried_again_only_where_twice_is_once) {
  for (const bool deduplicates : {false, true}) {
    const auto sink = std::make_shared<TestSink>();
    sink->its_traits.deduplicates = deduplicates;
    std::atomic<int> calls{0};
    sink->judge = [&](const EventBatch&) { return calls++ == 0 ? failed(StatusCode::unknown) : Delivery(); };
    BusOptions options = options_for(sink);
    options.retry.first_ms = 1;
    auto bus = make_bus(std::move(options));
    ASSERT_EQ(bus->ingest(event("k", "v")), Outcome::queued);
    EXPECT_EQ(bus->flush(kPatienceMs).ok(), deduplicates);
    EXPECT_EQ(calls, deduplicates ? 2 : 1);
    EXPECT_EQ(bus->stats().dropped.failed, deduplicates ? 0U : 1U);
    EXPECT_TRUE(bus->shutdown(kPatienceMs));
  }
}

TEST(Bus, a_batch_that_failed_half_way_goes_on_where_it_stopped_before_all_behind_it) {
  for (const bool ordered : {false, true}) {
    const auto sink = std::make_shared<TestSink>();
    sink->its_traits.ordered = ordered;
    std::atomic<bool> broken{false};
    std::atomic<int> calls{0};
    sink->judge = [&](const EventBatch& batch) {
      // Each third call takes a part; and while it is broken an ordered sink takes nothing else.
      if (batch.attempt() == 0 && (broken || calls++ % 3 == 1)) {
        const bool was_broken = broken.exchange(ordered);
        return failed(StatusCode::unavailable, was_broken ? 0 : static_cast<uint32_t>(batch.size() / 2));
      }
      broken = false;
      return Delivery();
    };
    BusOptions options = options_for(sink);
    options.shards = 1;
    options.batch.max_events = 10;
    options.retry.first_ms = 1;
    auto bus = make_bus(std::move(options));
    for (int i = 0; i < 500; ++i) ASSERT_EQ(bus->ingest(event("k", std::to_string(i))), Outcome::queued);
    EXPECT_TRUE(bus->shutdown(kPatienceMs));
    const auto seen = sink->seen();
    ASSERT_EQ(seen.size(), 500U);
    for (size_t i = 0; i < seen.size(); ++i) EXPECT_EQ(seen[i].sequence, i);
    EXPECT_GT(bus->stats().shards.size() + 1, 0U);
  }
}

TEST(Bus, B10_errors_of_the_end_surface_fatal_ones_are_not_retried_and_a_sink_is_opened_once) {
  {  // A sink that may not be opened is asked once.
    const auto sink = std::make_shared<TestSink>();
    sink->on_open = [] { return Status(StatusCode::denied, "who are you", 58); };
    auto bus = make_bus(options_for(sink));
    for (int i = 0; i < 5; ++i) ASSERT_EQ(bus->ingest(event(std::to_string(i), "v")), Outcome::queued);
    const Status status = bus->flush(kPatienceMs);
    EXPECT_EQ(status.code(), StatusCode::denied);
    EXPECT_EQ(bus->health().level, BusHealth::Level::failing);
    EXPECT_TRUE(bus->shutdown(kPatienceMs));
    EXPECT_EQ(sink->opens, 1U);
    EXPECT_EQ(bus->stats().dropped.failed, 5U);
  }
  {  // What goes wrong in closing is what shutdown returns.
    const auto sink = std::make_shared<TestSink>();
    sink->close_status = Status(StatusCode::internal, "broke at the end", 5);
    auto bus = make_bus(options_for(sink));
    ASSERT_EQ(bus->ingest(event("k", "v")), Outcome::queued);
    EXPECT_EQ(bus->shutdown(kPatienceMs).native_code(), 5);
    EXPECT_TRUE(bus->shutdown(kPatienceMs));
  }
  {  // One that is not there yet is waited for; sixteen threads of first batches open it once.
    const auto sink = std::make_shared<TestSink>();
    std::atomic<int> attempts{0};
    sink->on_open = [&] { return attempts++ < 3 ? Status(StatusCode::unavailable, "not yet") : Status(); };
    BusOptions options = options_for(sink);
    options.retry.first_ms = 1;
    options.threads = 4;
    options.shards = 8;
    auto bus = make_bus(std::move(options));
    std::vector<std::thread> threads;
    for (int t = 0; t < 16; ++t) {
      threads.emplace_back([&, t] {
        const std::string key = std::to_string(t);
        const std::vector<Event> batch(10, event(key, "v"));
        EXPECT_EQ(bus->ingest(batch).queued, 10U);
      });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_TRUE(bus->shutdown(kPatienceMs));
    EXPECT_EQ(sink->opens, 4U);
    EXPECT_EQ(sink->events, 160U);
  }
}

TEST(Bus, S15_failures_carry_cause_where_and_how_long) {
  const auto sink = std::make_shared<TestSink>();
  sink->judge = [](const EventBatch&) { return failed(StatusCode::no_space); };
  std::mutex mutex;
  std::string lines;
  BusOptions options = options_for(sink);
  options.name = "orders";
  options.shards = 1;
  options.log = [&](std::string_view line) {
    const std::lock_guard lock(mutex);
    lines += line;
  };
  auto bus = make_bus(std::move(options));
  ASSERT_EQ(bus->ingest(event("k", "v")), Outcome::queued);
  const std::string text = bus->flush(kPatienceMs).describe();
  const std::lock_guard lock(mutex);
  for (const std::string& where : {text, lines}) {
    for (const char* part : {"no_space", "as told", "shard 0", "sequence 0", "attempt 1", " us", "42"}) {
      EXPECT_NE(where.find(part), std::string::npos) << part << " in " << where;
    }
  }
  EXPECT_NE(lines.find("bus orders"), std::string::npos);
}

TEST(Bus, B16_shutdown_has_a_deadline_does_not_spin_and_may_be_called_again) {
  const auto sink = std::make_shared<TestSink>();
  sink->held = true;
  auto bus = make_bus(options_for(sink));
  for (int i = 0; i < 100; ++i) ASSERT_EQ(bus->ingest(event(std::to_string(i), "v")), Outcome::queued);
  ASSERT_TRUE(eventually([&] { return sink->waiting() == 2; }));
  const auto from = steady_clock::now();
  const double cpu_before = cpu_ms();
  const Status status = bus->shutdown(2'000);
  EXPECT_EQ(status.code(), StatusCode::busy);
  EXPECT_GE(ms_since(from), 2'000);
  EXPECT_LT(ms_since(from), 7'000);
  EXPECT_LT(cpu_ms() - cpu_before, 100) << "5% of the time";
  EXPECT_EQ(bus->ingest(event("k", "v")), Outcome::shutting_down);
  EXPECT_EQ(describe(Outcome::shutting_down).code(), StatusCode::fenced);
  EXPECT_EQ(bus->add_shard().error().code(), StatusCode::fenced);
  sink->release();
  EXPECT_TRUE(bus->shutdown(kPatienceMs));
  EXPECT_EQ(sink->events, 100U);
  EXPECT_EQ(sink->closes, 1U);
}

TEST(Bus, idle_costs_nothing) {
  auto bus = make_bus(options_for(std::make_shared<TestSink>()));
  ASSERT_EQ(bus->ingest(event("k", "v")), Outcome::queued);
  ASSERT_TRUE(bus->drain(kPatienceMs));
  std::this_thread::sleep_for(milliseconds(50));  // the pump goes to sleep meanwhile
  const double before = cpu_ms();
  std::this_thread::sleep_for(milliseconds(500));
  EXPECT_LT(cpu_ms() - before, 5);
  EXPECT_TRUE(bus->shutdown(kPatienceMs));
}

TEST(Bus, B24_shutdown_works_while_monitors_and_streams_hold_on) {
  const auto sink = std::make_shared<TestSink>();
  BusOptions options = options_for(sink);
  options.shards = 3;
  options.retain_events = 1'000;
  auto bus = make_bus(std::move(options));
  std::atomic<bool> stop{false};
  std::thread monitor([&] {
    while (!stop) {
      static_cast<void>(bus->stats());
      static_cast<void>(bus->health());
    }
  });
  std::vector<std::unique_ptr<Source>> streams;
  std::atomic<int> finished{0};
  for (const uint64_t id : bus->subscribable()) {
    auto source = bus->subscribe(id);
    ASSERT_TRUE(source);
    streams.push_back(std::move(*source));
    streams.back()->read({.from = 0, .wait_ms = 3'600'000},
                         [&](const Result<Page>& page) { finished += page && page->finished; });
  }
  EXPECT_EQ(streams.size(), 3U);
  const auto from = steady_clock::now();
  EXPECT_TRUE(bus->shutdown(kPatienceMs));
  EXPECT_LT(ms_since(from), 10'000);
  EXPECT_TRUE(bus->shutdown(kPatienceMs));
  EXPECT_EQ(finished, 3);
  EXPECT_EQ(sink->flushes, 1U);
  EXPECT_EQ(sink->closes, 1U);
  stop = true;
  monitor.join();
  bus.reset();
  Result<SourceBounds> bounds;
  streams[0]->bounds([&](Result<SourceBounds> b) { bounds = std::move(b); });
  EXPECT_TRUE(bounds);
}

TEST(Bus, S16_callbacks_may_call_everything) {
  const auto sink = std::make_shared<TestSink>();
  std::atomic<Bus*> made{nullptr};  // its threads call back before make_bus() has returned
  std::atomic<int> calls{0};
  thread_local int depth = 0;
  const auto everything = [&] {
    Bus* const bus = made;
    if (bus == nullptr || depth > 0) return;
    ++depth;
    ++calls;
    static_cast<void>(bus->stats());
    static_cast<void>(bus->health());
    static_cast<void>(bus->subscribable());
    static_cast<void>(bus->ingest(event("from a callback", "v")));
    static_cast<void>(bus->drain(1));
    static_cast<void>(bus->flush(1));
    if (const auto added = bus->add_shard(); added) static_cast<void>(bus->remove_shard(*added));
    --depth;
  };
  std::atomic<int> judged{0}, routed{0}, changed{0};
  sink->judge = [&](const EventBatch&) {
    if (judged++ < 20) everything();
    return failed(StatusCode::internal);  // which is logged
  };
  BusOptions options = options_for(sink);
  options.capacity_events = 64;
  options.when_full = WhenFull::drop_newest;
  options.routing = Route::custom;
  options.route = [&](const Event&, uint32_t shards) {
    if (routed++ < 20) everything();
    return shards - 1;
  };
  options.log = [&](std::string_view) { everything(); };
  options.on_change = [&](const ShardChange&) {
    if (changed++ < 20) everything();
  };
  const auto bus = make_bus(std::move(options));
  made = bus.get();
  for (int i = 0; i < 100; ++i) static_cast<void>(bus->ingest(event("k", "v")));
  ASSERT_TRUE(eventually([&] { return calls > 20 && changed >= 20; }));
  static_cast<void>(bus->shutdown(kPatienceMs));
  EXPECT_EQ(bus->stats().pending, 0U);
}

/// A sink that answers nothing by itself, and what is left to answer when it is gone.
struct LateAnswers {
  std::vector<Sink::Delivered> deliveries;
  std::vector<Sink::Done> flushes, closes;
  std::thread::id destroyed_on;
  std::atomic<bool> answers_deliveries{false}, answers_flushes{false};
};
class LateSink final : public Sink {
 public:
  explicit LateSink(std::shared_ptr<LateAnswers> answers) : answers_(std::move(answers)) {}
  ~LateSink() override { answers_->destroyed_on = std::this_thread::get_id(); }
  void deliver(EventBatch, Delivered done) override {
    answers_->answers_deliveries ? done(Delivery()) : answers_->deliveries.push_back(std::move(done));
  }
  void flush(int64_t, Done done) override {
    answers_->answers_flushes ? done(Status()) : answers_->flushes.push_back(std::move(done));
  }
  void close(int64_t, Done done) override { answers_->closes.push_back(std::move(done)); }

 private:
  const std::shared_ptr<LateAnswers> answers_;
};

/// A bus that is destroyed while its sink owes an answer to `waits_in`, which comes afterwards.
void destroy_before_the_answer(const std::string& waits_in, bool for_shard, bool shut_down) {
  SCOPED_TRACE(waits_in + (for_shard ? ", a sink for each shard" : "") + (shut_down ? ", after a shutdown" : ""));
  const auto answers = std::make_shared<LateAnswers>();
  answers->answers_deliveries = waits_in != "deliver";
  answers->answers_flushes = waits_in == "close";
  auto sink = std::make_shared<LateSink>(answers);
  BusOptions options = options_for(for_shard ? nullptr : sink);
  options.shards = 1;
  options.log = [](std::string_view) {};
  if (for_shard) options.sink_for_shard = [sink](uint64_t) { return sink; };
  sink.reset();
  auto bus = make_bus(std::move(options));
  EXPECT_EQ(bus->ingest(event("k", "v")), Outcome::queued);
  static_cast<void>(bus->flush(100));
  if (shut_down) {
    EXPECT_EQ(bus->shutdown(100).code(), StatusCode::busy);
    static_cast<void>(bus->stats());  // which forgets shards that have ended
  }
  EXPECT_EQ(answers->destroyed_on, std::thread::id());
  bus.reset();
  EXPECT_EQ(answers->destroyed_on, std::this_thread::get_id());
  for (auto& done : answers->deliveries) done(Delivery());
  for (auto& done : answers->flushes) done(Status());
  for (auto& done : answers->closes) done(Status());
}

TEST(Bus, a_sink_that_answers_late_dies_with_the_bus_and_not_by_its_own_answer) {
  std::vector<std::thread> threads;  // each takes as long as an unasked end may take
  for (const char* waits_in : {"deliver", "flush", "close"}) {
    for (const bool for_shard : {false, true}) {
      for (const bool shut_down : {false, true}) {
        threads.emplace_back(destroy_before_the_answer, waits_in, for_shard, shut_down);
      }
    }
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Bus, an_opening_that_may_have_happened_is_tried_again) {
  const auto sink = std::make_shared<TestSink>();
  sink->on_open = [opens = 0]() mutable {
    return ++opens == 1 ? Status(StatusCode::unknown, "the connection broke") : Status();
  };
  auto bus = make_bus(options_for(sink));
  ASSERT_EQ(bus->ingest(event("k", "v")), Outcome::queued);
  EXPECT_TRUE(bus->shutdown(kPatienceMs));
  EXPECT_EQ(sink->opens, 2U);
  EXPECT_EQ(bus->stats().delivered, 1U);
}

}  // namespace
}  // namespace sluice::bus
