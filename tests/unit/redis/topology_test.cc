// SPDX-License-Identifier: Apache-2.0
// Sentinels that promote a replica, and clusters whose slots move and whose nodes die.
#include <fmt/format.h>

#include <atomic>
#include <sstream>
#include <string>

#include "fake_server.hpp"
#include "redis/keys.hpp"
#include "support/loopback_server.hpp"
#include "support/redis_server.hpp"
#include "support/storage_world.hpp"

namespace sluice::redis {
namespace {

using test::Broker;
using test::eventually;
using test::RedisCluster;
using test::RedisServer;
using test::wait;
using test::Writer;

LogKeys keys_of(uint8_t number) {
  return LogKeys("sluice", Uuid::from_words(0, number));
}

Result<host::Bounds> bounds_of(Broker& broker, host::Log& log) {
  return wait<Result<host::Bounds>>(broker.loop, [&] { return log.bounds(broker.loop); });
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// Whether the master's only replica acknowledges what it has by now. WAIT does not say: it is about writes of the
// connection that asks.
bool is_replicated(const RedisServer& master) {
  // "master", offset, then address, port and offset of the replica.
  const auto offset_in = [&](size_t line) {
    std::istringstream role(master.cli({"ROLE"}));
    std::string text;
    for (size_t i = 0; i <= line; ++i) std::getline(role, text);
    return role ? std::stoll(text) : -1;
  };
  const int64_t wanted = offset_in(1);
  return eventually([&] { return offset_in(4) >= wanted; });
}

std::unique_ptr<RedisServer> replica_of(const RedisServer& master) {
  return std::make_unique<RedisServer>(
      test::RedisSettings{.lines = {fmt::format("replicaof 127.0.0.1 {}", master.port())}});
}

// ---- Sentinels

class RedisSentinel : public ::testing::Test {
 protected:
  // A master with a replica, and one sentinel that decides alone.
  void SetUp() override {
    ASSERT_TRUE(master.start());
    replica = replica_of(master);
    ASSERT_TRUE(replica->start());
    sentinel = std::make_unique<RedisServer>(test::RedisSettings{
        .lines = {fmt::format("sentinel monitor orders 127.0.0.1 {} 1", master.port()),
                  "sentinel down-after-milliseconds orders 5000", "sentinel failover-timeout orders 3000"},
        .sentinel = true});
    ASSERT_TRUE(sentinel->start());
    ASSERT_TRUE(eventually([&] { return contains(replica->cli({"INFO", "replication"}), "master_link_status:up"); }));
    ASSERT_TRUE(eventually([&] {
      return contains(sentinel->cli({"SENTINEL", "REPLICAS", "orders"}), std::to_string(replica->port()));
    }));
  }
  host::OptionInputs options() const {
    return {{"mode", std::string("sentinel")}, {"master", std::string("orders")}, {"address", sentinel->address()}};
  }

  RedisServer master{{.lines = {"repl-diskless-sync-delay 0"}}};
  std::unique_ptr<RedisServer> replica;
  std::unique_ptr<RedisServer> sentinel;
};

TEST_F(RedisSentinel, ServiceFollowsTheMaster) {
  Broker broker("redis", options());
  const auto started = broker.storage->start();
  ASSERT_TRUE(started) << started.error().describe();
  if (master.major() >= 7) {
    EXPECT_NE(started->capabilities & SLUICE_CAP_DURABLE, 0u);
  }
  EXPECT_EQ(started->capabilities & SLUICE_CAP_NO_ROLLBACK, 0u) << "the replica may lag when it is promoted";
  const auto log = broker.create();
  Writer writer(broker, log, 1);
  ASSERT_EQ(writer.append(20, 2'000), 20u);
  ASSERT_TRUE(is_replicated(master));
  master.kill();
  ASSERT_TRUE(eventually([&] { return writer.append(1) > 20; }, 60'000));
  EXPECT_TRUE(contains(replica->cli({"ROLE"}), "master"));
  writer.verify(*log);

  // The old master comes back as a replica, and nobody writes to it.
  ASSERT_TRUE(master.start());
  ASSERT_TRUE(eventually([&] { return contains(master.cli({"ROLE"}), "slave"); }, 60'000));
  const size_t before = writer.acknowledged();
  ASSERT_TRUE(eventually([&] { return writer.append(1) > before; }));
  writer.verify(*log);
}

TEST_F(RedisSentinel, TheFirstThatAnswersIsEnough) {
  host::OptionInputs several = options();
  several["address"] = fmt::format("127.0.0.1:{},{}", test::free_port(), sentinel->address());
  Broker broker("redis", several);
  const auto started = broker.storage->start();
  ASSERT_TRUE(started) << started.error().describe();
  const auto log = broker.create();
  Writer writer(broker, log, 1);
  EXPECT_EQ(writer.append(3), 3u);
}

TEST_F(RedisSentinel, AMasterThatTheyDoNotKnowIsInvalid) {
  host::OptionInputs wrong = options();
  wrong["master"] = std::string("customers");
  Broker broker("redis", wrong);
  const auto started = broker.storage->start();
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code(), StatusCode::invalid) << started.error().describe();
  EXPECT_TRUE(contains(started.error().text(), "customers"));
}

TEST_F(RedisSentinel, NoSentinelIsUnavailable) {
  sentinel->kill();
  Broker broker("redis", options());
  const auto started = broker.storage->start();
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code(), StatusCode::unavailable) << started.error().describe();
}

// A failover between the two connections: nothing is sent while they lead to different servers.
TEST(RedisSentinels, ConnectionsToDifferentMastersAreGivenUp) {
  RedisServer old_master;
  RedisServer new_master;
  ASSERT_TRUE(old_master.start());
  ASSERT_TRUE(new_master.start());
  std::atomic<int> asked{0};
  FakeServer sentinel([&](const std::vector<std::string>&) {
    const std::string port = std::to_string(++asked == 1 ? old_master.port() : new_master.port());
    return fmt::format("*2\r\n$9\r\n127.0.0.1\r\n${}\r\n{}\r\n", port.size(), port);
  });
  Broker broker(
      "redis", {{"mode", std::string("sentinel")}, {"master", std::string("orders")}, {"address", sentinel.address()}});
  const auto torn = broker.storage->start();
  ASSERT_FALSE(torn);
  EXPECT_EQ(torn.error().code(), StatusCode::unavailable) << torn.error().describe();
  ASSERT_TRUE(eventually([&] { return broker.storage->start().has_value(); }));
  Writer writer(broker, broker.create(), 1);
  EXPECT_EQ(writer.append(3), 3u);
  EXPECT_EQ(old_master.cli({"DBSIZE"}), "0");
  EXPECT_NE(new_master.cli({"DBSIZE"}), "0");
}

// ---- Several addresses

class RedisAddresses : public ::testing::Test {
 protected:
  // A master, and its replica.
  void SetUp() override {
    ASSERT_TRUE(first.start());
    second = replica_of(first);
    ASSERT_TRUE(second->start());
    ASSERT_TRUE(eventually([&] { return contains(second->cli({"INFO", "replication"}), "master_link_status:up"); }));
  }
  std::string both() const { return first.address() + "," + second->address(); }
  static bool is_well(Broker& broker) { return broker.storage->health().has_value(); }
  // How many connections of a broker's a server has.
  static size_t connections(const RedisServer& server) {
    const std::string list = server.cli({"CLIENT", "LIST"});
    size_t found = 0;
    for (size_t at = list.find("name=sluice-"); at != std::string::npos; at = list.find("name=sluice-", at + 1))
      ++found;
    return found;
  }

  RedisServer first{{.lines = {"repl-diskless-sync-delay 0"}}};
  std::unique_ptr<RedisServer> second;
};

// Its replica answers meanwhile, and is no place for either connection.
TEST_F(RedisAddresses, AMasterThatRestartsIsFoundAgain) {
  Broker broker("redis", {{"address", both()}});
  const auto started = broker.storage->start();
  ASSERT_TRUE(started) << started.error().describe();
  EXPECT_EQ(started->capabilities & SLUICE_CAP_NO_ROLLBACK, 0u) << "the other may lag when it is promoted";
  const auto log = broker.create();
  Writer writer(broker, log, 1);
  ASSERT_EQ(writer.append(5), 5u);
  first.kill();
  ASSERT_TRUE(eventually([&] { return broker.said("no connection (write)") && broker.said("no connection (read)"); }));
  const auto away = broker.storage->health();
  ASSERT_FALSE(away);
  EXPECT_EQ(away.error().code(), StatusCode::unavailable) << away.error().describe();
  ASSERT_TRUE(eventually([&] { return contains(broker.storage->health().error().text(), "is no master now"); }));
  EXPECT_EQ(bounds_of(broker, *log).error().code(), StatusCode::unavailable);
  ASSERT_TRUE(first.start());
  ASSERT_TRUE(eventually([&] { return is_well(broker); }));
  ASSERT_TRUE(eventually([&] { return writer.append(1) > 5; }));
  writer.verify(*log);
  EXPECT_TRUE(eventually([&] { return connections(*second) == 0; }));
}

TEST_F(RedisAddresses, AServerThatBecomesAReplicaIsLeftByTheFirstWrite) {
  Broker broker("redis", {{"address", both()}});
  ASSERT_TRUE(broker.storage->start());
  const auto log = broker.create();
  Writer writer(broker, log, 1);
  ASSERT_EQ(writer.append(5), 5u);
  ASSERT_TRUE(is_replicated(first));
  ASSERT_EQ(connections(first), 2u);
  ASSERT_EQ(first.cli({"REPLICAOF", "127.0.0.1", std::to_string(second->port())}), "OK");
  ASSERT_EQ(writer.append(1), 5u);
  EXPECT_TRUE(eventually([&] { return connections(first) == 0; })) << "what reads has left it too";
  ASSERT_EQ(second->cli({"REPLICAOF", "NO", "ONE"}), "OK");
  ASSERT_TRUE(eventually([&] { return writer.append(1) > 5; }));
  writer.verify(*log);
  EXPECT_TRUE(eventually([&] { return is_well(broker); }));
}

TEST_F(RedisAddresses, AServerThatBecomesAReplicaIsLeftByAHealthCheck) {
  Broker broker("redis", {{"address", both()}});
  ASSERT_TRUE(broker.storage->start());
  ASSERT_EQ(second->cli({"REPLICAOF", "NO", "ONE"}), "OK");
  ASSERT_EQ(first.cli({"REPLICAOF", "127.0.0.1", std::to_string(second->port())}), "OK");
  const auto left = broker.storage->health();
  ASSERT_FALSE(left);
  EXPECT_EQ(left.error().code(), StatusCode::unavailable) << left.error().describe();
  ASSERT_TRUE(eventually([&] { return is_well(broker); }));
  EXPECT_TRUE(eventually([&] { return connections(first) == 0 && connections(*second) == 2; }));
}

TEST_F(RedisAddresses, ReplicasAloneAreUnavailableAndOneAddressIsInvalid) {
  Broker replica("redis", {{"address", second->address() + "," + second->address()}});
  const auto none = replica.storage->start();
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code(), StatusCode::unavailable) << none.error().describe();
  EXPECT_TRUE(contains(none.error().text(), second->address())) << none.error().text();
  Broker alone("redis", {{"address", second->address()}});
  const auto one = alone.storage->start();
  ASSERT_FALSE(one);
  EXPECT_EQ(one.error().code(), StatusCode::invalid) << one.error().describe();
}

// Of two that say they are the master the first answered one connection alone.
TEST(RedisTwoMasters, ConnectionsToBothAreGivenUp) {
  RedisServer real;
  ASSERT_TRUE(real.start());
  std::atomic<int> greeted{0};
  FakeServer passing([&](const std::vector<std::string>& command) -> std::string {
    if (command[0] == "CLIENT") return ++greeted == 2 ? "+OK\r\n" : "";
    if (command[0] == "ROLE") return "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n";
    if (command[0] == "INFO") return "$35\r\nredis_version:7.0.15\r\nrole:master\r\n\r\n";
    return "+OK\r\n";
  });
  Broker broker("redis", {{"address", passing.address() + "," + real.address()}});
  const auto torn = broker.storage->start();
  ASSERT_FALSE(torn);
  EXPECT_EQ(torn.error().code(), StatusCode::unavailable) << torn.error().describe();
  ASSERT_TRUE(eventually([&] { return broker.storage->start().has_value(); }));
  Writer writer(broker, broker.create(), 1);
  EXPECT_EQ(writer.append(3), 3u);
  writer.verify(*broker.open());
  EXPECT_NE(real.cli({"DBSIZE"}), "0");
}

// ---- Clusters

constexpr uint8_t kLogs = 12;

class RedisClusters : public ::testing::Test {
 protected:
  void start_cluster(size_t replicas) {
    cluster = std::make_unique<RedisCluster>(3, replicas);
    const Status started = cluster->start();
    ASSERT_TRUE(started) << started.describe();
    broker = std::make_unique<Broker>(
        "redis", host::OptionInputs{{"mode", std::string("cluster")}, {"address", cluster->server(0).address()}});
    const auto up = broker->storage->start();
    ASSERT_TRUE(up) << up.error().describe();
    if (cluster->server(0).major() >= 7) {
      EXPECT_NE(up->capabilities & SLUICE_CAP_DURABLE, 0u);
    }
    EXPECT_EQ(up->capabilities & SLUICE_CAP_NO_ROLLBACK, 0u);
  }
  void write_logs() {
    for (uint8_t i = 0; i < kLogs; ++i) {
      logs.push_back(broker->create(static_cast<uint8_t>(i + 1)));
      writers.push_back(std::make_unique<Writer>(*broker, logs.back(), 1));
      ASSERT_EQ(writers.back()->append(6, 3'000), 6u);
    }
  }
  void verify_logs() {
    for (size_t i = 0; i < logs.size(); ++i) writers[i]->verify(*logs[i]);
  }
  // The master that holds a log.
  RedisServer& holder(uint8_t number) {
    for (size_t i = 0; i < cluster->size(); ++i) {
      RedisServer& server = cluster->server(i);
      if (server.running() && server.cli({"EXISTS", keys_of(number).base}) == "1" &&
          contains(server.cli({"ROLE"}), "master")) {
        return server;
      }
    }
    ADD_FAILURE() << "nobody holds log " << int{number};
    return cluster->server(0);
  }
  RedisServer& other_than(const RedisServer& server) {
    return &server == &cluster->server(0) ? cluster->server(1) : cluster->server(0);
  }

  std::unique_ptr<RedisCluster> cluster;
  std::unique_ptr<Broker> broker;
  std::vector<std::shared_ptr<host::Log>> logs;
  std::vector<std::unique_ptr<Writer>> writers;
};

TEST_F(RedisClusters, LogsLieOnAllNodesAndAreListed) {
  ASSERT_NO_FATAL_FAILURE(start_cluster(0));
  ASSERT_NO_FATAL_FAILURE(write_logs());
  verify_logs();
  for (size_t i = 0; i < cluster->size(); ++i) EXPECT_NE(cluster->server(i).cli({"DBSIZE"}), "0") << i;
  const auto listed =
      wait<Result<std::vector<host::LogEntry>>>(broker->loop, [&] { return broker->storage->list_logs(broker->loop); });
  ASSERT_TRUE(listed) << listed.error().describe();
  EXPECT_EQ(listed->size(), size_t{kLogs});
  for (uint8_t i = 1; i <= kLogs; ++i) {
    ASSERT_TRUE(
        wait<Status>(broker->loop, [&] { return broker->storage->delete_log(Broker::descriptor(i), broker->loop); }));
  }
  EXPECT_EQ(cluster->server(0).cli({"--cluster", "call", cluster->server(0).address(), "DBSIZE"}).find("not"),
            std::string::npos);
}

// While a slot moves, what has moved is found by ASK; appends wait until it has arrived.
TEST_F(RedisClusters, ASlotThatMovesTakesItsLogsAlong) {
  ASSERT_NO_FATAL_FAILURE(start_cluster(0));
  ASSERT_NO_FATAL_FAILURE(write_logs());
  RedisServer& source = holder(1);
  RedisServer& target = other_than(source);
  const std::string slot = std::to_string(keys_of(1).slot);
  const std::string source_id = source.cli({"CLUSTER", "MYID"});
  const std::string target_id = target.cli({"CLUSTER", "MYID"});
  ASSERT_EQ(target.cli({"CLUSTER", "SETSLOT", slot, "IMPORTING", source_id}), "OK");
  ASSERT_EQ(source.cli({"CLUSTER", "SETSLOT", slot, "MIGRATING", target_id}), "OK");
  const std::string found = source.cli({"CLUSTER", "GETKEYSINSLOT", slot, "100"});
  std::vector<std::string> migrate{"MIGRATE", "127.0.0.1", std::to_string(target.port()), "", "0", "5000", "KEYS"};
  for (size_t at = 0; at < found.size();) {
    const size_t end = std::min(found.find('\n', at), found.size());
    migrate.push_back(found.substr(at, end - at));
    at = end + 1;
  }
  ASSERT_EQ(source.cli(migrate), "OK");

  const auto bounds = bounds_of(*broker, *logs[0]);
  ASSERT_TRUE(bounds) << bounds.error().describe();
  EXPECT_EQ(bounds->end, 6);
  writers[0]->verify(*logs[0]);
  const auto other = std::find_if(logs.begin() + 1, logs.end(), [&](const auto& log) {
    const auto number = static_cast<uint8_t>(&log - logs.data() + 1);
    return keys_of(number).slot != keys_of(1).slot;
  });
  EXPECT_EQ(writers[static_cast<size_t>(other - logs.begin())]->append(1), 7u) << "other logs notice nothing";

  for (size_t i = 0; i < cluster->size(); ++i) {
    ASSERT_EQ(cluster->server(i).cli({"CLUSTER", "SETSLOT", slot, "NODE", target_id}), "OK");
  }
  const size_t before = writers[0]->acknowledged();
  ASSERT_TRUE(eventually([&] { return writers[0]->append(1) > before; }));
  EXPECT_EQ(&holder(1), &target);
  verify_logs();
}

TEST_F(RedisClusters, ANodeThatDiesCostsOnlyItsOwnLogs) {
  ASSERT_NO_FATAL_FAILURE(start_cluster(0));
  ASSERT_NO_FATAL_FAILURE(write_logs());
  RedisServer& dying = holder(1);
  std::vector<bool> lost;
  for (uint8_t i = 1; i <= kLogs; ++i) lost.push_back(dying.cli({"EXISTS", keys_of(i).base}) == "1");
  dying.kill();
  for (size_t i = 0; i < logs.size(); ++i) {
    const size_t before = writers[i]->acknowledged();
    if (!lost[i]) {
      ASSERT_TRUE(eventually([&] { return writers[i]->append(1) > before; })) << i;
    }
  }
  EXPECT_FALSE(bounds_of(*broker, *logs[0]));
  ASSERT_TRUE(dying.start());
  for (size_t i = 0; i < logs.size(); ++i) {
    const size_t before = writers[i]->acknowledged();
    ASSERT_TRUE(eventually([&] { return writers[i]->append(1) > before; })) << i;
  }
  verify_logs();
}

TEST_F(RedisClusters, AReplicaThatIsPromotedTakesOver) {
  ASSERT_NO_FATAL_FAILURE(start_cluster(1));
  ASSERT_NO_FATAL_FAILURE(write_logs());
  RedisServer& dying = holder(1);
  ASSERT_TRUE(is_replicated(dying));
  dying.kill();
  for (size_t i = 0; i < logs.size(); ++i) {
    const size_t before = writers[i]->acknowledged();
    ASSERT_TRUE(eventually([&] { return writers[i]->append(1) > before; }, 60'000)) << i;
  }
  verify_logs();
}

TEST_F(RedisClusters, AServerAloneIsNoCluster) {
  RedisServer alone;
  ASSERT_TRUE(alone.start());
  Broker one("redis", {{"mode", std::string("cluster")}, {"address", alone.address()}});
  const auto started = one.storage->start();
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code(), StatusCode::invalid) << started.error().describe();
}

}  // namespace
}  // namespace sluice::redis
