// SPDX-License-Identifier: Apache-2.0
#include "group/records.hpp"

#include <random>

#include "support.hpp"

namespace sluice::group {
namespace {

using testing::topic_id;

std::vector<Record> samples() {
  GroupRecord group{"g", 7, "consumer", "range", "m1", 1'600'000'000'000, {}};
  group.members.push_back(
      {"m1", "i1", "client", "/10.0.0.1", 10'000, 300'000, {{"range", std::string("\0x", 2)}}, "a"});
  group.members.push_back({"m2", std::nullopt, "", "", 6'000, 1, {{"range", ""}, {"sticky", "s"}}, ""});
  OffsetsRecord offsets{"g", {}};
  offsets.topics.push_back(
      {{"orders", topic_id(3)}, {{0, {5, 1, "note", 1'000, kNoExpireTime}}, {9, {1LL << 60, -1, "", 999, 2'000}}}});
  offsets.topics.push_back({{"returns", kNoTopicId}, {{1, {0, 0, "", -1, 0}}}});
  return {group,
          GroupRecord{"", 0, std::nullopt, std::nullopt, std::nullopt, -1, {}},
          GroupDeletedRecord{"g"},
          offsets,
          OffsetsDeletedRecord{"g", {{{"orders", topic_id(3)}, {0, 1, 2'000'000'000}}}},
          TopicDeletedRecord{{"orders", topic_id(3)}}};
}

TEST(RecordsTest, WhatIsWrittenIsRead) {
  for (const Record& record : samples()) {
    const Result<Record> read = decode(encode(record));
    ASSERT_TRUE(read) << read.error().describe();
    EXPECT_EQ(*read, record);
  }
}

TEST(RecordsTest, UnknownKindsAndVersionsAreErrors) {
  std::string bytes = encode(GroupDeletedRecord{"g"});
  bytes[1] = 1;
  EXPECT_EQ(decode(bytes).error().code(), StatusCode::unsupported);
  bytes[1] = 0;
  bytes[0] = 99;
  EXPECT_EQ(decode(bytes).error().code(), StatusCode::unsupported);
  EXPECT_EQ(decode("").error().code(), StatusCode::corrupt);
}

TEST(RecordsTest, CutOrLengthenedRecordsAreErrors) {
  for (const Record& record : samples()) {
    const std::string bytes = encode(record);
    for (size_t size = 0; size < bytes.size(); ++size) EXPECT_FALSE(decode(bytes.substr(0, size))) << size;
    EXPECT_FALSE(decode(bytes + '\0'));
  }
}

TEST(RecordsTest, DamagedRecordsNeverDoMoreThanFail) {
  std::mt19937 random(42);
  for (const Record& record : samples()) {
    for (int round = 0; round < 500; ++round) {
      std::string bytes = encode(record);
      for (int flips = 0; flips < 3; ++flips) bytes[random() % bytes.size()] = static_cast<char>(random());
      static_cast<void>(decode(bytes));
    }
  }
}

}  // namespace
}  // namespace sluice::group
