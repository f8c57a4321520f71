// SPDX-License-Identifier: Apache-2.0
// What a log is after its files were torn, damaged or half made.
#include "disk/recovery.hpp"

#include <algorithm>

#include "support.hpp"

namespace sluice::disk {
namespace {

using namespace test;
namespace fs = std::filesystem;

Bytes view(const std::string& text) {
  return as_bytes(text);
}

std::string slurp(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
void spill(const std::string& path, std::string_view content) {
  std::ofstream(path, std::ios::binary | std::ios::trunc)
      .write(content.data(), static_cast<std::streamsize>(content.size()));
}

/// A log of three units, the last of two batches, as a kill leaves it.
class TornTail : public ::testing::Test {
 protected:
  TornTail() {
    World world(directory_.path());
    auto log = world.log(1);
    EXPECT_TRUE(create(*log, descriptor(1)).ok());
    std::vector<Buffer> units[3];
    units[0].push_back(batch(0, 2));
    units[1].push_back(batch(2, 1));
    units[1].push_back(batch(3, 3));
    units[2].push_back(batch(6, 1));
    units[2].push_back(batch(7, 2));
    int64_t at = 0;
    for (const auto& unit : units) {
      const Appended appended = append(*log, at, unit);
      EXPECT_TRUE(appended.status.ok());
      at = appended.end;
      all_.append(concat(unit));
      if (&unit != &units[2]) before_ = all_.size();
    }
    log_directory_ = world.log_directory(1);
    log.reset();
    world.abandon();
    segment_ = slurp(log_directory_ + "/" + segment_name(0));
  }

  /// Starts on the files as they are now; the log is to hold `bytes` of what was appended, and to go on from there.
  void expect(size_t bytes, int64_t end, bool torn, const std::string& what) {
    World world(directory_.path());
    auto log = world.log(1);
    EXPECT_EQ(bounds(*log).end, end) << what;
    EXPECT_TRUE(std::ranges::equal(read_all(*log, 0).view(), all_.view().first(bytes))) << what;
    EXPECT_EQ(world.counters().torn_tails, torn ? 1U : 0U) << what;
    EXPECT_EQ(world.counters().torn_bytes > 0, torn) << what;
    const auto said = world.said();
    EXPECT_EQ(std::ranges::count_if(said, [](const auto& line) { return line.find("torn") != line.npos; }), torn)
        << what;
    EXPECT_TRUE(append(*log, end, one(batch(end, 4))).status.ok()) << what;
    log.reset();
    world.abandon();
    EXPECT_TRUE(world.start().ok());
    log = world.log(1);
    EXPECT_EQ(bounds(*log).end, end + 4) << what;
    EXPECT_EQ(read_all(*log, 0).size(), bytes + batch(end, 4).size()) << what;
    EXPECT_EQ(world.counters().torn_tails, 0U) << what << ": what was cut came back";
    log.reset();
    world.abandon();
  }

  Directory directory_;
  std::string log_directory_;
  std::string segment_;
  Buffer all_;
  size_t before_ = 0;  // bytes of the first two units
};

TEST_F(TornTail, IsCutAtTheLastWholeUnitWhereverTheFileEnds) {
  const std::string path = log_directory_ + "/" + segment_name(0);
  for (size_t size = kSegmentHeaderBytes + before_; size <= segment_.size(); ++size) {
    spill(path, std::string_view(segment_).substr(0, size));
    const bool whole = size == segment_.size();
    expect(whole ? all_.size() : before_, whole ? 9 : 6, !whole, "cut at " + std::to_string(size));
  }
}

TEST_F(TornTail, IsCutWhicheverByteIsWrong) {
  const std::string path = log_directory_ + "/" + segment_name(0);
  for (size_t at = kSegmentHeaderBytes + before_; at < segment_.size(); ++at) {
    std::string damaged = segment_;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x20);
    spill(path, damaged);
    // A batch's epoch is covered by nothing.
    const size_t in_unit = at - kSegmentHeaderBytes - before_;
    const size_t first = batch(6, 1).size();
    const size_t in_batch = in_unit < first ? in_unit : in_unit - first;
    const bool epoch = in_batch >= records::layout::kLeaderEpoch && in_batch < records::layout::kMagic;
    if (epoch) continue;
    expect(before_, 6, true, "byte " + std::to_string(at));
  }
}

TEST_F(TornTail, GoesBackSeveralUnits) {
  spill(log_directory_ + "/" + segment_name(0),
        std::string_view(segment_).substr(0, kSegmentHeaderBytes + before_ - 1));
  expect(batch(0, 2).size(), 2, true, "into the second unit");
}

TEST_F(TornTail, AnyOfTheCommitSlotsMayBeLost) {
  const std::string path = log_directory_ + "/" + segment_name(0);
  // The newest slot is lost as if it had never been written: the unit is not committed.
  std::string damaged = segment_;
  damaged[commit_slot_position(3) + 20] ^= 1;
  spill(path, damaged);
  expect(before_, 6, false, "newest slot");
  // An older one does not matter.
  damaged = segment_;
  damaged[commit_slot_position(2) + 20] ^= 1;
  spill(path, damaged);
  expect(all_.size(), 9, false, "older slot");
}

TEST_F(TornTail, NoSegmentPageMeansNothingIsThere) {
  std::string damaged = segment_;
  damaged[20] ^= 1;
  spill(log_directory_ + "/" + segment_name(0), damaged);
  World world(directory_.path());
  auto log = world.log(1);
  EXPECT_EQ(bounds(*log).end, 0);
  EXPECT_TRUE(append(*log, 0, one(batch(0, 1))).status.ok());
}

class SeveralSegments : public ::testing::Test {
 protected:
  static constexpr int kUnits = 40;

  SeveralSegments() {
    settings_.directory = directory_.path();
    settings_.segment_bytes = 2000;
    settings_.index_interval_bytes = 300;
    World world(settings_);
    auto log = world.log(1);
    EXPECT_TRUE(create(*log, descriptor(1)).ok());
    for (int64_t at = 0; at < kUnits; ++at) {
      EXPECT_TRUE(append(*log, at, one(batch(at, 1, 1000 + at, 150))).status.ok());
      all_.append(batch(at, 1, 1000 + at, 150));
    }
    log_directory_ = world.log_directory(1);
    log.reset();
    EXPECT_TRUE(world.stop().ok());
    for (const auto& entry : fs::directory_iterator(log_directory_)) {
      if (const auto base = offset_of_name(entry.path().filename().string(), kSegmentSuffix)) bases_.push_back(*base);
    }
    std::ranges::sort(bases_);
  }

  Directory directory_;
  Settings settings_;
  std::string log_directory_;
  std::vector<int64_t> bases_;
  Buffer all_;
};

TEST_F(SeveralSegments, AreReadAcrossTheirBordersWithoutAScan) {
  ASSERT_GT(bases_.size(), 4U);
  World world(settings_);
  auto log = world.log(1);
  EXPECT_EQ(bounds(*log).end, kUnits);
  for (int64_t offset = 0; offset < kUnits; ++offset) {
    EXPECT_EQ(read(*log, offset, INT64_MAX, 1).next, offset + 1);
    EXPECT_EQ(locate(*log, 1000 + offset), offset);
    EXPECT_EQ(read(*log, offset, std::min<int64_t>(offset + 3, kUnits), UINT64_MAX).next > offset, true);
  }
  EXPECT_TRUE(std::ranges::equal(read_all(*log, 0, 700).view(), all_.view()));
  EXPECT_EQ(world.counters().scanned_bytes, 0U);
  EXPECT_EQ(world.counters().rebuilt_indexes, 0U);
}

TEST_F(SeveralSegments, FirstReadsAreCheckedAndLaterOnesLent) {
  World world(settings_);
  auto log = world.log(1);
  EXPECT_TRUE(read(*log, 3).from_memory);
  EXPECT_FALSE(read(*log, 3).from_memory);
  ASSERT_TRUE(append(*log, kUnits, one(batch(kUnits, 1))).status.ok());
  EXPECT_FALSE(read(*log, kUnits).from_memory) << "this process wrote it itself";
}

// S17: a corrupt index warns and is rebuilt.
TEST_F(SeveralSegments, S17_DamagedIndexesAreMadeAnew) {
  const std::vector<std::function<void(const std::string&)>> ways = {
      [](const std::string& path) { fs::resize_file(path, 0); },
      [](const std::string& path) { fs::resize_file(path, fs::file_size(path) - 1); },
      [](const std::string& path) {
        std::string content = slurp(path);
        content[content.size() / 2] ^= 4;
        spill(path, content);
      },
      [](const std::string& path) { fs::remove(path); },
  };
  for (size_t way = 0; way < ways.size(); ++way) {
    for (const int64_t base : bases_) ways[way](log_directory_ + "/" + index_name(base));
    World world(settings_);
    auto log = world.log(1);
    EXPECT_EQ(bounds(*log).end, kUnits);
    EXPECT_TRUE(std::ranges::equal(read_all(*log, 0).view(), all_.view()));
    for (int64_t offset = 0; offset < kUnits; ++offset) EXPECT_EQ(locate(*log, 1000 + offset), offset);
    EXPECT_EQ(world.counters().torn_tails, 0U);
    if (way < 3) {
      EXPECT_EQ(world.counters().rebuilt_indexes, bases_.size()) << way;
      EXPECT_GE(world.said().size(), bases_.size());
    }
    log.reset();
    EXPECT_TRUE(world.stop().ok());
    for (const int64_t base : bases_) EXPECT_TRUE(fs::exists(log_directory_ + "/" + index_name(base))) << way;
  }
}

TEST_F(SeveralSegments, B04_DamageInAcknowledgedDataIsToldAndNotSkippedInSilence) {
  // The first byte of a value in the second segment's first batch.
  const std::string path = log_directory_ + "/" + segment_name(bases_[1]);
  std::string content = slurp(path);
  content[kSegmentHeaderBytes + 90] ^= 1;
  spill(path, content);
  World world(settings_);
  auto log = world.log(1);
  const int64_t damaged = bases_[1];
  const Read before = read(*log, damaged - 1);
  EXPECT_TRUE(before.status.ok());
  EXPECT_EQ(before.next, damaged);
  const Read at = read(*log, damaged);
  EXPECT_EQ(at.status.code(), StatusCode::corrupt);
  EXPECT_EQ(at.next, damaged + 1);
  EXPECT_TRUE(read(*log, damaged + 1).status.ok());
  EXPECT_GE(world.counters().damaged_batches, 1U);
}

TEST_F(SeveralSegments, ALengthThatMakesNoSenseIsToldToo) {
  const std::string path = log_directory_ + "/" + segment_name(bases_[1]);
  std::string content = slurp(path);
  content[kSegmentHeaderBytes + records::layout::kBatchLength] = 0x7f;
  spill(path, content);
  World world(settings_);
  auto log = world.log(1);
  const Read at = read(*log, bases_[1]);
  EXPECT_EQ(at.status.code(), StatusCode::corrupt);
  EXPECT_GT(at.next, bases_[1]);
  EXPECT_LE(at.next, bases_[2]);
  EXPECT_TRUE(read(*log, at.next).status.ok());
}

TEST_F(SeveralSegments, NothingIsKeptBehindAHole) {
  // As after a loss of power: the indexes of the last segments were never written, and one in the middle lacks its end.
  for (size_t i = 1; i < bases_.size(); ++i) fs::remove(log_directory_ + "/" + index_name(bases_[i]));
  // None of it was synced, say the slots: make them anew with synced at the start.
  for (size_t i = 1; i < bases_.size(); ++i) {
    const std::string path = log_directory_ + "/" + segment_name(bases_[i]);
    std::string content = slurp(path);
    const auto header = decode_segment_header(view(content));
    for (Commit commit : decode_commits(view(content), header->nonce).boundaries) {
      commit.synced = 0;
      uint8_t slot[kCommitSlotBytes];
      encode_commit(commit, header->nonce, slot);
      content.replace(commit_slot_position(commit.sequence), kCommitSlotBytes, as_text(slot));
    }
    if (i == 2) content.resize(content.size() - 10);
    spill(path, content);
  }
  World world(settings_);
  auto log = world.log(1);
  EXPECT_EQ(bounds(*log).end, bases_[3] - 1);
  EXPECT_EQ(world.counters().torn_tails, 1U);
  EXPECT_FALSE(fs::exists(log_directory_ + "/" + segment_name(bases_[3])));
  const Buffer got = read_all(*log, 0);
  EXPECT_TRUE(std::ranges::equal(got.view(), all_.view().first(got.size())));
}

TEST_F(SeveralSegments, TrimDropsWholeSegmentsAndALossOfItsRecordChangesNothing) {
  World world(settings_);
  auto log = world.log(1);
  const std::string before = slurp(log_directory_ + "/log");
  ASSERT_TRUE(trim(*log, bases_[2] + 1).ok());
  EXPECT_EQ(bounds(*log).start, bases_[2] + 1);
  EXPECT_FALSE(fs::exists(log_directory_ + "/" + segment_name(bases_[1])));
  EXPECT_TRUE(fs::exists(log_directory_ + "/" + segment_name(bases_[2])));
  log.reset();
  world.abandon();
  spill(log_directory_ + "/log", before);  // as if it had not reached the disk
  ASSERT_TRUE(world.start().ok());
  log = world.log(1);
  EXPECT_EQ(bounds(*log).start, bases_[2]);
  EXPECT_EQ(bounds(*log).end, kUnits);
}

TEST_F(SeveralSegments, OneSlotOfTheStateMayBeTorn) {
  World world(settings_);
  auto log = world.log(1);
  ASSERT_TRUE(fence(*log, 5).ok());
  ASSERT_TRUE(fence(*log, 6).ok());
  log.reset();
  world.abandon();
  std::string content = slurp(log_directory_ + "/log");
  const auto newest = decode_state(view(content));
  ASSERT_EQ(newest->token, 6U);
  content[state_slot_position(newest->sequence) + 30] ^= 1;
  spill(log_directory_ + "/log", content);
  ASSERT_TRUE(world.start().ok());
  EXPECT_EQ(bounds(*world.log(1)).token, 5U);
  world.abandon();
  for (char& c : content) c = 0;
  spill(log_directory_ + "/log", content);
  ASSERT_TRUE(world.start().ok());
  Status status;
  bounds(*world.log(1), &status);
  EXPECT_EQ(status.code(), StatusCode::corrupt) << status.describe();
}

}  // namespace
}  // namespace sluice::disk
