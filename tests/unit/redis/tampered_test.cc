// SPDX-License-Identifier: Apache-2.0
// The adapter on a server where somebody else wrote to our keys, and what reads ask of it.
#include <fmt/format.h>

#include "faults.hpp"
#include "support/tcp_proxy.hpp"

namespace sluice::redis {
namespace {

// ---- Somebody else in our keys

TEST_F(RedisFaults, AForeignEntryAtTheEndStopsTheLogLoudly) {
  start_server();
  const auto one = broker();
  const auto log = one->create();
  Writer writer(*one, log, 1);
  ASSERT_EQ(writer.append(3), 3u);
  server->cli({"XADD", stream_key(), "*", "field", "value"});
  EXPECT_EQ(writer.append(1), 3u);
  const auto refused = one->acquire(*log, 2);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), StatusCode::corrupt) << refused.error().describe();
  EXPECT_NE(refused.error().text().find("somebody else"), std::string::npos);
  // What was there before can be read, and the entry hides nothing.
  const Read good = read_at(*one, *log, 0);
  ASSERT_TRUE(good) << good.error().status.describe();
  EXPECT_EQ(good->next, 3);
  const Read foreign = read_at(*one, *log, 3);
  ASSERT_FALSE(foreign);
  EXPECT_EQ(foreign.error().status.code(), StatusCode::corrupt);
  EXPECT_GT(foreign.error().next, 1'600'000'000'000);
}

TEST_F(RedisFaults, B04_AForeignEntryInsideIsPassedAndSaid) {
  start_server();
  const auto one = broker();
  const auto log = one->create();
  Writer writer(*one, log, 1);
  ASSERT_EQ(writer.append(3), 3u);
  server->cli({"XADD", stream_key(), "9-1", "field", "value"});
  ASSERT_TRUE(one->acquire(*log, 2));
  Writer next(*one, log, 2);
  ASSERT_TRUE(eventually([&] { return next.append(1) > 0; }));
  const Read good = read_at(*one, *log, 0);
  ASSERT_TRUE(good) << good.error().status.describe();
  EXPECT_EQ(good->next, 3) << "a damaged batch ends the read before it";
  const Read damaged = read_at(*one, *log, 3);
  ASSERT_FALSE(damaged);
  EXPECT_EQ(damaged.error().status.code(), StatusCode::corrupt);
  EXPECT_EQ(damaged.error().next, 10);
  EXPECT_TRUE(read_at(*one, *log, 10));
}

// An append is one entry, and what readers ask for is not cut where appends were.
TEST_F(RedisFaults, ReadsBeginAndEndInsideAnAppend) {
  start_server();
  const auto one = broker();
  const auto log = one->create();
  Writer writer(*one, log, 1);
  ASSERT_EQ(writer.append(10), 10u);
  ASSERT_EQ(writer.append(10), 20u);
  ASSERT_EQ(server->cli({"XLEN", stream_key()}), "2");
  const auto read = [&](int64_t from, int64_t limit, uint64_t max_bytes) {
    return wait<Read>(one->loop, [&] { return log->read(from, limit, max_bytes, one->loop); });
  };
  const auto from_to = [&](int64_t from, int64_t limit, uint64_t max_bytes, int64_t next) {
    const Read got = read(from, limit, max_bytes);
    ASSERT_TRUE(got) << got.error().status.describe();
    EXPECT_EQ(got->next, next);
    std::string bytes = *host::gather(*got);
    Bytes rest = as_bytes(bytes);
    for (int64_t offset = from; offset < next; ++offset) {
      const auto batch = records::take_batch(rest);
      ASSERT_TRUE(batch);
      EXPECT_EQ(batch->base_offset(), offset);
    }
    EXPECT_TRUE(rest.empty());
  };
  from_to(0, INT64_MAX, 1 << 20, 20);
  from_to(3, INT64_MAX, 1 << 20, 20);
  from_to(0, 7, 1 << 20, 7);
  from_to(3, 7, 1 << 20, 7);
  from_to(3, 15, 1 << 20, 10);
  from_to(10, 15, 1 << 20, 15);
  from_to(4, INT64_MAX, 1, 5);
  for (int64_t time = 0; time <= 20; ++time) {
    const auto found = wait<Result<int64_t>>(one->loop, [&] { return log->locate(time, one->loop); });
    ASSERT_TRUE(found);
    EXPECT_EQ(*found, time);
  }
  ASSERT_TRUE(wait<Status>(one->loop, [&] { return log->trim(13, one->loop); }));
  EXPECT_EQ(server->cli({"XLEN", stream_key()}), "1");
  from_to(13, INT64_MAX, 1 << 20, 20);
  EXPECT_EQ(read(12, INT64_MAX, 1 << 20).error().status.code(), StatusCode::out_of_range);
  const auto found = wait<Result<int64_t>>(one->loop, [&] { return log->locate(0, one->loop); });
  ASSERT_TRUE(found);
  EXPECT_EQ(*found, 13);
}

TEST_F(RedisFaults, ARemovedBatchIsMissed) {
  start_server();
  const auto one = broker();
  const auto log = one->create();
  Writer writer(*one, log, 1);
  ASSERT_EQ(writer.append(1), 1u);
  for (int i = 0; i < 4; ++i) writer.append(1);
  ASSERT_EQ(writer.acknowledged(), 5u);
  EXPECT_EQ(server->cli({"XDEL", stream_key(), "2-1"}), "1");
  EXPECT_EQ(read_at(*one, *log, 0)->next, 2);
  const Read hole = read_at(*one, *log, 2);
  ASSERT_FALSE(hole);
  EXPECT_EQ(hole.error().status.code(), StatusCode::corrupt);
  EXPECT_EQ(hole.error().next, 3);
  EXPECT_EQ(server->cli({"XDEL", stream_key(), "4-1"}), "1");
  const Read tail = read_at(*one, *log, 4);
  ASSERT_FALSE(tail);
  EXPECT_EQ(tail.error().status.code(), StatusCode::corrupt);
  EXPECT_EQ(tail.error().next, 5);
  const auto bounds = bounds_of(*one, *log);
  ASSERT_TRUE(bounds);
  EXPECT_EQ(bounds->end, 5) << "the end stays";
}

// What is appended while a read finds a hole at the end is not part of it.
TEST_F(RedisFaults, AHoleEndsWhereTheLogDid) {
  start_server();
  test::TcpProxy proxy(server->port());
  const auto one = broker({{"address", fmt::format("127.0.0.1:{}", proxy.port())}});
  const auto log = one->create();
  Writer writer(*one, log, 1);
  for (size_t i = 1; i <= 3; ++i) ASSERT_EQ(writer.append(1), i);
  EXPECT_EQ(server->cli({"XDEL", stream_key(), "2-1"}), "1");
  proxy.hold_replies_to("sluice-read");
  auto reading = std::async(std::launch::async, [&] { return read_at(*one, *log, 2); });
  ASSERT_TRUE(eventually([&] { return proxy.held() > 0; }));
  ASSERT_EQ(writer.append(1), 4u);
  proxy.hold_replies(false);
  const Read hole = reading.get();
  ASSERT_FALSE(hole);
  EXPECT_EQ(hole.error().status.code(), StatusCode::corrupt);
  EXPECT_EQ(hole.error().next, 3);
  EXPECT_TRUE(read_at(*one, *log, 3));
}

TEST_F(RedisFaults, AKeyOfAnotherTypeIsCorrupt) {
  start_server();
  const auto one = broker();
  const auto log = one->create();
  Writer writer(*one, log, 1);
  ASSERT_EQ(writer.append(1), 1u);
  const std::string stream = stream_key();
  server->cli({"DEL", stream});
  server->cli({"SET", stream, "text"});
  const Read read = read_at(*one, *log, 0);
  ASSERT_FALSE(read);
  EXPECT_EQ(status_class(read.error().status.code()), 500) << read.error().status.describe();
  EXPECT_NE(read.error().status.text().find("WRONGTYPE"), std::string::npos);
  server->cli({"DEL", stream});
  const auto gone = one->acquire(*log, 2);
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code(), StatusCode::corrupt) << gone.error().describe();
  server->cli({"DEL", base_key()});
  server->cli({"SET", base_key(), "text"});
  const auto bounds = bounds_of(*one, *log);
  ASSERT_FALSE(bounds);
  EXPECT_EQ(bounds.error().code(), StatusCode::corrupt) << bounds.error().describe();
  // Others go on.
  const auto good = one->create(2);
  Writer other(*one, good, 1);
  EXPECT_EQ(other.append(1), 1u);
}

// ---- What is beside the log

TEST_F(RedisFaults, SearchesByTimeUseWhatWasNotedAndDoWithout) {
  start_server();
  const auto one = broker();
  const auto log = one->create();
  Writer writer(*one, log, 1);
  // The timestamp of a batch is its offset.
  for (int i = 0; i < 8; ++i) ASSERT_EQ(writer.append(16, 100'000), static_cast<size_t>(16 * (i + 1)));
  ASSERT_TRUE(eventually([&] {
    return server->cli({"ZCARD", base_key() + ":times"}) >= "2";
  })) << "one for each 4 MiB or a little more";
  const auto locate = [&](int64_t time) {
    return wait<Result<int64_t>>(one->loop, [&] { return log->locate(time, one->loop); });
  };
  for (int round = 0; round < 2; ++round) {
    for (const int64_t time : {-1, 0, 1, 40, 41, 42, 43, 80, 127}) {
      const auto located = locate(time);
      ASSERT_TRUE(located) << located.error().describe();
      EXPECT_EQ(*located, std::max<int64_t>(time, 0));
    }
    EXPECT_EQ(*locate(128), 128);
    server->cli({"DEL", base_key() + ":times"});
  }
}

// A fence takes the stream away from a search that is under way.
TEST_F(RedisFaults, ASearchByTimeWhileTheLogIsFenced) {
  start_server();
  test::TcpProxy proxy(server->port());
  const auto writing = broker();
  const auto log = writing->create();
  Writer writer(*writing, log, 1);
  ASSERT_EQ(writer.append(10), 10u);
  const auto searching = broker({{"address", fmt::format("127.0.0.1:{}", proxy.port())}});
  const auto searched = searching->open();
  ASSERT_TRUE(read_at(*searching, *searched, 0));
  proxy.hold_replies(true);
  auto located = std::async(std::launch::async, [&] {
    return wait<Result<int64_t>>(searching->loop, [&] { return searched->locate(4, searching->loop); });
  });
  ASSERT_TRUE(eventually([&] { return proxy.held() > 0; })) << "it was told which stream there is";
  ASSERT_TRUE(writing->acquire(*log, 2));
  proxy.hold_replies(false);
  const auto found = located.get();
  ASSERT_TRUE(found) << found.error().describe();
  EXPECT_EQ(*found, 4);
}

// What is asked for follows from what was seen; what comes may be much larger.
TEST_F(RedisFaults, AReadThatComesUponLargeUnitsIsBounded) {
  start_server();
  const auto one = broker();
  const auto log = one->create();
  Writer writer(*one, log, 1);
  constexpr int kSmall = 64;
  for (int i = 0; i < kSmall; ++i) writer.append(1);
  for (int i = 0; i < 50; ++i) writer.append(1, 2 << 20);
  ASSERT_EQ(writer.acknowledged(), kSmall + 50u);
  const auto two = broker();
  const auto again = two->open();
  // Small ones are soon asked for many at a time.
  for (int i = 0; i < 20; ++i) {
    const Read small = wait<Read>(two->loop, [&] { return again->read(0, kSmall, 1 << 20, two->loop); });
    ASSERT_TRUE(small) << small.error().status.describe();
  }
  const auto sent = [&] {
    const std::string stats = server->cli({"INFO", "stats"});
    const std::string name = "total_net_output_bytes:";
    return std::stoull(stats.substr(stats.find(name) + name.size()));
  };
  const uint64_t before = sent();
  const Read read = read_at(*two, *again, kSmall - 2);
  ASSERT_TRUE(read) << read.error().status.describe();
  EXPECT_GE(read->next, kSmall);
  EXPECT_LT(sent() - before, (uint64_t{64} + 2) << 20);
  writer.verify(*log);
}

// B13: a handle costs nothing at the server.
TEST_F(RedisFaults, B13_OpeningTouchesNothing) {
  start_server();
  const auto one = broker();
  std::vector<std::shared_ptr<host::Log>> logs;
  for (int i = 0; i < 200; ++i) logs.push_back(one->open(static_cast<uint8_t>(i + 1)));
  EXPECT_EQ(server->cli({"DBSIZE"}), "0");
}

}  // namespace
}  // namespace sluice::redis
