// SPDX-License-Identifier: Apache-2.0
#include "group/durable_state.hpp"

#include <algorithm>

#include "support.hpp"

namespace sluice::group {
namespace {

using testing::topic_id;

OffsetsRecord offsets(const std::string& group, const std::string& topic, TopicId id, int32_t partition, int64_t offset,
                      int64_t commit_ms = 1) {
  return {group, {{{topic, id}, {{partition, {offset, -1, "", commit_ms, kNoExpireTime}}}}}};
}

class DurableStateTest : public ::testing::Test {
 protected:
  void apply(const Record& record) { ASSERT_TRUE(state.apply(encode(record)).ok()); }
  int64_t find(const std::string& group, const TopicKey& topic, int32_t partition) {
    const StoredGroup* stored = state.find(group);
    const StoredOffset* value = stored == nullptr ? nullptr : stored->find(topic, partition);
    return value == nullptr ? kNoOffset : value->offset;
  }
  DurableState state;
};

TEST_F(DurableStateTest, OffsetsBelongToATopicsIdentity) {
  apply(offsets("g", "orders", topic_id(1), 0, 10));
  EXPECT_EQ(find("g", {"orders", topic_id(1)}, 0), 10);
  EXPECT_EQ(find("g", {"orders", topic_id(2)}, 0), kNoOffset) << "another topic of that name";
  EXPECT_EQ(find("g", {"orders", kNoTopicId}, 0), 10);
  apply(offsets("g", "orders", topic_id(2), 0, 3, 2));
  EXPECT_EQ(find("g", {"orders", topic_id(1)}, 0), 10);
  EXPECT_EQ(find("g", {"orders", kNoTopicId}, 0), 3) << "the newest";
  apply(TopicDeletedRecord{{"orders", topic_id(1)}});
  EXPECT_EQ(find("g", {"orders", topic_id(1)}, 0), kNoOffset);
  EXPECT_EQ(find("g", {"orders", topic_id(2)}, 0), 3);
  EXPECT_EQ(state.offset_count(), 1u);
}

TEST_F(DurableStateTest, OffsetsWithoutAnIdServeAnyAndGoWithTheFirstDeletion) {
  apply(offsets("g", "orders", kNoTopicId, 0, 10));
  EXPECT_EQ(find("g", {"orders", topic_id(1)}, 0), 10);
  apply(TopicDeletedRecord{{"orders", topic_id(1)}});
  EXPECT_EQ(state.find("g"), nullptr) << "nothing of the group is left";
}

TEST_F(DurableStateTest, OffsetsOfNothingMakeNoGroup) {
  apply(OffsetsRecord{"g", {{{"orders", topic_id(1)}, {}}}});
  EXPECT_EQ(state.find("g"), nullptr) << "a snapshot would not tell of it";
  EXPECT_TRUE(state.snapshot(1 << 20).empty());
}

TEST_F(DurableStateTest, DeletingAGroupTakesItsOffsets) {
  apply(offsets("g", "orders", topic_id(1), 0, 10));
  apply(GroupRecord{"g", 1, "consumer", std::nullopt, std::nullopt, 0, {}});
  apply(offsets("h", "orders", topic_id(1), 0, 11));
  apply(GroupDeletedRecord{"g"});
  EXPECT_EQ(state.find("g"), nullptr);
  EXPECT_EQ(find("h", {"orders", topic_id(1)}, 0), 11);
  EXPECT_EQ(state.offset_count(), 1u);
}

TEST_F(DurableStateTest, RecordsThatCannotBeReadChangeNothing) {
  apply(offsets("g", "orders", topic_id(1), 0, 10));
  EXPECT_EQ(state.apply(std::string("\x63\0", 2)).code(), StatusCode::unsupported);
  EXPECT_EQ(state.offset_count(), 1u);
}

TEST_F(DurableStateTest, ASnapshotIsTheState) {
  for (int group = 0; group < 20; ++group) {
    const std::string id = "g" + std::to_string(group);
    if (group % 2 == 0) apply(GroupRecord{id, group, "consumer", std::nullopt, std::nullopt, group, {}});
    for (int partition = 0; partition < 50; ++partition) {
      apply(offsets(id, "orders", topic_id(1), partition, partition * group, partition));
      apply(offsets(id, "returns", topic_id(2), partition, partition, partition));
    }
  }
  const auto sorted = [](std::vector<std::string> records) {
    std::sort(records.begin(), records.end());
    return records;
  };
  const std::vector<std::string> snapshot = state.snapshot(500);
  EXPECT_GT(snapshot.size(), 100u) << "large groups are cut";
  DurableState other;
  for (const std::string& record : snapshot) ASSERT_TRUE(other.apply(record).ok());
  EXPECT_EQ(sorted(other.snapshot(500)), sorted(snapshot));
  EXPECT_EQ(other.offset_count(), state.offset_count());
  other.reset();
  EXPECT_TRUE(other.snapshot(500).empty());
}

}  // namespace
}  // namespace sluice::group
