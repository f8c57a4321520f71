// SPDX-License-Identifier: Apache-2.0
#include "redis/classify.hpp"

#include <gtest/gtest.h>

#include <string>

namespace sluice::redis {
namespace {

struct Case {
  const char* error;  // as servers say it
  StatusCode code;
  Remedy remedy = Remedy::none;
};

class RedisErrors : public ::testing::TestWithParam<Case> {};

TEST_P(RedisErrors, HaveAStatusAndARemedy) {
  const Case& expected = GetParam();
  const Status status = status_of(expected.error);
  EXPECT_EQ(status.code(), expected.code) << expected.error;
  EXPECT_EQ(rule_for(expected.error).remedy, expected.remedy) << expected.error;
  EXPECT_NE(status.text().find(expected.error), std::string::npos) << "the server's own words stay";
}

INSTANTIATE_TEST_SUITE_P(
    All, RedisErrors,
    ::testing::Values(
        Case{"OOM command not allowed when used memory > 'maxmemory'.", StatusCode::no_space},
        Case{"MISCONF Errors writing to the AOF file: No space left on device", StatusCode::no_space},
        Case{"MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
             StatusCode::internal},
        Case{"READONLY You can't write against a read only replica.", StatusCode::unavailable, Remedy::reconnect},
        Case{"LOADING Redis is loading the dataset in memory", StatusCode::unavailable},
        Case{"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
             StatusCode::unavailable, Remedy::reconnect},
        Case{"NOREPLICAS Not enough good replicas to write.", StatusCode::unavailable},
        Case{"NOAUTH Authentication required.", StatusCode::denied},
        Case{"WRONGPASS invalid username-password pair or user is disabled.", StatusCode::denied},
        Case{"NOPERM this user has no permissions to run the 'xadd' command", StatusCode::denied},
        Case{"DENIED Redis is running in protected mode because protected mode is enabled", StatusCode::denied},
        // A script's commands as 7.0.15 says it, and Valkey 9.1.2.
        Case{"ERR The user executing the script can't run this command or subcommand script: 3631281, on "
             "@user_script:1.",
             StatusCode::denied},
        Case{"ERR The user executing the script can't access at least one of the keys mentioned in the command "
             "arguments script: d7faeb2, on @user_script:1.",
             StatusCode::denied},
        Case{"ERR ACL failure in script: User u has no permissions to run the 'rename' command script: on "
             "@user_script:1.",
             StatusCode::denied},
        Case{"ERR AUTH <password> called without any password configured for the default user. Are you sure your "
             "configuration is correct?",
             StatusCode::denied},
        Case{"ERR invalid password", StatusCode::denied},
        Case{"MOVED 3999 127.0.0.1:6381", StatusCode::unavailable, Remedy::follow_moved},
        Case{"ASK 3999 127.0.0.1:6381", StatusCode::unavailable, Remedy::follow_ask},
        Case{"TRYAGAIN Multiple keys request during rehashing of slot", StatusCode::unavailable},
        Case{"CLUSTERDOWN The cluster is down", StatusCode::unavailable},
        Case{"CROSSSLOT Keys in request don't hash to the same slot", StatusCode::internal},
        Case{"BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
             StatusCode::busy},
        Case{"BUSYGROUP Consumer Group name already exists", StatusCode::corrupt},
        Case{"BUSYKEY Target key name already exists.", StatusCode::internal},
        Case{"UNKILLABLE Sorry the script already executed write commands", StatusCode::busy},
        Case{"NOSCRIPT No matching script. Please use EVAL.", StatusCode::unavailable, Remedy::load_scripts},
        Case{"EXECABORT Transaction discarded because of previous errors.", StatusCode::unavailable},
        Case{"WRONGTYPE Operation against a key holding the wrong kind of value", StatusCode::corrupt},
        Case{"NOGOODSLAVE No suitable replica to promote", StatusCode::unavailable},
        Case{"IOERR error or timeout reading to target instance", StatusCode::unavailable},
        Case{"ERR max number of clients reached", StatusCode::unavailable},
        Case{"ERR DB index is out of range", StatusCode::invalid},
        Case{"ERR SELECT is not allowed in cluster mode", StatusCode::invalid},
        Case{"ERR No such master with that name", StatusCode::invalid},
        Case{"ERR This instance has cluster support disabled", StatusCode::invalid},
        Case{"ERR unknown command 'XADD', with args beginning with: 'key'", StatusCode::invalid},
        Case{"ERR unknown subcommand 'SETID'. Try XGROUP HELP.", StatusCode::invalid},
        Case{"ERR syntax error", StatusCode::invalid},
        Case{"ERR Protocol error: invalid multibulk length", StatusCode::internal, Remedy::reconnect},
        Case{"EXECABORT Transaction discarded because of: OOM command not allowed when used memory > 'maxmemory'.",
             StatusCode::no_space},
        Case{"ERR something that no version has said yet", StatusCode::internal},
        Case{"NEWWORD of a later version", StatusCode::internal}));

// As 6.2.14 says it.
std::string wrapped(const std::string& said) {
  return "ERR Error running script (call to f_8781e39715d0b3c823b1e16b97457efe21d7d566): @user_script:31: " + said;
}

TEST(RedisClassify, WhatAScriptOf62MetIsClassifiedByItself) {
  const auto meets = [](const std::string& said, StatusCode code, Remedy remedy = Remedy::none) {
    const Status status = status_of(wrapped(said));
    EXPECT_EQ(status.code(), code) << said;
    EXPECT_EQ(rule_for(wrapped(said)).remedy, remedy) << said;
    EXPECT_NE(status.text().find(wrapped(said)), std::string::npos) << "the server's own words stay";
  };
  meets("@user_script: 31: -OOM command not allowed when used memory > 'maxmemory'.", StatusCode::no_space);
  meets("@user_script: 31: -READONLY You can't write against a read only replica.", StatusCode::unavailable,
        Remedy::reconnect);
  meets("@user_script: 31: -NOREPLICAS Not enough good replicas to write.", StatusCode::unavailable);
  meets("@user_script: 31: -MISCONF Errors writing to the AOF file: No space left on device", StatusCode::no_space);
  meets("@user_script: 31: The user executing the script can't run this command or subcommand", StatusCode::denied);
  meets(
      "@user_script: 31: The user executing the script can't access at least one of the keys mentioned in the "
      "command arguments",
      StatusCode::denied);
  meets("WRONGTYPE Operation against a key holding the wrong kind of value", StatusCode::corrupt);
  meets("attempt to index a nil value", StatusCode::internal);
  meets("", StatusCode::internal);
  EXPECT_EQ(status_of("ERR Error running script (call to f_0").code(), StatusCode::internal);
  EXPECT_EQ(status_of("ERR Error running script (call to f_0): @user_script:OOM x").code(), StatusCode::internal);
  EXPECT_TRUE(
      is_id_refused(wrapped("ERR The ID specified in XADD is equal or smaller than the target stream top item")));
}

TEST(RedisClassify, AnEmptyErrorIsAnErrorToo) {
  EXPECT_EQ(status_of("").code(), StatusCode::internal);
}

// What is refused for good is never retried, what will pass says when.
TEST(RedisClassify, B21_RetryAdviceFollowsTheClass) {
  for (const char* soon : {"LOADING x", "BUSY x", "TRYAGAIN x", "CLUSTERDOWN x", "READONLY x"}) {
    EXPECT_GT(status_of(soon).retry_after_ms(), 0) << soon;
  }
  for (const char* never : {"NOAUTH x", "OOM x", "WRONGTYPE x", "ERR unknown command"}) {
    EXPECT_EQ(status_of(never).retry_after_ms(), 0) << never;
  }
}

TEST(RedisClassify, RefusedIds) {
  EXPECT_TRUE(is_id_refused("ERR The ID specified in XADD is equal or smaller than the target stream top item"));
  EXPECT_TRUE(is_id_refused("ERR The ID specified in XADD must be greater than 0-0"));
  EXPECT_FALSE(is_id_refused("ERR syntax error"));
}

TEST(RedisClassify, Redirects) {
  const Redirect moved = parse_redirect("MOVED 3999 127.0.0.1:6381");
  EXPECT_EQ(moved.slot, 3999);
  EXPECT_EQ(moved.address, "127.0.0.1:6381");
  EXPECT_EQ(parse_redirect("ASK 0 :7000").address, ":7000");
  for (const char* wrong : {"", "MOVED", "MOVED 3999", "MOVED x 127.0.0.1:1", "MOVED 16384 a:1", "MOVED -1 a:1"}) {
    EXPECT_TRUE(parse_redirect(wrong).address.empty()) << wrong;
  }
}

}  // namespace
}  // namespace sluice::redis
