// SPDX-License-Identifier: Apache-2.0
// The C face on a real Redis: streams of other programs as shards, beside a log of its own.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "face.hpp"
#include "support/redis_server.hpp"

namespace sluice::c::testing {
namespace {

using ::testing::HasSubstr;

class RedisFace : public ::testing::Test {
 protected:
  void SetUp() override {
    const Status started = server_.start();
    ASSERT_TRUE(started) << started.describe();
  }
  std::string storage(const char* name, const char* layout) const {
    return fmt::format(R"({{"name": "{}", "library": "redis", "options": {{"address": "{}", "layout": "{}"}}}})", name,
                       server_.address(), layout);
  }
  void add(const std::string& stream, int from, int to) {
    for (int i = from; i < to; ++i) server_.cli({"XADD", stream, "*", "key", "k", "value", fmt::format("{}", i)});
  }

  test::RedisServer server_;
};

TEST_F(RedisFace, a_native_stream_is_read_and_waited_for) {
  add("orders", 0, 5);
  Owned shared;
  open_by(&sluice_storage_open, storage("r", "record"), shared);
  const auto health = nlohmann::json::parse(text_from([&](char* buffer, uint64_t capacity, uint64_t* needed) {
    return sluice_storage_health(shared, buffer, capacity, needed, nullptr);
  }));
  EXPECT_EQ(health["native"], true);
  const auto config = [](const std::string& of_storage, const char* more) {
    return fmt::format(
        R"({{"storages": [{}], "sources": [{{"kind": "native", "storage": "r", "stream": "orders"{}}}]}})", of_storage,
        more);
  };
  Owned consumer;
  open_consumer(config(fmt::format(R"({{"name": "r", "handle": {}}})", shared.handle), ""), "", consumer);
  ASSERT_EQ(sluice_release(shared, nullptr), SLUICE_OK);
  EXPECT_EQ(values_of(consumer, 5, 60'000), (std::vector<std::string>{"0", "1", "2", "3", "4"}));
  const std::string place = text_from([&](char* buffer, uint64_t capacity, uint64_t* needed) {
    return sluice_consumer_cursor(consumer, buffer, capacity, needed, nullptr);
  });
  add("orders", 5, 7);
  EXPECT_EQ(values_of(consumer, 2, 60'000), (std::vector<std::string>{"5", "6"}));
  // As another process would, with a storage of its own.
  Owned again;
  open_consumer(config(storage("r", "record"), R"(, "partition": 0, "read_bytes": 4096)"), place, again);
  EXPECT_EQ(values_of(again, 2, 60'000), (std::vector<std::string>{"5", "6"}));
}

TEST_F(RedisFace, streams_and_logs_are_merged_and_mistaken_ones_told) {
  add("orders", 0, 3);
  const Folder folder;
  const std::string state = fmt::format(R"("log": "mine", "state_directory": "{}")", folder.path());
  Owned log;
  open_by(&sluice_log_open, fmt::format(R"({{"storage": {}, {}}})", storage("l", "log"), state), log);
  sluice_record record{};
  record.timestamp_ns = SLUICE_NO_TIMESTAMP;
  record.value = span("of the log");
  Failure failure;
  ASSERT_EQ(sluice_log_write(log, &record, 1, 60'000, nullptr, &failure), SLUICE_OK) << failure.text;
  const auto config = [&](const std::string& sources) {
    return fmt::format(R"({{"storages": [{}, {}], "sources": [{}]}})", storage("r", "record"), storage("l", "log"),
                       sources);
  };
  const std::string native = R"({"kind": "native", "storage": "r", "stream": "orders"})";
  Owned consumer;
  open_consumer(config(fmt::format(R"({}, {{"kind": "log", "storage": "l", {}}})", native, state)), "", consumer);
  std::vector<std::string> values = values_of(consumer, 4, 60'000);
  std::ranges::sort(values);
  EXPECT_EQ(values, (std::vector<std::string>{"0", "1", "2", "of the log"}));

  // A stream that is not there, and one on a storage of logs: the shard has failed, and says why.
  for (const auto& [source, why] : {std::pair{R"({"kind": "native", "storage": "r", "stream": "absent"})", "absent"},
                                    {R"({"kind": "native", "storage": "l", "stream": "orders"})", "make_log_source"}}) {
    Owned failing;
    open_consumer(config(source), "", failing);
    std::string said;
    EXPECT_TRUE(comes_true([&] {
      sluice_poll wanted{};
      wanted.size = sizeof wanted;
      wanted.max_records = wanted.min_records = 1;
      wanted.max_bytes = 1 << 20;
      wanted.wait_ms = 1'000;
      Owned page;
      EXPECT_EQ(sluice_consumer_poll(failing, &wanted, &page.handle, nullptr, nullptr), SLUICE_OK);
      const sluice_note* notes = nullptr;
      uint64_t count = 0;
      EXPECT_EQ(sluice_page_notes(page, &notes, &count, nullptr), SLUICE_OK);
      if (count == 0 || notes[0].condition != SLUICE_SHARD_FAILED) return false;
      said = view(notes[0].text);
      return true;
    }));
    EXPECT_THAT(said, HasSubstr(why));
  }
}

}  // namespace
}  // namespace sluice::c::testing
