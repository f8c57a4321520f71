// SPDX-License-Identifier: Apache-2.0
#include "partition/state.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "base/bytes.hpp"
#include "base/crc32c.hpp"

namespace sluice::partition {
namespace {

constexpr int64_t kNow = 1'600'000'000'000;

records::BatchHeader header(int64_t base, int32_t count, int32_t epoch, int64_t timestamp = kNow, int32_t size = 100) {
  records::BatchHeader h;
  h.base_offset = base;
  h.last_offset_delta = count - 1;
  h.leader_epoch = epoch;
  h.max_timestamp = timestamp;
  h.batch_length = size - static_cast<int32_t>(records::kLengthPrefixBytes);
  h.producer_id = 1 + base % 3;
  h.base_sequence = static_cast<int32_t>(base);
  h.crc = 0x1234'0000u + static_cast<uint32_t>(base);
  return h;
}

PartitionState sample() {
  PartitionState state;
  RetentionRules rules;
  rules.segment_bytes = 250;
  for (int64_t i = 0; i < 20; ++i) state.replay(header(i * 5, 5, static_cast<int32_t>(i / 4), kNow + i), rules, kNow);
  return state;
}

std::string with_checksum(std::string body) {
  const uint32_t crc = crc32c(as_bytes(body));
  body.resize(body.size() + 4);
  store_be<uint32_t>(reinterpret_cast<uint8_t*>(body.data()) + body.size() - 4, crc);
  return body;
}

void expect_same(const PartitionState& a, const PartitionState& b) {
  EXPECT_EQ(a.end, b.end);
  EXPECT_EQ(a.last_epoch, b.last_epoch);
  EXPECT_EQ(a.last_crc, b.last_crc);
  EXPECT_EQ(a.epochs, b.epochs);
  EXPECT_EQ(a.segments, b.segments);
  auto of = [](const PartitionState& s) {
    auto all = s.producers.all();
    std::sort(all.begin(), all.end(), [](const Producer& x, const Producer& y) { return x.id < y.id; });
    return all;
  };
  const auto left = of(a);
  const auto right = of(b);
  ASSERT_EQ(left.size(), right.size());
  for (size_t i = 0; i < left.size(); ++i) {
    EXPECT_EQ(left[i].id, right[i].id);
    EXPECT_EQ(left[i].epoch, right[i].epoch);
    EXPECT_EQ(left[i].last_seen_ms, right[i].last_seen_ms);
    ASSERT_EQ(left[i].batches.size(), right[i].batches.size());
    for (size_t j = 0; j < left[i].batches.size(); ++j) {
      EXPECT_EQ(left[i].batches[j].first_sequence, right[i].batches[j].first_sequence);
      EXPECT_EQ(left[i].batches[j].last_sequence, right[i].batches[j].last_sequence);
      EXPECT_EQ(left[i].batches[j].base_offset, right[i].batches[j].base_offset);
      EXPECT_EQ(left[i].batches[j].last_offset, right[i].batches[j].last_offset);
      EXPECT_EQ(left[i].batches[j].timestamp_ms, right[i].batches[j].timestamp_ms);
    }
  }
}

TEST(PartitionState, ComesBackAsItWasWritten) {
  const PartitionState state = sample();
  EXPECT_EQ(state.end, 100);
  EXPECT_EQ(state.epochs.size(), 5u);
  EXPECT_EQ(state.segments.size(), 10u);
  EXPECT_EQ(state.producers.size(), 3u);
  auto decoded = decode_state(encode_state(state));
  ASSERT_TRUE(decoded) << decoded.error().describe();
  expect_same(state, *decoded);
  auto empty = decode_state(encode_state(PartitionState()));
  ASSERT_TRUE(empty);
  expect_same(PartitionState(), *empty);
}

TEST(PartitionState, DamageAnywhereIsCorrupt) {
  const std::string good = encode_state(sample());
  for (size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ (1 << (at % 8)));
    auto decoded = decode_state(bad);
    ASSERT_FALSE(decoded) << at;
    EXPECT_EQ(decoded.error().code(), StatusCode::corrupt) << at;
    EXPECT_FALSE(decode_state(std::string_view(good).substr(0, at))) << at;
  }
  EXPECT_FALSE(decode_state(good + '\0'));
}

TEST(PartitionState, BytesThatOnlyTheChecksumLikesAreNoCrash) {
  const std::string good = encode_state(sample());
  const std::string body = good.substr(0, good.size() - 4);
  std::mt19937 random(1);
  for (size_t at = 1; at < body.size(); ++at) {
    std::string bad = body;
    bad[at] = static_cast<char>(random());
    (void)decode_state(with_checksum(bad));
    EXPECT_FALSE(decode_state(with_checksum(body.substr(0, at)))) << at;
  }
  // A count of producers with nothing behind it.
  std::string empty = encode_state(PartitionState());
  empty.resize(empty.size() - 4);
  empty.back() = 1;
  EXPECT_FALSE(decode_state(with_checksum(empty)));
}

TEST(PartitionState, ANewerVersionIsUnsupported) {
  std::string newer = encode_state(sample());
  newer.resize(newer.size() - 4);
  newer[0] = 3;
  auto decoded = decode_state(with_checksum(newer));
  ASSERT_FALSE(decoded);
  EXPECT_EQ(decoded.error().code(), StatusCode::unsupported);
}

TEST(PartitionState, SegmentsEndBySizeAndTime) {
  PartitionState state;
  RetentionRules rules;
  rules.segment_bytes = 200;
  rules.segment_ms = 1'000;
  state.add(header(0, 1, 0), rules, kNow);
  state.add(header(1, 1, 0), rules, kNow + 1'000);
  EXPECT_EQ(state.segments.size(), 1u) << "full, and as old as allowed, and not beyond";
  state.add(header(2, 1, 0), rules, kNow + 1'000);
  EXPECT_EQ(state.segments.size(), 2u);
  state.add(header(3, 1, 0), rules, kNow + 2'001);
  EXPECT_EQ(state.segments.size(), 3u);
  state.add(header(4, 1, 0, kNow, 1'000), rules, kNow + 2'001);
  EXPECT_EQ(state.segments.size(), 4u) << "a batch larger than a segment has one";
  EXPECT_EQ(state.bytes(), 1'400);
}

/// Four segments of 100 bytes: offsets 0, 10, 20, 30, newest timestamps kNow + 0, 10, 20, 30.
PartitionState four_segments() {
  PartitionState state;
  RetentionRules rules;
  rules.segment_bytes = 100;
  for (int64_t i = 0; i < 4; ++i) state.add(header(i * 10, 10, 0, kNow + i * 10), rules, kNow);
  return state;
}

TEST(PartitionState, RetentionBySizeKeepsAtLeastTheLimit) {
  const PartitionState state = four_segments();
  auto start = [&](int64_t bytes) {
    RetentionRules rules;
    rules.retention_bytes = bytes;
    return state.retention_start(0, rules, kNow);
  };
  EXPECT_EQ(start(-1), 0);
  EXPECT_EQ(start(400), 0);
  EXPECT_EQ(start(301), 0);
  EXPECT_EQ(start(300), 10);
  EXPECT_EQ(start(299), 10);
  EXPECT_EQ(start(200), 20);
  EXPECT_EQ(start(1), 30);
  EXPECT_EQ(start(0), 30) << "the segment that is written stays";
}

TEST(PartitionState, RetentionByTimeDropsWhatIsOlder) {
  const PartitionState state = four_segments();
  auto start = [&](int64_t retention_ms, int64_t now_ms) {
    RetentionRules rules;
    rules.retention_ms = retention_ms;
    return state.retention_start(0, rules, now_ms);
  };
  EXPECT_EQ(start(-1, kNow + 1'000'000), 0);
  EXPECT_EQ(start(100, kNow + 100), 0) << "exactly as old as allowed";
  EXPECT_EQ(start(100, kNow + 101), 10);
  EXPECT_EQ(start(100, kNow + 121), 30);
  EXPECT_EQ(start(100, kNow + 131), 40) << "the last one goes too";
  EXPECT_EQ(start(0, kNow + 1), 10);
}

TEST(PartitionState, RecordsWithoutTimestampsAgeFromWhenTheyCame) {
  PartitionState state;
  RetentionRules rules;
  rules.segment_bytes = 200;
  rules.retention_ms = 100;
  state.add(header(0, 1, 0, -1), rules, kNow);
  state.add(header(1, 1, 0, -1), rules, kNow + 50);
  state.add(header(2, 1, 0, -1), rules, kNow + 60);
  EXPECT_EQ(state.retention_start(0, rules, kNow + 150), 0);
  EXPECT_EQ(state.retention_start(0, rules, kNow + 151), 2);
  EXPECT_EQ(state.retention_start(0, rules, kNow + 161), 3);
  // A segment's records with a timestamp speak for those without.
  state.add(header(3, 1, 0, kNow + 90), rules, kNow + 1'000);
  EXPECT_EQ(state.retention_start(0, rules, kNow + 191), 4);
  // Replayed: nobody knows when they came, so that they stay a while longer.
  PartitionState replayed;
  for (int64_t i = 0; i < 3; ++i) replayed.replay(header(i, 1, 0, -1), rules, kNow + 500);
  EXPECT_EQ(replayed.segments.size(), 2u);
  EXPECT_EQ(replayed.retention_start(0, rules, kNow + 600), 0);
  EXPECT_EQ(replayed.retention_start(0, rules, kNow + 601), 3);
  replayed.producers.expire(kNow + 500);
  EXPECT_EQ(replayed.producers.size(), 3u);
}

// Records may be old where they are new here, as those of a backfill: their producer may yet send again what a crash
// left unanswered.
TEST(PartitionState, AReplayedProducerCountsAsSeenNow) {
  PartitionState state;
  state.replay(header(0, 1, 0, kNow - 1'000'000), RetentionRules{}, kNow);
  state.producers.expire(kNow - 1);
  EXPECT_EQ(state.producers.size(), 1u);
}

TEST(PartitionState, RetentionNeverMovesTheStartBack) {
  const PartitionState state = four_segments();
  RetentionRules rules;
  EXPECT_EQ(state.retention_start(25, rules, kNow), 25);
  rules.retention_bytes = 300;
  EXPECT_EQ(state.retention_start(25, rules, kNow), 25);
}

TEST(PartitionState, ASegmentWithNewRecordsKeepsOlderOnesBehindIt) {
  PartitionState state = four_segments();
  state.segments[0].max_timestamp = kNow + 1'000'000;
  RetentionRules rules;
  rules.retention_ms = 100;
  EXPECT_EQ(state.retention_start(0, rules, kNow + 1'000), 0);
}

TEST(PartitionState, CuttingKeepsTheSegmentAndEpochInForce) {
  PartitionState state = sample();
  state.cut_before(43);
  EXPECT_EQ(state.segments.front().base_offset, 40);
  EXPECT_EQ(state.epochs.front(), (EpochStart{2, 43}));
  EXPECT_EQ(state.epochs.size(), 3u);
  state.cut_before(60);
  EXPECT_EQ(state.segments.front().base_offset, 60);
  EXPECT_EQ(state.epochs.front(), (EpochStart{3, 60}));
  state.cut_before(100);
  EXPECT_TRUE(state.segments.empty());
  EXPECT_EQ(state.epochs, (std::vector<EpochStart>{{4, 100}}));
  EXPECT_EQ(state.end, 100);
  EXPECT_EQ(state.bytes(), 0);
}

TEST(PartitionState, EpochAtAnOffset) {
  PartitionState state;
  EXPECT_EQ(state.epoch_at(0), -1);
  state.epochs = {{1, 10}, {4, 20}};
  EXPECT_EQ(state.epoch_at(9), -1);
  EXPECT_EQ(state.epoch_at(10), 1);
  EXPECT_EQ(state.epoch_at(19), 1);
  EXPECT_EQ(state.epoch_at(20), 4);
}

// The cases of Kafka's LeaderEpochFileCache.endOffsetFor; the leader's cache always has its own epoch.
TEST(PartitionState, EndOfEpochAsKafkaTellsIt) {
  PartitionState state;
  state.epochs = {{2, 10}, {4, 20}, {7, 30}};
  EXPECT_EQ(state.end_of_epoch(-1, 7, 40), (EpochStart{-1, -1})) << "no epoch";
  EXPECT_EQ(state.end_of_epoch(8, 7, 40), (EpochStart{-1, -1})) << "has not been";
  EXPECT_EQ(state.end_of_epoch(7, 7, 40), (EpochStart{7, 40})) << "the present one ends at the log's end";
  EXPECT_EQ(state.end_of_epoch(4, 7, 40), (EpochStart{4, 30}));
  EXPECT_EQ(state.end_of_epoch(5, 7, 40), (EpochStart{4, 30})) << "of an epoch without records: the one before";
  EXPECT_EQ(state.end_of_epoch(2, 7, 40), (EpochStart{2, 20}));
  EXPECT_EQ(state.end_of_epoch(1, 7, 40), (EpochStart{1, 10})) << "older than all known";
  EXPECT_EQ(state.end_of_epoch(7, 9, 40), (EpochStart{7, 40})) << "the present epoch, 9, has no record yet";
  EXPECT_EQ(state.end_of_epoch(8, 9, 40), (EpochStart{7, 40}));
  PartitionState empty;
  EXPECT_EQ(empty.end_of_epoch(3, 3, 0), (EpochStart{3, 0}));
  EXPECT_EQ(empty.end_of_epoch(2, 3, 0), (EpochStart{2, 0}));
  EXPECT_EQ(empty.end_of_epoch(4, 3, 0), (EpochStart{-1, -1}));
}

}  // namespace
}  // namespace sluice::partition
