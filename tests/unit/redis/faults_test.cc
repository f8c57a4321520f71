// SPDX-License-Identifier: Apache-2.0
// The adapter on a server that is killed, stopped, cut off, filled or tampered with.
#include <fmt/format.h>

#include <filesystem>

#include "append_only_file.hpp"
#include "redis/keys.hpp"
#include "support/redis_server.hpp"
#include "support/storage_world.hpp"
#include "support/tcp_proxy.hpp"

namespace sluice::redis {
namespace {

using test::Broker;
using test::Clock;
using test::eventually;
using test::RedisServer;
using test::RedisSettings;
using test::wait;
using test::Writer;

std::string base_key(uint8_t number = 1) {
  return LogKeys("sluice", Uuid::from_words(0, number)).base;
}

class RedisFaults : public ::testing::Test {
 protected:
  void start_server(RedisSettings settings = {}) {
    server = std::make_unique<RedisServer>(std::move(settings));
    const Status started = server->start();
    ASSERT_TRUE(started) << started.describe();
  }
  std::unique_ptr<Broker> broker(host::OptionInputs options = {}, int64_t call_timeout_ms = 10'000) {
    options.try_emplace("address", server->address());
    auto made = std::make_unique<Broker>("redis", std::move(options), call_timeout_ms);
    const auto started = made->storage->start();
    EXPECT_TRUE(started) << started.error().describe();
    return made;
  }
  static Result<host::Bounds> bounds_of(Broker& broker, host::Log& log) {
    return wait<Result<host::Bounds>>(broker.loop, [&] { return log.bounds(broker.loop); });
  }
  // The name of the stream of log 1.
  std::string stream_key() { return base_key() + ":" + server->cli({"HGET", base_key(), "token"}); }

  std::unique_ptr<RedisServer> server;
};

using Read = tl::expected<host::ReadResult, host::ReadError>;

Read read_at(Broker& broker, host::Log& log, int64_t offset) {
  return wait<Read>(broker.loop, [&] { return log.read(offset, INT64_MAX, 1 << 20, broker.loop); });
}

// Batches of one offset each, from 0 to `end`.
void expect_batches(Broker& broker, host::Log& log, int64_t end) {
  Result<host::Bounds> bounds = fail(StatusCode::unavailable, "not asked");
  ASSERT_TRUE(eventually([&] {  // appends and reads go by different connections
    bounds = wait<Result<host::Bounds>>(broker.loop, [&] { return log.bounds(broker.loop); });
    return bounds.has_value();
  })) << bounds.error().describe();
  EXPECT_EQ(bounds->start, 0);
  EXPECT_EQ(bounds->end, end);
  int64_t offset = 0;
  while (offset < bounds->end) {
    const Read read = read_at(broker, log, offset);
    ASSERT_TRUE(read) << read.error().status.describe();
    const std::string bytes = *host::gather(*read);
    for (Bytes rest = as_bytes(bytes); !rest.empty(); ++offset) {
      const auto batch = records::take_batch(rest);
      ASSERT_TRUE(batch);
      EXPECT_EQ(batch->base_offset(), offset);
    }
    ASSERT_EQ(read->next, offset);
  }
}

// ---- Servers that go away

TEST_F(RedisFaults, KilledServerWithAppendsInFlight) {
  start_server();
  const auto one = broker();
  const auto log = one->create();
  Writer writer(*one, log, 1);
  ASSERT_EQ(writer.append(10), 10u);
  for (int round = 0; round < 6; ++round) {
    const size_t before = writer.acknowledged();
    writer.send(20, round % 2 == 0 ? 300 : 200'000);
    ASSERT_TRUE(eventually([&] { return writer.acknowledged() > before || writer.answered() == writer.told_size(); }));
    writer.send(20, 20'000);
    server->kill();
    ASSERT_TRUE(server->start());
    const auto back = Clock::now();
    const size_t acknowledged = writer.acknowledged();
    ASSERT_TRUE(eventually([&] { return writer.append(1) > acknowledged; }));
    EXPECT_LT(Clock::now() - back, std::chrono::seconds(5)) << "service is back late";
  }
  writer.verify(*log);
  EXPECT_EQ(one->storage->metrics().data_losses.load(), 0u);
}

// A server that is killed while it writes to its append-only file leaves a part of an append there. It passes over it
// when it starts, and must not come upon it again when it starts once more.
TEST_F(RedisFaults, B04_AnAppendThatWasHalfWrittenStaysAway) {
  start_server();
  {
    const auto one = broker();
    const auto log = one->create();
    Writer lost(*one, log, 1);
    ASSERT_EQ(lost.append(20, 5'000), 20u);
  }
  server->kill();
  const std::filesystem::path newest = append_only_file(*server);
  ASSERT_GT(std::filesystem::file_size(newest), 50'000u);
  std::filesystem::resize_file(newest, std::filesystem::file_size(newest) - 42'000);
  ASSERT_TRUE(server->start());
  const auto two = broker();
  const auto log = two->open();
  Writer writer(*two, log, 2);
  ASSERT_EQ(writer.append(3), 3u);
  EXPECT_EQ(log->position().end, 3) << "nothing of the other is there";
  server->kill();
  ASSERT_TRUE(server->start());
  ASSERT_TRUE(eventually([&] { return writer.append(1) > 3; }));
  writer.verify(*log);
}

// What was written whole of a fence's transaction is carried out at the start after the next, before what was written
// meanwhile.
TEST_F(RedisFaults, AFenceThatWasHalfWrittenHarmsNothing) {
  for (size_t round = 0;; ++round) {
    const size_t writes = 1 + round / 2;
    const bool in_use = round % 2 == 0;  // between the two starts
    start_server();
    std::string stream;
    {
      const auto one = broker();
      one->create(2);
      const auto log = one->create();
      Writer writer(*one, log, 1);
      ASSERT_EQ(writer.append(5), 5u);
      ASSERT_TRUE(one->acquire(*log, 2));
      stream = stream_key();
      ASSERT_TRUE(one->acquire(*log, 3));
    }
    server->kill();
    if (!cut_last_transaction(*server, writes)) {
      EXPECT_GT(writes, 1u);
      break;
    }
    ASSERT_TRUE(server->start());
    EXPECT_EQ(stream_key(), stream);
    const auto two = broker();
    const auto log = two->open();
    Writer writer(*two, log, 4);
    if (in_use) {
      ASSERT_EQ(writer.append(3), 3u);
    } else {
      ASSERT_TRUE(two->acquire(*two->open(2), 1)) << "which ends the transaction in the file";
    }
    server->kill();
    ASSERT_TRUE(server->start());
    ASSERT_TRUE(eventually([&] { return writer.append(1) > (in_use ? 3 : 0); })) << "cut behind " << writes;
    expect_batches(*two, *log, in_use ? 9 : 6);
  }
}

// Nothing fences the log of the broker's metadata. What is appended to it behind such a transaction stays all the same.
TEST_F(RedisFaults, AnAppendBehindAHalfWrittenTransactionStays) {
  start_server();
  const auto append_at = [](Broker& broker, host::Log& log, int64_t at) {
    return wait<host::AppendOutcome>(broker.loop, [&] {
      std::vector<std::string> unit{*test::make_batch(at, 0, 200)};
      return log.append_at(at, std::move(unit), broker.loop);
    });
  };
  const auto one = broker();
  const auto shared = one->create(2, SLUICE_LOG_SEVERAL_WRITERS);
  ASSERT_TRUE(append_at(*one, *shared, 0).status);
  const auto log = one->create();
  ASSERT_TRUE(one->acquire(*log, 1));
  server->kill();
  ASSERT_TRUE(cut_last_transaction(*server, 1));
  ASSERT_TRUE(server->start());
  // On the connection that is made anew, and on another.
  host::AppendOutcome appended;
  ASSERT_TRUE(eventually([&] {
    appended = append_at(*one, *shared, 1);
    return appended.status.ok();
  })) << appended.status.describe();
  const auto two = broker();
  const auto there = two->open(2, SLUICE_LOG_SEVERAL_WRITERS);
  ASSERT_TRUE(append_at(*two, *there, 2).status);
  server->kill();
  ASSERT_TRUE(server->start());
  const auto three = broker();
  expect_batches(*three, *three->open(2, SLUICE_LOG_SEVERAL_WRITERS), 3);
}

// A save whose transaction was half written is not there when the server has started once, nor when it has twice.
TEST_F(RedisFaults, ASaveThatWasHalfWrittenStaysAway) {
  const auto save = [](Broker& broker, host::Log& log, std::string value) {
    return wait<Status>(broker.loop, [&] { return log.save("name", std::move(value), broker.loop); });
  };
  const auto loaded = [](Broker& broker, host::Log& log) {
    const auto value =
        wait<Result<std::optional<std::string>>>(broker.loop, [&] { return log.load("name", broker.loop); });
    return value ? value->value_or("absent") : value.error().describe();
  };
  for (const char* late : {"late", ""}) {
    start_server();
    {
      const auto one = broker();
      const auto log = one->create();
      ASSERT_TRUE(one->acquire(*log, 1));
      ASSERT_TRUE(save(*one, *log, "first"));
      ASSERT_TRUE(save(*one, *log, late));
    }
    server->kill();
    ASSERT_TRUE(cut_last_transaction(*server, 1));
    ASSERT_TRUE(server->start());
    const auto two = broker();
    const auto log = two->open();
    EXPECT_EQ(loaded(*two, *log), "first");
    ASSERT_TRUE(two->acquire(*log, 2));
    server->kill();
    ASSERT_TRUE(server->start());
    const auto three = broker();
    const auto again = three->open();
    EXPECT_EQ(loaded(*three, *again), "first");
    ASSERT_TRUE(three->acquire(*again, 3));
    ASSERT_TRUE(save(*three, *again, "second"));
    EXPECT_EQ(loaded(*three, *again), "second");
  }
}

// ... and a log that was half made can be made.
TEST_F(RedisFaults, ALogThatWasHalfMadeIsMadeAgain) {
  start_server();
  {
    const auto one = broker();
    one->create();
  }
  server->kill();
  ASSERT_TRUE(cut_last_transaction(*server, 1));
  ASSERT_TRUE(server->start());
  {
    const auto two = broker();
    ASSERT_TRUE(two->acquire(*two->create(2), 1));  // the end of a transaction
  }
  server->kill();
  ASSERT_TRUE(server->start());
  const auto three = broker();
  const auto log = three->create();
  Writer writer(*three, log, 1);
  EXPECT_EQ(writer.append(3), 3u);
  writer.verify(*log);
}

TEST_F(RedisFaults, ManyLogsOverAKill) {
  start_server();
  const auto one = broker();
  std::vector<std::shared_ptr<host::Log>> logs;
  std::vector<std::unique_ptr<Writer>> writers;
  for (uint8_t i = 0; i < 16; ++i) {
    logs.push_back(one->create(static_cast<uint8_t>(i + 1)));
    writers.push_back(std::make_unique<Writer>(*one, logs.back(), 1));
    ASSERT_EQ(writers.back()->append(1), 1u);
  }
  for (int round = 0; round < 3; ++round) {
    for (auto& writer : writers) writer->send(8, 50'000);
    server->kill();
    ASSERT_TRUE(server->start());
    for (auto& writer : writers) {
      ASSERT_TRUE(eventually([&] { return writer->answered() == writer->told_size(); }));
      const size_t before = writer->acknowledged();
      ASSERT_TRUE(eventually([&] { return writer->append(1) > before; }));
    }
  }
  for (size_t i = 0; i < logs.size(); ++i) writers[i]->verify(*logs[i]);
}

// A server without a file comes back empty: the loss is said, by a fence, and nothing is acknowledged before.
TEST_F(RedisFaults, AServerThatForgetsIsFoundOut) {
  start_server({.appendonly = false});
  const auto one = broker();
  const auto log = one->create();
  Writer writer(*one, log, 1);
  ASSERT_EQ(writer.append(5), 5u);
  server->kill();
  ASSERT_TRUE(server->start());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(writer.append(1), 5u);
  const auto missing = [&] {
    const auto bounds = bounds_of(*one, *log);
    const auto position = one->acquire(*log, 2);
    return !bounds && bounds.error().code() == StatusCode::not_found && !position &&
           position.error().code() == StatusCode::not_found;
  };
  EXPECT_TRUE(eventually(missing));
}

TEST_F(RedisFaults, StoppedServer) {
  start_server();
  const auto one = broker({}, 1'000);
  const auto log = one->create();
  Writer writer(*one, log, 1);
  ASSERT_EQ(writer.append(10), 10u);
  server->pause();
  writer.send(5);
  writer.send(2, 4'000'000);
  // Calls end by their deadlines meanwhile, and none keeps the caller's thread.
  const auto asked = Clock::now();
  EXPECT_FALSE(bounds_of(*one, *log));
  EXPECT_LT(Clock::now() - asked, std::chrono::seconds(8));
  // ... and are settled when the server is back.
  ASSERT_TRUE(eventually([&] { return one->storage->metrics().fences.load() > 2; }));
  EXPECT_EQ(writer.acknowledged(), 10u);
  server->resume();
  ASSERT_TRUE(eventually([&] { return writer.answered() == writer.told_size(); }));
  const size_t before = writer.acknowledged();
  ASSERT_TRUE(eventually([&] { return writer.append(1) > before; }));
  writer.verify(*log);
}

TEST_F(RedisFaults, AServerThatIsSilentForLongIsLeft) {
  start_server();
  const auto one = broker({{"response_timeout", int64_t{300}}, {"connect_timeout", int64_t{300}}});
  const auto log = one->create();
  Writer writer(*one, log, 1);
  ASSERT_EQ(writer.append(1), 1u);
  server->pause();
  writer.send(3, 100'000);
  ASSERT_TRUE(eventually([&] { return one->said("no reply for 300 ms"); }));
  server->resume();
  ASSERT_TRUE(eventually([&] { return writer.append(1) > 1; }));
  writer.verify(*log);
}

TEST_F(RedisFaults, B16_StopWithAServerThatHangsHasADeadline) {
  start_server();
  const auto one = broker();
  const auto log = one->create();
  Writer writer(*one, log, 1);
  ASSERT_EQ(writer.append(1), 1u);
  server->pause();
  writer.send(1);
  const auto before = Clock::now();
  const Status stopped = one->storage->stop(3'000);
  EXPECT_LT(Clock::now() - before, std::chrono::seconds(8)) << "a hanging server would keep it for ever";
  EXPECT_TRUE(stopped.ok()) << stopped.describe();
  EXPECT_TRUE(eventually([&] { return writer.answered() == writer.told_size(); })) << "stop completes every ticket";
  server->resume();
}

// ---- Replies that are lost, late, or never

TEST_F(RedisFaults, B12_ALostReplyDoublesNothing) {
  start_server();
  test::TcpProxy proxy(server->port());
  const auto one = broker({{"address", fmt::format("127.0.0.1:{}", proxy.port())}});
  const auto log = one->create();
  Writer writer(*one, log, 1);
  ASSERT_EQ(writer.append(3), 3u);
  for (int round = 0; round < 8; ++round) {
    const size_t before = writer.acknowledged();
    const std::string entries = server->cli({"XLEN", stream_key()});
    proxy.hold_replies(true);
    writer.send(1, round % 2 == 0 ? 1'000 : 300'000);
    ASSERT_TRUE(eventually([&] {
      return server->cli({"XLEN", stream_key()}) != entries && proxy.held() > 0;
    })) << "the server stored it, and said so to nobody";
    proxy.cut();
    proxy.hold_replies(false);
    ASSERT_TRUE(eventually([&] { return writer.answered() == writer.told_size(); }));
    EXPECT_EQ(writer.acknowledged(), before + 1) << "the fence found it";
    ASSERT_TRUE(eventually([&] { return writer.append(1) > before + 1; }));
  }
  EXPECT_GE(one->storage->metrics().settled_applied.load(), 8u);
  writer.verify(*log);
}

TEST_F(RedisFaults, ConnectionsCutAtAnyMoment) {
  start_server();
  test::TcpProxy proxy(server->port());
  const auto one = broker({{"address", fmt::format("127.0.0.1:{}", proxy.port())}});
  const auto log = one->create();
  Writer writer(*one, log, 1);
  ASSERT_EQ(writer.append(3), 3u);
  for (int round = 0; round < 30; ++round) {
    const uint64_t forwarded = proxy.forwarded();
    const uint64_t until = forwarded + static_cast<uint64_t>(round) * 20'000;
    writer.send(4, 200'000);
    static_cast<void>(
        eventually([&] { return proxy.forwarded() >= until || writer.answered() == writer.told_size(); }, 5'000));
    proxy.cut();
    ASSERT_TRUE(eventually([&] { return writer.answered() == writer.told_size(); }));
    const size_t before = writer.acknowledged();
    ASSERT_TRUE(eventually([&] { return writer.append(1) > before; }));
  }
  writer.verify(*log);
  EXPECT_EQ(one->storage->metrics().data_losses.load(), 0u);
}

TEST_F(RedisFaults, LateRepliesAreForgotten) {
  start_server();
  test::TcpProxy proxy(server->port());
  const auto one = broker({{"address", fmt::format("127.0.0.1:{}", proxy.port())}}, 700);
  const auto log = one->create();
  Writer writer(*one, log, 1);
  ASSERT_EQ(writer.append(3), 3u);
  for (int round = 0; round < 3; ++round) {
    const uint64_t fences = one->storage->metrics().fences.load();
    proxy.hold_replies(true);
    writer.send(4, 1'000);
    ASSERT_TRUE(eventually([&] { return one->storage->metrics().fences.load() > fences; }));
    proxy.hold_replies(false);
    const size_t before = writer.acknowledged();
    ASSERT_TRUE(eventually([&] { return writer.append(1) > before; }));
  }
  writer.verify(*log);
}

// Questions go by another connection than appends: an answer that appends overtook must not be believed.
TEST_F(RedisFaults, AnAnswerThatAppendsOvertookIsDropped) {
  start_server();
  test::TcpProxy proxy(server->port());
  const auto one = broker({{"address", fmt::format("127.0.0.1:{}", proxy.port())}});
  const auto log = one->create();
  // A fence has been executed, and this process does not know yet; a read finds out the token.
  proxy.hold_replies_to("sluice-write");
  Writer writer(*one, log, 1);
  auto acquired = std::async(std::launch::async, [&] { return writer.acquire(); });
  ASSERT_TRUE(eventually([&] { return proxy.held() > 0; }));
  ASSERT_TRUE(read_at(*one, *log, 0));
  // The next is told that the log is empty, and hears of it only after five appends were acknowledged.
  proxy.hold_replies(true);
  const uint64_t held = proxy.held();
  auto early = std::async(std::launch::async, [&] { return read_at(*one, *log, 0); });
  ASSERT_TRUE(eventually([&] { return proxy.held() > held; }));
  proxy.hold_replies_to("sluice-read");
  ASSERT_TRUE(acquired.get());
  ASSERT_EQ(writer.append(5), 5u);
  proxy.hold_replies(false);
  const Read first = early.get();
  ASSERT_TRUE(first) << first.error().status.describe();
  const Read at_end = read_at(*one, *log, 5);
  ASSERT_TRUE(at_end) << "acknowledged, and " << at_end.error().status.describe();
  const Read all = read_at(*one, *log, 0);
  ASSERT_TRUE(all) << all.error().status.describe();
  EXPECT_EQ(all->next, 5);
  EXPECT_EQ(writer.append(1), 6u);
  writer.verify(*log);
}

// ... and an append's reply may come after answers that already show it. Whoever has seen the unit can read on behind
// it.
TEST_F(RedisFaults, NobodyReadsAheadOfTheEnd) {
  start_server();
  test::TcpProxy proxy(server->port());
  const auto one = broker({{"address", fmt::format("127.0.0.1:{}", proxy.port())}});
  const auto other = broker();
  const auto log = one->create();
  const auto other_log = other->open();
  Writer writer(*one, log, 1);
  ASSERT_EQ(writer.append(3), 3u);
  proxy.hold_replies_to("sluice-write");
  writer.send(1);
  ASSERT_TRUE(eventually([&] { return proxy.held() > 0; })) << "the server has it, the writer does not know";
  const Read before = read_at(*one, *log, 0);
  ASSERT_TRUE(before) << before.error().status.describe();
  EXPECT_EQ(before->next, 3);
  const Read elsewhere = read_at(*other, *other_log, 0);
  ASSERT_TRUE(elsewhere) << elsewhere.error().status.describe();
  EXPECT_EQ(elsewhere->next, 4);
  const Read behind = read_at(*one, *log, 4);
  ASSERT_TRUE(behind) << behind.error().status.describe();
  EXPECT_EQ(behind->end, 4);
  EXPECT_FALSE(read_at(*one, *log, 5));
  proxy.hold_replies(false);
  ASSERT_TRUE(eventually([&] { return writer.acknowledged() == 4; }));
  EXPECT_EQ(writer.append(1), 5u);
  writer.verify(*log);
}

// An append that waits in a stopped server's socket is executed after its connection was closed and the log was read.
TEST_F(RedisFaults, AnAppendThatComesLateFindsNoStream) {
  start_server();
  const auto one = broker({{"response_timeout", int64_t{200}}}, 600);
  const auto log = one->create();
  Writer writer(*one, log, 1);
  ASSERT_EQ(writer.append(5), 5u);
  for (int32_t round = 0; round < 5; ++round) {
    const uint64_t fences = one->storage->metrics().fences.load();
    server->pause();
    writer.send(1, 60'000);
    ASSERT_TRUE(eventually([&] { return one->storage->metrics().fences.load() > fences; }));
    server->resume();
    ASSERT_TRUE(eventually([&] { return writer.answered() == writer.told_size(); }));
    const size_t before = writer.acknowledged();
    ASSERT_TRUE(eventually([&] { return writer.append(1) > before; }));
  }
  writer.verify(*log);
}

// ---- Writers that meet

TEST_F(RedisFaults, AHigherTokenEndsTheOldWriter) {
  start_server();
  const auto old_broker = broker();
  const auto new_broker = broker();
  const auto old_log = old_broker->create();
  const auto new_log = new_broker->open();
  Writer old_writer(*old_broker, old_log, 1);
  Writer new_writer(*new_broker, new_log, 2);
  ASSERT_EQ(old_writer.append(5), 5u);
  ASSERT_TRUE(new_writer.acquire());
  EXPECT_EQ(old_writer.append(3), 5u);
  EXPECT_EQ(old_writer.count(StatusCode::fenced), 3u);
  EXPECT_FALSE(old_writer.acquire());
  EXPECT_EQ(old_writer.last().code(), StatusCode::fenced);
  EXPECT_EQ(new_writer.append(5), 5u);
  const auto bounds = bounds_of(*old_broker, *old_log);
  ASSERT_TRUE(bounds);
  EXPECT_EQ(bounds->end, 10);
  EXPECT_EQ(bounds->token >> 32, 2u);
  EXPECT_TRUE(read_at(*old_broker, *old_log, 7)) << "reading needs no token";
}

TEST_F(RedisFaults, ALowerTokenDisturbsNobody) {
  start_server();
  const auto one = broker();
  const auto zombie = broker();
  const auto log = one->create();
  Writer writer(*one, log, 5);
  ASSERT_EQ(writer.append(5), 5u);
  const auto refused = zombie->acquire(*zombie->open(), 4);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), StatusCode::fenced);
  EXPECT_EQ(writer.append(5), 10u);
  EXPECT_EQ(one->storage->metrics().append_errors.load(), 0u);
  writer.verify(*log);
}

TEST_F(RedisFaults, WritersThatTakeTurns) {
  start_server();
  const auto first = broker();
  const auto second = broker();
  const auto first_log = first->create();
  const auto second_log = second->open();
  int64_t end = 0;
  for (int32_t epoch = 1; epoch <= 20; ++epoch) {
    Broker& turn = epoch % 2 == 1 ? *first : *second;
    const auto& log = epoch % 2 == 1 ? first_log : second_log;
    const auto position = turn.acquire(*log, epoch);
    ASSERT_TRUE(position) << position.error().describe();
    ASSERT_EQ(position->end, end);
    Writer writer(turn, log, epoch);
    ASSERT_EQ(writer.append(4, 5'000), 4u);
    end += 4;
  }
  EXPECT_EQ(server->cli({"XLEN", stream_key()}), "20") << "an entry for each append";
}

// ---- A server that refuses

TEST_F(RedisFaults, AFullServerKeepsWhatItHas) {
  start_server({.lines = {"maxmemory 24mb"}});
  const auto one = broker();
  const auto log = one->create();
  Writer writer(*one, log, 1);
  ASSERT_EQ(writer.append(1), 1u);
  const auto save = [&](std::string value) {
    return wait<Status>(one->loop, [&] { return log->save("name", std::move(value), one->loop); });
  };
  ASSERT_TRUE(save("value"));
  // Several batches to a unit.
  ASSERT_TRUE(eventually([&] {
    writer.append(4, 300'000);
    return writer.count(StatusCode::no_space) > 0;
  }));
  writer.verify(*log);
  const size_t before = writer.acknowledged();
  // A removal, a fence, a read and a trim need no memory, and the trim gives some back.
  server->cli({"CONFIG", "SET", "maxmemory", "1mb"});
  EXPECT_EQ(save("another").code(), StatusCode::no_space);
  EXPECT_TRUE(save(""));
  const auto position = one->acquire(*log, 1);
  ASSERT_TRUE(position) << position.error().describe();
  ASSERT_TRUE(one->acquire(*log, 2));
  server->cli({"CONFIG", "SET", "maxmemory", "24mb"});
  const Status trimmed =
      wait<Status>(one->loop, [&] { return log->trim(static_cast<int64_t>(before) - 2, one->loop); });
  ASSERT_TRUE(trimmed) << trimmed.describe();
  const auto bounds = bounds_of(*one, *log);
  ASSERT_TRUE(bounds);
  EXPECT_EQ(bounds->start, static_cast<int64_t>(before) - 2);
  Writer next(*one, log, 2);
  ASSERT_TRUE(eventually([&] { return next.append(1, 300'000) > 0; }));
}

TEST_F(RedisFaults, ScriptsThatTheServerForgotAreLoadedAgain) {
  start_server();
  const auto one = broker();
  const auto log = one->create();
  Writer writer(*one, log, 1);
  ASSERT_EQ(writer.append(3), 3u);
  EXPECT_EQ(server->cli({"SCRIPT", "FLUSH"}), "OK");
  ASSERT_TRUE(one->acquire(*log, 2));
  EXPECT_EQ(server->cli({"SCRIPT", "FLUSH"}), "OK");
  const auto shared = one->create(2, SLUICE_LOG_SEVERAL_WRITERS);
  EXPECT_EQ(server->cli({"SCRIPT", "FLUSH"}), "OK");
  const auto appended = wait<host::AppendOutcome>(one->loop, [&] {
    std::vector<std::string> unit{*test::make_batch(0, 0, 200)};
    return shared->append_at(0, std::move(unit), one->loop);
  });
  EXPECT_TRUE(appended.status) << appended.status.describe();
  EXPECT_EQ(appended.log_end, 1);
}

TEST_F(RedisFaults, AServerThatTurnsIntoAReplicaTakesNoAppends) {
  start_server();
  RedisServer other;
  ASSERT_TRUE(other.start());
  const auto one = broker();
  const auto log = one->create();
  Writer writer(*one, log, 1);
  ASSERT_EQ(writer.append(3), 3u);
  EXPECT_EQ(server->cli({"CONFIG", "SET", "replica-read-only", "yes"}), "OK");
  EXPECT_EQ(server->cli({"REPLICAOF", "127.0.0.1", "1"}), "OK");
  EXPECT_EQ(writer.append(1), 3u);
  EXPECT_FALSE(one->storage->health()) << "it is a replica";
  EXPECT_EQ(server->cli({"REPLICAOF", "NO", "ONE"}), "OK");
  ASSERT_TRUE(eventually([&] { return writer.append(1) > 3; }));
  writer.verify(*log);
}

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
