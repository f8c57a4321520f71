// SPDX-License-Identifier: Apache-2.0
// The layout `record` on real servers: topics that others write to, found, adopted, read and left as they were.
#include "records/record.hpp"

#include <fmt/format.h>

#include "records/builder.hpp"
#include "redis/record_storage.hpp"
#include "support/redis_server.hpp"
#include "support/storage_world.hpp"
#include "support/tcp_proxy.hpp"

namespace sluice::redis {
namespace {

using test::Broker;
using test::eventually;
using test::RedisServer;
using test::wait;

constexpr int64_t kTimeMs = 1'600'000'000'000;

struct Seen {
  int64_t offset = 0;
  std::string key, value;
  bool operator==(const Seen&) const = default;
};

class RedisRecord : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(server.start().ok()); }

  std::unique_ptr<Broker> broker(host::OptionInputs more = {}) {
    host::OptionInputs options{{"address", server.address()}, {"layout", std::string("record")}};
    for (auto& [name, value] : more) options.insert_or_assign(name, value);
    auto made = std::make_unique<Broker>("redis", std::move(options));
    const auto started = made->storage->start();
    EXPECT_TRUE(started) << started.error().describe();
    if (started) {
      EXPECT_EQ(started->kind, SLUICE_KIND_NATIVE);
      EXPECT_NE(started->capabilities & SLUICE_CAP_ATOMIC, 0u);
    }
    return made;
  }
  static host::LogDescriptor descriptor(uint8_t id, const std::string& topic, const std::string& adopts = {},
                                        int32_t partition = 0) {
    host::LogDescriptor made;
    made.id[15] = id;
    made.topic = topic;
    made.partition = partition;
    if (!adopts.empty()) made.settings.emplace_back("sluice.native.name", adopts);
    return made;
  }
  static Status create(Broker& broker, host::LogDescriptor descriptor) {
    return wait<Status>(broker.loop, [&] { return broker.storage->create_log(descriptor, broker.loop); });
  }
  static Status remove(Broker& broker, host::LogDescriptor descriptor) {
    return wait<Status>(broker.loop, [&] { return broker.storage->delete_log(descriptor, broker.loop); });
  }
  std::shared_ptr<host::Log> open(Broker& broker, host::LogDescriptor descriptor) {
    auto log = *broker.storage->open(std::move(descriptor));
    EXPECT_TRUE(broker.acquire(*log, 0));
    return log;
  }
  static Buffer batch(const std::vector<std::string>& values, const char* key = nullptr) {
    records::BatchBuilder builder({});
    for (const std::string& value : values) {
      records::NewRecord record;
      record.timestamp = kTimeMs;
      if (key != nullptr) record.key = as_bytes(key);
      record.value = as_bytes(value);
      EXPECT_TRUE(builder.add(record).ok());
    }
    return std::move(*builder.build());
  }
  static host::AppendOutcome append(Broker& broker, host::Log& log, const Buffer& bytes) {
    auto promise = std::make_shared<std::promise<host::AppendOutcome>>();
    host::AppendEntry entry;
    entry.bytes = bytes.view();
    const auto header = records::parse_batch_header(bytes.view());
    entry.last_offset = header->last_offset_delta;
    entry.max_timestamp = header->max_timestamp;
    entry.record_count = static_cast<uint32_t>(header->records_count);
    entry.done = [promise](host::AppendOutcome outcome) { promise->set_value(std::move(outcome)); };
    if (Status queued = log.enqueue(std::move(entry), log.position().generation, broker.loop); !queued.ok())
      return {queued};
    log.send();
    return promise->get_future().get();
  }
  static tl::expected<host::ReadResult, host::ReadError> read(Broker& broker, host::Log& log, int64_t offset,
                                                              uint64_t max_bytes = 1 << 20, int64_t limit = INT64_MAX) {
    return wait<tl::expected<host::ReadResult, host::ReadError>>(
        broker.loop, [&] { return log.read(offset, limit, max_bytes, broker.loop); });
  }
  /// Everything from `offset` on, in as many reads as it takes.
  static std::vector<Seen> read_all(Broker& broker, host::Log& log, int64_t offset, uint64_t max_bytes = 1 << 20) {
    std::vector<Seen> all;
    while (true) {
      const auto got = read(broker, log, offset, max_bytes);
      EXPECT_TRUE(got) << got.error().status.describe();
      if (!got || got->next == offset) return all;
      const std::string bytes = *host::gather(*got);
      Bytes rest = as_bytes(bytes);
      while (!rest.empty()) {
        const auto taken = records::take_batch(rest);
        EXPECT_TRUE(taken);
        if (!taken) return all;
        records::RecordIterator records(taken->records_section(), *taken);
        for (records::RecordView record; records.next(record);) {
          all.push_back({record.offset(*taken), record.key ? std::string(as_text(*record.key)) : "null",
                         record.value ? std::string(as_text(*record.value)) : "null"});
        }
      }
      offset = got->next;
    }
  }
  static host::Bounds bounds(Broker& broker, host::Log& log) {
    const auto found = wait<Result<host::Bounds>>(broker.loop, [&] { return log.bounds(broker.loop); });
    EXPECT_TRUE(found) << found.error().describe();
    return found.value_or(host::Bounds{});
  }
  std::string xadd(const std::string& stream, const std::vector<std::string>& fields, const char* id = "*") {
    std::vector<std::string> arguments{"XADD", stream, id};
    arguments.insert(arguments.end(), fields.begin(), fields.end());
    return server.cli(arguments);
  }

  RedisServer server;
};

// A listing that takes long says so, and the next goes on where it was, unless there are other topics by then.
TEST_F(RedisRecord, AListingGoesOnWhereTheLastOneStopped) {
  const std::string fill = "for i = 1, 3000 do redis.call('SET', 'text-' .. i, 'x') end";
  server.cli({"EVAL", fill, "0"});
  xadd("orders", {"value", "plain"});
  test::TcpProxy proxy(server.port());
  auto made = broker({{"address", fmt::format("127.0.0.1:{}", proxy.port())}});
  const auto list = [&] {
    return wait<Result<std::vector<host::LogEntry>>>(made->loop, [&] { return made->storage->list_logs(made->loop); });
  };
  const auto begun = [&](int times) {
    return server.cli({"INFO", "commandstats"}).find(fmt::format("cmdstat_dbsize:calls={},", times)) !=
           std::string::npos;
  };
  const auto list_slowly = [&] {
    proxy.hold_replies(true);
    auto listed = std::async(std::launch::async, list);
    EXPECT_TRUE(eventually([&] { return proxy.held() > 0; }));
    const auto until = test::Clock::now() + std::chrono::milliseconds(kListStepMs);
    EXPECT_TRUE(eventually([&] { return test::Clock::now() > until; }));
    proxy.hold_replies(false);
    const auto answer = listed.get();
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code(), StatusCode::busy) << answer.error().describe();
    EXPECT_NE(answer.error().text().find("ask again"), std::string::npos);
  };
  list_slowly();
  EXPECT_TRUE(begun(1));
  const auto listed = list();
  ASSERT_TRUE(listed) << listed.error().describe();
  ASSERT_EQ(listed->size(), 1u);
  EXPECT_EQ(listed->front().topic, "orders");
  EXPECT_TRUE(begun(1)) << "the second went on with the first";
  list_slowly();
  EXPECT_TRUE(begun(2));
  ASSERT_TRUE(create(*made, descriptor(1, "clicks")).ok());
  const auto after = list();
  ASSERT_TRUE(after) << after.error().describe();
  EXPECT_EQ(after->size(), 2u);
  EXPECT_TRUE(begun(3)) << "a topic that was made meanwhile is told of";
}

TEST_F(RedisRecord, AStreamOfOthersIsFoundAdoptedAndLeft) {
  xadd("orders", {"item", "book", "qty", "2"});
  xadd("orders", {"value", "plain"});
  server.cli({"SET", "text", "x"});
  auto made = broker();
  const auto listed =
      wait<Result<std::vector<host::LogEntry>>>(made->loop, [&] { return made->storage->list_logs(made->loop); });
  ASSERT_TRUE(listed);
  ASSERT_EQ(listed->size(), 1u);
  EXPECT_TRUE(listed->front().foreign);
  EXPECT_EQ(listed->front().topic, "orders");

  EXPECT_EQ(create(*made, descriptor(1, "mine", "no-such")).code(), StatusCode::not_found);
  EXPECT_EQ(create(*made, descriptor(1, "mine", "text")).code(), StatusCode::not_found) << "no stream";
  EXPECT_EQ(create(*made, descriptor(2, "orders")).code(), StatusCode::exists) << "never taken silently";
  const auto mine = descriptor(1, "mine", "orders");
  ASSERT_TRUE(create(*made, mine).ok());
  ASSERT_TRUE(create(*made, mine).ok()) << "idempotent";
  EXPECT_EQ(create(*made, descriptor(3, "other", "orders")).code(), StatusCode::exists);
  auto log = open(*made, mine);
  const auto all = read_all(*made, *log, 0);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].value, R"({"item":"book","qty":"2"})");
  EXPECT_EQ(all[1].value, "plain");
  ASSERT_TRUE(append(*made, *log, batch({"ours"}, "k")).status.ok());
  EXPECT_NE(server.cli({"XRANGE", "orders", "-", "+"}).find("ours"), std::string::npos);
  ASSERT_TRUE(remove(*made, mine).ok());
  EXPECT_EQ(server.cli({"XLEN", "orders"}), "3") << "only untied";
  const auto gone = read(*made, *log, 0);
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().status.code(), StatusCode::not_found);
  EXPECT_EQ(append(*made, *log, batch({"late"})).status.code(), StatusCode::not_found);
  EXPECT_EQ(server.cli({"XLEN", "orders"}), "3");
}

TEST_F(RedisRecord, OffsetsAreStableAndReadFromEverywhere) {
  auto made = broker();
  const auto topic = descriptor(1, "t");
  ASSERT_TRUE(create(*made, topic).ok());
  auto log = open(*made, topic);
  EXPECT_EQ(bounds(*made, *log).start, 0);
  EXPECT_EQ(bounds(*made, *log).end, 0);
  std::vector<Seen> expected;
  for (int i = 0; i < 50; ++i) {
    const auto outcome = append(*made, *log, batch({fmt::format("a{}", i), fmt::format("b{}", i)}, "k"));
    ASSERT_TRUE(outcome.status.ok()) << outcome.status.describe();
    EXPECT_GT(outcome.last_offset, outcome.first_offset);
    expected.push_back({outcome.first_offset, "k", fmt::format("a{}", i)});
    expected.push_back({outcome.last_offset, "k", fmt::format("b{}", i)});
    xadd("t", {"value", fmt::format("f{}", i)});
    expected.push_back({-1, "null", fmt::format("f{}", i)});
  }
  const auto all = read_all(*made, *log, 0);
  ASSERT_EQ(all.size(), expected.size());
  for (size_t i = 0; i < all.size(); ++i) {
    if (expected[i].offset >= 0) {
      EXPECT_EQ(all[i].offset, expected[i].offset);
    }
    EXPECT_EQ(all[i].value, expected[i].value);
    if (i > 0) {
      EXPECT_GT(all[i].offset, all[i - 1].offset);
    }
  }
  EXPECT_EQ(read_all(*made, *log, 0, 1), all) << "one record at a time";
  for (size_t i = 0; i < all.size(); i += 7) {
    const std::vector<Seen> rest(all.begin() + static_cast<std::ptrdiff_t>(i), all.end());
    EXPECT_EQ(read_all(*made, *log, all[i].offset), rest);
  }
  const auto limited = read(*made, *log, 0, 1 << 20, all[4].offset);
  ASSERT_TRUE(limited);
  EXPECT_EQ(limited->next, all[3].offset + 1);
  const auto beyond = read(*made, *log, bounds(*made, *log).end + 1);
  ASSERT_FALSE(beyond);
  EXPECT_EQ(beyond.error().status.code(), StatusCode::out_of_range);
}

TEST_F(RedisRecord, AReaderAtTheBeginningOfNothingMissesNothing) {
  auto made = broker();
  ASSERT_TRUE(create(*made, descriptor(1, "t")).ok());
  auto log = open(*made, descriptor(1, "t"));
  const auto empty = read(*made, *log, 0);
  ASSERT_TRUE(empty);
  EXPECT_EQ(empty->next, 0);
  xadd("t", {"value", "first"});
  ASSERT_EQ(read_all(*made, *log, 0).size(), 1u);
}

TEST_F(RedisRecord, TrimmedEntriesAreOutOfRange) {
  auto made = broker();
  ASSERT_TRUE(create(*made, descriptor(1, "t")).ok());
  auto log = open(*made, descriptor(1, "t"));
  const auto first = append(*made, *log, batch({"a", "b", "c"}));
  ASSERT_TRUE(first.status.ok());
  ASSERT_TRUE(wait<Status>(made->loop, [&] { return log->trim(first.last_offset, made->loop); }).ok());
  EXPECT_EQ(bounds(*made, *log).start, first.last_offset);
  EXPECT_EQ(read(*made, *log, 0).error().status.code(), StatusCode::out_of_range);
  EXPECT_EQ(read_all(*made, *log, first.last_offset).size(), 1u);
  server.cli({"XTRIM", "t", "MAXLEN", "0"});
  EXPECT_EQ(bounds(*made, *log).start, first.last_offset + 1);
  EXPECT_EQ(bounds(*made, *log).end, first.last_offset + 1);
}

TEST_F(RedisRecord, OthersEndAWatch) {
  auto made = broker();
  ASSERT_TRUE(create(*made, descriptor(1, "t")).ok());
  auto log = open(*made, descriptor(1, "t"));
  const int64_t end = bounds(*made, *log).end;
  auto watched = std::async(std::launch::async,
                            [&] { return wait<Status>(made->loop, [&] { return log->watch(end, made->loop); }); });
  EXPECT_EQ(watched.wait_for(std::chrono::milliseconds(100)), std::future_status::timeout);
  xadd("t", {"value", "x"});
  EXPECT_TRUE(watched.get().ok());
  EXPECT_TRUE(wait<Status>(made->loop, [&] { return log->watch(end, made->loop); }).ok()) << "at once";
}

TEST_F(RedisRecord, DenseIdsCountAndAStrangeOneIsSaid) {
  auto made = broker({{"ids", std::string("dense")}});
  ASSERT_TRUE(create(*made, descriptor(1, "t")).ok());
  auto log = open(*made, descriptor(1, "t"));
  EXPECT_EQ(append(*made, *log, batch({"a", "b"})).first_offset, 0);
  xadd("t", {"value", "c"}, "0-*");
  EXPECT_EQ(append(*made, *log, batch({"d"})).first_offset, 3);
  const auto at = wait<Result<int64_t>>(made->loop, [&] { return log->locate(kTimeMs, made->loop); });
  ASSERT_TRUE(at);
  EXPECT_EQ(*at, 0);
  xadd("t", {"value", "strange"});
  const auto jammed = read(*made, *log, 0);
  ASSERT_FALSE(jammed);
  EXPECT_EQ(jammed.error().status.code(), StatusCode::corrupt);
  EXPECT_NE(jammed.error().status.text().find("XADD key 0-*"), std::string::npos);
}

TEST_F(RedisRecord, PartitionsAreStreamsOfTheirOwnAndGoWithTheTopic) {
  auto made = broker();
  for (int32_t i = 0; i < 3; ++i) ASSERT_TRUE(create(*made, descriptor(static_cast<uint8_t>(i + 1), "t", {}, i)).ok());
  auto log = open(*made, descriptor(3, "t", {}, 2));
  ASSERT_TRUE(append(*made, *log, batch({"x"})).status.ok());
  EXPECT_EQ(server.cli({"XLEN", "t:2"}), "1");
  const auto listed =
      wait<Result<std::vector<host::LogEntry>>>(made->loop, [&] { return made->storage->list_logs(made->loop); });
  ASSERT_TRUE(listed);
  ASSERT_EQ(listed->size(), 3u);
  for (const auto& entry : *listed) {
    EXPECT_FALSE(entry.foreign);
    EXPECT_EQ(entry.topic, "t");
  }
  for (int32_t i = 0; i < 3; ++i) ASSERT_TRUE(remove(*made, descriptor(static_cast<uint8_t>(i + 1), "t", {}, i)).ok());
  EXPECT_EQ(server.cli({"DBSIZE"}), "0");
}

TEST_F(RedisRecord, AKilledServerLosesNothingAcknowledged) {
  auto made = broker();
  ASSERT_TRUE(create(*made, descriptor(1, "t")).ok());
  auto log = open(*made, descriptor(1, "t"));
  std::vector<std::string> acknowledged;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 20; ++i) {
      const std::string value = fmt::format("{}-{}", round, i);
      if (append(*made, *log, batch({value})).status.ok()) acknowledged.push_back(value);
    }
    server.kill();
    const auto lost = append(*made, *log, batch({"lost"}));
    EXPECT_FALSE(lost.status.ok());
    ASSERT_TRUE(server.start().ok());
    ASSERT_TRUE(eventually([&] { return made->storage->health().has_value(); }));
  }
  std::vector<std::string> there;
  for (const Seen& seen : read_all(*made, *log, 0)) there.push_back(seen.value);
  for (const std::string& value : acknowledged) {
    EXPECT_EQ(std::count(there.begin(), there.end(), value), 1) << value;
  }
}

}  // namespace
}  // namespace sluice::redis
