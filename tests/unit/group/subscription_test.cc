// SPDX-License-Identifier: Apache-2.0
#include "group/subscription.hpp"

#include "support.hpp"

namespace sluice::group {
namespace {

TEST(SubscriptionTest, TopicsAreRead) {
  using Topics = std::vector<std::string>;
  EXPECT_EQ(subscribed_topics(testing::subscription({})), Topics{});
  EXPECT_EQ(subscribed_topics(testing::subscription({"a", "", "long.name"})), (Topics{"a", "", "long.name"}));
}

TEST(SubscriptionTest, AnythingElseIsNothing) {
  EXPECT_FALSE(subscribed_topics(""));
  EXPECT_FALSE(subscribed_topics(std::string("\0\0", 2)));
  EXPECT_FALSE(subscribed_topics(std::string("\xff\xff\0\0\0\0", 6))) << "negative version";
  EXPECT_FALSE(subscribed_topics(std::string("\0\0\x7f\xff\xff\xff", 6))) << "more topics than bytes";
  EXPECT_FALSE(subscribed_topics(std::string("\0\0\0\0\0\1\xff\xff", 8))) << "negative length";
  EXPECT_FALSE(subscribed_topics(std::string("\0\0\0\0\0\1\0\5ab", 10))) << "cut name";
}

}  // namespace
}  // namespace sluice::group
