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
  const std::string expected("\x01\x04\0\0\0\x07\0\0\0\0\0\0\0\x08\0\0\0\0\0\0\0\x09", 22);
  EXPECT_EQ(encode({7, 8, 9}, DeleteTopic{}), expected + std::string(16, '\0'));
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
