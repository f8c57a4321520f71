// SPDX-License-Identifier: Apache-2.0
// The layout `record` on real servers: topics that others write to, found, adopted, read and left as they were.
#include "records/record.hpp"

#include <fmt/format.h>

#include "append_only_file.hpp"
#include "fake_server.hpp"
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

// Ids of time leave gaps: where what was taken out ended is before the first entry. A reader who has all of that stands
// there, and what comes next is his.
TEST_F(RedisRecord, WhoHasReadWhatWasTakenOutMissesNothing) {
  for (const std::string how : {"trimmed", "deleted", "replaced", "trimmed by us"}) {
    SCOPED_TRACE(how);
    const std::string stream = fmt::format("stream {}", how);
    auto made = broker();
    ASSERT_TRUE(made->make(descriptor(1, stream)).ok());
    auto log = made->opened(descriptor(1, stream));
    std::vector<std::string> ids;
    for (int i = 0; i < 3; ++i) ids.push_back(xadd(stream, {"value", "x"}));
    const int64_t end = made->bounds(*log).end;
    if (how == "trimmed") server.cli({"XTRIM", stream, "MAXLEN", "0"});
    if (how == "trimmed by us") {
      ASSERT_TRUE(made->trim(*log, end).ok());
    }
    if (how == "deleted") {
      for (const std::string& id : ids) server.cli({"XDEL", stream, id});
    }
    if (how == "replaced") {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));  // another id
      server.cli({"XADD", stream, "MAXLEN", "1", "*", "value", "x"});
    }
    if (how != "replaced") {
      const auto waiting = made->read(*log, end);
      ASSERT_TRUE(waiting) << waiting.error().status.describe();
      EXPECT_EQ(waiting->next, end);
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      xadd(stream, {"value", "x"});
    }
    EXPECT_EQ(made->bounds(*log).start, end);
    EXPECT_EQ(made->read_all(*log, end).size(), 1u);
    EXPECT_EQ(made->read(*log, end - 1).error().status.code(), StatusCode::out_of_range);
    xadd(stream, {"value", "x"});
    EXPECT_EQ(made->bounds(*log).start, end);

    // What went before anybody saw it is told.
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    xadd(stream, {"value", "unseen"});
    server.cli({"XADD", stream, "MAXLEN", "1", "*", "value", "last"});
    const auto told = made->read(*log, end);
    ASSERT_FALSE(told);
    EXPECT_EQ(told.error().status.code(), StatusCode::out_of_range);
  }
}

TEST_F(RedisRecord, ATrimIntoAGapBeginsThere) {
  auto made = broker();
  ASSERT_TRUE(made->make(descriptor(1, "t")).ok());
  auto log = made->opened(descriptor(1, "t"));
  xadd("t", {"value", "a"});
  const int64_t behind_a = made->bounds(*log).end;
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
  xadd("t", {"value", "b"});
  ASSERT_TRUE(made->trim(*log, behind_a).ok());
  EXPECT_EQ(made->bounds(*log).start, behind_a)
      << "as Kafka's DeleteRecords, which a group follows that has read all of that";
  EXPECT_EQ(made->read_all(*log, behind_a).size(), 1u);
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
  const auto jammed = made->append(*log, native_batch({"e"}));
  EXPECT_EQ(jammed.status.code(), StatusCode::corrupt) << jammed.status.describe();
  EXPECT_NE(jammed.status.text().find("XADD key 0-*"), std::string::npos) << jammed.status.text();
  EXPECT_EQ(made->bounds(*log).end, 4);
  uint64_t skipped = 0;
  EXPECT_EQ(made->read_all(*log, 0, 1 << 20, &skipped).size(), 4u) << "what is there is read";
  EXPECT_EQ(skipped, 1u);
  EXPECT_TRUE(made->said("0-*"));

  xadd("strange", {"value", "x"});
  const Status adopted = made->make(descriptor(2, "strange", "strange"));
  EXPECT_EQ(adopted.code(), StatusCode::invalid) << adopted.describe();
}

// ---- Entries that have no offset

constexpr const char* kNanoseconds = "1234567890123456789-0";

// A sequence beyond what offsets have room for: between two entries, several in a row, and at the end.
TEST_F(RedisRecord, B04_AnEntryWithoutAnOffsetIsPassedAndCounted) {
  for (const size_t run : {size_t{1}, size_t{3}, size_t{40}}) {
    auto made = broker();
    const std::string stream = fmt::format("t{}", run);
    const auto topic = descriptor(static_cast<uint8_t>(run), stream);
    ASSERT_TRUE(made->make(topic).ok());
    auto log = made->opened(topic);
    const auto strange = [&](int64_t ms) {
      for (size_t i = 0; i < run; ++i) {
        const std::string id = fmt::format("{}-{}", ms, (1 << kSequenceBits) + i);
        ASSERT_EQ(xadd(stream, {"value", "strange"}, id.c_str()), id);
      }
    };
    strange(1'000);
    EXPECT_EQ(made->bounds(*log).end, 0) << "nothing that can be read";
    EXPECT_EQ(made->read(*log, 0)->next, 0);
    xadd(stream, {"value", "a"}, "1001-0");
    const int64_t second = (int64_t{1'000'000'000} << kSequenceBits) + 7;
    strange(1'001);
    strange(2'000);
    EXPECT_EQ(made->bounds(*log).end, (int64_t{1'001} << kSequenceBits) + 1);
    // A reader who waits at the end is not woken by what he cannot read, but by what comes behind it.
    auto watched = std::async(std::launch::async, [&] { return made->watch(*log, made->bounds(*log).end); });
    EXPECT_EQ(watched.wait_for(std::chrono::milliseconds(100)), std::future_status::timeout);
    xadd(stream, {"value", "b"}, "1000000000-7");
    EXPECT_TRUE(watched.get().ok());
    strange(1'000'000'001);
    EXPECT_EQ(made->bounds(*log).end, second + 1);

    const std::vector<Seen> wanted{{int64_t{1'001} << kSequenceBits, "null", "a"}, {second, "null", "b"}};
    for (const uint64_t size : {uint64_t{1}, uint64_t{1} << 20}) {
      uint64_t skipped = 0;
      EXPECT_EQ(made->read_all(*log, 0, size, &skipped), wanted);
      EXPECT_EQ(skipped, 3 * run) << "those at the end are not passed yet";
    }
    const int64_t end = made->bounds(*log).end;
    EXPECT_EQ(made->read(*log, end)->next, end);
    EXPECT_TRUE(made->said("has no offset"));
    const auto at = test::wait<Result<int64_t>>(made->loop, [&] { return log->locate(1'500, made->loop); });
    ASSERT_TRUE(at) << at.error().describe();
    EXPECT_EQ(*at, second);

    const auto appended = made->append(*log, native_batch({"c", "d"}));
    ASSERT_TRUE(appended.status.ok()) << appended.status.describe();
    uint64_t skipped = 0;
    EXPECT_EQ(made->read_all(*log, end, 1, &skipped).size(), 2u);
    EXPECT_EQ(skipped, run);

    // A limit that lies behind some of them.
    const auto limited = made->read(*log, wanted[0].offset + 1, 1 << 20, int64_t{1'500} << kSequenceBits);
    ASSERT_TRUE(limited);
    EXPECT_EQ(limited->next, int64_t{1'500} << kSequenceBits);
    EXPECT_EQ(limited->skipped, run);
    ASSERT_TRUE(made->trim(*log, second).ok());
    EXPECT_EQ(made->bounds(*log).start, second);
    ASSERT_TRUE(made->trim(*log, second + 1).ok());
    EXPECT_EQ(made->read_all(*log, made->bounds(*log).start).size(), 2u);
  }
}

// An id that no time has: whatever comes behind it has no offset either, so nothing may be added, and no reader goes
// there.
TEST_F(RedisRecord, B04_AnIdThatIsNoTimeEndsTheTopicAndHidesNothing) {
  auto made = broker();
  ASSERT_TRUE(made->make(descriptor(1, "t")).ok());
  auto log = made->opened(descriptor(1, "t"));
  const auto first = made->append(*log, native_batch({"a", "b"}));
  ASSERT_TRUE(first.status.ok());
  const int64_t end = made->bounds(*log).end;
  ASSERT_EQ(xadd("t", {"value", "strange"}, kNanoseconds), kNanoseconds);
  for (const int64_t from : {int64_t{0}, first.last_offset, end}) {
    const auto bounds = made->bounds(*log);
    EXPECT_EQ(bounds.start, 0);
    EXPECT_EQ(bounds.end, end);
    uint64_t skipped = 0;
    EXPECT_EQ(made->read_all(*log, from, 1, &skipped).size(), from == end ? 0u : from == 0 ? 2u : 1u);
    EXPECT_EQ(skipped, from == 0 ? 1u : 0u) << "once";
  }
  EXPECT_TRUE(made->said(kNanoseconds));
  EXPECT_EQ(*test::wait<Result<int64_t>>(made->loop, [&] { return log->locate(0, made->loop); }), first.first_offset);

  // What is refused changes nothing that is told of the stream, but for its last id.
  for (int i = 0; i < 2; ++i) {
    const auto refused = made->append(*log, native_batch({"c", "d"}, "k"));
    EXPECT_EQ(refused.status.code(), StatusCode::corrupt) << refused.status.describe();
    EXPECT_NE(refused.status.text().find("1234567890123456789"), std::string::npos) << refused.status.text();
  }
  EXPECT_EQ(server.cli({"XLEN", "t"}), "3");
  EXPECT_EQ(made->bounds(*log).start, 0);
  EXPECT_EQ(made->bounds(*log).end, end);
  xadd("t", {"value", "another"});
  uint64_t skipped = 0;
  EXPECT_EQ(made->read_all(*log, 0, 1 << 20, &skipped).size(), 2u);
  EXPECT_EQ(skipped, 1u) << "the other one";

  // Trimmed and deleted as far as may be, the end stays.
  ASSERT_TRUE(made->trim(*log, end).ok());
  EXPECT_EQ(made->bounds(*log).end, end);
  EXPECT_EQ(made->bounds(*log).start, first.last_offset);
  const std::string last =
      fmt::format("{}-{}", first.last_offset >> kSequenceBits, first.last_offset & ((int64_t{1} << kSequenceBits) - 1));
  EXPECT_EQ(server.cli({"XDEL", "t", last}), "1");
  EXPECT_EQ(made->bounds(*log).end, end);
  EXPECT_EQ(made->bounds(*log).start, end);
}

TEST_F(RedisRecord, AppendsAreRefusedWhereOneOfThemWouldHaveNoOffset) {
  auto made = broker();
  ASSERT_TRUE(made->make(descriptor(1, "t")).ok());
  auto log = made->opened(descriptor(1, "t"));
  // Ahead of the server's clock, so that what comes next has the same time.
  xadd("t", {"value", "ahead"}, "5000000000000-1048573");
  EXPECT_EQ(made->append(*log, native_batch({"a", "b", "c"})).status.code(), StatusCode::corrupt);
  EXPECT_EQ(server.cli({"XLEN", "t"}), "1");
  xadd("t", {"value", "ahead"}, "5000000000001-1048573");
  const auto fits = made->append(*log, native_batch({"a", "b"}));
  ASSERT_TRUE(fits.status.ok()) << fits.status.describe();
  EXPECT_EQ(fits.last_offset, (int64_t{5'000'000'000'002} << kSequenceBits) - 1);
  EXPECT_EQ(made->append(*log, native_batch({"c"})).status.code(), StatusCode::corrupt);
  EXPECT_EQ(made->read_all(*log, 0).size(), 4u);
}

// A script that the server forgets, and another broker loads at once: the first of two appends is refused, the second
// is not.
TEST_F(RedisRecord, AnAppendThatIsRefusedDoesNotGoBehindTheNext) {
  Behind real(server.port());
  std::atomic<bool> forget{false};
  std::atomic<int> refused{0};
  FakeServer relay([&](const std::vector<std::string>& command) -> std::string {
    if (command[0] == "EVALSHA" && command[2] == "2" && forget.exchange(false)) {
      ++refused;
      return "-NOSCRIPT No matching script. Please use EVAL.\r\n";
    }
    return real.answer(command);
  });
  auto made = broker({{"address", relay.address()}});
  ASSERT_TRUE(made->make(descriptor(1, "t")).ok());
  auto log = made->opened(descriptor(1, "t"));

  forget = true;
  EXPECT_TRUE(made->append(*log, native_batch({"alone"})).status.ok()) << "nothing was behind it";
  std::vector<std::string> landed{"alone"};
  constexpr int kRounds = 50;
  for (int round = 0; round < kRounds; ++round) {
    forget = round % 2 == 0;
    const std::vector<std::string> values{fmt::format("{} one", round), fmt::format("{} two", round),
                                          fmt::format("{} three", round)};
    std::vector<std::future<host::AppendOutcome>> sent;
    for (const std::string& value : values) sent.push_back(made->send(*log, native_batch({value})));
    for (size_t i = 0; i < sent.size(); ++i) {
      const host::AppendOutcome outcome = sent[i].get();
      if (outcome.status.ok()) {
        landed.push_back(values[i]);
      } else {
        EXPECT_EQ(outcome.status.code(), StatusCode::unavailable) << outcome.status.describe();
        EXPECT_EQ(round % 2, 0) << values[i] << ": " << outcome.status.describe();
      }
    }
    // What is refused from now on is not what this round was for.
    forget = false;
  }
  EXPECT_GT(refused, kRounds / 4);
  std::vector<std::string> found;
  for (const Seen& seen : made->read_all(*log, 0)) found.push_back(seen.value);
  EXPECT_EQ(found, landed) << "each that was acknowledged, once, in the order in which they were given";
}

TEST_F(RedisRecord, AStreamWhoseIdsAreNoTimesIsNotAdopted) {
  xadd("orders", {"value", "good"});
  xadd("orders", {"value", "strange"}, kNanoseconds);
  xadd("full", {"value", "passed"}, "5-1048576");
  auto made = broker();
  const Status refused = made->make(descriptor(1, "mine", "orders"));
  EXPECT_EQ(refused.code(), StatusCode::invalid) << refused.describe();
  EXPECT_NE(refused.text().find(kNanoseconds), std::string::npos) << refused.text();
  EXPECT_EQ(server.cli({"EXISTS", RecordKeys("sluice", "orders").marker}), "0");
  EXPECT_TRUE(made->make(descriptor(2, "full", "full")).ok()) << "later ones have offsets";

  // One that was adopted before stays, through restarts of the broker.
  xadd("clicks", {"value", "good"});
  ASSERT_TRUE(made->make(descriptor(3, "clicks", "clicks")).ok());
  xadd("clicks", {"value", "strange"}, kNanoseconds);
  EXPECT_TRUE(made->make(descriptor(3, "clicks", "clicks")).ok());
  auto log = made->opened(descriptor(3, "clicks", "clicks"));
  EXPECT_EQ(made->read_all(*log, 0).size(), 1u);

  // Once others have taken out all that could be read, nobody is sent back to what was there.
  const int64_t end = made->bounds(*log).end;
  EXPECT_EQ(server.cli({"XTRIM", "clicks", "MAXLEN", "1"}), "1");
  EXPECT_GE(made->bounds(*log).start, end);
  EXPECT_EQ(made->bounds(*log).start, made->bounds(*log).end);
}

// ---- Entries that are not as Sluice writes them

// Every one is a record, whatever its fields, and none hides the next.
TEST_F(RedisRecord, FieldsOfAnyKindAreRecords) {
  auto made = broker();
  ASSERT_TRUE(made->make(descriptor(1, "t")).ok());
  auto log = made->opened(descriptor(1, "t"));
  const std::vector<std::pair<std::vector<std::string>, std::string>> entries{
      {{"a", "1", "b", "2"}, R"({"a":"1","b":"2"})"},
      {{"a", "1", "a", "2"}, R"({"a":["1","2"]})"},
      {{"value", "x", "value", "y"}, R"({"value":["x","y"]})"},
      {{"value", "x", "timestamp", "yesterday"}, R"({"value":"x","timestamp":"yesterday"})"},
      {{"value", "x", "timestamp", "-5"}, R"({"value":"x","timestamp":"-5"})"},
      {{"value", "x", "null-header.h", "no null"}, R"({"value":"x","null-header.h":"no null"})"},
      {{"", ""}, R"({"":""})"},
      {{"\xff", "\xc3("}, "{\"\uFFFD\":\"\uFFFD(\"}"},
      {{"value", "plain", "timestamp", "9223372036854775807"}, "plain"},
      {{"value", ""}, ""},
      {{"key", "k"}, "null"},
  };
  for (const auto& [fields, value] : entries) {
    xadd("t", fields);
    xadd("t", {"value", "good"});
  }
  for (const uint64_t size : {uint64_t{1}, uint64_t{1} << 20}) {
    uint64_t skipped = 0;
    const auto all = made->read_all(*log, 0, size, &skipped);
    EXPECT_EQ(skipped, 0u);
    ASSERT_EQ(all.size(), 2 * entries.size());
    for (size_t i = 0; i < entries.size(); ++i) {
      EXPECT_EQ(all[2 * i].value, entries[i].second) << i;
      EXPECT_EQ(all[2 * i + 1].value, "good") << i;
    }
  }
}

// One that is too large for a batch is not.
TEST(RedisLargeEntries, B04_AnEntryThatIsTooLargeIsPassedAndCounted) {
  RedisServer server({.appendonly = false});
  ASSERT_TRUE(server.start().ok());
  NativeBroker made("redis", {{"address", server.address()}, {"layout", std::string("record")}}, 60'000);
  ASSERT_TRUE(made.storage->start());
  ASSERT_TRUE(made.make(descriptor(1, "t")).ok());
  auto log = made.opened(descriptor(1, "t"));
  const std::string script = fmt::format(
      "local value, fields = string.rep('x', 1048576), {{}} "
      "for i = 1, {} do fields[2 * i - 1], fields[2 * i] = 'name', value end "
      "return redis.call('XADD', KEYS[1], '*', unpack(fields))",
      kMaxEntryBytes >> 20);
  ASSERT_NE(server.cli({"EVAL", script, "1", "t"}).find('-'), std::string::npos);
  const auto good = made.append(*log, native_batch({"good"}));
  ASSERT_TRUE(good.status.ok());
  uint64_t skipped = 0;
  const auto all = made.read_all(*log, 0, 1 << 20, &skipped);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].value, "good");
  EXPECT_EQ(skipped, 1u);
  EXPECT_TRUE(made.said("bytes"));
  const auto at = test::wait<Result<int64_t>>(made.loop, [&] { return log->locate(0, made.loop); });
  ASSERT_TRUE(at) << at.error().describe();
  EXPECT_EQ(*at, good.first_offset);
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

// Why ATOMIC and DURABLE need that setting: with half an append at the end of its file the server does not start, and
// once that is cut off nothing of it comes back, however often the server dies.
TEST(RedisRecordWhole, HalfAnAppendIsCutOffAndStaysAway) {
  RedisServer server({.lines = {"aof-load-truncated no"}});
  ASSERT_TRUE(server.start().ok());
  const auto broker = [&] {
    auto made = std::make_unique<NativeBroker>(
        "redis", host::OptionInputs{{"address", server.address()}, {"layout", std::string("record")}});
    const auto started = made->storage->start();
    EXPECT_TRUE(started) << started.error().describe();
    if (started) {
      const uint64_t needed = SLUICE_CAP_ATOMIC | SLUICE_CAP_DURABLE;
      EXPECT_EQ(started->capabilities & needed, needed);
    }
    return made;
  };
  {
    auto made = broker();
    ASSERT_TRUE(made->make(descriptor(1, "t")).ok());
    auto log = made->opened(descriptor(1, "t"));
    ASSERT_TRUE(made->append(*log, native_batch({"a", "b"})).status.ok());
    ASSERT_TRUE(made->append(*log, native_batch({"half", "of", "it"})).status.ok());
  }
  server.kill();
  ASSERT_TRUE(cut_last_transaction(server, 2));
  EXPECT_FALSE(server.start().ok());
  test::output_of({"sh", "-c", fmt::format("echo y | redis-check-aof --fix {}", append_only_file(server).string())});
  for (int round = 0; round < 2; ++round) {
    ASSERT_TRUE(server.start().ok()) << server.log();
    auto made = broker();
    auto log = made->opened(descriptor(1, "t"));
    std::vector<std::string> there;
    for (const Seen& seen : made->read_all(*log, 0)) there.push_back(seen.value);
    const std::vector<std::string> all{"a", "b", "c", "d"};
    EXPECT_EQ(there, std::vector<std::string>(all.begin(), all.begin() + 2 + round));
    ASSERT_TRUE(made->append(*log, native_batch({all[static_cast<size_t>(2 + round)]})).status.ok());
    server.kill();
  }
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
