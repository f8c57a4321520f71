// SPDX-License-Identifier: Apache-2.0
#include "cluster/commands.hpp"

#include <gtest/gtest.h>

#include <string>

#include "support.hpp"

namespace sluice::cluster {
namespace {

using testing::RandomMetadata;

constexpr size_t kIndexByte = 1;  // after the version

TEST(Commands, EveryOneSurvivesItsBytes) {
  RandomMetadata random(1);
  for (int round = 0; round < 50; ++round) {
    const auto all = random.one_of_each();
    ASSERT_EQ(all.size(), std::variant_size_v<Command>) << "a command is missing in one_of_each()";
    for (size_t i = 0; i < all.size(); ++i) {
      ASSERT_EQ(all[i].index(), i);
      const CommandId id{static_cast<int32_t>(random.below(9)) - 1, random.below(UINT64_MAX), random.below(UINT64_MAX)};
      const std::string bytes = encode(id, all[i]);
      const auto decoded = decode(bytes);
      ASSERT_TRUE(decoded) << i << decoded.error().describe();
      EXPECT_EQ(decoded->first, id);
      ASSERT_EQ(decoded->second.index(), i);
      // All members are in the bytes, so equal bytes are equal commands.
      EXPECT_EQ(encode(id, decoded->second), bytes) << i;
    }
  }
}

TEST(Commands, TopicsComeBackWhole) {
  RandomMetadata random(2);
  for (int round = 0; round < 100; ++round) {
    TopicInfo topic = random.topic();
    topic.deleting = random.chance(30);
    const auto decoded = decode(encode({}, PutTopic{topic}));
    ASSERT_TRUE(decoded);
    EXPECT_EQ(std::get<PutTopic>(decoded->second).topic, topic);
  }
}

TEST(Commands, NumbersOnDiskStay) {
  // A log written by an older broker is read by every later one.
  EXPECT_EQ((encode({}, RegisterBroker{}))[kIndexByte], 0);
  EXPECT_EQ((encode({}, CreateTopic{}))[kIndexByte], 1);
  EXPECT_EQ((encode({}, AddPartitions{}))[kIndexByte], 2);
  EXPECT_EQ((encode({}, MarkReady{}))[kIndexByte], 3);
  EXPECT_EQ((encode({}, DeleteTopic{}))[kIndexByte], 4);
  EXPECT_EQ((encode({}, ForgetTopic{}))[kIndexByte], 5);
  EXPECT_EQ((encode({}, ReplaceExtent{}))[kIndexByte], 6);
  EXPECT_EQ((encode({}, AllocateProducerIds{}))[kIndexByte], 7);
  EXPECT_EQ((encode({}, PutTopic{}))[kIndexByte], 8);
  EXPECT_EQ((encode({}, PutState{}))[kIndexByte], 9);
  EXPECT_EQ((encode({}, PutDeletedLogs{}))[kIndexByte], 10);
  EXPECT_EQ((encode({}, RaiseLeaderEpoch{}))[kIndexByte], 11);
  EXPECT_EQ((encode({}, AlterTopic{}))[kIndexByte], 12);
  EXPECT_EQ((encode({}, RecordNext{}))[kIndexByte], 13);
  EXPECT_EQ((encode({}, SwitchExtent{}))[kIndexByte], 14);
  EXPECT_EQ((encode({}, RecordCopy{}))[kIndexByte], 15);
  EXPECT_EQ((encode({}, NameCopy{}))[kIndexByte], 16);
  EXPECT_EQ((encode({}, DropExtent{}))[kIndexByte], 17);
  EXPECT_EQ((encode({}, ForgetLogs{}))[kIndexByte], 18);
  EXPECT_EQ((encode({}, FinishMigration{}))[kIndexByte], 19);
  const std::string expected("\x01\x04\0\0\0\x07\0\0\0\0\0\0\0\x08\0\0\0\0\0\0\0\x09", 22);
  EXPECT_EQ(encode({7, 8, 9}, DeleteTopic{}), expected + std::string(16, '\0'));
}

TEST(Commands, TopicsAreWrittenForTheOldestBrokerThatUnderstandsThem) {
  TopicInfo topic;
  topic.name = "t";
  topic.partitions.push_back({1, 2, {{"disk", {}, 3, -1}}});
  const auto version = [](const TopicInfo& t) { return static_cast<int>(encode({}, PutTopic{t})[0]); };
  EXPECT_EQ(version(topic), 1);
  // As it was written before there were migrations.
  const std::string before = encode({}, CreateTopic{topic});
  const std::string expected = std::string("\1\1", 2) + std::string(20, '\0') + std::string(16, '\0') +
                               std::string("\0\0\0\1t\0\0\0\0\0\0", 11) + std::string(12, '\0') +
                               std::string("\0\0\0\1\0\0\0\1\0\0\0\2\0\0\0\1\0\0\0\4" "disk", 24) + std::string(16, '\0') +
                               std::string("\0\0\0\0\0\0\0\3\xff\xff\xff\xff\xff\xff\xff\xff", 16);
  EXPECT_EQ(before, expected);
  TopicInfo other = topic;
  other.migration = Migration{"disk", "memory"};
  EXPECT_EQ(version(other), 2);
  other = topic;
  other.partitions[0].next = Extent{"memory", {}, 0, -1};
  EXPECT_EQ(version(other), 2);
  other = topic;
  other.partitions[0].copy = ExtentCopy{};
  EXPECT_EQ(version(other), 2);
  other = topic;
  other.partitions[0].dropped.push_back({});
  EXPECT_EQ(version(other), 2);
  other = topic;
  other.partitions[0].extents.push_back({});
  EXPECT_EQ(version(other), 2) << "who read the last extent alone would hide the records of the first";
}

TEST(Commands, AreRefusedAtEveryOtherLength) {
  RandomMetadata random(3);
  for (const Command& command : random.one_of_each()) {
    const std::string bytes = encode({1, 2, 3}, command);
    for (size_t length = 0; length < bytes.size(); ++length) {
      const auto decoded = decode(std::string_view(bytes).substr(0, length));
      ASSERT_FALSE(decoded) << command.index() << " cut to " << length;
      EXPECT_EQ(decoded.error().code(), StatusCode::corrupt);
    }
    EXPECT_EQ(decode(bytes + '\0').error().code(), StatusCode::corrupt) << command.index();
  }
}

TEST(Commands, OfANewerBrokerAreNotUnderstood) {
  std::string bytes = encode({1, 2, 3}, DeleteTopic{});
  for (int index = std::variant_size_v<Command>; index <= 255; ++index) {
    bytes[kIndexByte] = static_cast<char>(index);
    EXPECT_EQ(decode(bytes).error().code(), StatusCode::unsupported) << index;
  }
  bytes = encode({1, 2, 3}, DeleteTopic{});
  bytes[0] = 2;
  EXPECT_EQ(decode(bytes).error().code(), StatusCode::unsupported);
}

TEST(Commands, HostileBytesCostNothing) {
  RandomMetadata random(4);
  for (int round = 0; round < 2'000; ++round) {
    for (const Command& command : random.one_of_each()) {
      std::string bytes = encode({1, 2, 3}, command);
      for (uint64_t i = 0; i <= random.below(3); ++i) {
        bytes[random.below(bytes.size())] = static_cast<char>(random.chance(50) ? 0xff : random.below(256));
      }
      // Either it is one, whatever it says, or it is refused; counts never cost more than the bytes that are there.
      const auto decoded = decode(bytes);
      if (decoded) {
        EXPECT_TRUE(decode(encode(decoded->first, decoded->second)));
      }
    }
  }
}

}  // namespace
}  // namespace sluice::cluster
