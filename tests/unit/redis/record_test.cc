// SPDX-License-Identifier: Apache-2.0
// The layout `record` on real servers: topics that others write to, found, adopted, read and left as they were.
#include "records/record.hpp"

#include <fmt/format.h>

#include "append_only_file.hpp"
#include "redis/record_storage.hpp"
#include "support/native_world.hpp"
#include "support/redis_server.hpp"
#include "support/tcp_proxy.hpp"

namespace sluice::redis {
namespace {

using test::descriptor;
using test::eventually;
using test::kNativeTimeMs;
using test::native_batch;
using test::NativeBroker;
using test::RedisServer;
using test::Seen;

class RedisRecord : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(server.start().ok()); }

  std::unique_ptr<NativeBroker> broker(host::OptionInputs more = {}) {
    host::OptionInputs options{{"address", server.address()}, {"layout", std::string("record")}};
    for (auto& [name, value] : more) options.insert_or_assign(name, value);
    auto made = std::make_unique<NativeBroker>("redis", std::move(options));
    const auto started = made->storage->start();
    EXPECT_TRUE(started) << started.error().describe();
    if (started) {
      EXPECT_EQ(started->kind, SLUICE_KIND_NATIVE);
      EXPECT_EQ(started->capabilities, SLUICE_CAP_SHARED)
          << "what Debian installs cuts a file that ends in half an append";
    }
    return made;
  }
  std::string xadd(const std::string& stream, const std::vector<std::string>& fields, const char* id = "*") {
    std::vector<std::string> arguments{"XADD", stream, id};
    arguments.insert(arguments.end(), fields.begin(), fields.end());
    return server.cli(arguments);
  }

  RedisServer server;
};

TEST_F(RedisRecord, WhatHoldsFollowsTheServersFile) {
  auto made = broker();
  EXPECT_EQ(server.cli({"CONFIG", "SET", "aof-load-truncated", "no"}), "OK");
  EXPECT_EQ(made->storage->health()->capabilities, SLUICE_CAP_DURABLE | SLUICE_CAP_POWER_SAFE | SLUICE_CAP_NO_ROLLBACK |
                                                       SLUICE_CAP_SHARED | SLUICE_CAP_ATOMIC);
  EXPECT_EQ(server.cli({"CONFIG", "SET", "aof-load-truncated", "yes"}), "OK");
  EXPECT_EQ(made->storage->health()->capabilities, SLUICE_CAP_SHARED);
}

// A listing that takes long says so, and the next goes on where it was, unless there are other topics by then.
TEST_F(RedisRecord, AListingGoesOnWhereTheLastOneStopped) {
  const std::string fill = "for i = 1, 3000 do redis.call('SET', 'text-' .. i, 'x') end";
  server.cli({"EVAL", fill, "0"});
  xadd("orders", {"value", "plain"});
  test::TcpProxy proxy(server.port());
  auto made = broker({{"address", fmt::format("127.0.0.1:{}", proxy.port())}});
  const auto list = [&] { return made->list(); };
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
  ASSERT_TRUE(made->make(descriptor(1, "clicks")).ok());
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
  const auto listed = made->list();
  ASSERT_TRUE(listed);
  ASSERT_EQ(listed->size(), 1u);
  EXPECT_TRUE(listed->front().foreign);
  EXPECT_EQ(listed->front().topic, "orders");

  EXPECT_EQ(made->make(descriptor(1, "mine", "no-such")).code(), StatusCode::not_found);
  EXPECT_EQ(made->make(descriptor(1, "mine", "text")).code(), StatusCode::not_found) << "no stream";
  EXPECT_EQ(made->make(descriptor(2, "orders")).code(), StatusCode::exists) << "never taken silently";
  const auto mine = descriptor(1, "mine", "orders");
  ASSERT_TRUE(made->make(mine).ok());
  ASSERT_TRUE(made->make(mine).ok()) << "idempotent";
  EXPECT_EQ(made->make(descriptor(3, "other", "orders")).code(), StatusCode::exists);
  auto log = made->opened(mine);
  const auto all = made->read_all(*log, 0);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].value, R"({"item":"book","qty":"2"})");
  EXPECT_EQ(all[1].value, "plain");
  ASSERT_TRUE(made->append(*log, native_batch({"ours"}, "k")).status.ok());
  EXPECT_NE(server.cli({"XRANGE", "orders", "-", "+"}).find("ours"), std::string::npos);
  ASSERT_TRUE(made->remove(mine).ok());
  EXPECT_EQ(server.cli({"XLEN", "orders"}), "3") << "only untied";
  const auto gone = made->read(*log, 0);
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().status.code(), StatusCode::not_found);
  EXPECT_EQ(made->append(*log, native_batch({"late"})).status.code(), StatusCode::not_found);
  EXPECT_EQ(server.cli({"XLEN", "orders"}), "3");
}

TEST_F(RedisRecord, OffsetsAreStableAndReadFromEverywhere) {
  auto made = broker();
  const auto topic = descriptor(1, "t");
  ASSERT_TRUE(made->make(topic).ok());
  auto log = made->opened(topic);
  EXPECT_EQ(made->bounds(*log).start, 0);
  EXPECT_EQ(made->bounds(*log).end, 0);
  std::vector<Seen> expected;
  for (int i = 0; i < 50; ++i) {
    const auto outcome = made->append(*log, native_batch({fmt::format("a{}", i), fmt::format("b{}", i)}, "k"));
    ASSERT_TRUE(outcome.status.ok()) << outcome.status.describe();
    EXPECT_GT(outcome.last_offset, outcome.first_offset);
    expected.push_back({outcome.first_offset, "k", fmt::format("a{}", i)});
    expected.push_back({outcome.last_offset, "k", fmt::format("b{}", i)});
    xadd("t", {"value", fmt::format("f{}", i)});
    expected.push_back({-1, "null", fmt::format("f{}", i)});
  }
  const auto all = made->read_all(*log, 0);
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
  EXPECT_EQ(made->read_all(*log, 0, 1), all) << "one record at a time";
  for (size_t i = 0; i < all.size(); i += 7) {
    const std::vector<Seen> rest(all.begin() + static_cast<std::ptrdiff_t>(i), all.end());
    EXPECT_EQ(made->read_all(*log, all[i].offset), rest);
  }
  const auto limited = made->read(*log, 0, 1 << 20, all[4].offset);
  ASSERT_TRUE(limited);
  EXPECT_EQ(limited->next, all[3].offset + 1);
  const auto beyond = made->read(*log, made->bounds(*log).end + 1);
  ASSERT_FALSE(beyond);
  EXPECT_EQ(beyond.error().status.code(), StatusCode::out_of_range);
}

TEST_F(RedisRecord, AReaderAtTheBeginningOfNothingMissesNothing) {
  auto made = broker();
  ASSERT_TRUE(made->make(descriptor(1, "t")).ok());
  auto log = made->opened(descriptor(1, "t"));
  const auto empty = made->read(*log, 0);
  ASSERT_TRUE(empty);
  EXPECT_EQ(empty->next, 0);
  xadd("t", {"value", "first"});
  ASSERT_EQ(made->read_all(*log, 0).size(), 1u);
}

TEST_F(RedisRecord, TrimmedEntriesAreOutOfRange) {
  auto made = broker();
  ASSERT_TRUE(made->make(descriptor(1, "t")).ok());
  auto log = made->opened(descriptor(1, "t"));
  const auto first = made->append(*log, native_batch({"a", "b", "c"}));
  ASSERT_TRUE(first.status.ok());
  ASSERT_TRUE(made->trim(*log, first.last_offset).ok());
  EXPECT_EQ(made->bounds(*log).start, first.last_offset);
  EXPECT_EQ(made->read(*log, 0).error().status.code(), StatusCode::out_of_range);
  EXPECT_EQ(made->read_all(*log, first.last_offset).size(), 1u);
  server.cli({"XTRIM", "t", "MAXLEN", "0"});
  EXPECT_EQ(made->bounds(*log).start, first.last_offset + 1);
  EXPECT_EQ(made->bounds(*log).end, first.last_offset + 1);
}

TEST_F(RedisRecord, OthersEndAWatch) {
  auto made = broker();
  ASSERT_TRUE(made->make(descriptor(1, "t")).ok());
  auto log = made->opened(descriptor(1, "t"));
  const int64_t end = made->bounds(*log).end;
  auto watched = std::async(std::launch::async, [&] { return made->watch(*log, end); });
  EXPECT_EQ(watched.wait_for(std::chrono::milliseconds(100)), std::future_status::timeout);
  xadd("t", {"value", "x"});
  EXPECT_TRUE(watched.get().ok());
  EXPECT_TRUE(made->watch(*log, end).ok()) << "at once";
}

TEST_F(RedisRecord, DenseIdsCountAndAStrangeOneIsSaid) {
  auto made = broker({{"ids", std::string("dense")}});
  ASSERT_TRUE(made->make(descriptor(1, "t")).ok());
  auto log = made->opened(descriptor(1, "t"));
  EXPECT_EQ(made->append(*log, native_batch({"a", "b"})).first_offset, 0);
  xadd("t", {"value", "c"}, "0-*");
  EXPECT_EQ(made->append(*log, native_batch({"d"})).first_offset, 3);
  const auto at = test::wait<Result<int64_t>>(made->loop, [&] { return log->locate(kNativeTimeMs, made->loop); });
  ASSERT_TRUE(at);
  EXPECT_EQ(*at, 0);
  xadd("t", {"value", "strange"});
  const auto jammed = made->read(*log, 0);
  ASSERT_FALSE(jammed);
  EXPECT_EQ(jammed.error().status.code(), StatusCode::corrupt);
  EXPECT_NE(jammed.error().status.text().find("XADD key 0-*"), std::string::npos);
}

TEST_F(RedisRecord, PartitionsAreStreamsOfTheirOwnAndGoWithTheTopic) {
  auto made = broker();
  for (int32_t i = 0; i < 3; ++i) ASSERT_TRUE(made->make(descriptor(static_cast<uint8_t>(i + 1), "t", {}, i)).ok());
  auto log = made->opened(descriptor(3, "t", {}, 2));
  ASSERT_TRUE(made->append(*log, native_batch({"x"})).status.ok());
  EXPECT_EQ(server.cli({"XLEN", "t:2"}), "1");
  const auto listed = made->list();
  ASSERT_TRUE(listed);
  ASSERT_EQ(listed->size(), 3u);
  for (const auto& entry : *listed) {
    EXPECT_FALSE(entry.foreign);
    EXPECT_EQ(entry.topic, "t");
  }
  for (int32_t i = 0; i < 3; ++i) ASSERT_TRUE(made->remove(descriptor(static_cast<uint8_t>(i + 1), "t", {}, i)).ok());
  EXPECT_EQ(server.cli({"DBSIZE"}), "0");
}

TEST_F(RedisRecord, ATopicThatWasHalfMadeIsMadeAgain) {
  {
    auto made = broker();
    ASSERT_TRUE(made->make(descriptor(1, "t")).ok());
  }
  server.kill();
  ASSERT_TRUE(cut_last_transaction(server, 1));
  ASSERT_TRUE(server.start().ok());
  ASSERT_TRUE(broker()->make(descriptor(2, "other")).ok()) << "which ends the transaction in the file";
  server.kill();
  ASSERT_TRUE(server.start().ok());
  auto made = broker();
  const Status again = made->make(descriptor(1, "t"));
  ASSERT_TRUE(again.ok()) << again.describe();
  auto log = made->opened(descriptor(1, "t"));
  ASSERT_TRUE(made->append(*log, native_batch({"x"})).status.ok());
  EXPECT_EQ(made->read_all(*log, 0).size(), 1u);
}

TEST_F(RedisRecord, AKilledServerLosesNothingAcknowledged) {
  auto made = broker();
  ASSERT_TRUE(made->make(descriptor(1, "t")).ok());
  auto log = made->opened(descriptor(1, "t"));
  std::vector<std::string> acknowledged;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 20; ++i) {
      const std::string value = fmt::format("{}-{}", round, i);
      if (made->append(*log, native_batch({value})).status.ok()) acknowledged.push_back(value);
    }
    server.kill();
    const auto lost = made->append(*log, native_batch({"lost"}));
    EXPECT_FALSE(lost.status.ok());
    ASSERT_TRUE(server.start().ok());
    ASSERT_TRUE(eventually([&] { return made->storage->health().has_value(); }));
  }
  std::vector<std::string> there;
  for (const Seen& seen : made->read_all(*log, 0)) there.push_back(seen.value);
  for (const std::string& value : acknowledged) {
    EXPECT_EQ(std::count(there.begin(), there.end(), value), 1) << value;
  }
}

}  // namespace
}  // namespace sluice::redis
