// SPDX-License-Identifier: Apache-2.0
// Three servers: streams with three replicas, and the death of a stream's leader. All tests share the cluster; each has
// a storage of its own in it. An election takes 4 to 8 s on old servers, so deaths are few.
#include <memory>

#include "support.hpp"
#include "support/tcp_proxy.hpp"

namespace sluice::jetstream::testing {
namespace {

constexpr int64_t kElectionMs = 60'000;

class JetstreamCluster : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { cluster = std::make_unique<test::NatsCluster>(3); }
  static void TearDownTestSuite() { cluster = nullptr; }
  void SetUp() override {
    const Status started = cluster->start();
    ASSERT_TRUE(started) << started.describe();
    prefix = ::testing::UnitTest::GetInstance()->current_test_info()->name();
  }
  host::OptionInputs options() const { return {{"replicas", int64_t{3}}, {"prefix", prefix}}; }
  // A young cluster takes some time to place three replicas.
  bool start(Broker& broker) {
    Status last;
    const auto up = [&] {
      const auto now = broker.storage->start();
      if (!now) last = now.error();
      return now.has_value();
    };
    const bool done = eventually(up, kElectionMs);
    EXPECT_TRUE(done) << last.describe();
    return done;
  }
  bool append_more(Writer& writer) {
    const size_t before = writer.acknowledged();
    return eventually([&] { return writer.append(1) > before; }, kElectionMs);
  }
  // The server that leads the stream of log 1, once it is agreed on.
  test::NatsServer* leader() {
    test::NatsServer* found = nullptr;
    const std::string subject = "$JS.API.STREAM.INFO." + log_stream(prefix, id_of(1));
    const auto led = [&] {
      for (size_t i = 0; i < cluster->size() && found == nullptr; ++i) {
        if (!cluster->server(i).running()) continue;
        Stranger stranger(cluster->server(i).url());
        const auto info = nlohmann::json::parse(stranger.try_to_ask(subject).value_or(""), nullptr, false);
        const std::string name =
            info.is_object() && info.contains("cluster") ? info["cluster"].value("leader", "") : "";
        for (size_t k = 0; k < cluster->size(); ++k) {
          if (cluster->server(k).running() && cluster->server(k).name() == name) found = &cluster->server(k);
        }
        break;
      }
      return found != nullptr;
    };
    EXPECT_TRUE(eventually(led, kElectionMs)) << "nobody leads the stream";
    return found;
  }

  static std::unique_ptr<test::NatsCluster> cluster;
  std::string prefix;
};

std::unique_ptr<test::NatsCluster> JetstreamCluster::cluster;

TEST_F(JetstreamCluster, TheLeaderDiesWithManyAppendsInFlight) {
  Broker broker(cluster->urls(), options());
  ASSERT_TRUE(start(broker));
  EXPECT_NE(broker.storage->condition().capabilities & SLUICE_CAP_NO_ROLLBACK, 0u);
  const auto log = broker.create();
  Writer writer(broker, log, 1);
  ASSERT_TRUE(append_more(writer));
  test::NatsServer* victim = leader();
  ASSERT_NE(victim, nullptr);
  writer.append(10, 2'000);
  writer.send(10, 20'000);
  victim->kill();
  ASSERT_TRUE(append_more(writer)) << "two of three must do";
  EXPECT_EQ(writer.answered(), writer.told_size());
  EXPECT_EQ(broker.storage->metrics().data_losses.load(), 0u);
  writer.verify(*log);
  // Somebody who was not there finds the same.
  Broker second(cluster->urls(), options());
  ASSERT_TRUE(start(second));
  const auto other = second.open();
  Result<host::WritePosition> position = fail(StatusCode::unavailable, "");
  ASSERT_TRUE(eventually([&] { return (position = second.acquire(*other, 2)).has_value(); }, kElectionMs))
      << position.error().describe();
  EXPECT_EQ(position->end, log->position().end);
  writer.verify(*other);
}

// One append in flight, whose acknowledgement dies with the leader: it is there, on the two others.
TEST_F(JetstreamCluster, TheLeaderDiesBeforeItsAcknowledgementArrives) {
  Broker maker(cluster->urls(), options());
  ASSERT_TRUE(start(maker));
  maker.create();
  test::NatsServer* victim = leader();
  ASSERT_NE(victim, nullptr);
  test::TcpProxy proxy(victim->port());
  Broker broker("nats://127.0.0.1:" + std::to_string(proxy.port()), options());
  ASSERT_TRUE(start(broker));
  const auto log = broker.open();
  Writer writer(broker, log, 1);
  ASSERT_TRUE(append_more(writer));
  const size_t before = writer.acknowledged();
  proxy.hold_replies(true);
  writer.send(1, 5'000);
  ASSERT_TRUE(eventually([&] { return proxy.held() > 0; }));
  victim->kill();
  proxy.cut();
  ASSERT_TRUE(eventually([&] { return writer.answered() == writer.told_size(); }, kElectionMs));
  EXPECT_EQ(writer.acknowledged(), before + 1) << "the fence found it";
  ASSERT_TRUE(append_more(writer));
  EXPECT_EQ(broker.storage->metrics().data_losses.load(), 0u);
  writer.verify(*log);
}

// What was read from a server that lags behind must not look like a hole.
TEST_F(JetstreamCluster, EveryAcknowledgedBatchIsReadAtOnce) {
  Broker broker(cluster->urls(), options());
  ASSERT_TRUE(start(broker));
  const auto log = broker.create();
  Writer writer(broker, log, 1);
  ASSERT_TRUE(append_more(writer));
  const int64_t begin = log->position().end;
  for (int64_t offset = begin; offset < begin + 100; ++offset) {
    const size_t before = writer.acknowledged();
    ASSERT_EQ(writer.append(1), before + 1);
    const auto read = wait<tl::expected<host::ReadResult, host::ReadError>>(
        broker.loop, [&] { return log->read(offset, INT64_MAX, 1 << 20, broker.loop); });
    ASSERT_TRUE(read) << read.error().status.describe();
    ASSERT_EQ(read->next, offset + 1) << "acknowledged, and not there";
  }
  writer.verify(*log);
}

TEST_F(JetstreamCluster, OneUrlIsEnoughToSurviveThatServer) {
  Broker broker(cluster->server(0).url(), options());
  ASSERT_TRUE(start(broker));
  const auto log = broker.create();
  Writer writer(broker, log, 1);
  ASSERT_TRUE(append_more(writer));
  cluster->server(0).kill();
  ASSERT_TRUE(append_more(writer));
  writer.verify(*log);
}

}  // namespace
}  // namespace sluice::jetstream::testing
