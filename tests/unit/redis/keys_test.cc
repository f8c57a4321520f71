// SPDX-License-Identifier: Apache-2.0
#include "redis/keys.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace sluice::redis {
namespace {

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

TEST(RedisKeys, SlotsAreThoseOfTheClusterSpecification) {
  EXPECT_EQ(hash_slot("123456789"), 12739);
  EXPECT_EQ(hash_slot("foo"), 12182);
  EXPECT_EQ(hash_slot("{user1000}.following"), hash_slot("{user1000}.followers"));
  EXPECT_EQ(hash_slot("foo{bar}{zap}"), hash_slot("bar"));
  EXPECT_EQ(hash_slot("foo{{bar}}zap"), hash_slot("{bar"));
  EXPECT_NE(hash_slot("foo{}{bar}"), hash_slot("bar")) << "an empty tag is none";
}

TEST(RedisKeys, AllKeysOfALogLieInOneSlot) {
  const LogKeys keys("sluice", Uuid::from_words(1, 2));
  for (const std::string& key : {keys.base, keys.stream(7), keys.values(), keys.times()}) {
    EXPECT_EQ(hash_slot(key), keys.slot) << key;
    EXPECT_TRUE(key.starts_with("sluice:{")) << key;
  }
}

TEST(RedisKeys, TokensCompareAsTexts) {
  const uint64_t tokens[] = {0, 1, 9, 10, 0xffffffff, 0x100000000, std::numeric_limits<uint64_t>::max()};
  for (size_t i = 0; i < std::size(tokens); ++i) {
    EXPECT_EQ(parse_token(token_text(tokens[i])), tokens[i]);
    if (i > 0) {
      EXPECT_LT(token_text(tokens[i - 1]), token_text(tokens[i]));
    }
  }
  for (const char* wrong : {"", "0", "000000000000000g", "00000000000000000", "000000000000000A", "+00000000000000a"}) {
    EXPECT_FALSE(parse_token(wrong)) << wrong;
  }
}

TEST(RedisKeys, NumbersAreWhole) {
  EXPECT_EQ(parse_number("-9223372036854775808"), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(parse_number("9223372036854775807"), kMax);
  for (const char* wrong : {"", " 1", "1 ", "1.0", "+1", "0x1", "9223372036854775808", "-"}) {
    EXPECT_FALSE(parse_number(wrong)) << wrong;
  }
}

TEST(RedisKeys, EntryIdsAreOffsets) {
  EXPECT_EQ(entry_id(0), "0-1");
  EXPECT_EQ(last_id_at(0), "0-0");
  EXPECT_EQ(last_id_at(1), "0-1");
  for (const int64_t end : {int64_t{0}, int64_t{1}, int64_t{2}, int64_t{1} << 53, kMax - 1, kMax}) {
    const auto id = parse_entry_id(last_id_at(end));
    ASSERT_TRUE(id);
    EXPECT_EQ(end_at(*id), end);
  }
}

TEST(RedisKeys, IdsThatSluiceNeverGivesAreNoEnds) {
  for (const char* foreign : {"1700000000000-0", "5-2", "0-2", "9223372036854775807-1", "18446744073709551615-1"}) {
    const auto id = parse_entry_id(foreign);
    ASSERT_TRUE(id) << foreign;
    EXPECT_FALSE(end_at(*id)) << foreign;
  }
  for (const char* wrong : {"", "-", "1", "1-", "-1", "1-1-1", "a-1", "18446744073709551616-1"}) {
    EXPECT_FALSE(parse_entry_id(wrong)) << wrong;
  }
}

TEST(RedisKeys, StretchesSortByTheirEnds) {
  const Stretch early{0, 9, kMax};
  const Stretch late{10, kMax - 1, std::numeric_limits<int64_t>::min()};
  EXPECT_EQ(Stretch::parse(early.text()), early);
  EXPECT_EQ(Stretch::parse(late.text()), late);
  EXPECT_LT(early.text(), late.text());
  for (const char* wrong : {"", "0000000000000009", "0000000000000009:", "0000000000000009:1", "0000000000000009:10:5",
                            "0000000000000009:-1:5", "0000000000000009:1:x", "ffffffffffffffff:1:5"}) {
    EXPECT_FALSE(Stretch::parse(wrong)) << wrong;
  }
}

}  // namespace
}  // namespace sluice::redis
