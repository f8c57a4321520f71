// SPDX-License-Identifier: Apache-2.0
#include "redis/probe.hpp"

#include <gtest/gtest.h>

namespace sluice::redis {
namespace {

constexpr uint64_t kAll = SLUICE_CAP_DURABLE | SLUICE_CAP_POWER_SAFE | SLUICE_CAP_NO_ROLLBACK | SLUICE_CAP_SHARED;

Facts best() {
  Facts facts;
  read_info(
      "# Server\r\nredis_version:7.0.15\r\n# Persistence\r\naof_enabled:1\r\nrole:master\r\n"
      "connected_slaves:0\r\ncluster_enabled:0\r\n",
      facts);
  facts.appendfsync = "always";
  facts.no_fsync_on_rewrite = "no";
  facts.eviction = "noeviction";
  facts.largest_argument = 536'870'912;
  facts.load_truncated = "yes";
  return facts;
}

Settings settings_of(Mode mode, Layout layout = Layout::log) {
  Settings settings;
  settings.mode = mode;
  settings.layout = layout;
  return settings;
}

TEST(RedisProbe, ReadsInfo) {
  const Facts facts = best();
  EXPECT_EQ(facts.version, "redis 7.0.15");
  EXPECT_EQ(facts.major, 7);
  EXPECT_EQ(facts.minor, 0);
  EXPECT_TRUE(facts.aof);
  EXPECT_FALSE(facts.is_replica);
  EXPECT_EQ(info_field("xrole:slave\r\nrole:master", "role"), "master") << "whole names only";
  EXPECT_EQ(info_field("role", "role"), "");
  EXPECT_EQ(info_field("", "role"), "");
  Facts valkey;
  read_info("redis_version:7.2.4\nvalkey_version:8.0.1\n", valkey);
  EXPECT_EQ(valkey.version, "valkey 8.0.1");
  Facts garbage;
  read_info("redis_version:nonsense", garbage);
  EXPECT_EQ(garbage.major, 0);
}

TEST(RedisProbe, EverythingHoldsOnADurableServerAlone) {
  const plugin::Condition condition = judge(best(), settings_of(Mode::standalone));
  EXPECT_EQ(condition.capabilities, kAll);
  EXPECT_EQ(condition.advice, "");
  EXPECT_EQ(condition.largest_unit, kLargestUnitBytes);
  EXPECT_EQ(condition.kind, SLUICE_KIND_LOG);
}

TEST(RedisProbe, EachSettingCostsWhatItProvides) {
  const auto expect = [](const Facts& facts, Mode mode, uint64_t capabilities, const char* advice) {
    const plugin::Condition condition = judge(facts, settings_of(mode));
    EXPECT_EQ(condition.capabilities, capabilities) << advice;
    EXPECT_NE(condition.advice.find(advice), std::string::npos) << condition.advice;
    EXPECT_LT(condition.advice.size(), sizeof sluice_condition{}.advice);
  };
  Facts facts = best();
  facts.aof = false;
  expect(facts, Mode::standalone, SLUICE_CAP_SHARED, "appendonly yes");
  facts = best();
  facts.appendfsync = "everysec";
  expect(facts, Mode::standalone, SLUICE_CAP_SHARED, "appendfsync always");
  facts = best();
  facts.eviction = "allkeys-lru";
  expect(facts, Mode::standalone, SLUICE_CAP_SHARED, "noeviction");
  facts = best();
  facts.appendfsync.reset();
  expect(facts, Mode::standalone, SLUICE_CAP_SHARED, "CONFIG GET");
  facts = best();
  facts.no_fsync_on_rewrite = "yes";
  expect(facts, Mode::standalone, kAll & ~SLUICE_CAP_POWER_SAFE, "no-appendfsync-on-rewrite no");
  facts = best();
  facts.replicas = 1;
  expect(facts, Mode::standalone, kAll & ~SLUICE_CAP_NO_ROLLBACK, "failover");
  expect(best(), Mode::sentinel, kAll & ~SLUICE_CAP_NO_ROLLBACK, "failover");
  expect(best(), Mode::cluster, kAll & ~SLUICE_CAP_NO_ROLLBACK, "failover");
  Settings several;
  several.addresses.resize(2);
  EXPECT_EQ(judge(best(), several).capabilities, kAll & ~SLUICE_CAP_NO_ROLLBACK);
  several.addresses.resize(1);
  EXPECT_EQ(judge(best(), several).capabilities, kAll);
}

// Before 7.0 every script's writes are a transaction.
TEST(RedisProbe, AnOlderServerPromisesNothing) {
  Facts facts = best();
  read_info("redis_version:6.2.14\naof_enabled:1", facts);
  const plugin::Condition old = judge(facts, settings_of(Mode::standalone));
  EXPECT_EQ(old.capabilities, SLUICE_CAP_SHARED);
  EXPECT_NE(old.advice.find("redis 6.2.14"), std::string::npos) << old.advice;
  EXPECT_NE(old.advice.find("7.0"), std::string::npos) << old.advice;
  EXPECT_LT(old.advice.size(), sizeof sluice_condition{}.advice);
}

// Several records are a transaction, of which a server that is killed may keep half.
TEST(RedisProbe, RecordsAreWholeWhereHalfAFileIsRefused) {
  const Settings settings = settings_of(Mode::standalone, Layout::record);
  Facts facts = best();
  for (const auto& told : {std::optional<std::string>("yes"), std::optional<std::string>()}) {
    facts.load_truncated = told;
    const plugin::Condition halves = judge(facts, settings);
    EXPECT_EQ(halves.kind, SLUICE_KIND_NATIVE);
    EXPECT_EQ(halves.capabilities, SLUICE_CAP_SHARED);
    EXPECT_NE(halves.advice.find("aof-load-truncated no"), std::string::npos) << halves.advice;
    EXPECT_LT(halves.advice.size(), sizeof sluice_condition{}.advice);
  }
  facts.load_truncated = "no";
  EXPECT_EQ(judge(facts, settings).capabilities, kAll | SLUICE_CAP_ATOMIC);
  EXPECT_EQ(judge(facts, settings).advice, "");
  facts.appendfsync = "everysec";
  EXPECT_EQ(judge(facts, settings).capabilities, SLUICE_CAP_SHARED | SLUICE_CAP_ATOMIC);
}

TEST(RedisProbe, TheServersLimitIsOurs) {
  Facts facts = best();
  facts.largest_argument = 1'048'576;
  EXPECT_EQ(judge(facts, settings_of(Mode::standalone)).largest_unit, 1'048'576u);
}

TEST(RedisProbe, WhatCannotBeUsedIsRefused) {
  Settings settings;
  EXPECT_TRUE(refuse(best(), settings).ok());
  Facts old = best();
  read_info("redis_version:6.0.16", old);
  EXPECT_EQ(refuse(old, settings).code(), StatusCode::invalid);
  EXPECT_NE(refuse(old, settings).text().find("6.0.16"), std::string::npos);
  Facts replica = best();
  replica.is_replica = true;
  EXPECT_EQ(refuse(replica, settings).code(), StatusCode::invalid);
  Facts node = best();
  node.is_cluster = true;
  EXPECT_EQ(refuse(node, settings).code(), StatusCode::invalid);
  settings.mode = Mode::cluster;
  EXPECT_TRUE(refuse(node, settings).ok());
  EXPECT_EQ(refuse(best(), settings).code(), StatusCode::invalid);
}

TEST(RedisProbe, SeveralServersPromiseWhatTheWeakestDoes) {
  Facts lax = best();
  lax.appendfsync = "everysec";
  lax.largest_argument = 1'048'576;
  const plugin::Condition both =
      weaker(judge(best(), settings_of(Mode::cluster)), judge(lax, settings_of(Mode::cluster)));
  EXPECT_EQ(both.capabilities, SLUICE_CAP_SHARED);
  EXPECT_EQ(both.largest_unit, 1'048'576u);
  EXPECT_NE(both.advice.find("appendfsync always"), std::string::npos);
}

}  // namespace
}  // namespace sluice::redis
