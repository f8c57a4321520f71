// SPDX-License-Identifier: Apache-2.0
#include "jetstream/stream_config.hpp"

#include <gtest/gtest.h>

namespace sluice::jetstream {
namespace {

Settings settings() {
  Settings made;
  made.prefix = "p";
  return made;
}

TEST(JetstreamStreamConfig, NothingIsEverThrownAway) {
  const auto config = log_config(settings(), Uuid(), "orders", 3);
  EXPECT_EQ(config["discard"], "new");
  EXPECT_EQ(config["retention"], "limits");
  EXPECT_EQ(config["max_age"], 0);
  EXPECT_EQ(config["max_msgs"], -1);
  EXPECT_EQ(config["max_msgs_per_subject"], -1);
}

TEST(JetstreamStreamConfig, ABoundedLogHasAReserve) {
  Settings bounded = settings();
  bounded.max_bytes = 1 << 20;
  EXPECT_EQ(log_config(bounded, Uuid(), "orders", 3)["max_bytes"], (1 << 20) + kReserveBytes);
}

TEST(JetstreamStreamConfig, DifferencesAreNamedWithBothValues) {
  const auto wanted = log_config(settings(), Uuid(), "orders", 3);
  auto actual = wanted;
  EXPECT_EQ(config_difference(wanted, actual), "");
  actual["description"] = "another";
  actual["duplicate_window"] = 5;
  EXPECT_EQ(config_difference(wanted, actual), "") << "what was not asked for does not matter";
  actual["num_replicas"] = 3;
  actual["storage"] = "memory";
  EXPECT_EQ(config_difference(wanted, actual), "num_replicas is 3, wanted 1; storage is \"memory\", wanted \"file\"");
  actual = wanted;
  actual.erase("sealed");
  EXPECT_EQ(config_difference(wanted, actual), "") << "servers leave out what is not set";
  actual.erase("allow_direct");
  EXPECT_EQ(config_difference(wanted, actual), "allow_direct is absent, wanted true");
}

TEST(JetstreamStreamConfig, AStreamThatOthersFillIsNoLog) {
  const auto wanted = log_config(settings(), Uuid(), "orders", 3);
  auto actual = wanted;
  actual["mirror"] = {{"name", "A"}};
  EXPECT_EQ(config_difference(needed_shape(wanted), actual), R"(mirror is {"name":"A"}, wanted none)");
  actual["mirror"] = nullptr;
  actual["sources"] = nlohmann::json::array();
  EXPECT_EQ(config_difference(wanted, actual), "") << "servers may say that there are none";
  actual["sources"] = nlohmann::json::parse(R"([{"name":"B"}])");
  EXPECT_EQ(config_difference(wanted, actual), R"(sources is [{"name":"B"}], wanted none)");
}

TEST(JetstreamStreamConfig, OnlyTheNeededShapeIsAskedOfALogThatIsThere) {
  const auto needed = needed_shape(log_config(settings(), Uuid(), "orders", 3));
  EXPECT_FALSE(needed.contains("num_replicas"));
  EXPECT_FALSE(needed.contains("storage"));
  EXPECT_TRUE(needed.contains("discard"));
  EXPECT_TRUE(needed.contains("subjects"));
}

}  // namespace
}  // namespace sluice::jetstream
