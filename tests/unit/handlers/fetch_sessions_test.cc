// SPDX-License-Identifier: Apache-2.0
// The rules of KIP-227.
#include "handlers/fetch_sessions.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace sluice::handlers {
namespace {

constexpr int64_t kNow = 1'000'000;

FetchedPartition part(int32_t index, int64_t offset = 0, const std::string& topic = "t") {
  FetchedPartition p;
  p.topic = topic;
  p.partition = index;
  p.fetch_offset = offset;
  return p;
}

std::vector<FetchedPartition> parts(int32_t count) {
  std::vector<FetchedPartition> result;
  for (int32_t i = 0; i < count; ++i) result.push_back(part(i));
  return result;
}

std::vector<int32_t> indexes(const std::vector<FetchedPartition>& partitions) {
  std::vector<int32_t> result;
  for (const auto& p : partitions) result.push_back(p.partition);
  return result;
}

class FetchSessionsTest : public testing::Test {
 protected:
  FetchSessions sessions{3, [this] { return next_id++; }};
  uint64_t next_id = 1;
  std::vector<FetchedPartition> all;

  ErrorCode update(int32_t id, int32_t epoch, std::vector<FetchedPartition> changed = {},
                   std::vector<FetchedPartition> forgotten = {}, int64_t now_ms = kNow, bool by_id = false) {
    return sessions.update(id, epoch, by_id, std::move(changed), forgotten, now_ms, all);
  }
};

TEST_F(FetchSessionsTest, EpochsRiseByOne) {
  const int32_t id = sessions.create(false, parts(2), kNow);
  ASSERT_GT(id, 0);
  EXPECT_EQ(update(id, 2), ErrorCode::kInvalidFetchSessionEpoch);
  EXPECT_EQ(update(id, 1), ErrorCode::kNone);
  EXPECT_EQ(update(id, 1), ErrorCode::kInvalidFetchSessionEpoch) << "a repeat";
  EXPECT_EQ(update(id, 2), ErrorCode::kNone);
  EXPECT_EQ(indexes(all), (std::vector<int32_t>{0, 1}));
}

TEST_F(FetchSessionsTest, ManyChangesAtOnceAreAsManyOneByOne) {
  const int32_t id = sessions.create(false, parts(50), kNow);
  std::vector<FetchedPartition> changed;
  for (int32_t i = 40; i < 60; ++i) changed.push_back(part(i, 7));
  changed.push_back(part(55, 9));
  std::vector<FetchedPartition> forgotten;
  for (int32_t i = 0; i < 30; ++i) forgotten.push_back(part(i));
  forgotten.push_back(part(58));
  forgotten.push_back(part(58));
  forgotten.push_back(part(1'000));
  ASSERT_EQ(update(id, 1, changed, forgotten), ErrorCode::kNone);
  ASSERT_EQ(all.size(), 29U);
  int32_t next = 30;
  for (const auto& p : all) {
    if (next == 58) ++next;
    EXPECT_EQ(p.partition, next++);
    EXPECT_EQ(p.fetch_offset, p.partition == 55 ? 9 : p.partition >= 40 ? 7 : 0);
  }
}

TEST_F(FetchSessionsTest, AHundredThousandChangesTakeNoLongerThanTheyMust) {
  const int32_t id = sessions.create(false, parts(100'000), kNow);
  ASSERT_EQ(update(id, 1, parts(100'000), {}), ErrorCode::kNone);  // 10^10 comparisons would not end before the test's deadline
  ASSERT_EQ(update(id, 2, {}, parts(99'999)), ErrorCode::kNone);
  EXPECT_EQ(all.size(), 1U);
}

TEST_F(FetchSessionsTest, TheEpochWrapsToOne) {
  EXPECT_EQ(FetchSessions::next_epoch(1), 2);
  EXPECT_EQ(FetchSessions::next_epoch(std::numeric_limits<int32_t>::max() - 1), std::numeric_limits<int32_t>::max());
  EXPECT_EQ(FetchSessions::next_epoch(std::numeric_limits<int32_t>::max()), 1);
}

TEST_F(FetchSessionsTest, UnknownIds) {
  EXPECT_EQ(update(4711, 1), ErrorCode::kFetchSessionIdNotFound);
  const int32_t id = sessions.create(false, parts(1), kNow);
  sessions.remove(id);
  EXPECT_EQ(update(id, 1), ErrorCode::kFetchSessionIdNotFound);
  sessions.remove(id);
  EXPECT_EQ(sessions.size(), 0u);
}

TEST_F(FetchSessionsTest, NamesAndIdsDoNotMix) {
  const int32_t named = sessions.create(false, parts(1), kNow);
  EXPECT_EQ(update(named, 1, {}, {}, kNow, true), ErrorCode::kFetchSessionTopicIdError);
  EXPECT_EQ(update(named, 1), ErrorCode::kNone) << "the epoch did not move";
  const int32_t by_id = sessions.create(true, parts(1), kNow);
  EXPECT_EQ(update(by_id, 1), ErrorCode::kFetchSessionTopicIdError);
}

TEST_F(FetchSessionsTest, IdsAreNeverZeroNorTaken) {
  next_id = 0;
  EXPECT_EQ(sessions.create(false, parts(1), kNow), 1);
  next_id = 1;
  EXPECT_EQ(sessions.create(false, parts(1), kNow), 2);
  next_id = 0xffffffff'80000001;
  EXPECT_EQ(sessions.create(false, parts(1), kNow), 3) << "positive, whatever the random number";
}

TEST_F(FetchSessionsTest, AddsChangesAndForgets) {
  const int32_t id = sessions.create(false, parts(3), kNow);
  ASSERT_EQ(update(id, 1, {part(1, 50), part(7, 70)}, {part(0)}), ErrorCode::kNone);
  EXPECT_EQ(indexes(all), (std::vector<int32_t>{1, 2, 7}));
  EXPECT_EQ(all[0].fetch_offset, 50);
  EXPECT_EQ(all[2].fetch_offset, 70);
  ASSERT_EQ(update(id, 2, {}, {part(9), part(2, 0, "other")}), ErrorCode::kNone);
  EXPECT_EQ(indexes(all), (std::vector<int32_t>{1, 2, 7})) << "what is not there is forgotten already";
}

TEST_F(FetchSessionsTest, AChangeKeepsWhatTheClientWasTold) {
  const int32_t id = sessions.create(false, parts(1), kNow);
  ASSERT_EQ(update(id, 1), ErrorCode::kNone);
  all[0].told = true;
  all[0].told_high_watermark = 9;
  all[0].told_log_start = 3;
  sessions.told(id, all, {false});
  ASSERT_EQ(update(id, 2, {part(0, 5)}), ErrorCode::kNone);
  EXPECT_EQ(all[0].fetch_offset, 5);
  EXPECT_TRUE(all[0].told);
  EXPECT_EQ(all[0].told_high_watermark, 9);
  EXPECT_EQ(all[0].told_log_start, 3);
  ASSERT_EQ(update(id, 3, {part(1)}, {part(0)}), ErrorCode::kNone);
  ASSERT_EQ(update(id, 4, {part(0)}), ErrorCode::kNone);
  EXPECT_FALSE(all[1].told) << "forgotten and added again: told anew";
}

TEST_F(FetchSessionsTest, ASessionWithoutPartitionsEnds) {
  EXPECT_EQ(sessions.create(false, {}, kNow), 0);
  const int32_t id = sessions.create(false, parts(2), kNow);
  ASSERT_EQ(update(id, 1, {}, parts(2)), ErrorCode::kNone);
  EXPECT_TRUE(all.empty());
  EXPECT_EQ(sessions.size(), 0u);
  EXPECT_EQ(update(id, 2, {part(0)}), ErrorCode::kFetchSessionIdNotFound);
}

TEST_F(FetchSessionsTest, PartitionsWithRecordsGoToTheEnd) {
  const int32_t id = sessions.create(false, parts(4), kNow);
  ASSERT_EQ(update(id, 1), ErrorCode::kNone);
  sessions.told(id, all, {true, false, true, false});
  ASSERT_EQ(update(id, 2), ErrorCode::kNone);
  EXPECT_EQ(indexes(all), (std::vector<int32_t>{1, 3, 0, 2}));
}

TEST_F(FetchSessionsTest, AnAnswerToAnotherStateChangesNothing) {
  const int32_t id = sessions.create(false, parts(3), kNow);
  ASSERT_EQ(update(id, 1), ErrorCode::kNone);
  const auto before = all;
  ASSERT_EQ(update(id, 2, {}, {part(0)}), ErrorCode::kNone);
  sessions.told(id, before, {true, true, true});
  ASSERT_EQ(update(id, 3), ErrorCode::kNone);
  EXPECT_EQ(indexes(all), (std::vector<int32_t>{1, 2}));
  sessions.told(4711, before, {true, true, true});
}

TEST_F(FetchSessionsTest, AFullCacheGivesUpWhatIsStale) {
  const int32_t first = sessions.create(false, parts(2), kNow);
  const int32_t second = sessions.create(false, parts(2), kNow + 1);
  sessions.create(false, parts(2), kNow + 2);
  EXPECT_EQ(sessions.create(false, parts(2), kNow + 3), 0) << "no room";
  EXPECT_EQ(sessions.create(false, parts(2), kNow + FetchSessions::kMinEvictionMs), 0) << "not stale yet";
  ASSERT_EQ(update(first, 1, {}, {}, kNow + 10), ErrorCode::kNone);
  EXPECT_NE(sessions.create(false, parts(2), kNow + FetchSessions::kMinEvictionMs + 2), 0);
  EXPECT_EQ(update(second, 1), ErrorCode::kFetchSessionIdNotFound) << "the one that was quiet longest";
  EXPECT_EQ(update(first, 2), ErrorCode::kNone);
  EXPECT_EQ(sessions.size(), 3u);
  EXPECT_EQ(sessions.evictions(), 1u);
}

TEST_F(FetchSessionsTest, ALargerSessionTakesThePlaceOfAnOldSmallOne) {
  const int32_t ids[] = {sessions.create(false, parts(5), kNow), sessions.create(false, parts(2), kNow),
                         sessions.create(false, parts(3), kNow)};
  const int64_t later = kNow + FetchSessions::kMinEvictionMs + 1;
  for (const int32_t id : ids) ASSERT_EQ(update(id, 1, {}, {}, later), ErrorCode::kNone);
  EXPECT_EQ(sessions.create(false, parts(9), later - 1), 0) << "none has been there long enough";
  EXPECT_EQ(sessions.create(false, parts(2), later), 0) << "not larger";
  EXPECT_NE(sessions.create(false, parts(3), later), 0);
  EXPECT_EQ(update(ids[1], 2), ErrorCode::kFetchSessionIdNotFound) << "the smallest";
  EXPECT_EQ(update(ids[0], 2), ErrorCode::kNone);
  EXPECT_EQ(update(ids[2], 2), ErrorCode::kNone);
}

TEST_F(FetchSessionsTest, ACacheOfNothingKeepsNothing) {
  FetchSessions none(0, [] { return uint64_t{1}; });
  EXPECT_EQ(none.create(false, parts(1), kNow), 0);
}

}  // namespace
}  // namespace sluice::handlers
