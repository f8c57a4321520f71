// SPDX-License-Identifier: Apache-2.0
// Shards of an application's own, behind consumers.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <atomic>
#include <mutex>

#include "face.hpp"

namespace sluice::c::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// A shard of `count` values, "v<position>", answered as it is told.
struct Shard {
  int64_t count = 0;
  bool sealed = true;
  std::mutex mutex;  // guards what is below
  std::vector<sluice_handle> held;
  bool hold = false;    // reads are not answered
  int fail_first = 0;   // reads that are UNAVAILABLE
  bool let_go = false;  // answers are released
  std::atomic<int> woken{0};
  std::atomic<bool> gone{false};

  static Shard& of(void* context) { return *static_cast<Shard*>(context); }

  static void read(void* context, const sluice_page_wanted* wanted, sluice_handle answer) {
    Shard& self = of(context);
    const std::unique_lock lock(self.mutex);
    if (self.hold) {
      self.held.push_back(answer);
      return;
    }
    if (self.let_go) {
      EXPECT_EQ(sluice_release(answer, nullptr), SLUICE_OK);
      return;
    }
    if (self.fail_first > 0) {
      --self.fail_first;
      Failure later;
      later.code = SLUICE_UNAVAILABLE;
      EXPECT_EQ(sluice_answer_page(answer, &later, nullptr, nullptr), SLUICE_OK);
      return;
    }
    self.answer(*wanted, answer);
  }
  static void bounds(void* context, sluice_handle answer) {
    EXPECT_EQ(sluice_answer_bounds(answer, nullptr, 0, of(context).count, nullptr), SLUICE_OK);
  }
  static void locate(void* context, int64_t timestamp_ns, sluice_handle answer) {
    const int64_t found = std::min(timestamp_ns, of(context).count);
    EXPECT_EQ(sluice_answer_position(answer, nullptr, found, nullptr), SLUICE_OK);
  }
  static void wake(void* context) { ++of(context).woken; }
  static void is_gone(void* context) { of(context).gone = true; }

  void answer(const sluice_page_wanted& wanted, sluice_handle answer) const {
    std::vector<std::string> values;
    std::vector<sluice_record> records;
    const int64_t end = std::min<int64_t>(count, wanted.from + wanted.max_records);
    for (int64_t at = wanted.from; at < end; ++at) values.push_back(fmt::format("v{}", at));
    const sluice_field header{span("name"), span("of it")};
    for (int64_t at = wanted.from; at < end; ++at) {
      sluice_record record{};
      record.position = at;
      record.timestamp_ns = at;
      record.value = span(values[static_cast<size_t>(at - wanted.from)]);
      record.headers = &header;
      record.header_count = 1;
      records.push_back(record);
    }
    sluice_page_shown shown{};
    shown.size = sizeof shown;
    shown.records = records.data();
    shown.count = records.size();
    shown.next = std::max(end, wanted.from);
    shown.end = count;
    shown.finished = sealed && shown.next == count ? 1 : 0;
    EXPECT_EQ(sluice_answer_page(answer, nullptr, &shown, nullptr), SLUICE_OK);
    EXPECT_EQ(sluice_answer_page(answer, nullptr, &shown, nullptr), SLUICE_NOT_FOUND);
  }
  sluice_handle take() {
    sluice_handle taken = 0;
    EXPECT_TRUE(comes_true([&] {
      const std::scoped_lock lock(mutex);
      if (held.empty()) return false;
      taken = held.front();
      held.erase(held.begin());
      return true;
    }));
    return taken;
  }

  sluice_source_calls calls() {
    sluice_source_calls made{};
    made.size = sizeof made;
    made.context = this;
    made.read = &read;
    made.bounds = &bounds;
    made.locate = &locate;
    made.wake = &wake;
    made.gone = &is_gone;
    return made;
  }
  void open(std::string_view id, Owned& source) {
    const auto made = calls();
    Failure failure;
    ASSERT_EQ(sluice_source_open(id.data(), id.size(), &made, &source.handle, &failure), SLUICE_OK) << failure.text;
  }
};

std::string source_of(sluice_handle source) {
  return fmt::format(R"({{"kind": "calls", "source": {}}})", source);
}
std::string config_of(sluice_handle source, std::string_view more = "") {
  return fmt::format(R"({{"sources": [{}]{}}})", source_of(source), more);
}

TEST(SourceFace, a_consumer_reads_functions_and_goes_on_from_its_cursor) {
  Shard shard;
  shard.count = 10;
  shard.fail_first = 2;
  Owned source;
  shard.open("mine", source);
  std::string cursor;
  {
    Owned consumer;
    open_consumer(config_of(source, R"(, "page_records": 4, "retry": {"first_delay_ms": 1})"), "", consumer);
    Failure failure;
    const std::string config = config_of(source);
    sluice_handle second = 0;
    EXPECT_EQ(sluice_consumer_open(config.data(), config.size(), nullptr, 0, &second, &failure), SLUICE_BUSY);
    EXPECT_THAT(failure.text, HasSubstr("sources[0]"));
    sluice_poll poll{};
    poll.size = sizeof poll;
    poll.max_records = 7;
    poll.max_bytes = 1 << 20;
    poll.min_records = 7;
    poll.wait_ms = 60'000;
    Owned page;
    ASSERT_EQ(sluice_consumer_poll(consumer, &poll, &page.handle, nullptr, nullptr), SLUICE_OK);
    const sluice_record* records = nullptr;
    uint64_t count = 0;
    ASSERT_EQ(sluice_page_records(page, &records, &count, nullptr), SLUICE_OK);
    ASSERT_EQ(count, 7U);
    EXPECT_EQ(view(records[6].value), "v6");
    EXPECT_EQ(records[6].position, 6);
    EXPECT_EQ(records[6].timestamp_ns, 6);
    EXPECT_EQ(records[6].key.data, nullptr);
    ASSERT_EQ(records[6].header_count, 1U);
    EXPECT_EQ(view(records[6].headers[0].value), "of it");
    cursor = text_from([&](char* buffer, uint64_t capacity, uint64_t* needed) {
      return sluice_page_cursor(page, buffer, capacity, needed, nullptr);
    });
  }
  Owned consumer;
  // The one before lets go on a thread of its own where a call was under way.
  EXPECT_TRUE(comes_true([&] {
    const std::string config = config_of(source);
    return sluice_consumer_open(config.data(), config.size(), cursor.data(), cursor.size(), &consumer.handle,
                                nullptr) == SLUICE_OK;
  }));
  EXPECT_THAT(values_of(consumer, 100, 60'000), ElementsAre("v7", "v8", "v9"));
}

TEST(SourceFace, places_are_asked_of_the_functions) {
  Shard shard;
  shard.count = 10;
  Owned source;
  shard.open("mine", source);
  {
    Owned consumer;
    open_consumer(config_of(source, R"(, "start": {"time_ns": 8})"), "", consumer);
    EXPECT_THAT(values_of(consumer, 100, 60'000), ElementsAre("v8", "v9"));
    EXPECT_EQ(sluice_consumer_close(consumer, 60'000, nullptr), SLUICE_OK);
  }
  Shard timeless;
  timeless.count = 1;
  auto calls = timeless.calls();
  calls.locate = nullptr;
  Owned other;
  ASSERT_EQ(sluice_source_open("other", 5, &calls, &other.handle, nullptr), SLUICE_OK);
  Owned consumer;
  open_consumer(config_of(other, R"(, "start": {"time_ns": 8})"), "", consumer);
  sluice_poll poll{};
  poll.size = sizeof poll;
  poll.max_records = poll.min_records = 1;
  poll.max_bytes = 1;
  poll.wait_ms = 60'000;
  sluice_polled polled{};
  polled.size = sizeof polled;
  Owned page;
  ASSERT_EQ(sluice_consumer_poll(consumer, &poll, &page.handle, &polled, nullptr), SLUICE_OK);
  EXPECT_EQ(polled.done, 1U);
  const sluice_note* notes = nullptr;
  uint64_t count = 0;
  ASSERT_EQ(sluice_page_notes(page, &notes, &count, nullptr), SLUICE_OK);
  ASSERT_EQ(count, 1U);
  EXPECT_EQ(notes[0].condition, SLUICE_SHARD_FAILED);
  EXPECT_EQ(notes[0].cause, SLUICE_UNSUPPORTED);
}

TEST(SourceFace, B03_what_cannot_be_shown_is_refused_and_can_be_given_again) {
  Shard shard;
  shard.count = 3;
  shard.hold = true;
  Owned source;
  shard.open("mine", source);
  Owned consumer;
  open_consumer(config_of(source, R"(, "page_records": 2)"), "", consumer);
  std::vector<std::string> values;
  std::thread reader([&] { values = values_of(consumer, 100, 60'000); });
  const sluice_handle answer = shard.take();
  sluice_record records[3]{};
  sluice_page_shown shown{};
  shown.size = sizeof shown;
  shown.end = -1;
  shown.records = records;
  const auto refused = [&](std::string_view why, int64_t index = -1) {
    Failure failure;
    EXPECT_EQ(sluice_answer_page(answer, nullptr, &shown, &failure), SLUICE_INVALID);
    EXPECT_THAT(failure.text, HasSubstr(std::string(why)));
    EXPECT_EQ(failure.index, index);
  };
  shown.next = -1;
  refused("shown.next is -1");
  shown.next = 3;
  shown.count = 3;
  refused("at most 2");
  shown.count = 2;
  refused("records[1].position is 0", 1);  // both are at 0
  records[1].position = 3;
  refused("records[1].position is 3", 1);
  records[1].position = 1;
  records[1].value = {nullptr, 1};
  refused("records[1]", 1);
  records[1].value = span("b");
  records[0].value = span("a");
  shown.finished = 2;
  refused("finished");
  shown.finished = 0;
  Failure failure;
  EXPECT_EQ(sluice_answer_page(answer, nullptr, nullptr, &failure), SLUICE_INVALID);
  EXPECT_EQ(sluice_answer_bounds(answer, nullptr, 0, 1, &failure), SLUICE_INVALID);
  EXPECT_THAT(failure.text, HasSubstr("another question"));
  EXPECT_EQ(sluice_answer(answer, nullptr, nullptr, &failure), SLUICE_INVALID);  // of a sink's
  shown.finished = 1;
  EXPECT_EQ(sluice_answer_page(answer, nullptr, &shown, &failure), SLUICE_OK) << failure.text;
  reader.join();
  EXPECT_THAT(values, ElementsAre("a", "b"));
}

TEST(SourceFace, an_answer_that_is_let_go_fails_the_shard_and_not_the_others) {
  Shard broken;
  broken.count = 1;
  broken.let_go = true;
  Shard well;
  well.count = 2;
  Owned first;
  Owned second;
  broken.open("broken", first);
  well.open("well", second);
  Owned consumer;
  open_consumer(fmt::format(R"({{"sources": [{}, {}]}})", source_of(first), source_of(second)), "", consumer);
  EXPECT_THAT(values_of(consumer, 100, 60'000), ElementsAre("v0", "v1"));
}

TEST(SourceFace, B01_a_consumer_that_is_released_lets_go_of_a_read_that_is_answered_late) {
  Shard shard;
  shard.count = 1;
  shard.hold = true;
  sluice_handle answer = 0;
  {
    Owned source;
    shard.open("mine", source);
    Owned consumer;
    open_consumer(config_of(source), "", consumer);
    sluice_poll poll{};
    poll.size = sizeof poll;
    poll.max_records = poll.min_records = 1;
    poll.max_bytes = 1;
    Owned page;
    ASSERT_EQ(sluice_consumer_poll(consumer, &poll, &page.handle, nullptr, nullptr), SLUICE_OK);
    answer = shard.take();
    EXPECT_EQ(sluice_consumer_close(consumer, 0, nullptr), SLUICE_UNAVAILABLE);
    EXPECT_GT(shard.woken, 0);
  }
  EXPECT_FALSE(shard.gone);
  sluice_page_shown shown{};
  shown.size = sizeof shown;
  shown.end = -1;
  EXPECT_EQ(sluice_answer_page(answer, nullptr, &shown, nullptr), SLUICE_OK);
  EXPECT_TRUE(comes_true([&] { return shard.gone.load(); }));
}

TEST(SourceFace, functions_that_are_missing_are_named) {
  Shard shard;
  auto calls = shard.calls();
  Failure failure;
  sluice_handle source = 0;
  const auto refused = [&](std::string_view why, std::string_view id = "mine") {
    EXPECT_EQ(sluice_source_open(id.data(), id.size(), &calls, &source, &failure), SLUICE_INVALID);
    EXPECT_THAT(failure.text, HasSubstr(std::string(why)));
  };
  refused("id is empty", "");
  refused("at most 512", std::string(513, 'i'));
  calls.read = nullptr;
  refused("calls.read is NULL");
  calls.read = &Shard::read;
  calls.bounds = nullptr;
  refused("calls.bounds is NULL");
  calls.bounds = &Shard::bounds;
  calls.reserved = 1;
  refused("calls.reserved");
  calls.reserved = 0;
  calls.size = sizeof calls - 1;
  refused("calls.size");
  EXPECT_EQ(sluice_source_open("mine", 4, nullptr, &source, nullptr), SLUICE_INVALID);
  EXPECT_EQ(sluice_source_open("mine", 4, &calls, nullptr, nullptr), SLUICE_INVALID);
  EXPECT_FALSE(shard.gone);
}

}  // namespace
}  // namespace sluice::c::testing
