// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <chrono>
#include <future>
#include <set>
#include <thread>

#include "face.hpp"

namespace sluice::c::testing {
namespace {

using ::testing::HasSubstr;

struct Polled : sluice_polled {
  Polled() : sluice_polled{} { size = sizeof(sluice_polled); }
};

sluice_poll request(uint32_t max_records, int64_t wait_ms = 10'000) {
  sluice_poll made{};
  made.size = sizeof made;
  made.max_records = max_records;
  made.max_bytes = 1 << 20;
  made.wait_ms = wait_ms;
  made.min_records = 1;
  return made;
}

std::string cursor_of(sluice_handle page) {
  uint64_t needed = 0;
  EXPECT_EQ(sluice_page_cursor(page, nullptr, 0, &needed, nullptr), SLUICE_TOO_LARGE);
  std::string text(needed, ' ');
  EXPECT_EQ(sluice_page_cursor(page, text.data(), text.size(), &needed, nullptr), SLUICE_OK);
  return text;
}

class ConsumerFace : public ::testing::Test {
 protected:
  ConsumerFace() {
    open_bus(R"({"name": "b", "shards": 3, "retain_events": 4096})", bus_);
    for (int i = 0; i < kEvents; ++i) {
      const std::string key = fmt::format("k{}", i);
      const std::string value = fmt::format(R"({{"n": {}}})", i);
      const sluice_field headers[] = {{span("h"), span("1")}, {span("h"), {nullptr, 0}}};
      sluice_event one = event(key, value);
      one.headers = headers;
      one.header_count = 2;
      EXPECT_EQ(sluice_bus_ingest(bus_, &one, nullptr), SLUICE_OK);
    }
    EXPECT_EQ(sluice_bus_drain(bus_, 10'000, nullptr), SLUICE_OK);
  }
  std::string config(const std::string& more = "") const {
    return fmt::format(R"({{"sources": [{{"kind": "bus", "bus": {}}}]{}}})", bus_.handle, more);
  }
  static constexpr int kEvents = 300;
  Owned bus_;
};

TEST_F(ConsumerFace, records_come_whole) {
  Owned consumer;
  open_consumer(config(), "", consumer);
  std::set<std::string> values;
  while (values.size() < kEvents) {
    Owned page;
    Polled polled;
    Failure failure;
    const auto wanted = request(64);
    ASSERT_EQ(sluice_consumer_poll(consumer, &wanted, &page.handle, &polled, &failure), SLUICE_OK) << failure.text;
    const sluice_record* records = nullptr;
    uint64_t count = 0;
    ASSERT_EQ(sluice_page_records(page, &records, &count, &failure), SLUICE_OK);
    EXPECT_EQ(count, polled.records);
    for (uint64_t i = 0; i < count; ++i) {
      EXPECT_TRUE(values.insert(std::string(view(records[i].value))).second);
      ASSERT_EQ(records[i].header_count, 2U);
      EXPECT_EQ(view(records[i].headers[0].name), "h");
      EXPECT_EQ(view(records[i].headers[0].value), "1");
      EXPECT_EQ(records[i].headers[1].value.data, nullptr);
      EXPECT_NE(records[i].timestamp_ns, SLUICE_NO_TIMESTAMP);
    }
  }
}

TEST_F(ConsumerFace, a_cursor_goes_on_exactly_where_it_was_left_filter_included) {
  std::set<std::string> values;
  std::string cursor;
  while (values.size() < 100) {
    Owned consumer;
    open_consumer(config(R"(, "filter": "value.n < 100")"), cursor, consumer);
    Owned page;
    const auto wanted = request(7);
    ASSERT_EQ(sluice_consumer_poll(consumer, &wanted, &page.handle, nullptr, nullptr), SLUICE_OK);
    const sluice_record* records = nullptr;
    uint64_t count = 0;
    ASSERT_EQ(sluice_page_records(page, &records, &count, nullptr), SLUICE_OK);
    for (uint64_t i = 0; i < count; ++i) EXPECT_TRUE(values.insert(std::string(view(records[i].value))).second);
    const std::string next = cursor_of(page);
    if (!cursor.empty()) {
      int32_t order = 9;
      EXPECT_EQ(sluice_cursor_compare(cursor.data(), cursor.size(), next.data(), next.size(), &order, nullptr),
                SLUICE_OK);
      EXPECT_EQ(order, -1);
    }
    cursor = next;
  }
}

TEST_F(ConsumerFace, what_is_closed_is_fenced) {
  Owned consumer;
  open_consumer(config(), "", consumer);
  ASSERT_EQ(sluice_consumer_close(consumer, 10'000, nullptr), SLUICE_OK);
  const auto wanted = request(10);
  Owned page;
  EXPECT_EQ(sluice_consumer_poll(consumer, &wanted, &page.handle, nullptr, nullptr), SLUICE_FENCED);
  EXPECT_EQ(sluice_consumer_pause(consumer, nullptr, 0, nullptr), SLUICE_OK);
  EXPECT_EQ(sluice_consumer_close(consumer, 10'000, nullptr), SLUICE_OK);
}

TEST_F(ConsumerFace, a_page_outlives_consumer_and_bus) {
  Owned page;
  {
    Owned consumer;
    open_consumer(config(), "", consumer);
    const auto wanted = request(1'000);
    ASSERT_EQ(sluice_consumer_poll(consumer, &wanted, &page.handle, nullptr, nullptr), SLUICE_OK);
  }
  EXPECT_EQ(sluice_bus_shutdown(bus_, 10'000, nullptr), SLUICE_OK);
  EXPECT_EQ(sluice_release(bus_, nullptr), SLUICE_OK);
  const sluice_record* records = nullptr;
  uint64_t count = 0;
  ASSERT_EQ(sluice_page_records(page, &records, &count, nullptr), SLUICE_OK);
  ASSERT_GT(count, 0U);
  size_t bytes = 0;
  for (uint64_t i = 0; i < count; ++i) bytes += std::string(view(records[i].value)).size();
  EXPECT_GT(bytes, 0U);
}

TEST_F(ConsumerFace, releasing_wakes_a_poll_that_waits) {
  sluice_handle consumer = 0;
  const std::string text = config(R"(, "start": "end")");
  ASSERT_EQ(sluice_consumer_open(text.data(), text.size(), nullptr, 0, &consumer, nullptr), SLUICE_OK);
  const auto began = std::chrono::steady_clock::now();
  std::thread poller([&] {
    const auto wanted = request(10, 60'000);
    Owned page;
    const sluice_status status = sluice_consumer_poll(consumer, &wanted, &page.handle, nullptr, nullptr);
    EXPECT_TRUE(status == SLUICE_OK || status == SLUICE_FENCED || status == SLUICE_NOT_FOUND) << status;
  });
  EXPECT_EQ(sluice_release(consumer, nullptr), SLUICE_OK);
  poller.join();
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(30));
}

/// One page of what is there.
uint64_t poll(sluice_handle consumer, uint32_t most) {
  Owned page;
  Polled polled;
  const auto wanted = request(most);
  Failure failure;
  EXPECT_EQ(sluice_consumer_poll(consumer, &wanted, &page.handle, &polled, &failure), SLUICE_OK) << failure.text;
  return polled.records;
}

/// A shard `m` with the values 0 to 19, and a consumer of it.
void open_memory(Owned& memory, Owned& consumer, const char* more = "") {
  open_by(&sluice_memory_open, R"({"id": "m"})", memory);
  for (int i = 0; i < 20; ++i) {
    const std::string value = fmt::format("{}", i);
    sluice_record record{};
    record.timestamp_ns = i * 100;
    record.value = span(value);
    ASSERT_EQ(sluice_memory_append(memory, &record, 1, nullptr, nullptr), SLUICE_OK);
  }
  open_consumer(fmt::format(R"({{"sources": [{{"kind": "memory", "memory": {}}}]{}}})", memory.handle, more), "",
                consumer);
}

TEST(ConsumerPlaces, a_cursor_is_sought_and_a_removed_shard_read_to_its_end) {
  Owned memory;
  Owned consumer;
  open_memory(memory, consumer);
  EXPECT_EQ(poll(consumer, 15), 15U);
  const std::string middle = text_from([&](char* buffer, uint64_t capacity, uint64_t* needed) {
    return sluice_consumer_cursor(consumer, buffer, capacity, needed, nullptr);
  });
  const std::vector<std::string> rest = {"15", "16", "17", "18", "19"};
  EXPECT_EQ(values_of(consumer, 5, 10'000), rest);
  Failure failure;
  ASSERT_EQ(sluice_consumer_seek(consumer, middle.data(), middle.size(), &failure), SLUICE_OK) << failure.text;
  EXPECT_EQ(values_of(consumer, 5, 10'000), rest);
  EXPECT_EQ(sluice_consumer_seek(consumer, "slc1.!!", 7, &failure), SLUICE_INVALID);

  ASSERT_EQ(sluice_consumer_seek(consumer, middle.data(), middle.size(), &failure), SLUICE_OK) << failure.text;
  EXPECT_EQ(sluice_consumer_remove(consumer, "n", 1, &failure), SLUICE_NOT_FOUND);
  ASSERT_EQ(sluice_consumer_remove(consumer, "m", 1, &failure), SLUICE_OK) << failure.text;
  std::vector<std::string> values;
  bool finished = false;
  EXPECT_TRUE(comes_true([&] {
    Owned page;
    Polled polled;
    const auto wanted = request(100, 100);
    if (sluice_consumer_poll(consumer, &wanted, &page.handle, &polled, &failure) != SLUICE_OK) return true;
    const sluice_record* records = nullptr;
    const sluice_note* notes = nullptr;
    uint64_t count = 0;
    EXPECT_EQ(sluice_page_records(page, &records, &count, nullptr), SLUICE_OK);
    for (uint64_t i = 0; i < count; ++i) values.emplace_back(view(records[i].value));
    EXPECT_EQ(sluice_page_notes(page, &notes, &count, nullptr), SLUICE_OK);
    for (uint64_t i = 0; i < count; ++i) finished |= notes[i].condition == SLUICE_SHARD_FINISHED;
    return polled.done != 0;
  }));
  EXPECT_EQ(values, rest);
  EXPECT_TRUE(finished);
  EXPECT_EQ(sluice_consumer_forget(consumer, "m", 1, &failure), SLUICE_OK) << failure.text;
}

TEST(ConsumerPlaces, a_poll_that_waits_is_woken) {
  Owned memory;
  Owned consumer;
  open_memory(memory, consumer, R"(, "start": "end")");
  for (const bool before : {true, false}) {
    if (before) sluice_consumer_wake(consumer, nullptr);
    auto polling = std::async(std::launch::async, [&] {
      const auto wanted = request(10, 3'600'000);
      Owned page;
      Polled polled;
      EXPECT_EQ(sluice_consumer_poll(consumer, &wanted, &page.handle, &polled, nullptr), SLUICE_OK);
      return polled.records;
    });
    if (!before) sluice_consumer_wake(consumer, nullptr);
    const bool woken = polling.wait_for(test::kPatience) == std::future_status::ready;
    EXPECT_TRUE(woken);
    if (!woken) sluice_consumer_close(consumer, 10'000, nullptr);
    EXPECT_EQ(polling.get(), 0U);
  }
}

TEST(ConsumerPlaces, a_shard_is_sought_dropped_and_forgotten) {
  Owned memory;
  Owned consumer;
  open_memory(memory, consumer);
  EXPECT_EQ(poll(consumer, 20), 20U);
  const std::string end = text_from([&](char* buffer, uint64_t capacity, uint64_t* needed) {
    return sluice_consumer_cursor(consumer, buffer, capacity, needed, nullptr);
  });
  Failure failure;
  ASSERT_EQ(sluice_consumer_seek_to(consumer, "m", 1, SLUICE_PLACE_POSITION, 15, &failure), SLUICE_OK) << failure.text;
  EXPECT_EQ(values_of(consumer, 5, 10'000), (std::vector<std::string>{"15", "16", "17", "18", "19"}));
  ASSERT_EQ(sluice_consumer_seek_to(consumer, nullptr, 0, SLUICE_PLACE_TIME, 1'650, &failure), SLUICE_OK);
  EXPECT_EQ(values_of(consumer, 3, 10'000), (std::vector<std::string>{"17", "18", "19"}));
  EXPECT_EQ(text_from([&](char* buffer, uint64_t capacity, uint64_t* needed) {
              return sluice_consumer_cursor(consumer, buffer, capacity, needed, nullptr);
            }),
            end);
  EXPECT_EQ(sluice_consumer_seek_to(consumer, nullptr, 0, 4, 0, &failure), SLUICE_INVALID);
  EXPECT_EQ(sluice_consumer_seek_to(consumer, nullptr, 0, SLUICE_PLACE_POSITION, -1, &failure), SLUICE_INVALID);
  uint64_t buffered = UINT64_MAX;
  uint32_t closed = 7;
  EXPECT_EQ(sluice_consumer_state(consumer, &buffered, &closed, nullptr), SLUICE_OK);
  EXPECT_LT(buffered, uint64_t{1} << 30);
  EXPECT_EQ(closed, 0U);
  EXPECT_EQ(sluice_consumer_forget(consumer, "m", 1, nullptr), SLUICE_EXISTS);
  EXPECT_EQ(sluice_consumer_drop(consumer, "m", 1, nullptr), SLUICE_OK);
  EXPECT_EQ(sluice_consumer_drop(consumer, "m", 1, nullptr), SLUICE_NOT_FOUND);

  // It comes again by its place, or, forgotten, by the one that is asked for.
  const auto add = [&](const char* start) {
    const std::string source = fmt::format(R"({{"kind": "memory", "memory": {}, "start": {}}})", memory.handle, start);
    EXPECT_TRUE(comes_true([&] {
      return sluice_consumer_add(consumer, source.data(), source.size(), nullptr, &failure) == SLUICE_OK;
    })) << failure.text;
  };
  EXPECT_EQ(sluice_consumer_forget(consumer, "m", 1, nullptr), SLUICE_OK);
  add(R"({"position": 18})");
  EXPECT_EQ(values_of(consumer, 2, 10'000), (std::vector<std::string>{"18", "19"}));
  EXPECT_EQ(sluice_consumer_close(consumer, 10'000, nullptr), SLUICE_OK);
  EXPECT_EQ(sluice_consumer_state(consumer, nullptr, &closed, nullptr), SLUICE_OK);
  EXPECT_EQ(closed, 1U);
  EXPECT_STREQ(sluice_condition_name(SLUICE_SHARD_PASSED_OVER), "passed_over");
  EXPECT_STREQ(sluice_condition_name(99), "unknown");
}

TEST_F(ConsumerFace, a_function_judges_records) {
  const auto even = [](void* context, const sluice_record* record) -> uint32_t {
    ++*static_cast<int*>(context);
    EXPECT_EQ(record->header_count, 2U);
    EXPECT_EQ(view(record->headers[0].value), "1");
    return view(record->key).back() % 2 == 0 ? 1 : 0;
  };
  int judged = 0;
  Owned consumer;
  const std::string text = config();
  Failure failure;
  ASSERT_EQ(sluice_consumer_open_with(text.data(), text.size(), nullptr, 0, even, &judged, &consumer.handle, &failure),
            SLUICE_OK)
      << failure.text;
  EXPECT_EQ(values_of(consumer, kEvents / 2, 10'000).size(), static_cast<size_t>(kEvents / 2));
  EXPECT_GE(judged, kEvents / 2);
  sluice_handle none = 0;
  const std::string twice = config(R"(, "filter": "value.n < 100")");
  EXPECT_EQ(sluice_consumer_open_with(twice.data(), twice.size(), nullptr, 0, even, &judged, &none, &failure),
            SLUICE_INVALID);
  EXPECT_EQ(sluice_consumer_open_with(text.data(), text.size(), nullptr, 0, nullptr, nullptr, &none, &failure),
            SLUICE_INVALID);
}

/// A shard in memory with the values "0", "1", ...
void open_memory(std::string_view id, int count, Owned& memory) {
  open_by(&sluice_memory_open, fmt::format(R"({{"id": "{}"}})", id), memory);
  for (int i = 0; i < count; ++i) {
    const std::string value = fmt::format("{}", i);
    sluice_record record{};
    record.value = span(value);
    ASSERT_EQ(sluice_memory_append(memory, &record, 1, nullptr, nullptr), SLUICE_OK);
  }
}
std::string memory_of(sluice_handle memory) {
  return fmt::format(R"({{"kind": "memory", "memory": {}}})", memory);
}

TEST(ConsumerPlaces, a_record_that_a_function_cannot_judge_is_not_passed) {
  Owned memory;
  open_memory("m", 4, memory);
  struct Judge {
    uint32_t verdict;
    static uint32_t judges(void* context, const sluice_record* record) {
      return view(record->value) == "2" ? static_cast<Judge*>(context)->verdict : 1;
    }
  };
  for (const uint32_t unknown : {2U, UINT32_MAX}) {
    Judge judge{unknown};
    Owned consumer;
    const std::string config = fmt::format(R"({{"sources": [{}]}})", memory_of(memory));
    ASSERT_TRUE(comes_true([&] {
      return sluice_consumer_open_with(config.data(), config.size(), nullptr, 0, &Judge::judges, &judge,
                                       &consumer.handle, nullptr) == SLUICE_OK;
    }));
    Owned page;
    Polled polled;
    const auto wanted = request(10);
    ASSERT_EQ(sluice_consumer_poll(consumer, &wanted, &page.handle, &polled, nullptr), SLUICE_OK);
    EXPECT_EQ(polled.records + polled.rejected, 0U);
    const sluice_note* notes = nullptr;
    uint64_t count = 0;
    ASSERT_EQ(sluice_page_notes(page, &notes, &count, nullptr), SLUICE_OK);
    ASSERT_EQ(count, 1U);
    EXPECT_EQ(notes[0].condition, SLUICE_SHARD_FAILED);
    EXPECT_EQ(notes[0].position, 0);
    EXPECT_THAT(std::string(view(notes[0].text)), HasSubstr("cannot tell"));
    judge.verdict = 0;
    ASSERT_EQ(sluice_consumer_resume(consumer, nullptr, 0, nullptr), SLUICE_OK);
    EXPECT_EQ(values_of(consumer, 3, 10'000), (std::vector<std::string>{"0", "1", "3"}));
    EXPECT_EQ(sluice_consumer_close(consumer, 10'000, nullptr), SLUICE_OK);
  }
}

TEST(ConsumerPlaces, a_page_that_is_given_back_comes_again) {
  Owned first;
  Owned second;
  open_memory("a", 3, first);
  open_memory("b", 3, second);
  Owned consumer;
  open_consumer(fmt::format(R"({{"sources": [{}]}})", memory_of(first)), "", consumer);
  const std::string added = memory_of(second);
  ASSERT_EQ(sluice_consumer_add(consumer, added.data(), added.size(), nullptr, nullptr), SLUICE_OK);
  auto wanted = request(4);
  wanted.min_records = 4;
  Owned page;
  ASSERT_EQ(sluice_consumer_poll(consumer, &wanted, &page.handle, nullptr, nullptr), SLUICE_OK);
  Failure failure;
  ASSERT_EQ(sluice_consumer_give_back(consumer, page, &failure), SLUICE_OK) << failure.text;
  EXPECT_THAT(values_of(consumer, 6, 10'000), ::testing::UnorderedElementsAre("0", "1", "2", "0", "1", "2"));
  EXPECT_EQ(sluice_consumer_give_back(page, consumer, &failure), SLUICE_INVALID);
  EXPECT_EQ(sluice_consumer_give_back(consumer, 0, &failure), SLUICE_NOT_FOUND);
  Owned third;
  open_memory("c", 1, third);
  Owned alone;
  open_consumer(fmt::format(R"({{"sources": [{}]}})", memory_of(third)), "", alone);
  EXPECT_EQ(sluice_consumer_give_back(alone, page, &failure), SLUICE_INVALID);
  EXPECT_THAT(std::string(failure.text), HasSubstr("another consumer's"));
}

TEST(ConsumerPlaces, a_page_for_which_there_is_no_handle_comes_with_the_next_poll) {
  Owned memory;
  open_memory("m", 5, memory);
  Owned consumer;
  open_consumer(fmt::format(R"({{"sources": [{}]}})", memory_of(memory)), "", consumer);
  {
    const AllHandles all;
    const auto wanted = request(2);
    sluice_handle page = 0;
    Failure failure;
    EXPECT_EQ(sluice_consumer_poll(consumer, &wanted, &page, nullptr, &failure), SLUICE_BUSY);
    EXPECT_THAT(std::string(failure.text), HasSubstr("no more are given out"));
  }
  EXPECT_EQ(values_of(consumer, 5, 10'000), (std::vector<std::string>{"0", "1", "2", "3", "4"}));
}

TEST_F(ConsumerFace, bad_arguments_are_told) {
  struct Case {
    std::string config;
    const char* expected;
  };
  for (const Case& wrong :
       {Case{R"({"sources": [{"kind": "tape"}]})", "sources[0].kind"},
        Case{R"({"sources": [{"kind": "bus", "bus": 0}]})", "sources[0].bus"},
        Case{R"({"sources": [{"kind": "log", "storage": "x"}]})", "sources[0].storage: there is no storage"},
        Case{config(R"(, "filter": "value.n <")"), "filter"}, Case{config(R"(, "order": "random")"), "order"},
        Case{config(R"(, "start": 7)"), "start"}, Case{config(R"(, "page_bytes": 0)"), "page_bytes"},
        Case{config(R"(, "storages": [{"name": "a"}])"), "storages[0].library"}}) {
    sluice_handle consumer = 0;
    Failure failure;
    EXPECT_EQ(sluice_consumer_open(wrong.config.data(), wrong.config.size(), nullptr, 0, &consumer, &failure),
              SLUICE_INVALID)
        << wrong.config;
    EXPECT_THAT(std::string(failure.text), HasSubstr(wrong.expected)) << wrong.config;
  }
  const std::string text = config();
  sluice_handle consumer = 0;
  Failure failure;
  EXPECT_EQ(sluice_consumer_open(text.data(), text.size(), "slc1.!!", 7, &consumer, &failure), SLUICE_INVALID);
  EXPECT_THAT(std::string(failure.text), HasSubstr("cursor"));
  Owned made;
  open_consumer(text, "", made);
  auto wanted = request(0);
  sluice_handle page = 0;
  EXPECT_EQ(sluice_consumer_poll(made, &wanted, &page, nullptr, &failure), SLUICE_INVALID);
  wanted = request(1);
  wanted.size = 8;
  EXPECT_EQ(sluice_consumer_poll(made, &wanted, &page, nullptr, &failure), SLUICE_INVALID);
  EXPECT_EQ(sluice_consumer_poll(made, nullptr, &page, nullptr, &failure), SLUICE_INVALID);
  EXPECT_EQ(sluice_consumer_poll(bus_, &wanted, &page, nullptr, &failure), SLUICE_INVALID);
  EXPECT_THAT(std::string(failure.text), HasSubstr("is a bus, not a consumer"));
}

}  // namespace
}  // namespace sluice::c::testing
