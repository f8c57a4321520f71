// SPDX-License-Identifier: Apache-2.0
// What start says of a server, an option or keys that are wrong: the status, the server's own words, once.
#include <fmt/format.h>

#include "fake_server.hpp"
#include "support/loopback_server.hpp"
#include "support/redis_server.hpp"
#include "support/storage_world.hpp"

namespace sluice::redis {
namespace {

using test::Broker;
using test::Clock;
using test::eventually;
using test::RedisServer;
using test::RedisSettings;
using test::Writer;

class RedisRefusals : public ::testing::Test {
 protected:
  void start_server(RedisSettings settings = {}) {
    server = std::make_unique<RedisServer>(std::move(settings));
    const Status started = server->start();
    ASSERT_TRUE(started) << started.describe();
  }
  // What start says with these options.
  Status refusal(host::OptionInputs options = {}) {
    if (server != nullptr) options.try_emplace("address", server->address());
    Broker broker("redis", std::move(options));
    const auto started = broker.storage->start();
    return started ? Status() : started.error();
  }

  std::unique_ptr<RedisServer> server;
};

TEST_F(RedisRefusals, NoServerIsUnavailable) {
  const Status status = refusal({{"address", fmt::format("127.0.0.1:{}", test::free_port())}});
  EXPECT_EQ(status.code(), StatusCode::unavailable) << status.describe();
  EXPECT_NE(status.text().find("refused"), std::string::npos) << status.describe();
}

TEST_F(RedisRefusals, ANameThatNobodyKnowsIsUnavailable) {
  const Status status = refusal({{"address", "no-such-host.invalid"}, {"connect_timeout", int64_t{1'000}}});
  EXPECT_EQ(status.code(), StatusCode::unavailable) << status.describe();
}

TEST_F(RedisRefusals, WrongCredentialsAreDeniedOnce) {
  start_server({.password = "right"});
  const Status none = refusal();
  EXPECT_EQ(none.code(), StatusCode::denied) << none.describe();
  EXPECT_NE(none.text().find("NOAUTH"), std::string::npos) << none.text();
  const Status wrong = refusal({{"password", std::string("wrong-one")}});
  EXPECT_EQ(wrong.code(), StatusCode::denied);
  EXPECT_NE(wrong.text().find("WRONGPASS"), std::string::npos) << wrong.text();
  EXPECT_EQ(wrong.text().find("wrong-one"), std::string::npos) << "no secret in a message";
  EXPECT_TRUE(refusal({{"password", std::string("right")}}).ok());
}

TEST_F(RedisRefusals, APasswordWhereNoneIsSetIsDenied) {
  start_server();
  EXPECT_EQ(refusal({{"password", std::string("p")}}).code(), StatusCode::denied);
}

// The permissions that the README names are enough, and fewer are not.
TEST_F(RedisRefusals, UsersAndTheirPermissions) {
  start_server({.lines = {"user sluice on >p ~sluice:* +@connection +@stream +@hash +@set +@sortedset +@string "
                          "+@keyspace +@transaction +@scripting -@dangerous +info +config|get +role",
                          "user reader on >p ~* +@read +@connection", "user elsewhere on >p ~other:* +@all"}});
  const auto as = [](const char* user) {
    return host::OptionInputs{{"username", std::string(user)}, {"password", std::string("p")}};
  };
  host::OptionInputs options = as("sluice");
  options.try_emplace("address", server->address());
  Broker broker("redis", std::move(options));
  const auto started = broker.storage->start();
  ASSERT_TRUE(started) << started.error().describe();
  if (server->major() >= 7) {
    EXPECT_NE(started->capabilities & SLUICE_CAP_DURABLE, 0u);
  }
  EXPECT_TRUE(broker.storage->bind({1}));
  const auto log = broker.create();
  Writer writer(broker, log, 1);
  EXPECT_EQ(writer.append(20), 20u);
  EXPECT_TRUE(test::wait<Status>(broker.loop, [&] { return log->trim(5, broker.loop); }));
  EXPECT_TRUE(
      test::wait<Status>(broker.loop, [&] { return broker.storage->delete_log(broker.descriptor(1), broker.loop); }));

  for (const char* user : {"reader", "elsewhere"}) {
    const Status status = refusal(as(user));
    EXPECT_EQ(status.code(), StatusCode::denied) << user << ": " << status.describe();
    EXPECT_NE(status.text().find("NOPERM"), std::string::npos) << status.text();
  }
}

// A command that only scripts use is asked for at start, in every layout, and nothing is left of the question.
TEST_F(RedisRefusals, APermissionThatIsMissingIsToldAtStart) {
  start_server();
  const auto started_as = [&](const std::string& rules, const char* layout = "log") {
    std::vector<std::string> set{"ACL", "SETUSER", "sluice", "reset", "on", ">p", "~sluice:*", "+@all"};
    if (!rules.empty()) set.push_back(rules);
    EXPECT_EQ(server->cli(set), "OK");
    return refusal(
        {{"username", std::string("sluice")}, {"password", std::string("p")}, {"layout", std::string(layout)}});
  };
  EXPECT_TRUE(started_as("").ok());
  for (const char* command : {"rename", "evalsha", "xgroup", "hset", "zadd", "unlink", "xtrim"}) {
    const Status status = started_as(std::string("-") + command);
    EXPECT_EQ(status.code(), StatusCode::denied) << command << ": " << status.describe();
    EXPECT_NE(status.text().find(command), std::string::npos) << status.text();
  }
  EXPECT_EQ(server->cli({"DBSIZE"}), "0");
  if (server->major() < 7) return;  // has no such layout
  EXPECT_TRUE(started_as("-rename", "record").ok()) << "which it does not need";
  EXPECT_EQ(started_as("-evalsha", "record").code(), StatusCode::denied);
  EXPECT_EQ(started_as("-hset", "record").code(), StatusCode::denied);
  EXPECT_EQ(server->cli({"DBSIZE"}), "0");
}

// One that is taken away later is told by the script that meets it, in the words of scripts.
TEST_F(RedisRefusals, APermissionThatIsTakenAwayIsDenied) {
  start_server({.lines = {"user sluice on >p ~sluice:* +@all"}});
  Broker broker("redis",
                {{"address", server->address()}, {"username", std::string("sluice")}, {"password", std::string("p")}});
  ASSERT_TRUE(broker.storage->start());
  const auto log = broker.create();
  ASSERT_TRUE(broker.acquire(*log, 1));
  ASSERT_EQ(server->cli({"ACL", "SETUSER", "sluice", "-rename"}), "OK");
  const auto fenced = broker.acquire(*log, 2);
  ASSERT_FALSE(fenced);
  EXPECT_EQ(fenced.error().code(), StatusCode::denied) << fenced.error().describe();
  ASSERT_EQ(server->cli({"ACL", "SETUSER", "sluice", "+rename", "resetkeys", "~other:*"}), "OK");
  const auto elsewhere = broker.acquire(*log, 3);
  ASSERT_FALSE(elsewhere);
  EXPECT_EQ(elsewhere.error().code(), StatusCode::denied) << elsewhere.error().describe();
}

TEST_F(RedisRefusals, ADatabaseThatIsNotThereIsInvalid) {
  start_server({.lines = {"databases 4"}});
  const Status status = refusal({{"database", int64_t{4}}});
  EXPECT_EQ(status.code(), StatusCode::invalid) << status.describe();
  EXPECT_NE(status.text().find("DB index"), std::string::npos);
  EXPECT_TRUE(refusal({{"database", int64_t{3}}}).ok());
}

TEST_F(RedisRefusals, KeysOfAnotherShapeAreCorrupt) {
  start_server();
  server->cli({"LPUSH", "sluice:cluster", "x"});
  EXPECT_EQ(refusal().code(), StatusCode::corrupt);
  EXPECT_NE(refusal().text().find("WRONGTYPE"), std::string::npos);
  server->cli({"DEL", "sluice:cluster"});
  server->cli({"SET", "sluice:cluster", "not an id"});
  EXPECT_EQ(refusal().code(), StatusCode::corrupt);
  server->cli({"DEL", "sluice:cluster"});
  server->cli({"SET", "sluice:logs", "x"});
  EXPECT_EQ(refusal().code(), StatusCode::corrupt);
  EXPECT_TRUE(refusal({{"prefix", std::string("other")}}).ok());
}

TEST_F(RedisRefusals, AnotherClustersStorageIsToldApart) {
  start_server();
  Broker first("redis", {{"address", server->address()}});
  Broker second("redis", {{"address", server->address()}});
  ASSERT_TRUE(first.storage->start());
  ASSERT_TRUE(second.storage->start());
  const std::array<uint8_t, 16> mine{1};
  const std::array<uint8_t, 16> theirs{2};
  EXPECT_EQ(*first.storage->bind(mine), mine);
  EXPECT_EQ(*second.storage->bind(theirs), mine) << "the id that it is tied to";
  first.create();
  const auto refused = second.storage->bind(theirs, true);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), StatusCode::exists);
  ASSERT_TRUE(
      test::wait<Status>(first.loop, [&] { return first.storage->delete_log(Broker::descriptor(1), first.loop); }));
  EXPECT_EQ(*second.storage->bind(theirs, true), theirs);
  EXPECT_EQ(*first.storage->bind(mine), theirs);
}

TEST_F(RedisRefusals, AReplicaIsInvalid) {
  start_server({.lines = {"replicaof 127.0.0.1 1"}});
  const Status status = refusal();
  EXPECT_EQ(status.code(), StatusCode::invalid) << status.describe();
  EXPECT_NE(status.text().find("replica"), std::string::npos);
}

TEST_F(RedisRefusals, ANodeOfAClusterIsInvalid) {
  start_server({.lines = {"cluster-enabled yes"}});
  const Status status = refusal();
  EXPECT_EQ(status.code(), StatusCode::invalid) << status.describe();
  EXPECT_NE(status.text().find("cluster"), std::string::npos);
}

TEST_F(RedisRefusals, TlsIsRefusedBeforeAnythingIsConnected) {
  host::StorageOptions options;
  options.name = "redis";
  options.data_directory = "/tmp";
  options.inputs = {{"tls", true}};
  const char* directory = std::getenv("SLUICE_PLUGIN_DIRECTORY");
  const auto library = *host::Library::load(std::string(directory) + "/libredis.so");
  const auto made = host::Storage::create(library, std::move(options));
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().text.find("hiredis"), std::string::npos) << made.error().text;
}

// What holds is what the server does, and it is said with the setting that would raise it, when it changes.
TEST_F(RedisRefusals, CapabilitiesFollowTheServersSettings) {
  start_server();
  Broker broker("redis", {{"address", server->address()}});
  const auto all = SLUICE_CAP_DURABLE | SLUICE_CAP_POWER_SAFE | SLUICE_CAP_NO_ROLLBACK | SLUICE_CAP_SHARED;
  const auto started = broker.storage->start();
  ASSERT_TRUE(started) << started.error().describe();
  EXPECT_TRUE(started->server.starts_with("redis ") || started->server.starts_with("valkey ")) << started->server;
  if (server->major() < 7) {
    EXPECT_EQ(started->capabilities, SLUICE_CAP_SHARED);
    EXPECT_TRUE(broker.said("7.0 does not"));
    return;
  }
  EXPECT_EQ(started->capabilities, all);
  const auto set = [&](const char* name, const char* value) {
    EXPECT_EQ(server->cli({"CONFIG", "SET", name, value}), "OK");
    return broker.storage->health()->capabilities;
  };
  EXPECT_EQ(set("appendfsync", "everysec"), SLUICE_CAP_SHARED);
  EXPECT_TRUE(broker.said("appendfsync always"));
  EXPECT_EQ(set("appendfsync", "always"), all);
  EXPECT_EQ(set("no-appendfsync-on-rewrite", "yes"), all & ~SLUICE_CAP_POWER_SAFE);
  EXPECT_EQ(set("no-appendfsync-on-rewrite", "no"), all);
  EXPECT_EQ(set("maxmemory-policy", "allkeys-lru"), SLUICE_CAP_SHARED);
  EXPECT_EQ(set("maxmemory-policy", "noeviction"), all);
  EXPECT_EQ(set("appendonly", "no"), SLUICE_CAP_SHARED);
}

// ---- Servers that only a test can be

std::string bulk(const std::string& text) {
  return fmt::format("${}\r\n{}\r\n", text.size(), text);
}

TEST_F(RedisRefusals, AnOldServerIsInvalid) {
  FakeServer old([](const std::vector<std::string>& command) -> std::string {
    if (command[0] == "INFO") return bulk("redis_version:5.0.3\r\nrole:master\r\n");
    if (command[0] == "PING") return "+PONG\r\n";
    return "+OK\r\n";
  });
  const Status status = refusal({{"address", old.address()}});
  EXPECT_EQ(status.code(), StatusCode::invalid) << status.describe();
  EXPECT_NE(status.text().find("5.0.3"), std::string::npos);
}

TEST_F(RedisRefusals, WhatIsNoRedisIsSaidSo) {
  FakeServer other([](const std::vector<std::string>&) { return "HTTP/1.1 400 Bad Request\r\n\r\n"; });
  const Status status = refusal({{"address", other.address()}});
  EXPECT_EQ(status.code(), StatusCode::unavailable) << status.describe();
  EXPECT_NE(status.text().find("not the Redis protocol"), std::string::npos) << status.text();
}

// B21: a server that loads its files is waited for.
TEST_F(RedisRefusals, B21_AServerThatLoadsIsWaitedFor) {
  std::atomic<int> pings{0};
  FakeServer loading([&](const std::vector<std::string>& command) -> std::string {
    if (command[0] == "PING") return ++pings < 6 ? "-LOADING Redis is loading the dataset in memory\r\n" : "+PONG\r\n";
    if (command[0] == "INFO") return bulk("redis_version:7.0.15\r\nrole:master\r\n");
    if (command[0] == "GET") return "$-1\r\n";
    if (command[0] == "SCARD") return ":0\r\n";
    return "+OK\r\n";
  });
  const Status status = refusal({{"address", loading.address()}});
  EXPECT_TRUE(status.ok()) << status.describe();
  EXPECT_GE(pings, 6);
}

// B10: a wrong password is tried once at start, and not again and again.
TEST_F(RedisRefusals, B10_DeniedIsNotTriedAgain) {
  std::atomic<int> logins{0};
  FakeServer strict([&](const std::vector<std::string>& command) -> std::string {
    if (command[0] == "AUTH") {
      ++logins;
      return "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
    }
    return "-NOAUTH Authentication required.\r\n";
  });
  const Status status = refusal({{"address", strict.address()}, {"password", std::string("x")}});
  EXPECT_EQ(status.code(), StatusCode::denied) << status.describe();
  EXPECT_LE(logins, 2) << "one for each connection";
}

}  // namespace
}  // namespace sluice::redis
