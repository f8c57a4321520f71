// SPDX-License-Identifier: Apache-2.0
#include "sources/spare_buffers.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace sluice::sources {
namespace {

// Whether anything is kept; AddressSanitizer's builds keep nothing.
bool keeps() {
  SpareBuffers spare;
  spare.give_back(spare.take(1 << 20));
  return spare.count() == 1;
}

TEST(SpareBuffers, GivesTheMemoryOfAnEarlierReadToOneOfItsSize) {
  SpareBuffers spare;
  Buffer first = spare.take(1 << 20);
  const uint8_t* memory = first.data();
  spare.give_back(std::move(first));
  EXPECT_EQ(spare.take(1 << 10).size(), size_t{1} << 10);
  const Buffer second = spare.take(1'000'000);
  EXPECT_EQ(second.size(), 1'000'000u);
  EXPECT_EQ(second.data() == memory, keeps());
  EXPECT_EQ(spare.count(), 0u);
}

// Pages that were leased from an adapter have no memory to give back.
TEST(SpareBuffers, KeepsNothingThatIsEmptyOrSmall) {
  SpareBuffers spare;
  for (int i = 0; i < 10'000; ++i) {
    spare.give_back(Buffer());
    spare.give_back(Buffer(SpareBuffers::kMinBufferBytes / 2));
  }
  EXPECT_EQ(spare.count(), 0u);
}

TEST(SpareBuffers, KeepsNoMoreThanItsLimit) {
  SpareBuffers spare;
  std::vector<Buffer> many;
  for (int i = 0; i < 20; ++i) many.push_back(spare.take(1 << 20));
  for (Buffer& each : many) spare.give_back(std::move(each));
  EXPECT_LE(spare.count() << 20, SpareBuffers::kMaxKeptBytes);
  spare.give_back(Buffer(2 * SpareBuffers::kMaxKeptBytes));
  EXPECT_LE(spare.count() << 20, SpareBuffers::kMaxKeptBytes);
}

}  // namespace
}  // namespace sluice::sources
