// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <latch>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "face.hpp"

namespace sluice::c::testing {
namespace {

using ::testing::HasSubstr;

sluice_bus_counts stats(sluice_handle bus) {
  sluice_bus_counts counts{};
  counts.size = sizeof counts;
  EXPECT_EQ(sluice_bus_stats(bus, &counts, nullptr), SLUICE_OK);
  return counts;
}

TEST(BusFace, events_are_counted) {
  Owned bus;
  open_bus(R"({"shards": 2, "retain_events": 100})", bus);
  Failure failure;
  const sluice_event one = event("k", "v");
  ASSERT_EQ(sluice_bus_ingest(bus, &one, &failure), SLUICE_OK) << failure.text;
  const sluice_event* const batch[] = {&one, &one, &one};
  sluice_ingested ingested{};
  ingested.size = sizeof ingested;
  ASSERT_EQ(sluice_bus_ingest_batch(bus, batch, 3, &ingested, &failure), SLUICE_OK) << failure.text;
  EXPECT_EQ(ingested.queued, 3U);
  EXPECT_EQ(ingested.index, 3U);
  ASSERT_EQ(sluice_bus_drain(bus, 10'000, &failure), SLUICE_OK) << failure.text;
  const auto counts = stats(bus);
  EXPECT_EQ(counts.accepted, 4U);
  EXPECT_EQ(counts.delivered, 4U);
  EXPECT_EQ(counts.shards, 2U);
  EXPECT_EQ(sluice_bus_shutdown(bus, 10'000, &failure), SLUICE_OK) << failure.text;
  EXPECT_EQ(sluice_bus_shutdown(bus, 10'000, &failure), SLUICE_OK);
  EXPECT_EQ(sluice_bus_ingest(bus, &one, &failure), SLUICE_FENCED);
}

TEST(BusFace, a_removed_shard_delivers_what_it_has) {
  Owned bus;
  open_bus(R"({"shards": 2, "retain_events": 100, "routing": "round_robin"})", bus);
  const auto ingest = [&](int from, int to) {
    for (int i = from; i < to; ++i) {
      const std::string value = std::to_string(i);
      ASSERT_EQ(sluice_bus_ingest_raw(bus, span(value), nullptr), SLUICE_OK);
    }
  };
  ingest(0, 10);
  uint64_t shards[2] = {};
  ASSERT_EQ(sluice_bus_subscribable(bus, shards, 2, nullptr, nullptr), SLUICE_OK);
  Failure failure;
  ASSERT_EQ(sluice_bus_remove_shard(bus, shards[0], &failure), SLUICE_OK) << failure.text;
  EXPECT_EQ(sluice_bus_remove_shard(bus, UINT64_MAX, &failure), SLUICE_NOT_FOUND) << failure.text;
  EXPECT_EQ(stats(bus).shards, 1U);
  ingest(10, 20);
  ASSERT_EQ(sluice_bus_flush(bus, 60'000, &failure), SLUICE_OK) << failure.text;
  EXPECT_EQ(stats(bus).delivered, 20U);
  Owned consumer;
  open_consumer(R"({"sources": [{"kind": "bus", "bus": )" + std::to_string(bus) + "}]}", "", consumer);
  std::vector<std::string> values = values_of(consumer, 20, 10'000);
  std::ranges::sort(values, {}, [](const std::string& value) { return std::stoi(value); });
  ASSERT_EQ(values.size(), 20U);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(values[static_cast<size_t>(i)], std::to_string(i));
}

TEST(BusFace, B15_every_element_is_checked_before_any_is_taken) {
  Owned bus;
  open_bus(R"({"retain_events": 100})", bus);
  const sluice_event valid = event("k", "v");
  sluice_event short_one = valid;
  short_one.size = 4;
  sluice_event null_bytes = valid;
  null_bytes.value = {nullptr, 9};
  sluice_event null_headers = valid;
  null_headers.header_count = 2;
  sluice_field unnamed{{nullptr, 0}, {nullptr, 0}};
  sluice_event null_name = valid;
  null_name.headers = &unnamed;
  null_name.header_count = 1;
  const sluice_event* const wrong_ones[] = {nullptr, &short_one, &null_bytes, &null_headers, &null_name};
  for (const sluice_event* wrong : wrong_ones) {
    const sluice_event* const batch[] = {&valid, wrong, &valid};
    Failure failure;
    EXPECT_EQ(sluice_bus_ingest_batch(bus, batch, 3, nullptr, &failure), SLUICE_INVALID);
    EXPECT_EQ(failure.index, 1) << failure.text;
    EXPECT_EQ(sluice_bus_ingest(bus, wrong, &failure), SLUICE_INVALID);
  }
  Failure failure;
  EXPECT_EQ(sluice_bus_ingest_batch(bus, nullptr, 1, nullptr, &failure), SLUICE_INVALID);
  EXPECT_EQ(sluice_bus_ingest_batch(bus, nullptr, UINT64_MAX, nullptr, &failure), SLUICE_INVALID);
  EXPECT_EQ(sluice_bus_ingest_batch(bus, nullptr, 0, nullptr, &failure), SLUICE_OK);
  EXPECT_EQ(stats(bus).accepted, 0U);
}

/// An application that routes, tells time and listens.
struct Application {
  std::mutex mutex;
  std::vector<uint64_t> changed;
  std::vector<std::string> lines;
  std::atomic<int64_t> now{1'000};
  std::atomic<int> gone{0};
  static uint32_t route(void*, const sluice_event* event, uint32_t shards) {
    EXPECT_EQ(event->header_count, 1U);
    return view(event->headers[0].value) == "last" ? shards - 1 : shards;
  }
  static void on_change(void* context, uint64_t shard, uint32_t what) {
    auto& self = *static_cast<Application*>(context);
    const std::scoped_lock lock(self.mutex);
    if (what == SLUICE_SHARD_ADDED) self.changed.push_back(shard);
  }
  static void log(void* context, const char* text, uint64_t size) {
    auto& self = *static_cast<Application*>(context);
    const std::scoped_lock lock(self.mutex);
    self.lines.emplace_back(text, size);
  }
  static int64_t clock(void* context) { return ++static_cast<Application*>(context)->now; }
  static void is_gone(void* context) { ++static_cast<Application*>(context)->gone; }
  sluice_bus_calls calls() {
    sluice_bus_calls made{};
    made.size = sizeof made;
    made.context = this;
    made.route = &route;
    made.on_change = &on_change;
    made.log = &log;
    made.clock = &clock;
    made.gone = &is_gone;
    return made;
  }
};

TEST(BusFace, functions_of_the_application_are_called) {
  Application application;
  const auto calls = application.calls();
  const std::string_view config = R"({"shards": 2, "routing": "custom", "retain_events": 100})";
  {
    Owned bus;
    Failure failure;
    ASSERT_EQ(sluice_bus_open_with(config.data(), config.size(), &calls, &bus.handle, &failure), SLUICE_OK)
        << failure.text;
    sluice_field header{span("to"), span("last")};
    sluice_event one = event("k", "v");
    one.headers = &header;
    one.header_count = 1;
    EXPECT_EQ(sluice_bus_ingest(bus, &one, nullptr), SLUICE_OK);
    header.value = span("nobody");
    EXPECT_EQ(sluice_bus_ingest(bus, &one, nullptr), SLUICE_NOT_FOUND);
    uint64_t shard = 0;
    EXPECT_EQ(sluice_bus_add_shard(bus, &shard, nullptr), SLUICE_OK);
    ASSERT_EQ(sluice_bus_drain(bus, 10'000, nullptr), SLUICE_OK);
    uint64_t ids[3] = {};
    uint64_t count = 0;
    EXPECT_EQ(sluice_bus_subscribable(bus, ids, 2, &count, nullptr), SLUICE_TOO_LARGE);
    ASSERT_EQ(sluice_bus_subscribable(bus, ids, 3, &count, nullptr), SLUICE_OK);
    EXPECT_EQ(count, 3U);
    EXPECT_EQ(ids[2], shard);
    const auto report = nlohmann::json::parse(text_from([&](char* buffer, uint64_t capacity, uint64_t* needed) {
      return sluice_bus_report(bus, buffer, capacity, needed, nullptr);
    }));
    EXPECT_EQ(report["accepted"], 1);
    EXPECT_EQ(report["unrouted"], 1);
    EXPECT_EQ(report["health"]["level"], "ok");
    ASSERT_EQ(report["shards"].size(), 3U);
    EXPECT_EQ(report["shards"][1]["delivered"], 1);
    EXPECT_TRUE(comes_true([&] {
      const std::scoped_lock lock(application.mutex);
      return std::ranges::find(application.changed, shard) != application.changed.end();
    }));
    EXPECT_GT(application.now, 1'000);
  }
  EXPECT_TRUE(comes_true([&] { return application.gone == 1; }));
  EXPECT_EQ(application.lines.size(), 1U);  // of the shutdown that was not
  EXPECT_EQ(sluice_bus_lost(), 0U);

  Failure failure;
  sluice_handle none = 0;
  EXPECT_EQ(sluice_bus_open(config.data(), config.size(), &none, &failure), SLUICE_INVALID);
  EXPECT_THAT(std::string(failure.text), HasSubstr("routing"));
  EXPECT_EQ(sluice_bus_open_with(config.data(), config.size(), nullptr, &none, &failure), SLUICE_INVALID);
}

TEST(BusFace, each_shard_may_have_a_sink_of_its_own) {
  struct Shard {
    static void deliver(void* context, const sluice_event_batch* batch, sluice_handle answer) {
      *static_cast<std::atomic<uint64_t>*>(context) += batch->count;
      sluice_answer(answer, nullptr, nullptr, nullptr);
    }
    static sluice_handle sink(void* context, uint64_t) {
      sluice_sink_calls calls{};
      calls.size = sizeof calls;
      calls.context = context;
      calls.deliver = &deliver;
      sluice_handle made = 0;
      EXPECT_EQ(sluice_sink_open(&calls, &made, nullptr), SLUICE_OK);
      return made;
    }
  };
  std::atomic<uint64_t> delivered{0};
  sluice_bus_calls calls{};
  calls.size = sizeof calls;
  calls.context = &delivered;
  calls.sink_for_shard = &Shard::sink;
  Owned bus;
  const std::string_view config = R"({"shards": 3})";
  Failure failure;
  ASSERT_EQ(sluice_bus_open_with(config.data(), config.size(), &calls, &bus.handle, &failure), SLUICE_OK)
      << failure.text;
  for (int i = 0; i < 50; ++i) EXPECT_EQ(sluice_bus_ingest_raw(bus, span("v"), nullptr), SLUICE_OK);
  EXPECT_EQ(sluice_bus_ingest_raw(bus, {nullptr, 5}, nullptr), SLUICE_INVALID);
  ASSERT_EQ(sluice_bus_shutdown(bus, 60'000, &failure), SLUICE_OK) << failure.text;
  EXPECT_EQ(delivered, 50U);
}

TEST(BusFace, B03_each_wrong_setting_is_named) {
  struct Case {
    const char* config;
    const char* expected;
  };
  for (const Case& wrong :
       {Case{R"({"shards": 100000})", "shards"}, Case{R"({"capacity_events": 0})", "capacity_events"},
        Case{R"({"batch": {"max_events": 0}})", "batch.max_events"},
        Case{R"({"retry": {"firstms": 1}})", "retry.firstms"}, Case{R"({"scale": {"grow_above": 1e400}})", ""},
        Case{R"({"scale": {"grow_above": 7}})", "scale.grow_above"}, Case{R"({"when_full": "explode"})", "when_full"},
        Case{R"([])", "object"}, Case{"", "JSON"}}) {
    sluice_handle bus = 0;
    Failure failure;
    EXPECT_EQ(sluice_bus_open(wrong.config, std::string_view(wrong.config).size(), &bus, &failure), SLUICE_INVALID)
        << wrong.config;
    EXPECT_THAT(std::string(failure.text), HasSubstr(wrong.expected)) << wrong.config;
    EXPECT_EQ(bus, 0U);
  }
  EXPECT_EQ(sluice_bus_open(nullptr, 5, nullptr, nullptr), SLUICE_INVALID);
}

// Bus, log on a storage, consumer: all by configuration.
TEST(BusFace, a_sink_writes_a_log_that_a_consumer_reads) {
  const auto directory = std::filesystem::path(::testing::TempDir()) / ("c-face-log-" + std::to_string(::getpid()));
  std::filesystem::create_directories(directory);
  const std::string storage = R"({"name": "d", "library": "disk", "data_directory": ")" + directory.string() + R"("})";
  const std::string log = R"("log": "events", "state_directory": ")" + directory.string() + "\"";
  {
    Owned bus;
    open_bus(R"({"shards": 1, "sink": {"kind": "log", "storage": )" + storage + ", " + log + "}}", bus);
    for (int i = 0; i < 100; ++i) {
      const std::string value = "v" + std::to_string(i);
      const sluice_event one = event("k", value);
      ASSERT_EQ(sluice_bus_ingest(bus, &one, nullptr), SLUICE_OK);
    }
    Failure failure;
    ASSERT_EQ(sluice_bus_shutdown(bus, 30'000, &failure), SLUICE_OK) << failure.text;
    EXPECT_EQ(stats(bus).delivered, 100U);
  }
  Owned consumer;
  open_consumer(R"({"storages": [)" + storage + R"(], "sources": [{"kind": "log", "storage": "d", )" + log + "}]}", "",
                consumer);
  sluice_poll poll{};
  poll.size = sizeof poll;
  poll.max_records = 1'000;
  poll.max_bytes = 1 << 20;
  poll.wait_ms = 30'000;
  poll.min_records = 100;
  Owned page;
  Failure failure;
  ASSERT_EQ(sluice_consumer_poll(consumer, &poll, &page.handle, nullptr, &failure), SLUICE_OK) << failure.text;
  const sluice_record* records = nullptr;
  uint64_t count = 0;
  ASSERT_EQ(sluice_page_records(page, &records, &count, nullptr), SLUICE_OK);
  ASSERT_EQ(count, 100U);
  EXPECT_EQ(view(records[99].value), "v99");
  std::filesystem::remove_all(directory);
}

// 8 threads put events in while another shuts down and releases: nothing but OK, "shut down" and "released" comes back.
// SLUICE_TEST_ROUNDS=N does it more often.
TEST(BusFace, B01_calls_race_with_shutdown_and_release) {
  constexpr int kThreads = 8;
  const char* more = std::getenv("SLUICE_TEST_ROUNDS");
  const uint64_t rounds = more != nullptr ? std::strtoull(more, nullptr, 10) : 200;
  std::atomic<int> wrong{0};
  for (uint64_t round = 0; round < rounds; ++round) {
    sluice_handle bus = 0;
    const std::string_view config =
        R"({"shards": 2, "capacity_events": 64, "when_full": "drop_newest", "retain_events": 16})";
    ASSERT_EQ(sluice_bus_open(config.data(), config.size(), &bus, nullptr), SLUICE_OK);
    std::latch ready(kThreads + 1);
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&] {
        const sluice_event one = event("k", "v");
        ready.arrive_and_wait();
        for (;;) {
          const sluice_status status = sluice_bus_ingest(bus, &one, nullptr);
          if (status == SLUICE_OK) continue;
          wrong += status != SLUICE_FENCED && status != SLUICE_NOT_FOUND;
          return;
        }
      });
    }
    ready.arrive_and_wait();
    EXPECT_EQ(sluice_bus_shutdown(bus, 10'000, nullptr), SLUICE_OK);
    EXPECT_EQ(sluice_release(bus, nullptr), SLUICE_OK);
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(sluice_release(bus, nullptr), SLUICE_NOT_FOUND);
  }
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace sluice::c::testing
