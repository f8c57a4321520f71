// SPDX-License-Identifier: Apache-2.0
// One log in its life: appended to, read, fenced, trimmed, stopped and started.
#include "disk/log.hpp"

#include "support.hpp"

namespace sluice::disk {
namespace {

using namespace test;

class LogTest : public ::testing::TestWithParam<SyncMode> {
 protected:
  LogTest() : world_(directory_.path(), GetParam()), log_(world_.log(1)) {
    EXPECT_TRUE(create(*log_, descriptor(1)).ok());
  }
  /// After a clean stop, or as after a kill.
  void restart(bool clean) {
    log_.reset();
    if (clean) {
      EXPECT_TRUE(world_.stop().ok());
    } else {
      world_.abandon();
    }
    const Status started = world_.start();
    ASSERT_TRUE(started.ok()) << started.describe();
    log_ = world_.log(1);
  }
  int64_t append_one(int64_t at, uint64_t token = 0, int64_t timestamp = 1000) {
    const Appended appended = append(*log_, at, one(batch(at, 1, timestamp)), token);
    EXPECT_TRUE(appended.status.ok()) << appended.status.describe();
    return appended.end;
  }

  Directory directory_;
  World world_;
  std::shared_ptr<Log> log_;
};

TEST_P(LogTest, ReadsBackWhatWasAppended) {
  std::vector<Buffer> all;
  int64_t end = 0;
  for (int unit = 0; unit < 20; ++unit) {
    std::vector<Buffer> batches;
    const int64_t at = end;
    for (int b = 0; b < 1 + unit % 3; ++b) {
      batches.push_back(batch(end, 3, 1000 + end));
      end += 3;
    }
    const Appended appended = append(*log_, at, batches);
    ASSERT_TRUE(appended.status.ok()) << appended.status.describe();
    EXPECT_EQ(appended.end, end);
    for (Buffer& b : batches) all.push_back(std::move(b));
  }
  const Buffer expected = concat(all);
  const auto check = [&] {
    for (const uint64_t max_bytes : {uint64_t{1}, uint64_t{500}, UINT64_MAX}) {
      const Buffer got = read_all(*log_, 0, max_bytes);
      EXPECT_TRUE(std::ranges::equal(got.view(), expected.view()));
    }
    EXPECT_EQ(bounds(*log_).end, end);
    EXPECT_EQ(bounds(*log_).bytes, static_cast<int64_t>(expected.size()));
    EXPECT_EQ(bounds(*log_).newest_timestamp, 1000 + end - 3 + 2);
  };
  check();
  for (const bool clean : {true, false, true}) {
    restart(clean);
    check();
    const Appended refused = append(*log_, 0, one(batch(0, 1)));
    EXPECT_EQ(refused.status.code(), StatusCode::conflict);
    EXPECT_EQ(refused.end, end);
  }
}

TEST_P(LogTest, ReadsRespectLimitGapsAndBounds) {
  append_one(0);
  ASSERT_TRUE(append(*log_, 1, one(batch(10, 5))).status.ok());  // a gap from 1 to 9
  ASSERT_TRUE(append(*log_, 15, one(batch(15, 5))).status.ok());
  EXPECT_EQ(read(*log_, 0, INT64_MAX, 1).next, 1);
  EXPECT_EQ(read(*log_, 5, INT64_MAX, 1).next, 15) << "from a gap: the next batch";
  EXPECT_EQ(read(*log_, 12, INT64_MAX, 1).next, 15) << "from inside a batch: that batch";
  EXPECT_EQ(read(*log_, 0, 14).next, 1) << "a batch that reaches the limit stays away";
  EXPECT_EQ(read(*log_, 0, 15).next, 15);
  const Read nothing = read(*log_, 12, 14);
  EXPECT_TRUE(nothing.status.ok());
  EXPECT_EQ(nothing.next, 12);
  EXPECT_TRUE(nothing.bytes.empty());
  EXPECT_EQ(read(*log_, 20).next, 20);
  const Read above = read(*log_, 21);
  EXPECT_EQ(above.status.code(), StatusCode::out_of_range);
  EXPECT_EQ(above.end, 20);
}

TEST_P(LogTest, FencesByToken) {
  append_one(0);
  int64_t end = 0;
  ASSERT_TRUE(fence(*log_, 7, &end).ok());
  EXPECT_EQ(end, 1);
  EXPECT_TRUE(fence(*log_, 7).ok());
  EXPECT_EQ(fence(*log_, 6).code(), StatusCode::fenced);
  for (const uint64_t wrong : {0, 6, 8}) {
    const Appended refused = append(*log_, 99, one(batch(99, 1)), wrong);
    EXPECT_EQ(refused.status.code(), StatusCode::fenced) << "judged before the end";
    EXPECT_EQ(refused.token, 7U);
    EXPECT_EQ(refused.end, 1);
  }
  EXPECT_EQ(trim(*log_, 1, 6).code(), StatusCode::fenced);
  EXPECT_EQ(save(*log_, "a", "b", 6).code(), StatusCode::fenced);
  append_one(1, 7);
  for (const bool clean : {true, false}) {
    restart(clean);
    EXPECT_EQ(bounds(*log_).token, 7U);
    EXPECT_EQ(fence(*log_, 6).code(), StatusCode::fenced);
  }
}

TEST_P(LogTest, TrimsAtBatchesAndKeepsTheEnd) {
  for (int64_t at = 0; at < 30; at += 3) ASSERT_TRUE(append(*log_, at, one(batch(at, 3))).status.ok());
  ASSERT_TRUE(trim(*log_, 10).ok());
  EXPECT_EQ(bounds(*log_).start, 9);
  EXPECT_EQ(read(*log_, 8).status.code(), StatusCode::out_of_range);
  EXPECT_TRUE(trim(*log_, 5).ok());
  EXPECT_EQ(bounds(*log_).start, 9) << "never back";
  restart(false);
  EXPECT_EQ(bounds(*log_).start, 9);
  ASSERT_TRUE(trim(*log_, 1000).ok());
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(bounds(*log_).start, 30);
    EXPECT_EQ(bounds(*log_).end, 30);
    EXPECT_EQ(bounds(*log_).bytes, 0);
    EXPECT_TRUE(read(*log_, 30).status.ok());
    restart(round == 0);
  }
  append_one(30);
  EXPECT_EQ(bounds(*log_).end, 31);
}

TEST_P(LogTest, LeasesOutliveTrimAndRemoval) {
  append_one(0);
  HeldRead first, second;
  ASSERT_TRUE(first.run(*log_, 0, INT64_MAX, 1 << 20).ok());
  const Buffer before = first.bytes();
  ASSERT_TRUE(trim(*log_, 1).ok());
  append_one(1);
  ASSERT_TRUE(second.run(*log_, 1, INT64_MAX, 1 << 20).ok());
  ASSERT_TRUE(remove(*log_).ok());
  EXPECT_TRUE(std::ranges::equal(first.bytes().view(), before.view()));
  EXPECT_EQ(second.bytes().size(), batch(1, 1).size());
  ASSERT_TRUE(world_.stop().ok());
  EXPECT_TRUE(std::ranges::equal(first.bytes().view(), before.view()));
  ASSERT_TRUE(world_->start().ok());
}

TEST_P(LogTest, SavesSmallAndLargeValues) {
  const std::string large(300'000, 'x');
  EXPECT_EQ(load(*log_, "v"), "(absent)");
  for (const std::string& value : {std::string("small"), large, std::string("other"), large + "y"}) {
    ASSERT_TRUE(save(*log_, "v", value).ok());
    ASSERT_TRUE(save(*log_, "w", "beside").ok());
    EXPECT_EQ(load(*log_, "v"), value);
    restart(false);
    EXPECT_EQ(load(*log_, "v"), value);
    EXPECT_EQ(load(*log_, "w"), "beside");
  }
  ASSERT_TRUE(save(*log_, "v", "").ok());
  EXPECT_EQ(load(*log_, "v"), "(absent)");
  restart(true);
  EXPECT_EQ(load(*log_, "v"), "(absent)");
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(save(*log_, "n" + std::to_string(i), std::string(400, 'z')).ok());
  for (int i = 0; i < 20; ++i) EXPECT_EQ(load(*log_, "n" + std::to_string(i)), std::string(400, 'z'));
  EXPECT_EQ(load(*log_, "w"), "beside");
}

TEST_P(LogTest, IsMadeAndRemovedOnce) {
  EXPECT_TRUE(create(*log_, descriptor(1)).ok());
  EXPECT_EQ(create(*log_, descriptor(1, 0, 5)).code(), StatusCode::exists);
  append_one(0);
  restart(false);
  EXPECT_TRUE(create(*log_, descriptor(1)).ok());
  EXPECT_EQ(bounds(*log_).end, 1);
  auto grown = descriptor(1);
  grown.partition_count = 9;
  EXPECT_TRUE(create(*log_, grown).ok());
  ASSERT_TRUE(remove(*log_).ok());
  EXPECT_TRUE(remove(*log_).ok());
  Status status;
  bounds(*log_, &status);
  EXPECT_EQ(status.code(), StatusCode::not_found);
  EXPECT_EQ(append(*log_, 1, one(batch(1, 1))).status.code(), StatusCode::not_found);
  EXPECT_EQ(fence(*log_, 1).code(), StatusCode::not_found);
  EXPECT_EQ(read(*log_, 0).status.code(), StatusCode::not_found);
  restart(false);
  EXPECT_TRUE(world_->list().empty());
  ASSERT_TRUE(create(*log_, descriptor(1, 0, 40)).ok());
  EXPECT_EQ(bounds(*log_).start, 40);
  EXPECT_EQ(load(*log_, "v"), "(absent)");
  EXPECT_EQ(world_->list().size(), 1U);
}

TEST_P(LogTest, LocatesByTheGreatestTimestamp) {
  // Greatest timestamps 100, 50, 200, 150, 300.
  int64_t at = 0;
  for (const int64_t time : {100, 50, 200, 150, 300}) at = append_one(at, 0, time);
  for (const bool clean : {true, false}) {
    EXPECT_EQ(locate(*log_, 0), 0);
    EXPECT_EQ(locate(*log_, 100), 0);
    EXPECT_EQ(locate(*log_, 101), 2);
    EXPECT_EQ(locate(*log_, 250), 4);
    EXPECT_EQ(locate(*log_, 301), 5);
    restart(clean);
  }
  ASSERT_TRUE(trim(*log_, 3).ok());
  EXPECT_EQ(locate(*log_, 180), 4) << "what was trimmed is not found";
  EXPECT_EQ(locate(*log_, 0), 3);
}

TEST_P(LogTest, RefusesWhatItCouldNotFindAgain) {
  Buffer b = batch(0, 1);
  b.data()[16] = 1;  // magic
  EXPECT_EQ(bounds(*log_).end, 0);
  sluice_batch described{b.data(), b.size(), 0, 0, 1000, 1, 0};
  sluice_append request{};
  request.size = sizeof request;
  request.batches = &described;
  request.batch_count = 1;
  request.bytes = b.size();
  sluice_append_result result{};
  result.size = sizeof result;
  EXPECT_EQ(Ticket().run([&](plugin::Call& call) { return log_->append(call, request, result); }).code(),
            StatusCode::invalid);
  request.bytes = kLargestUnitBytes + 1;
  EXPECT_EQ(Ticket().run([&](plugin::Call& call) { return log_->append(call, request, result); }).code(),
            StatusCode::too_large);
  append_one(0);
}

TEST_P(LogTest, SeveralWritersHaveNoFence) {
  auto shared = world_.log(2);
  ASSERT_TRUE(create(*shared, descriptor(2, SLUICE_LOG_SYNC | SLUICE_LOG_SEVERAL_WRITERS)).ok());
  EXPECT_EQ(fence(*shared, 1).code(), StatusCode::invalid);
  EXPECT_EQ(save(*shared, "a", "b").code(), StatusCode::invalid);
  EXPECT_TRUE(append(*shared, 0, one(batch(0, 1))).status.ok());
  EXPECT_EQ(append(*shared, 0, one(batch(0, 1))).status.code(), StatusCode::conflict);
  EXPECT_TRUE(trim(*shared, 1).ok());
}

INSTANTIATE_TEST_SUITE_P(Modes, LogTest, ::testing::Values(SyncMode::os, SyncMode::interval, SyncMode::fsync),
                         [](const ::testing::TestParamInfo<SyncMode>& mode) {
                           return mode.param == SyncMode::os      ? "os"
                                  : mode.param == SyncMode::fsync ? "fsync"
                                                                  : "interval";
                         });

}  // namespace
}  // namespace sluice::disk
