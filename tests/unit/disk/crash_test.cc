// SPDX-License-Identifier: Apache-2.0
// A process that appends is killed at random moments: whatever it was told is there afterwards, whole and in order.
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <algorithm>
#include <random>

#include "support.hpp"

namespace sluice::disk {
namespace {

using namespace test;

constexpr uint64_t kLogs = 3;
constexpr int kRounds = 50;

/// Shared with the child: how far each log was acknowledged, and that the child was at work.
struct Told {
  std::atomic<int64_t> end[kLogs];
  std::atomic<int64_t> token[kLogs];
  std::atomic<uint64_t> appends;
};

/// Units of one to three batches, whose content follows from their offset, so that they can be checked.
std::vector<Buffer> unit_at(int64_t at) {
  std::vector<Buffer> unit;
  for (int64_t b = 0; b < 1 + at % 3; ++b) {
    const int64_t base = at + 2 * b;
    unit.push_back(batch(base, 2, 1000 + base, 30 + static_cast<size_t>(at % 700)));
  }
  return unit;
}

[[noreturn]] void child(const std::string& directory, SyncMode sync, int round, Told& told) {
  Settings settings;
  settings.directory = directory;
  settings.sync = sync;
  settings.segment_bytes = 40'000;
  settings.index_interval_bytes = 1000;
  Storage storage(settings, system_files(), [](LogLevel, const std::string&) {});
  if (!storage.start().ok()) ::_exit(1);
  std::vector<std::shared_ptr<Log>> logs;
  for (uint64_t i = 0; i < kLogs; ++i) {
    logs.push_back(storage.log(descriptor(i).id));
    if (!create(*logs[i], descriptor(i)).ok()) ::_exit(2);
    if (!fence(*logs[i], static_cast<uint64_t>(round)).ok()) ::_exit(3);
    told.token[i] = round;
  }
  for (;;) {
    for (uint64_t i = 0; i < kLogs; ++i) {
      const int64_t at = told.end[i];
      const Appended appended = append(*logs[i], at, unit_at(at), static_cast<uint64_t>(round));
      // One that was cut off by the last kill may be there.
      if (appended.status.code() == StatusCode::conflict && appended.end > at) {
        told.end[i] = appended.end;
        continue;
      }
      if (!appended.status.ok()) ::_exit(4);
      told.end[i] = appended.end;
      told.appends += 1;
    }
  }
}

class CrashTest : public ::testing::TestWithParam<SyncMode> {};

TEST_P(CrashTest, NothingAcknowledgedIsLostByAKill) {
  Directory directory;
  auto* told =
      static_cast<Told*>(::mmap(nullptr, sizeof(Told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(told, MAP_FAILED);
  std::mt19937 random(20240229);
  std::uniform_int_distribution<int> when_us(0, 4000);
  for (int round = 1; round <= kRounds; ++round) {
    const uint64_t before = told->appends;
    const pid_t pid = ::fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) child(directory.path(), GetParam(), round, *told);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (told->appends == before && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(when_us(random));
    while (std::chrono::steady_clock::now() < until) std::this_thread::yield();
    ASSERT_EQ(::kill(pid, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself: " << WEXITSTATUS(status);

    World world(directory.path());
    for (uint64_t i = 0; i < kLogs; ++i) {
      auto log = world.log(i);
      const sluice_bounds now = bounds(*log);
      ASSERT_GE(now.end, told->end[i]) << "round " << round;
      EXPECT_GE(now.token, static_cast<uint64_t>(told->token[i]));
      // From near the end on: whole units, each as it was appended.
      int64_t at = 0;
      Buffer expected;
      while (at < now.end) {
        const auto unit = unit_at(at);
        expected.append(concat(unit));
        at += 2 * static_cast<int64_t>(unit.size());
      }
      ASSERT_EQ(at, now.end) << "a unit is there in part";
      if (round % 10 == 0) {
        ASSERT_TRUE(std::ranges::equal(read_all(*log, 0).view(), expected.view())) << "round " << round;
      }
      told->end[i] = now.end;
    }
    EXPECT_EQ(world.counters().torn_tails, 0U) << "a kill tears nothing that was committed";
  }
  EXPECT_GE(told->appends, static_cast<uint64_t>(kRounds));
  ::munmap(told, sizeof(Told));
}

INSTANTIATE_TEST_SUITE_P(Modes, CrashTest, ::testing::Values(SyncMode::os, SyncMode::interval, SyncMode::fsync),
                         [](const ::testing::TestParamInfo<SyncMode>& mode) {
                           return mode.param == SyncMode::os      ? "os"
                                  : mode.param == SyncMode::fsync ? "fsync"
                                                                  : "interval";
                         });

}  // namespace
}  // namespace sluice::disk
