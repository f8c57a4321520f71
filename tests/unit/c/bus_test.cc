// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <latch>
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
TEST(BusFace, B01_calls_race_with_shutdown_and_release) {
  constexpr int kThreads = 8;
  constexpr int kRounds = 200;
  std::atomic<int> wrong{0};
  for (int round = 0; round < kRounds; ++round) {
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
