// SPDX-License-Identifier: Apache-2.0
#include "jetstream/entry.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "jetstream/names.hpp"

namespace sluice::jetstream {
namespace {

TEST(JetstreamEntry, RoundTripOfEveryType) {
  Entry entry;
  entry.type = EntryType::unit;
  entry.base = 7;
  entry.end = std::numeric_limits<int64_t>::max();
  entry.start = 3;
  entry.newest = -1;
  entry.greatest = std::numeric_limits<int64_t>::max();
  entry.token = std::numeric_limits<uint64_t>::max();
  EXPECT_EQ(parse_entry(encode_entry(entry)), entry);
  entry.parts = kMostMessagesOfUnit - 1;
  EXPECT_EQ(parse_entry(encode_entry(entry)), entry);
  EXPECT_LT(encode_entry(entry).size() + 200, kHeaderAllowanceBytes) << "the protocol's own headers need room too";
  for (const EntryType type :
       {EntryType::create, EntryType::trim, EntryType::value, EntryType::seal, EntryType::part}) {
    Entry other;
    other.type = type;
    other.end = 9;
    other.start = 4;
    other.token = 5;
    EXPECT_EQ(parse_entry(encode_entry(other)), other) << entry_type_name(type);
  }
  Entry fence;
  fence.type = EntryType::fence;
  fence.token = 1;
  EXPECT_EQ(parse_entry(encode_entry(fence)), fence);
}

TEST(JetstreamEntry, WhatIsNotOursIsNotTaken) {
  for (const char* text :
       {"", "1", "2 fence token=1", "1 fence", "1 fence token=", "1 fence token=-1", "1 fence token=1x",
        "1 other token=1", "1 unit base=0 end=1 start=0 newest=1 greatest=1",
        "1 unit base=1 end=1 start=0 newest=1 greatest=1 token=0", "1 trim end=1 start=2 greatest=0 token=0",
        "1 trim end=99999999999999999999 start=2 greatest=0 token=0", "1 fence token 1", "hello",
        "1 unit base=0 end=1 start=0 newest=1 greatest=1 token=0 parts=16"}) {
    EXPECT_FALSE(parse_entry(text)) << text;
  }
}

TEST(JetstreamEntry, UnknownKeysArePassedOver) {
  EXPECT_TRUE(parse_entry("1 fence later=x token=4"));
}

TEST(JetstreamNames, StreamsOfLogs) {
  Uuid id;
  for (size_t i = 0; i < id.bytes.size(); ++i) id.bytes[i] = static_cast<uint8_t>(i * 16 + i);
  const std::string stream = log_stream("my-prefix", id);
  EXPECT_EQ(stream, "my-prefix-00112233445566778899aabbccddeeff");
  EXPECT_EQ(parse_log_stream("my-prefix", stream), id);
  EXPECT_FALSE(parse_log_stream("my", stream));
  EXPECT_FALSE(parse_log_stream("my-prefix", stream + "0"));
  EXPECT_FALSE(parse_log_stream("my-prefix", "my-prefix-0011223344556677_899aabbccddeef"));
  EXPECT_EQ(log_subject("p", id), "p.log.00112233445566778899aabbccddeeff");
}

TEST(JetstreamNames, AnyBytesBecomeOneToken) {
  EXPECT_EQ(hex(std::string_view("a.*> \0", 6)), "612e2a3e2000");
}

TEST(JetstreamNames, DescriptionsGiveBackTopicAndPartition) {
  for (const char* topic : {"orders", "", "a of b", "Sluice log: partition 3 of x"}) {
    const auto described = parse_description(describe_log(topic, 42));
    ASSERT_TRUE(described);
    EXPECT_EQ(described->topic, topic);
    EXPECT_EQ(described->partition, 42);
  }
  EXPECT_FALSE(parse_description("something else"));
}

}  // namespace
}  // namespace sluice::jetstream
