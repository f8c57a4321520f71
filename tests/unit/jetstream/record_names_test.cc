// SPDX-License-Identifier: Apache-2.0
#include "jetstream/record_names.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace sluice::jetstream {
namespace {

TEST(RecordNamesTest, StreamsAndSubjectsOfTopics) {
  EXPECT_EQ(topic_stream("events.clicks", 0), "events_clicks");
  EXPECT_EQ(topic_stream("events.clicks", 2), "events_clicks-2");
  EXPECT_EQ(topic_subject("events.clicks", 0), "events.clicks");
  EXPECT_EQ(topic_subject("events.clicks", 2), "events.clicks.2");
  for (const char* good : {"a", "a.b", "a-b_c"}) EXPECT_TRUE(can_be_subject(good)) << good;
  for (const char* bad : {"", ".", "a.", ".a", "a..b"}) EXPECT_FALSE(can_be_subject(bad)) << bad;
}

TEST(RecordNamesTest, WhereRecordsGo) {
  const auto subject = [](std::vector<std::string> subjects) {
    return own_subject(nlohmann::json{{"subjects", std::move(subjects)}});
  };
  EXPECT_EQ(subject({"orders"}), "orders");
  EXPECT_EQ(subject({"orders.new", "orders.old"}), "orders.new");
  EXPECT_EQ(subject({"orders.>"}), "orders.kafka");
  EXPECT_EQ(subject({"orders.*.eu.*"}), "orders.kafka.eu.kafka");
  EXPECT_EQ(subject({">"}), "kafka");
  EXPECT_EQ(own_subject(nlohmann::json{{"mirror", {{"name", "A"}}}}), "");
  EXPECT_EQ(subject({}), "");
}

TEST(RecordNamesTest, WhoFillsAStreamThatNobodyPublishesTo) {
  using nlohmann::json;
  EXPECT_EQ(origin_of(json::parse(R"({"mirror": {"name": "A"}})")), "mirrors A");
  EXPECT_EQ(origin_of(json::parse(R"({"sources": [{"name": "A"}, {"name": "B"}]})")), "gathers from A, B");
  EXPECT_EQ(origin_of(json::parse(R"({"mirror": {"name": 7}})")), "mirrors another");
  EXPECT_EQ(origin_of(json::parse(R"({"mirror": null, "sources": "x"})")), "is filled by nobody");
}

TEST(RecordNamesTest, Markers) {
  Marker marker{"ORDERS", "ORDERS", {}, 0, true};
  marker.id.bytes[3] = 7;
  const std::string text = encode_marker(marker);
  EXPECT_EQ(parse_marker(as_bytes(text)), marker);
  EXPECT_EQ(parse_marker({}), std::nullopt);
  EXPECT_EQ(parse_marker(as_bytes("{}")), std::nullopt);
  EXPECT_EQ(marker_subject("sluice", "A-b"), "sluice.native.412d62");
}

}  // namespace
}  // namespace sluice::jetstream
