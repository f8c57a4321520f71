// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <condition_variable>
#include <mutex>
#include <nlohmann/json.hpp>

#include "face.hpp"

namespace sluice::c::testing {
namespace {

using ::testing::HasSubstr;

sluice_record record(std::string_view value) {
  sluice_record made{};
  made.timestamp_ns = SLUICE_NO_TIMESTAMP;
  made.value = span(value);
  return made;
}

/// A log on the disk adapter, opened once and shared with its readers.
class LogFace : public ::testing::Test {
 protected:
  LogFace() {
    open_by(&sluice_storage_open,
            fmt::format(R"({{"name": "d", "library": "disk", "data_directory": "{}"}})", folder_.path()), storage_);
  }
  std::string log_config(const std::string& more = "") const {
    return fmt::format(R"({{"storage": {{"name": "d", "handle": {}}}, "log": "l", "state_directory": "{}"{}}})",
                       storage_.handle, folder_.path(), more);
  }
  std::vector<std::string> values() const {
    Owned consumer;
    open_consumer(fmt::format(R"({{"storages": [{{"name": "d", "handle": {}}}],
                        "sources": [{{"kind": "log", "storage": "d", "log": "l", "state_directory": "{}"}}]}})",
                              storage_.handle, folder_.path()),
                  "", consumer);
    return values_of(consumer, 13, 10'000);
  }
  Folder folder_;
  Owned storage_;
};

sluice_log_counts stats(sluice_handle log) {
  sluice_log_counts counts{};
  counts.size = sizeof counts;
  EXPECT_EQ(sluice_log_stats(log, &counts, nullptr), SLUICE_OK);
  return counts;
}

/// What answers said, in their order.
struct Answers {
  std::mutex mutex;
  std::vector<int64_t> firsts;
  std::vector<sluice_status> failures;
  static void take(void* context, const sluice_written* written, const sluice_failure* failure) {
    auto& self = *static_cast<Answers*>(context);
    const std::scoped_lock lock(self.mutex);
    if (written != nullptr) self.firsts.push_back(written->first);
    if (failure != nullptr) self.failures.push_back(failure->code);
  }
};

TEST_F(LogFace, what_is_written_is_read) {
  Answers answers;
  {
    Owned log;
    open_by(&sluice_log_open, log_config(), log);
    const sluice_record two[] = {record("a"), record("b")};
    sluice_written written{};
    written.size = sizeof written;
    Failure failure;
    ASSERT_EQ(sluice_log_write(log, two, 2, 60'000, &written, &failure), SLUICE_OK) << failure.text;
    EXPECT_EQ(written.first, 0);
    EXPECT_EQ(written.last, 1);
    EXPECT_EQ(written.epoch, 1);
    for (int i = 0; i < 10; ++i) {
      ASSERT_EQ(sluice_log_append(log, two, 1, &Answers::take, &answers, &failure), SLUICE_OK) << failure.text;
    }
    ASSERT_EQ(sluice_log_append(log, two, 1, nullptr, nullptr, &failure), SLUICE_OK);
    ASSERT_EQ(sluice_log_flush(log, 60'000, &failure), SLUICE_OK) << failure.text;
    EXPECT_EQ(answers.firsts, (std::vector<int64_t>{2, 3, 4, 5, 6, 7, 8, 9, 10, 11}));
    EXPECT_EQ(stats(log).written, 13U);
    EXPECT_EQ(stats(log).pending, 0U);
    const std::string id = text_from([&](char* buffer, uint64_t capacity, uint64_t* needed) {
      return sluice_log_id(log, buffer, capacity, needed, nullptr);
    });
    EXPECT_EQ(id.size(), 22U);
    const auto logs = nlohmann::json::parse(text_from([&](char* buffer, uint64_t capacity, uint64_t* needed) {
      return sluice_storage_logs(storage_, buffer, capacity, needed, nullptr);
    }));
    ASSERT_EQ(logs.size(), 1U);
    EXPECT_EQ(logs[0]["id"], id);
    EXPECT_EQ(sluice_log_trim(log, 1, &failure), SLUICE_OK) << failure.text;
    EXPECT_EQ(sluice_log_close(log, 60'000, &failure), SLUICE_OK) << failure.text;
    EXPECT_NE(sluice_log_append(log, two, 1, &Answers::take, &answers, &failure), SLUICE_OK);
    EXPECT_EQ(answers.firsts.size(), 10U);
  }
  EXPECT_EQ(values().size(), 13U);
  Owned again;
  open_by(&sluice_log_open, log_config(), again);
  EXPECT_EQ(stats(again).epoch, 2);
}

TEST_F(LogFace, a_log_keeps_its_storage) {
  const sluice_record one = record("a");
  {
    Owned shared;
    open_by(&sluice_log_open, log_config(), shared);
    ASSERT_EQ(sluice_release(storage_, nullptr), SLUICE_OK);
    Failure failure;
    EXPECT_EQ(sluice_log_write(shared, &one, 1, 60'000, nullptr, &failure), SLUICE_OK) << failure.text;
  }
  const std::string config = fmt::format(
      R"({{"storage": {{"name": "d", "library": "disk", "data_directory": "{}"}}, "log": "l", "state_directory": "{}",
          "delivery_timeout_ms": 1000}})",
      folder_.path(), folder_.path());
  Owned own;
  // The other storage ends on a thread of its own.
  ASSERT_TRUE(
      comes_true([&] { return sluice_log_open(config.data(), config.size(), &own.handle, nullptr) == SLUICE_OK; }));
  Failure failure;
  EXPECT_EQ(sluice_log_write(own, &one, 1, 60'000, nullptr, &failure), SLUICE_OK) << failure.text;
  EXPECT_EQ(stats(own).written, 1U);
}

TEST_F(LogFace, only_one_writes_a_log) {
  Owned log;
  open_by(&sluice_log_open, log_config(), log);
  sluice_handle second = 0;
  Failure failure;
  const std::string config = log_config();
  EXPECT_EQ(sluice_log_open(config.data(), config.size(), &second, &failure), SLUICE_CONFLICT) << failure.text;
}

TEST_F(LogFace, B15_every_record_is_checked_before_any_is_taken) {
  Owned log;
  Owned memory;
  open_by(&sluice_log_open, log_config(), log);
  open_by(&sluice_memory_open, R"({"id": "m"})", memory);
  sluice_record null_bytes = record("x");
  null_bytes.key = {nullptr, 3};
  sluice_record null_headers = record("x");
  null_headers.header_count = 2;
  sluice_field unnamed{{nullptr, 0}, {nullptr, 0}};
  sluice_record null_name = record("x");
  null_name.headers = &unnamed;
  null_name.header_count = 1;
  for (const sluice_record& wrong : {null_bytes, null_headers, null_name}) {
    const sluice_record three[] = {record("a"), wrong, record("b")};
    Failure failure;
    EXPECT_EQ(sluice_log_append(log, three, 3, nullptr, nullptr, &failure), SLUICE_INVALID);
    EXPECT_EQ(failure.index, 1) << failure.text;
    EXPECT_EQ(sluice_memory_append(memory, three, 3, nullptr, &failure), SLUICE_INVALID);
    EXPECT_EQ(failure.index, 1) << failure.text;
  }
  EXPECT_EQ(sluice_log_write(log, nullptr, 1, 10, nullptr, nullptr), SLUICE_INVALID);
  EXPECT_EQ(sluice_log_write(log, nullptr, UINT64_MAX, 10, nullptr, nullptr), SLUICE_TOO_LARGE);
  EXPECT_EQ(sluice_log_write(log, nullptr, 0, 10, nullptr, nullptr), SLUICE_INVALID);
  const sluice_record one = record("a");
  EXPECT_EQ(sluice_log_write(log, &one, 1, -1, nullptr, nullptr), SLUICE_INVALID);
  EXPECT_EQ(stats(log).appended, 0U);
  int64_t position = -1;
  ASSERT_EQ(sluice_memory_append(memory, &one, 1, &position, nullptr), SLUICE_OK);
  EXPECT_EQ(position, 0);
}

TEST_F(LogFace, B03_each_wrong_setting_is_named_and_nothing_opened) {
  struct Case {
    std::string config;
    const char* expected;
  };
  for (const Case& wrong :
       {Case{log_config(R"(, "compression": "tar")"), "compression"},
        Case{log_config(R"(, "max_batch_bytes": 0)"), "max_batch_bytes"},
        Case{log_config(R"(, "speed": 1)"), "speed: there is no such setting"},
        Case{R"({"log": "l", "state_directory": "/x"})", "storage.name"},
        Case{R"({"storage": {"name": "d", "handle": 0}, "log": "l", "state_directory": "/x"})", "storage.handle"}}) {
    sluice_handle log = 0;
    Failure failure;
    EXPECT_EQ(sluice_log_open(wrong.config.data(), wrong.config.size(), &log, &failure), SLUICE_INVALID)
        << wrong.config;
    EXPECT_THAT(std::string(failure.text), HasSubstr(wrong.expected)) << wrong.config;
  }
  const std::string gone = R"({"storage": {"name": "d", "handle": 9999999}, "log": "l", "state_directory": "/x"})";
  sluice_handle log = 0;
  EXPECT_EQ(sluice_log_open(gone.data(), gone.size(), &log, nullptr), SLUICE_NOT_FOUND);
  const std::string cluster = R"({"name": "k", "bootstrap": "127.0.0.1:1", "properties": {"group.id": "g"}})";
  Failure failure;
  EXPECT_EQ(sluice_cluster_open(cluster.data(), cluster.size(), &log, &failure), SLUICE_INVALID);
  EXPECT_THAT(std::string(failure.text), HasSubstr("group.id"));
}

TEST_F(LogFace, health_says_what_the_storage_keeps) {
  const auto health = nlohmann::json::parse(text_from([&](char* buffer, uint64_t capacity, uint64_t* needed) {
    return sluice_storage_health(storage_, buffer, capacity, needed, nullptr);
  }));
  EXPECT_EQ(health["name"], "d");
  EXPECT_EQ(health["native"], false);
  EXPECT_EQ(sluice_storage_stop(storage_, 60'000, nullptr), SLUICE_OK);
  Owned log;
  const std::string config = log_config();
  EXPECT_EQ(sluice_log_open(config.data(), config.size(), &log.handle, nullptr), SLUICE_UNAVAILABLE);
}

/// Releases its log inside the answer, where the end of the log would wait for that very answer.
struct Releasing {
  std::mutex mutex;
  std::condition_variable changed;
  sluice_handle log = 0;
  sluice_status written_inside = SLUICE_OK;
  bool answered = false;
  static void take(void* context, const sluice_written*, const sluice_failure*) {
    auto& self = *static_cast<Releasing*>(context);
    const sluice_record one = record("y");
    const sluice_status status = sluice_log_write(self.log, &one, 1, 60'000, nullptr, nullptr);
    sluice_release(self.log, nullptr);
    const std::scoped_lock lock(self.mutex);
    self.written_inside = status;
    self.answered = true;
    self.changed.notify_all();
  }
};

TEST_F(LogFace, S16_an_answer_may_release_its_log) {
  Releasing releasing;
  const std::string config = log_config();
  ASSERT_EQ(sluice_log_open(config.data(), config.size(), &releasing.log, nullptr), SLUICE_OK);
  const sluice_record one = record("x");
  ASSERT_EQ(sluice_log_append(releasing.log, &one, 1, &Releasing::take, &releasing, nullptr), SLUICE_OK);
  std::unique_lock lock(releasing.mutex);
  ASSERT_TRUE(releasing.changed.wait_for(lock, std::chrono::seconds(60), [&] { return releasing.answered; }));
  EXPECT_EQ(releasing.written_inside, SLUICE_INVALID);
  lock.unlock();
  // The lock is free when the log has ended, on a thread of its own.
  EXPECT_TRUE(comes_true([&] {
    Owned again;
    return sluice_log_open(config.data(), config.size(), &again.handle, nullptr) == SLUICE_OK;
  }));
}

TEST_F(LogFace, B01_writes_race_with_close_and_release) {
  const std::string config = log_config();
  race_with_release(
      20,
      [&] {
        sluice_handle log = 0;
        Failure failure;
        // The threads of the round before may hold the log for a moment.
        EXPECT_TRUE(comes_true([&] {
          return sluice_log_open(config.data(), config.size(), &log, &failure) == SLUICE_OK;
        })) << failure.text;
        return log;
      },
      [](sluice_handle log) {
        const sluice_record one = record("x");
        return sluice_log_write(log, &one, 1, 10'000, nullptr, nullptr);
      },
      [](sluice_handle log) { EXPECT_EQ(sluice_log_close(log, 10'000, nullptr), SLUICE_OK); },
      [](sluice_status status) { return status != SLUICE_INVALID && status != SLUICE_INTERNAL; });
}

TEST(MemoryFace, one_consumer_at_a_time_reads_to_the_end) {
  Owned memory;
  open_by(&sluice_memory_open, R"({"id": "m", "first": 7})", memory);
  const sluice_field headers[] = {{span("h"), span("1")}};
  sluice_record two[] = {record("a"), record("b")};
  two[0].headers = headers;
  two[0].header_count = 1;
  int64_t position = 0;
  ASSERT_EQ(sluice_memory_append(memory, two, 2, &position, nullptr), SLUICE_OK);
  EXPECT_EQ(position, 8);
  const std::string config = fmt::format(R"({{"sources": [{{"kind": "memory", "memory": {}}}]}})", memory.handle);
  {
    Owned consumer;
    open_consumer(config, "", consumer);
    Failure failure;
    sluice_handle second = 0;
    EXPECT_EQ(sluice_consumer_open(config.data(), config.size(), nullptr, 0, &second, &failure), SLUICE_BUSY);
    EXPECT_EQ(sluice_memory_seal(memory, nullptr), SLUICE_OK);
    EXPECT_EQ(values_of(consumer, 10, 10'000), (std::vector<std::string>{"a", "b"}));
    EXPECT_EQ(sluice_memory_append(memory, two, 2, nullptr, &failure), SLUICE_INVALID);
    EXPECT_EQ(failure.index, 0);
  }
  Owned consumer;
  EXPECT_TRUE(comes_true([&] {
    return sluice_consumer_open(config.data(), config.size(), nullptr, 0, &consumer.handle, nullptr) == SLUICE_OK;
  }));
  EXPECT_EQ(sluice_memory_trim(memory, 8, nullptr), SLUICE_OK);
}

TEST(MemoryFace, B01_appends_race_with_release) {
  race_with_release(
      100,
      [] {
        Owned memory;
        open_by(&sluice_memory_open, R"({"id": "m", "max_bytes": 65536})", memory);
        return std::exchange(memory.handle, 0);
      },
      [](sluice_handle memory) {
        const sluice_record one = record("x");
        return sluice_memory_append(memory, &one, 1, nullptr, nullptr);
      },
      [](sluice_handle memory) { sluice_memory_seal(memory, nullptr); },
      [](sluice_status status) { return status == SLUICE_BUSY || status == SLUICE_INVALID; });
}

}  // namespace
}  // namespace sluice::c::testing
