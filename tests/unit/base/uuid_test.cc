// SPDX-License-Identifier: Apache-2.0
#include "base/uuid.hpp"

#include <gtest/gtest.h>

#include <random>
#include <unordered_set>

namespace sluice {
namespace {

TEST(Uuid, TextForm) {
  EXPECT_EQ(Uuid{}.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
  EXPECT_EQ(Uuid::from_words(0, 1).to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
  const Uuid id = Uuid::from_words(0xfbffbf0102030405, 0x060708090a0b0cff);
  EXPECT_EQ(id.to_string(), "-_-_AQIDBAUGBwgJCgsM_w");
  EXPECT_EQ(Uuid::parse("-_-_AQIDBAUGBwgJCgsM_w"), id);
}

TEST(Uuid, ParsesOnlyItsOwnText) {
  EXPECT_EQ(Uuid::parse("AAAAAAAAAAAAAAAAAAAAAA"), Uuid{});
  EXPECT_EQ(Uuid::parse("AAAAAAAAAAAAAAAAAAAAAB"), std::nullopt);  // spare bits
  EXPECT_EQ(Uuid::parse("AAAAAAAAAAAAAAAAAAAAA"), std::nullopt);
  EXPECT_EQ(Uuid::parse("AAAAAAAAAAAAAAAAAAAAAA="), std::nullopt);
  EXPECT_EQ(Uuid::parse("AAAAAAAAAAAAAAAAAAAA+A"), std::nullopt);
  EXPECT_EQ(Uuid::parse(""), std::nullopt);
}

TEST(Uuid, RandomIdsDifferAndComeBack) {
  std::mt19937_64 random(1);
  std::unordered_set<Uuid> seen;
  for (int i = 0; i < 10000; ++i) {
    const Uuid id = random_uuid(random);
    EXPECT_TRUE(seen.insert(id).second);
    const std::string text = id.to_string();
    EXPECT_NE(text.front(), '-');
    EXPECT_EQ(Uuid::parse(text), id);
    EXPECT_EQ(id.bytes[6] >> 4, 4);
    EXPECT_EQ(id.bytes[8] >> 6, 2);
  }
}

TEST(Uuid, OrdersByBytes) {
  EXPECT_LT(Uuid::from_words(0, 2), Uuid::from_words(1, 0));
  EXPECT_TRUE(Uuid{}.is_zero());
  EXPECT_FALSE(Uuid::from_words(0, 1).is_zero());
}

}  // namespace
}  // namespace sluice
