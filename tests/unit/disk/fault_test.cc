// SPDX-License-Identifier: Apache-2.0
// Full disks, file systems that became read-only, syncs that fail: what is refused, what goes on, what comes back.
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "support.hpp"

namespace sluice::disk {
namespace {

using namespace test;

class FaultTest : public ::testing::Test {
 protected:
  explicit FaultTest(SyncMode sync = SyncMode::os) : world_(settings(sync), files_), log_(world_.log(1)) {
    EXPECT_TRUE(create(*log_, descriptor(1)).ok());
    for (int64_t at = 0; at < 30; ++at) EXPECT_TRUE(put(at).ok());
    world_.settle();
  }
  Settings settings(SyncMode sync) const {
    Settings settings;
    settings.directory = directory_.path();
    settings.sync = sync;
    settings.segment_bytes = 1000;
    return settings;
  }
  Status put(int64_t at, uint64_t token = 0, uint32_t flags = 0) {
    std::vector<Buffer> unit;
    unit.push_back(batch(at, 1));
    return append(*log_, at, unit, token, flags).status;
  }
  void restart() {
    log_.reset();
    world_.abandon();
    ASSERT_TRUE(world_.start().ok());
    log_ = world_.log(1);
  }

  Directory directory_;
  FaultyFiles files_;
  World world_;
  std::shared_ptr<Log> log_;
};

TEST_F(FaultTest, AFullDiskRefusesTrimsAndGoesOnByItself) {
  const size_t one_batch = batch(0, 1).size();
  for (size_t torn = 0; torn < one_batch; torn += 13) {
    files_.space_left = static_cast<int64_t>(torn);
    EXPECT_EQ(put(30).code(), StatusCode::no_space) << torn;
    EXPECT_EQ(bounds(*log_).end, 30);
    EXPECT_EQ(read(*log_, 30).next, 30);
    EXPECT_EQ(read_all(*log_, 0).size(), 30 * one_batch);
  }
  files_.metadata_error = ENOSPC;  // no new file either
  EXPECT_EQ(save(*log_, "large", std::string(5000, 'x')).code(), StatusCode::no_space);
  EXPECT_TRUE(save(*log_, "log-start", "15").ok()) << "small values need no space";
  EXPECT_TRUE(fence(*log_, 3).ok());
  EXPECT_TRUE(trim(*log_, 15, 3).ok());
  EXPECT_EQ(bounds(*log_).start, 15);
  auto other = world_.log(2);
  EXPECT_EQ(create(*other, descriptor(2)).code(), StatusCode::no_space);

  files_.space_left = INT64_MAX;
  files_.metadata_error = 0;
  EXPECT_TRUE(create(*other, descriptor(2)).ok());
  EXPECT_TRUE(put(30, 3).ok());
  restart();
  EXPECT_EQ(bounds(*log_).end, 31);
  EXPECT_EQ(read_all(*log_, 15).size(), 16 * one_batch);
  EXPECT_EQ(world_.counters().torn_tails, 0U);
}

TEST_F(FaultTest, ALogCanBeDeletedWhereNotEvenANameFits) {
  files_.metadata_error = ENOSPC;
  ASSERT_TRUE(remove(*log_).ok());
  EXPECT_EQ(put(30).code(), StatusCode::not_found);
  files_.metadata_error = 0;
  restart();
  EXPECT_TRUE(world_->list().empty());
  EXPECT_TRUE(create(*log_, descriptor(1)).ok());
  EXPECT_EQ(bounds(*log_).end, 0);
}

TEST_F(FaultTest, SpaceTakenAheadIsGivenBackAndMayBeMissing) {
  Directory directory;
  FaultyFiles files;
  Settings settings{.directory = directory.path()};
  settings.preallocate_bytes = 1 << 20;
  World world(settings, files);
  auto log = world.log(1);
  ASSERT_TRUE(create(*log, descriptor(1)).ok());
  int64_t at = 0;
  for (; at < 4; ++at) ASSERT_TRUE(append(*log, at, one(batch(at, 1, 1000, 100'000))).status.ok());
  const std::string path = world.log_directory(1) + "/" + segment_name(0);
  const auto taken = [&] {
    struct stat info {};
    EXPECT_EQ(::stat(path.c_str(), &info), 0);
    return static_cast<uint64_t>(info.st_blocks) * 512;
  };
  EXPECT_GT(taken(), 600'000U);
  files.room = 10'000;  // less than a unit, and than is taken ahead
  Status status;
  while (status.ok()) {
    status = append(*log, at, one(batch(at, 1, 1000, 100'000))).status;
    if (status.ok()) ++at;
  }
  EXPECT_EQ(status.code(), StatusCode::no_space);
  EXPECT_EQ(bounds(*log).end, at);
  EXPECT_TRUE(append(*log, at, one(batch(at, 1, 1000, 100))).status.ok()) << "a smaller one fits";
  log.reset();
  ASSERT_TRUE(world.stop().ok());
  EXPECT_LT(taken(), static_cast<uint64_t>(at) * 101'000 + 20'000);
}

/// Exits with the number of the first step that did not go as it should.
[[noreturn]] void live_within_a_limit(const std::string& directory) {
  World world(directory);
  auto log = world.log(1);
  if (!create(*log, descriptor(1)).ok()) ::_exit(1);
  const rlimit limit{50'000, 50'000};  // of each file; the signal for it is at its default, which ends the process
  if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) ::_exit(2);
  int64_t at = 0;
  Status status;
  for (;; ++at) {
    status = append(*log, at, one(batch(at, 1, 1000, 3000))).status;
    if (!status.ok()) break;
  }
  if (status.code() != StatusCode::no_space || at < 10) ::_exit(3);
  if (!append(*log, at, one(batch(at, 1, 1000, 1))).status.ok()) ::_exit(4);  // a smaller one fits
  if (bounds(*log).end != at + 1 || read_all(*log, 0).size() < 30'000) ::_exit(5);
  if (!fence(*log, 1).ok() || !trim(*log, at, 1).ok()) ::_exit(6);
  log.reset();
  if (!world.stop().ok() || !world.start().ok() || bounds(*world.log(1)).end != at + 1) ::_exit(7);
  ::_exit(0);
}

// Without a storage of the fixture's: a child of a process with threads may make none, where races are looked for.
TEST(LimitTest, ARealLimitOfTheSystemIsAnErrorAndNotTheEnd) {
  Directory directory;
  const pid_t pid = ::fork();
  ASSERT_GE(pid, 0);
  if (pid == 0) live_within_a_limit(directory.path());
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0) << "step " << WEXITSTATUS(status) << ", signal " << WTERMSIG(status);
}

TEST_F(FaultTest, ATornUnitIsGoneAfterAKill) {
  files_.space_left = 20;
  EXPECT_EQ(put(30).code(), StatusCode::no_space);
  files_.space_left = INT64_MAX;
  restart();
  EXPECT_EQ(bounds(*log_).end, 30);
  EXPECT_EQ(read_all(*log_, 0).size(), 30 * batch(0, 1).size());
}

TEST_F(FaultTest, AReadOnlyFileSystemIsReadAndRefusesTheRest) {
  files_.write_error = EROFS;
  EXPECT_EQ(put(30).code(), StatusCode::denied);
  EXPECT_EQ(fence(*log_, 1).code(), StatusCode::denied);
  EXPECT_EQ(save(*log_, "a", "b").code(), StatusCode::denied);
  EXPECT_EQ(trim(*log_, 5).code(), StatusCode::denied);
  EXPECT_EQ(remove(*log_).code(), StatusCode::denied);
  EXPECT_EQ(create(*world_.log(2), descriptor(2)).code(), StatusCode::denied);
  EXPECT_EQ(read_all(*log_, 0).size(), 30 * batch(0, 1).size());

  restart();  // on the read-only file system
  EXPECT_TRUE(world_->read_only());
  EXPECT_EQ(bounds(*log_).end, 30);
  EXPECT_EQ(read_all(*log_, 0).size(), 30 * batch(0, 1).size());
  EXPECT_EQ(put(30).code(), StatusCode::denied);
  files_.write_error = 0;
  EXPECT_TRUE(put(30).ok());
}

TEST_F(FaultTest, ATornTailOnAReadOnlyFileSystemIsCutBeforeAnythingIsAppended) {
  const std::string directory = world_.log_directory(1);
  int64_t last = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    if (const auto base = offset_of_name(entry.path().filename().string(), kSegmentSuffix))
      last = std::max(last, *base);
  }
  log_.reset();
  world_.abandon();
  const std::string path = directory + "/" + segment_name(last);
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 1);
  files_.write_error = EROFS;
  ASSERT_TRUE(world_.start().ok());
  log_ = world_.log(1);
  EXPECT_EQ(bounds(*log_).end, 29);
  EXPECT_EQ(put(29).code(), StatusCode::denied);
  files_.write_error = 0;
  EXPECT_TRUE(put(29).ok());
  restart();
  EXPECT_EQ(bounds(*log_).end, 30);
  EXPECT_EQ(read_all(*log_, 0).size(), 30 * batch(0, 1).size());
}

TEST_F(FaultTest, AnErrorOfTheDeviceIsToldAndLeavesNothing) {
  files_.write_error = EIO;
  const Status failed = put(30);
  EXPECT_EQ(failed.code(), StatusCode::internal) << failed.describe();
  EXPECT_EQ(failed.native_code(), EIO);
  files_.write_error = 0;
  EXPECT_TRUE(put(30).ok());
}

class SyncFaultTest : public FaultTest {
 protected:
  SyncFaultTest() : FaultTest(SyncMode::fsync) {}
};

TEST_F(SyncFaultTest, AFailedSyncIsNotTriedAgainAsIfAllWereWell) {
  files_.sync_error = EIO;
  EXPECT_EQ(put(30).code(), StatusCode::unknown);
  files_.sync_error = 0;
  EXPECT_EQ(put(30).code(), StatusCode::internal) << "although a sync would say OK now";
  EXPECT_EQ(bounds(*log_).end, 30);
  EXPECT_EQ(read(*log_, 30).next, 30) << "not readable before it is durable";
  int64_t end = 0;
  ASSERT_TRUE(fence(*log_, 1, &end).ok());
  EXPECT_EQ(end, 30);
  EXPECT_TRUE(put(30, 1).ok());
  EXPECT_TRUE(put(31, 1).ok());
  restart();
  EXPECT_EQ(bounds(*log_).end, 32);
  EXPECT_EQ(read_all(*log_, 0).size(), 32 * batch(0, 1).size());
}

TEST_F(SyncFaultTest, AUnitWhoseSyncFailedIsGoneOnceAFenceSaidSo) {
  files_.sync_error = EIO;
  EXPECT_EQ(put(30).code(), StatusCode::unknown);
  EXPECT_NE(fence(*log_, 1).code(), StatusCode::ok) << "nothing is settled while syncs fail";
  files_.sync_error = 0;
  int64_t end = 0;
  ASSERT_TRUE(fence(*log_, 2, &end).ok());
  EXPECT_EQ(end, 30);
  restart();
  EXPECT_EQ(bounds(*log_).end, 30);
}

TEST_F(SyncFaultTest, EveryAnswerComesAfterASync) {
  const int before = files_.syncs;
  for (int64_t at = 30; at < 40; ++at) ASSERT_TRUE(put(at).ok());
  EXPECT_GE(files_.syncs - before, 10);
}

TEST_F(SyncFaultTest, ARemovalIsAcknowledgedOnceItIsDurable) {
  files_.sync_error = EIO;
  EXPECT_EQ(remove(*log_).code(), StatusCode::unknown);
  EXPECT_EQ(remove(*log_).code(), StatusCode::unknown) << "it is gone, and may come back";
  files_.sync_error = 0;
  EXPECT_TRUE(remove(*log_).ok());
  restart();
  EXPECT_TRUE(world_->list().empty());
}

TEST_F(FaultTest, ASyncUnitCoversAllBeforeIt) {
  for (int64_t at = 30; at < 40; ++at) ASSERT_TRUE(put(at).ok());
  world_.settle();
  files_.sync_error = EIO;
  EXPECT_EQ(put(40, 0, SLUICE_APPEND_SYNC).code(), StatusCode::unknown);
  files_.sync_error = 0;
  int64_t end = 0;
  ASSERT_TRUE(fence(*log_, 1, &end).ok());
  EXPECT_EQ(end, 40) << "what was acknowledged without a sync is still there";
  EXPECT_EQ(read_all(*log_, 0).size(), 40 * batch(0, 1).size());
  ASSERT_TRUE(put(40, 1, SLUICE_APPEND_SYNC).ok());
  auto always = world_.log(2);
  ASSERT_TRUE(create(*always, descriptor(2, SLUICE_LOG_SYNC)).ok());
  files_.sync_error = EIO;
  EXPECT_EQ(append(*always, 0, one(batch(0, 1))).status.code(), StatusCode::unknown);
}

TEST_F(FaultTest, IntervalModeSyncsByItself) {
  Directory directory;
  FaultyFiles files;
  Settings settings;
  settings.directory = directory.path();
  settings.sync = SyncMode::interval;
  settings.sync_interval_ms = 10;
  World world(settings, files);
  auto log = world.log(1);
  ASSERT_TRUE(create(*log, descriptor(1)).ok());
  const int before = files.syncs;
  ASSERT_TRUE(append(*log, 0, one(batch(0, 1))).status.ok());
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (files.syncs == before && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  EXPECT_GT(files.syncs, before);
}

}  // namespace
}  // namespace sluice::disk
