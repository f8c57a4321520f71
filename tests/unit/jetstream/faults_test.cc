// SPDX-License-Identifier: Apache-2.0
// The adapter on a server that is killed, stopped, misconfigured or tampered with.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "jetstream/base64.hpp"
#include "jetstream/entry.hpp"
#include "support.hpp"
#include "support/tcp_proxy.hpp"

namespace sluice::jetstream::testing {
namespace {

class JetstreamFaults : public ::testing::Test {
 protected:
  void start_server(test::NatsSettings settings = {}) {
    server = std::make_unique<test::NatsServer>(std::move(settings));
    const Status started = server->start();
    ASSERT_TRUE(started) << started.describe();
  }
  // What start says with these options.
  Status refusal(host::OptionInputs options, std::string url = {}) {
    Broker broker(url.empty() ? server->url() : url, std::move(options));
    const auto started = broker.storage->start();
    return started ? Status() : started.error();
  }

  std::unique_ptr<test::NatsServer> server;
};

// ---- Servers that go away

TEST_F(JetstreamFaults, KilledServerWithAppendsInFlight) {
  start_server();
  Broker broker(server->url());
  ASSERT_TRUE(broker.storage->start());
  const auto log = broker.create();
  Writer writer(broker, log, 1);
  ASSERT_EQ(writer.append(10), 10u);
  for (int round = 0; round < 5; ++round) {
    const size_t before = writer.acknowledged();
    writer.send(20, round % 2 == 0 ? 300 : 20'000);
    ASSERT_TRUE(eventually([&] { return writer.acknowledged() > before || writer.answered() == writer.told_size(); }));
    writer.send(20, 20'000);
    server->kill();
    ASSERT_TRUE(server->start());
    const auto back = Clock::now();
    const size_t acknowledged = writer.acknowledged();
    ASSERT_TRUE(eventually([&] { return writer.append(1) > acknowledged; }));
    EXPECT_LT(Clock::now() - back, std::chrono::seconds(15)) << "service is back late";
    EXPECT_EQ(writer.answered(), writer.told_size());
  }
  writer.verify(*log);
  EXPECT_EQ(broker.storage->metrics().data_losses.load(), 0u);
}

TEST_F(JetstreamFaults, StoppedServer) {
  start_server();
  Broker broker(server->url(), {}, 2'000);
  ASSERT_TRUE(broker.storage->start());
  const auto log = broker.create();
  Writer writer(broker, log, 1);
  ASSERT_EQ(writer.append(10), 10u);
  const uint64_t fences = broker.storage->metrics().fences.load();
  server->pause();
  writer.send(5);
  ASSERT_TRUE(eventually([&] { return broker.storage->metrics().fences.load() > fences; }))
      << "the append is not UNKNOWN";
  EXPECT_EQ(writer.acknowledged(), 10u);
  // Calls end by their deadlines meanwhile, and none keeps the caller's thread.
  const auto asked = Clock::now();
  EXPECT_FALSE(wait<Result<host::Bounds>>(broker.loop, [&] { return log->bounds(broker.loop); }));
  EXPECT_LT(Clock::now() - asked, std::chrono::seconds(5));
  server->resume();
  ASSERT_TRUE(eventually([&] { return writer.append(1) > 10; }));
  EXPECT_EQ(writer.answered(), writer.told_size());
  writer.verify(*log);
}

// A server asks whether its clients are there, and hangs up on who does not answer.
TEST_F(JetstreamFaults, AConnectionOnWhichNothingHappensStays) {
  start_server({.extra = "ping_interval: \"200ms\"\nping_max: 2\n"});
  test::TcpProxy proxy(server->port());
  Broker broker("nats://127.0.0.1:" + std::to_string(proxy.port()));
  ASSERT_TRUE(broker.storage->start());
  const auto log = broker.create();
  Writer writer(broker, log, 1);
  ASSERT_EQ(writer.append(3), 3u);
  const uint64_t connections = proxy.accepted();
  const uint64_t fences = broker.storage->metrics().fences.load();
  // One after the other, so that the server has missed our answers for long if there were none.
  for (int i = 0; i < 3; ++i) {
    const int silent = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(server->port());
    ASSERT_EQ(connect(silent, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    ASSERT_TRUE(eventually([&] {
      char ignored[512];
      return recv(silent, ignored, sizeof ignored, MSG_DONTWAIT) == 0;
    })) << "the server hangs up on nobody";
    close(silent);
  }
  EXPECT_EQ(writer.append(1), 4u);
  EXPECT_EQ(proxy.accepted(), connections);
  EXPECT_EQ(broker.storage->metrics().fences.load(), fences);
}

// ... and so do we: what is sent on a connection that leads nowhere is never answered, however often it is tried.
TEST_F(JetstreamFaults, AConnectionThatLeadsNowhereIsReplaced) {
  start_server();
  test::TcpProxy proxy(server->port());
  Broker broker("nats://127.0.0.1:" + std::to_string(proxy.port()), {}, 1'000);
  ASSERT_TRUE(broker.storage->start());
  const auto log = broker.create();
  Writer writer(broker, log, 1);
  ASSERT_EQ(writer.append(3), 3u);
  const uint64_t connections = proxy.accepted();
  proxy.hold_requests();
  ASSERT_TRUE(eventually([&] { return proxy.accepted() > connections; }, 60'000)) << "it is not missed";
  ASSERT_TRUE(eventually([&] { return writer.append(1) > 3; }));
  writer.verify(*log);
}

TEST_F(JetstreamFaults, StopWithAServerThatHangsHasADeadline) {
  start_server();
  Broker broker(server->url());
  ASSERT_TRUE(broker.storage->start());
  const auto log = broker.create();
  Writer writer(broker, log, 1);
  ASSERT_EQ(writer.append(1), 1u);
  server->pause();
  writer.send(1);
  const auto before = Clock::now();
  const Status stopped = broker.storage->stop(3'000);
  EXPECT_LT(Clock::now() - before, std::chrono::seconds(7));
  EXPECT_TRUE(stopped.ok()) << stopped.describe();
  EXPECT_TRUE(eventually([&] { return writer.answered() == writer.told_size(); })) << "stop completes every ticket";
  server->resume();
}

TEST_F(JetstreamFaults, B12_ALostReplyDoublesNothing) {
  start_server();
  test::TcpProxy proxy(server->port());
  Broker broker("nats://127.0.0.1:" + std::to_string(proxy.port()));
  ASSERT_TRUE(broker.storage->start());
  const auto log = broker.create();
  Writer writer(broker, log, 1);
  ASSERT_EQ(writer.append(3), 3u);
  Stranger stranger(server->url());
  const auto stored = [&] { return stranger.stream_info()["state"].value("last_seq", uint64_t{0}); };
  for (int round = 0; round < 5; ++round) {
    const size_t before = writer.acknowledged();
    const uint64_t last = stored();
    proxy.hold_replies(true);
    writer.send(1, 1'000);
    // Not only something, such as a ping of the server's.
    ASSERT_TRUE(eventually([&] { return stored() > last && proxy.held() > 0; })) << "and said so to nobody";
    proxy.cut();
    proxy.hold_replies(false);
    ASSERT_TRUE(eventually([&] { return writer.answered() == writer.told_size(); }));
    EXPECT_EQ(writer.acknowledged(), before + 1) << "the fence found it";
    ASSERT_TRUE(eventually([&] { return writer.append(1) > before + 1; }));
  }
  EXPECT_GE(broker.storage->metrics().settled_applied.load(), 5u);
  writer.verify(*log);
}

TEST_F(JetstreamFaults, LateRepliesAreForgotten) {
  start_server();
  test::TcpProxy proxy(server->port());
  Broker broker("nats://127.0.0.1:" + std::to_string(proxy.port()), {}, 2'000);
  ASSERT_TRUE(broker.storage->start());
  const auto log = broker.create();
  Writer writer(broker, log, 1);
  ASSERT_EQ(writer.append(3), 3u);
  for (int round = 0; round < 3; ++round) {
    proxy.hold_replies(true);
    writer.send(4, 1'000);
    ASSERT_TRUE(
        eventually([&] { return broker.storage->metrics().fences.load() > 2u + static_cast<uint64_t>(round); }));
    proxy.hold_replies(false);
    const size_t before = writer.acknowledged();
    ASSERT_TRUE(eventually([&] { return writer.append(1) > before; }));
  }
  writer.verify(*log);
}

// ---- Writers that meet

TEST_F(JetstreamFaults, AHigherTokenEndsTheOldWriter) {
  start_server();
  Broker old_broker(server->url());
  Broker new_broker(server->url());
  ASSERT_TRUE(old_broker.storage->start());
  ASSERT_TRUE(new_broker.storage->start());
  const auto old_log = old_broker.create();
  const auto new_log = new_broker.open();
  Writer old_writer(old_broker, old_log, 1);
  Writer new_writer(new_broker, new_log, 2);
  ASSERT_EQ(old_writer.append(5), 5u);
  ASSERT_TRUE(new_writer.acquire());
  EXPECT_EQ(old_writer.append(3), 5u);
  EXPECT_EQ(old_writer.count(StatusCode::fenced), 3u);
  EXPECT_FALSE(old_writer.acquire());
  EXPECT_EQ(old_writer.last().code(), StatusCode::fenced);
  EXPECT_EQ(new_writer.append(5), 5u);
  const auto bounds = wait<Result<host::Bounds>>(new_broker.loop, [&] { return new_log->bounds(new_broker.loop); });
  ASSERT_TRUE(bounds);
  EXPECT_EQ(bounds->end, 10);
  EXPECT_EQ(bounds->token >> 32, 2u);
}

TEST_F(JetstreamFaults, ALowerTokenDisturbsNobody) {
  start_server();
  Broker broker(server->url());
  Broker zombie(server->url());
  ASSERT_TRUE(broker.storage->start());
  ASSERT_TRUE(zombie.storage->start());
  const auto log = broker.create();
  Writer writer(broker, log, 5);
  ASSERT_EQ(writer.append(5), 5u);
  const auto refused = zombie.acquire(*zombie.open(), 4);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), StatusCode::fenced);
  EXPECT_EQ(writer.append(5), 10u);
  writer.verify(*log);
}

// A fence with a lower token that was under way when the higher one came takes the place that the next append expects.
TEST_F(JetstreamFaults, TheRightfulWriterGoesOnBehindFencesThatLost) {
  start_server();
  Broker broker(server->url());
  ASSERT_TRUE(broker.storage->start());
  const auto log = broker.create();
  Writer writer(broker, log, 5);
  ASSERT_EQ(writer.append(5), 5u);
  Stranger stranger(server->url());
  for (int round = 0; round < 20; ++round) {
    const uint64_t lower = (uint64_t{4} << 32) + static_cast<uint64_t>(round);
    for (int i = 0; i <= round; ++i) {
      stranger.forge("fence", "", "1 fence token=" + std::to_string(lower));
    }
    ASSERT_EQ(writer.append(1), 6u + static_cast<size_t>(round)) << "nobody hears of it";
  }
  EXPECT_EQ(broker.storage->metrics().append_errors.load(), 0u);
  writer.verify(*log);
  // Another storage finds the same state behind them all.
  Broker second(server->url());
  ASSERT_TRUE(second.storage->start());
  const auto position = second.acquire(*second.open(), 6);
  ASSERT_TRUE(position) << position.error().describe();
  EXPECT_EQ(position->end, 25);
}

TEST_F(JetstreamFaults, ManyFencesInARowDoNotPileUp) {
  start_server();
  Broker broker(server->url());
  ASSERT_TRUE(broker.storage->start());
  const auto log = broker.create();
  for (int32_t epoch = 1; epoch <= 40; ++epoch) {
    const auto position = broker.acquire(*log, epoch);
    ASSERT_TRUE(position) << position.error().describe();
    EXPECT_EQ(position->end, 0);
  }
  Writer writer(broker, log, 41);
  EXPECT_EQ(writer.append(3), 3u);
  writer.verify(*log);
  Stranger stranger(server->url());
  const auto seal = stranger.ask_json("$JS.API.STREAM.MSG.GET." + log_stream("sluice", id_of(1)),
                                      "{\"last_by_subj\":\"" + log_subject("sluice", id_of(1)) + ".seal\"}");
  EXPECT_TRUE(seal.contains("message")) << "a row of fences ends in a seal: " << seal.dump();
}

// ---- What is wrong from the start

TEST_F(JetstreamFaults, WrongCredentialsAreDenied) {
  start_server({.extra = "authorization { user: \"sluice\", password: \"right\" }"});
  EXPECT_EQ(refusal({}).code(), StatusCode::denied);
  const Status wrong = refusal({{"user", std::string("sluice")}, {"password", std::string("wrong-one")}});
  EXPECT_EQ(wrong.code(), StatusCode::denied);
  EXPECT_NE(wrong.text().find("uthorization"), std::string::npos) << wrong.text();
  EXPECT_EQ(wrong.text().find("wrong-one"), std::string::npos);
  EXPECT_TRUE(refusal({{"user", std::string("sluice")}, {"password", std::string("right")}}).ok());
}

TEST_F(JetstreamFaults, ForbiddenSubjectsAreDenied) {
  start_server({.extra = "authorization { users: [ { user: \"u\", password: \"p\", permissions: { publish: { deny: "
                         "[\"$JS.API.STREAM.CREATE.>\"] } } } ] }"});
  const auto before = Clock::now();
  const Status denied = refusal({{"user", std::string("u")}, {"password", std::string("p")}});
  EXPECT_EQ(denied.code(), StatusCode::denied) << denied.describe();
  EXPECT_NE(denied.text().find("STREAM.CREATE"), std::string::npos) << denied.text();
  EXPECT_LT(Clock::now() - before, std::chrono::seconds(8)) << "it is not waited for an answer that never comes";
}

TEST_F(JetstreamFaults, NoServerIsUnavailable) {
  const Status status = refusal({}, "nats://127.0.0.1:" + std::to_string(test::free_port()));
  EXPECT_EQ(status.code(), StatusCode::unavailable) << status.describe();
}

TEST_F(JetstreamFaults, AServerWithoutJetStreamIsInvalid) {
  start_server({.jetstream = false});
  const Status status = refusal({});
  EXPECT_EQ(status.code(), StatusCode::invalid) << status.describe();
  EXPECT_NE(status.text().find("JetStream"), std::string::npos);
}

TEST_F(JetstreamFaults, TlsThatTheServerDoesNotOfferIsInvalid) {
  start_server();
  EXPECT_EQ(refusal({{"tls", true}}).code(), StatusCode::invalid);
}

TEST_F(JetstreamFaults, ReplicasWithoutAClusterAreInvalid) {
  start_server();
  const Status status = refusal({{"replicas", int64_t{3}}});
  EXPECT_EQ(status.code(), StatusCode::invalid) << status.describe();
  EXPECT_EQ(status.native_code(), 10074);
}

// Says hello as an old server does.
TEST_F(JetstreamFaults, AnOldServerIsInvalid) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(listener, 4), 0);
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  std::thread old_server([listener] {
    std::vector<int> open;
    for (int fd; (fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC)) >= 0;) {
      const std::string hello =
          "INFO {\"server_id\":\"old\",\"version\":\"2.8.4\",\"proto\":1,\"headers\":true,\"max_payload\":1048576}\r\n";
      [[maybe_unused]] ssize_t done = send(fd, hello.data(), hello.size(), MSG_NOSIGNAL);
      char text[4096];
      if (recv(fd, text, sizeof text, 0) > 0) done = send(fd, "PONG\r\n", 6, MSG_NOSIGNAL);
      open.push_back(fd);
    }
    for (const int fd : open) close(fd);
  });
  const Status status = refusal({}, "nats://127.0.0.1:" + std::to_string(ntohs(address.sin_port)));
  shutdown(listener, SHUT_RDWR);
  close(listener);
  old_server.join();
  EXPECT_EQ(status.code(), StatusCode::invalid) << status.describe();
  EXPECT_NE(status.text().find("2.8.4"), std::string::npos) << status.text();
}

TEST_F(JetstreamFaults, AStreamOfAnotherShapeIsRefusedWithTheDifference) {
  start_server();
  Stranger stranger(server->url());
  stranger.ask("$JS.API.STREAM.CREATE.sluice",
               R"({"name":"sluice","subjects":["other"],"retention":"limits","storage":"memory","num_replicas":1})");
  const Status root = refusal({});
  EXPECT_EQ(root.code(), StatusCode::invalid) << root.describe();
  EXPECT_NE(root.text().find("storage is \"memory\", wanted \"file\""), std::string::npos) << root.text();

  const std::string stream = log_stream("mine", id_of(1));
  stranger.ask(
      "$JS.API.STREAM.CREATE." + stream,
      R"({"name":")" + stream +
          R"(","subjects":["theirs"],"retention":"limits","storage":"file","num_replicas":1,"max_age":1000000000})");
  Broker broker(server->url(), {{"prefix", std::string("mine")}});
  ASSERT_TRUE(broker.storage->start());
  const Status made =
      wait<Status>(broker.loop, [&] { return broker.storage->create_log(Broker::descriptor(1), broker.loop); });
  EXPECT_EQ(made.code(), StatusCode::invalid) << made.describe();
  EXPECT_NE(made.text().find("max_age"), std::string::npos) << made.text();
}

// ---- What others did to our streams

TEST_F(JetstreamFaults, AForeignMessageIsCorruptUntilItIsRemoved) {
  start_server();
  Broker broker(server->url());
  ASSERT_TRUE(broker.storage->start());
  const auto log = broker.create();
  Writer writer(broker, log, 1);
  ASSERT_EQ(writer.append(1), 1u);
  ASSERT_EQ(writer.append(1), 2u);
  Stranger stranger(server->url());
  const uint64_t sequence = stranger.forge("unit", "hello", "");
  EXPECT_EQ(writer.append(1), 2u);
  const auto bounds = wait<Result<host::Bounds>>(broker.loop, [&] { return log->bounds(broker.loop); });
  ASSERT_FALSE(bounds);
  EXPECT_EQ(bounds.error().code(), StatusCode::corrupt);
  EXPECT_NE(bounds.error().text().find("nats stream rmm"), std::string::npos) << bounds.error().text();
  // Others of the storage go on.
  Writer other(broker, broker.create(2), 1);
  EXPECT_EQ(other.append(1), 1u);

  stranger.ask("$JS.API.STREAM.MSG.DELETE." + log_stream("sluice", id_of(1)),
               "{\"seq\":" + std::to_string(sequence) + "}");
  ASSERT_TRUE(eventually([&] { return writer.append(1) > 2; }));
  writer.verify(*log);
}

TEST_F(JetstreamFaults, B04_AHalfWrittenUnitIsCorruptAndNamesWhereToGoOn) {
  start_server();
  {
    Broker broker(server->url());
    ASSERT_TRUE(broker.storage->start());
    Writer writer(broker, broker.create(), 1);
    ASSERT_EQ(writer.append(1), 1u);
  }
  Stranger stranger(server->url());
  const auto half = make_batch(1, 7, 500)->substr(0, 300);
  stranger.forge("unit", half, "1 unit base=1 end=2 start=0 newest=1 greatest=1 token=4294967297");
  Broker broker(server->url());
  ASSERT_TRUE(broker.storage->start());
  const auto log = broker.open();
  const auto read = [&](int64_t offset) {
    return wait<tl::expected<host::ReadResult, host::ReadError>>(
        broker.loop, [&, offset] { return log->read(offset, INT64_MAX, 1 << 20, broker.loop); });
  };
  const auto before = read(0);
  ASSERT_TRUE(before) << before.error().status.describe();
  EXPECT_EQ(before->next, 1) << "the damage ends the read before it";
  const auto damaged = read(1);
  ASSERT_FALSE(damaged);
  EXPECT_EQ(damaged.error().status.code(), StatusCode::corrupt);
  EXPECT_EQ(damaged.error().next, 2);
}

TEST_F(JetstreamFaults, ADeletedStreamIsNotFound) {
  start_server();
  Broker broker(server->url());
  ASSERT_TRUE(broker.storage->start());
  const auto log = broker.create();
  Writer writer(broker, log, 1);
  ASSERT_EQ(writer.append(3), 3u);
  Stranger stranger(server->url());
  stranger.ask("$JS.API.STREAM.DELETE." + log_stream("sluice", id_of(1)), "");
  const auto before = Clock::now();
  const auto read = wait<tl::expected<host::ReadResult, host::ReadError>>(
      broker.loop, [&] { return log->read(0, INT64_MAX, 1 << 20, broker.loop); });
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().status.code(), StatusCode::not_found) << read.error().status.describe();
  EXPECT_LT(Clock::now() - before, std::chrono::seconds(8));
  EXPECT_EQ(wait<Result<host::Bounds>>(broker.loop, [&] { return log->bounds(broker.loop); }).error().code(),
            StatusCode::not_found);
}

// The stream that says whose the logs are. Whoever made another would get them all.
TEST_F(JetstreamFaults, LogsWithoutAnOwnerGoToNobody) {
  start_server();
  const std::array<uint8_t, 16> ours = {1};
  const std::array<uint8_t, 16> theirs = {2};
  Stranger stranger(server->url());
  const auto root = [&] { return stranger.ask_json("$JS.API.STREAM.INFO.sluice"); };
  Broker broker(server->url());
  ASSERT_TRUE(broker.storage->start());
  ASSERT_EQ(broker.storage->bind(ours), ours);
  Writer writer(broker, broker.create(), 1);
  ASSERT_EQ(writer.append(3), 3u);
  EXPECT_TRUE(broker.storage->health());
  const nlohmann::json config = root()["config"];
  const nlohmann::json tie = stranger.ask_json("$JS.API.STREAM.MSG.GET.sluice", R"({"seq":1})")["message"];
  stranger.ask("$JS.API.STREAM.DELETE.sluice");

  const auto gone = broker.storage->health();
  ASSERT_FALSE(gone) << "health makes nothing";
  EXPECT_EQ(gone.error().code(), StatusCode::corrupt) << gone.error().describe();
  EXPECT_NE(gone.error().text().find("stream sluice is gone"), std::string::npos) << gone.error().text();
  EXPECT_TRUE(root().contains("error"));
  EXPECT_EQ(writer.append(1), 4u) << "logs go on";
  const Status started = refusal({});
  EXPECT_EQ(started.code(), StatusCode::corrupt) << started.describe();
  EXPECT_NE(started.text().find("sluice-*"), std::string::npos) << started.text();
  EXPECT_TRUE(root().contains("error")) << "nor does start";
  EXPECT_TRUE(refusal({{"prefix", std::string("other")}}).ok());

  // There, but for what it says.
  ASSERT_FALSE(stranger.ask_json("$JS.API.STREAM.CREATE.sluice", config.dump()).contains("error"));
  EXPECT_TRUE(broker.storage->health());
  Broker second(server->url());
  ASSERT_TRUE(second.storage->start());
  const auto bound = second.storage->bind(theirs);
  ASSERT_FALSE(bound) << "another cluster has the logs";
  EXPECT_EQ(bound.error().code(), StatusCode::corrupt) << bound.error().describe();
  ASSERT_TRUE(stranger.publish(tie.value("subject", ""), "lost", {}));
  stranger.ask("$JS.API.STREAM.PURGE.sluice");
  EXPECT_FALSE(second.storage->bind(theirs)) << "it said so once";
  const auto cluster = decode_base64(tie.value("data", ""));
  ASSERT_TRUE(cluster);
  ASSERT_TRUE(stranger.publish(tie.value("subject", ""), std::string(as_text(*cluster)), {}));
  EXPECT_EQ(second.storage->bind(theirs), ours) << "as it was";
}

TEST_F(JetstreamFaults, AStorageThatWasNeverTiedIsTiedWithItsLogs) {
  start_server();
  Broker broker(server->url());
  ASSERT_TRUE(broker.storage->start());
  broker.create();
  const std::array<uint8_t, 16> ours = {1};
  EXPECT_EQ(broker.storage->bind(ours), ours);
}

TEST_F(JetstreamFaults, WhatIsInMemoryIsTiedAgainAfterTheServerForgotIt) {
  start_server();
  const std::array<uint8_t, 16> ours = {1};
  Broker broker(server->url(), {{"storage", std::string("memory")}});
  ASSERT_TRUE(broker.storage->start());
  ASSERT_EQ(broker.storage->bind(ours), ours);
  broker.create();
  server->kill();
  ASSERT_TRUE(server->start());
  ASSERT_TRUE(eventually([&] { return broker.storage->health().has_value(); }));
  Broker second(server->url(), {{"storage", std::string("memory")}});
  ASSERT_TRUE(second.storage->start());
  EXPECT_EQ(second.storage->bind({2}), ours);
}

// ---- Limits

TEST_F(JetstreamFaults, AFullServerIsNoSpaceAndLosesNothing) {
  start_server({.max_file_store = 4 << 20});
  Broker broker(server->url());
  ASSERT_TRUE(broker.storage->start());
  const auto log = broker.create();
  Writer writer(broker, log, 1);
  for (int i = 0; i < 60 && writer.count(StatusCode::no_space) == 0; ++i) writer.append(1, 200'000);
  EXPECT_GT(writer.count(StatusCode::no_space), 0u);
  EXPECT_GT(writer.acknowledged(), 10u);
  writer.verify(*log);
}

TEST_F(JetstreamFaults, AFullStreamIsNoSpaceUntilItIsTrimmed) {
  start_server();
  Broker broker(server->url());
  ASSERT_TRUE(broker.storage->start());
  const auto log = broker.create();
  Stranger stranger(server->url());
  nlohmann::json config = stranger.stream_info()["config"];
  config["max_bytes"] = 1 << 20;
  stranger.ask("$JS.API.STREAM.UPDATE." + log_stream("sluice", id_of(1)), config.dump());
  Writer writer(broker, log, 1);
  for (int i = 0; i < 40 && writer.count(StatusCode::no_space) == 0; ++i) writer.append(1, 100'000);
  EXPECT_GT(writer.count(StatusCode::no_space), 0u);
  const size_t before = writer.acknowledged();
  EXPECT_GT(before, 5u);
  writer.verify(*log);
  ASSERT_TRUE(writer.acquire());
  const Status trimmed =
      wait<Status>(broker.loop, [&] { return log->trim(static_cast<int64_t>(before) / 2, broker.loop); });
  ASSERT_TRUE(trimmed) << trimmed.describe();
  EXPECT_EQ(writer.append(1, 100'000), before + 1);
}

TEST_F(JetstreamFaults, TooManyStreamsAreNoSpace) {
  start_server({.extra = "accounts { A { jetstream: { max_store: 100MB, max_streams: 2 }, users: [ { user: "
                         "\"u\", password: \"p\" } ] } }"});
  Broker broker(server->url(), {{"user", std::string("u")}, {"password", std::string("p")}});
  ASSERT_TRUE(broker.storage->start());
  Writer writer(broker, broker.create(1), 1);
  const Status second =
      wait<Status>(broker.loop, [&] { return broker.storage->create_log(Broker::descriptor(2), broker.loop); });
  EXPECT_EQ(second.code(), StatusCode::no_space) << second.describe();
  EXPECT_EQ(second.native_code(), 10027) << second.describe();
  EXPECT_EQ(writer.append(1), 1u) << "others of the storage go on";
}

TEST_F(JetstreamFaults, TheLargestUnitFollowsTheServer) {
  start_server({.max_payload = 200'000});
  Broker broker(server->url());
  const auto started = broker.storage->start();
  ASSERT_TRUE(started);
  EXPECT_EQ(started->largest_unit, kLargestUnitInParts);
  EXPECT_EQ(started->preferred_unit, 200'000 - kHeaderAllowanceBytes) << "what is gathered is one message";
  const auto log = broker.create();
  Writer writer(broker, log, 1);
  EXPECT_EQ(writer.append(1, started->largest_unit), 1u);
  EXPECT_EQ(writer.append(1, started->largest_unit + 1), 1u);
  EXPECT_EQ(writer.count(StatusCode::too_large), 1u);
  EXPECT_FALSE(broker.said("connection")) << "the server was never asked to close it";
  writer.verify(*log);
}

// ---- Units of several messages

TEST_F(JetstreamFaults, KafkasLargestBatchFitsADefaultServer) {
  start_server();
  Broker broker(server->url());
  const auto started = broker.storage->start();
  ASSERT_TRUE(started);
  constexpr size_t kKafkasLargest = 1'048'588;
  ASSERT_GE(started->largest_unit, kKafkasLargest);
  const auto log = broker.create();
  Writer writer(broker, log, 1);
  ASSERT_EQ(writer.append(1, 500), 1u);
  for (size_t i = 0; i < 4; ++i) ASSERT_EQ(writer.append(1, kKafkasLargest), i + 2);
  ASSERT_EQ(writer.append(1, 500), 6u);
  writer.verify(*log);
  Broker second(server->url());
  ASSERT_TRUE(second.storage->start());
  writer.verify(*second.open());
  const auto again = second.open();
  const auto located = wait<Result<int64_t>>(second.loop, [&] { return again->locate(3, second.loop); });
  ASSERT_TRUE(located) << located.error().describe();
  EXPECT_EQ(*located, 3);
}

// What a broker leaves that dies in the middle of a unit.
TEST_F(JetstreamFaults, AUnitThatHasNotEndedCountsForNothing) {
  start_server({.max_payload = 200'000});
  Stranger stranger(server->url());
  constexpr size_t kLarge = 700'000;
  Broker broker(server->url());
  ASSERT_TRUE(broker.storage->start());
  const auto log = broker.create();
  Writer writer(broker, log, 1);
  ASSERT_EQ(writer.append(1, kLarge), 1u);
  const std::string header = "1 part end=1 start=0 greatest=0 token=4294967297";
  for (int i = 0; i < 3; ++i) stranger.forge("part", std::string(100'000, 'x'), header);
  ASSERT_EQ(writer.append(1, kLarge), 2u) << "behind what somebody with this token left";
  stranger.forge("part", std::string(100'000, 'x'), "1 part end=2 start=0 greatest=1 token=4294967297");
  Broker second(server->url());
  ASSERT_TRUE(second.storage->start());
  const auto other = second.open();
  const auto position = second.acquire(*other, 2);
  ASSERT_TRUE(position) << position.error().describe();
  EXPECT_EQ(position->end, 2);
  writer.verify(*other);
  Writer heir(second, other, 3);
  ASSERT_EQ(heir.append(1, kLarge), 1u);
  // Whoever trims throws the beginnings away too: the last unit has four messages, and the trim is one.
  const Status trimmed = wait<Status>(second.loop, [&] { return other->trim(2, second.loop); });
  ASSERT_TRUE(trimmed) << trimmed.describe();
  const auto state = stranger.stream_info()["state"];
  EXPECT_EQ(state.value("num_subjects", 0), 4) << "create, part, unit, trim: " << state.dump();
  EXPECT_EQ(state.value("messages", 0), 6) << state.dump();
  const auto bounds = wait<Result<host::Bounds>>(second.loop, [&] { return other->bounds(second.loop); });
  ASSERT_TRUE(bounds);
  EXPECT_EQ(bounds->start, 2);
  EXPECT_EQ(bounds->end, 3);
}

// The server keeps the acknowledgement of a unit's first message back, and somebody comes in between.
TEST_F(JetstreamFaults, AFenceInTheMiddleOfAUnit) {
  start_server({.max_payload = 200'000});
  test::TcpProxy proxy(server->port());
  Broker broker("nats://127.0.0.1:" + std::to_string(proxy.port()));
  ASSERT_TRUE(broker.storage->start());
  const auto log = broker.create();
  Writer writer(broker, log, 5);
  ASSERT_EQ(writer.append(1), 1u);
  Stranger stranger(server->url());
  const auto begin_unit = [&] {
    const uint64_t last = stranger.stream_info()["state"].value("last_seq", uint64_t{0});
    proxy.hold_replies(true);
    writer.send(1, 500'000);
    return eventually([&] { return stranger.stream_info()["state"].value("last_seq", uint64_t{0}) > last; });
  };
  // A lower one disturbs nobody: the unit is written again behind it.
  ASSERT_TRUE(begin_unit());
  stranger.forge("fence", "", "1 fence token=17179869185");
  proxy.hold_replies(false);
  ASSERT_TRUE(eventually([&] { return writer.answered() == writer.told_size(); }));
  EXPECT_EQ(writer.acknowledged(), 2u);
  // A higher one ends it.
  Broker heir(server->url());
  ASSERT_TRUE(heir.storage->start());
  const auto other = heir.open();
  ASSERT_TRUE(begin_unit());
  const auto position = heir.acquire(*other, 6);
  ASSERT_TRUE(position) << position.error().describe();
  EXPECT_EQ(position->end, 2);
  proxy.hold_replies(false);
  ASSERT_TRUE(eventually([&] { return writer.answered() == writer.told_size(); }));
  EXPECT_EQ(writer.acknowledged(), 2u);
  writer.verify(*other);
  Writer next(heir, other, 7);
  ASSERT_EQ(next.append(1, 500'000), 1u);
  const auto bounds = wait<Result<host::Bounds>>(heir.loop, [&] { return other->bounds(heir.loop); });
  ASSERT_TRUE(bounds);
  EXPECT_EQ(bounds->end, 3);
}

TEST_F(JetstreamFaults, ACutInTheMiddleOfAUnit) {
  start_server({.max_payload = 200'000});
  test::TcpProxy proxy(server->port());
  Broker broker("nats://127.0.0.1:" + std::to_string(proxy.port()));
  ASSERT_TRUE(broker.storage->start());
  const auto log = broker.create();
  Writer writer(broker, log, 1);
  ASSERT_EQ(writer.append(1), 1u);
  for (int round = 0; round < 3; ++round) {
    const size_t before = writer.acknowledged();
    proxy.hold_replies(true);
    writer.send(1, 500'000);
    ASSERT_TRUE(eventually([&] { return proxy.held() > 0; }));
    proxy.cut();
    proxy.hold_replies(false);
    ASSERT_TRUE(eventually([&] { return writer.answered() == writer.told_size(); }));
    EXPECT_EQ(writer.acknowledged(), before) << "its end was never sent";
    ASSERT_TRUE(eventually([&] { return writer.append(1, 500'000) > before; }));
  }
  EXPECT_EQ(broker.storage->metrics().data_losses.load(), 0u);
  writer.verify(*log);
}

// ---- Watches

TEST_F(JetstreamFaults, AnotherBrokersAppendIsSeen) {
  start_server();
  Broker here(server->url());
  Broker there(server->url());
  ASSERT_TRUE(here.storage->start());
  ASSERT_TRUE(there.storage->start());
  Writer writer(there, there.create(), 1);
  ASSERT_EQ(writer.append(1), 1u);
  const auto log = here.open();
  std::atomic<bool> passed{false};
  here.loop.post([&] {
    start(log->watch(1, here.loop), [&](Status status) {
      EXPECT_TRUE(status.ok()) << status.describe();
      passed = true;
    });
  });
  EXPECT_EQ(writer.append(1), 2u);
  EXPECT_TRUE(eventually([&] { return passed.load(); }));
}

}  // namespace
}  // namespace sluice::jetstream::testing
