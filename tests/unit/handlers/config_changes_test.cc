// SPDX-License-Identifier: Apache-2.0
#include "handlers/config_changes.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::handlers {
namespace {

using cluster::Configs;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

constexpr auto kSet = ConfigOperation::set;
constexpr auto kRemove = ConfigOperation::remove;
constexpr auto kAppend = ConfigOperation::append;
constexpr auto kSubtract = ConfigOperation::subtract;

Configs apply(const std::vector<ConfigOperationOn>& changes, const Configs& present = {}, const Configs& defaults = {}) {
  auto result = apply_changes(changes, present, defaults);
  EXPECT_TRUE(result) << result.error().text;
  return result.value_or(Configs());
}

TEST(ConfigChanges, WhatIsNotNamedStays) {
  const Configs present = {{"retention.ms", "1"}, {"segment.ms", "2"}};
  EXPECT_THAT(apply({{"retention.ms", kSet, "5"}, {"max.message.bytes", kSet, "9"}}, present),
              UnorderedElementsAre(Pair("retention.ms", "5"), Pair("segment.ms", "2"), Pair("max.message.bytes", "9")));
  EXPECT_THAT(apply({{"retention.ms", kRemove, ""}}, present), UnorderedElementsAre(Pair("segment.ms", "2")));
  EXPECT_EQ(apply({{"flush.ms", kRemove, ""}, {"no.such", kRemove, ""}}, present), present);
  EXPECT_EQ(apply({}, present), present);
}

TEST(ConfigChanges, ListsGrowAndShrink) {
  const std::string name = "follower.replication.throttled.replicas";
  Configs configs = apply({{name, kAppend, "0:1,1:2"}});
  EXPECT_THAT(configs, UnorderedElementsAre(Pair(name, "0:1,1:2")));
  configs = apply({{name, kAppend, "1:2,2:3"}}, configs);
  EXPECT_THAT(configs, UnorderedElementsAre(Pair(name, "0:1,1:2,2:3")));
  configs = apply({{name, kSubtract, "0:1,7:7"}}, configs);
  EXPECT_THAT(configs, UnorderedElementsAre(Pair(name, "1:2,2:3")));
  // The list in force by default is what is added to.
  EXPECT_THAT(apply({{"cleanup.policy", kAppend, "compact"}}), UnorderedElementsAre(Pair("cleanup.policy", "delete,compact")));
  EXPECT_THAT(apply({{"cleanup.policy", kAppend, "x"}}, {}, {{"log.cleanup.policy", "y"}}),
              UnorderedElementsAre(Pair("cleanup.policy", "y,x")));
  EXPECT_THAT(apply({{"cleanup.policy", kSubtract, "delete"}}), UnorderedElementsAre(Pair("cleanup.policy", "")));
}

TEST(ConfigChanges, OnlyListsDo) {
  for (const auto operation : {kAppend, kSubtract}) {
    const auto number = apply_changes({{"retention.ms", operation, "1"}}, {}, {});
    ASSERT_FALSE(number);
    EXPECT_EQ(number.error().code, ErrorCode::kInvalidConfig);
    const auto unknown = apply_changes({{"no.such", operation, "1"}}, {}, {});
    ASSERT_FALSE(unknown);
    EXPECT_EQ(unknown.error().code, ErrorCode::kInvalidConfig);
  }
}

}  // namespace
}  // namespace sluice::handlers
