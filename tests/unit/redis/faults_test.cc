// SPDX-License-Identifier: Apache-2.0
// The adapter on a server that is killed, stopped, cut off or filled, and beside other writers.
#include "faults.hpp"

#include <fmt/format.h>

#include "support/tcp_proxy.hpp"

namespace sluice::redis {
namespace {

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
    EXPECT_LT(Clock::now() - back, std::chrono::seconds(15)) << "service is back late";
  }
  writer.verify(*log);
  EXPECT_EQ(one->storage->metrics().data_losses.load(), 0u);
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
  const auto one = broker({}, 2'000);
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
  const auto one = broker({{"response_timeout", int64_t{1'500}}});
  const auto log = one->create();
  Writer writer(*one, log, 1);
  ASSERT_EQ(writer.append(1), 1u);
  server->pause();
  writer.send(3, 100'000);
  ASSERT_TRUE(eventually([&] { return one->said("no reply for 1500 ms"); }));
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
  const auto one = broker({{"address", fmt::format("127.0.0.1:{}", proxy.port())}}, 2'000);
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
  const auto one = broker({{"response_timeout", int64_t{1'000}}}, 3'000);
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

}  // namespace
}  // namespace sluice::redis
