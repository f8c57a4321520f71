// SPDX-License-Identifier: Apache-2.0
#include "kafka/partition.hpp"

#include <gtest/gtest.h>

namespace sluice::kafka {
namespace {

TEST(KafkaPartition, AnswersCountUnlessSomethingWasWrittenMeanwhile) {
  Partition partition("orders", 0);
  EXPECT_EQ(partition.answered(partition.asked(), {5, 10}).end, 10);
  // A topic that was made anew is shorter.
  EXPECT_EQ(partition.answered(partition.asked(), {0, 3}).end, 3);
  const uint64_t asked = partition.asked();
  partition.saw_end(8);
  EXPECT_EQ(partition.answered(asked, {0, 3}).end, 8);
  EXPECT_EQ(partition.known().start, 0);
  EXPECT_EQ(partition.answered(partition.asked(), {2, 8}).start, 2);
}

}  // namespace
}  // namespace sluice::kafka
