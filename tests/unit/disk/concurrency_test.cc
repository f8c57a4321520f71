// SPDX-License-Identifier: Apache-2.0
// Appending, reading, trimming, locating, saving and fencing of the same logs at once, with caches that are too small:
// every reader sees each batch once, whole and in order, whatever happens beside it.
#include <algorithm>
#include <thread>

#include "support.hpp"

namespace sluice::disk {
namespace {

using namespace test;

constexpr uint64_t kLogs = 3;
constexpr int64_t kBatches = 400;

/// Checks what was read against what belongs there; returns where to go on.
int64_t check(const Read& part, int64_t offset) {
  Bytes rest = part.bytes.view();
  while (!rest.empty()) {
    const auto view = records::take_batch(rest);
    EXPECT_TRUE(view.has_value());
    if (!view) return part.next;
    EXPECT_EQ(view->base_offset(), offset);
    EXPECT_TRUE(std::ranges::equal(view->bytes(), batch(offset, 2, 1000 + offset).view()));
    offset = view->next_offset();
  }
  EXPECT_EQ(part.next, offset);
  return offset;
}

class ConcurrencyTest : public ::testing::TestWithParam<SyncMode> {};

TEST_P(ConcurrencyTest, EveryoneSeesOneOrder) {
  Directory directory;
  Settings settings{.directory = directory.path(), .sync = GetParam()};
  settings.sync_interval_ms = 2;
  settings.segment_bytes = 1500;
  settings.index_interval_bytes = 200;
  settings.index_memory_bytes = 1000;
  settings.max_open_files = 2;
  settings.writer_threads = 2;
  World world(settings);
  std::vector<std::shared_ptr<Log>> logs;
  for (uint64_t i = 0; i < kLogs; ++i) {
    logs.push_back(world.log(i));
    ASSERT_TRUE(create(*logs[i], descriptor(i)).ok());
  }
  std::atomic<int> writing{kLogs};
  std::vector<std::thread> threads;
  for (auto& log : logs) {
    threads.emplace_back([&, log] {
      uint64_t token = 0;
      for (int64_t at = 0; at < 2 * kBatches; at += 2) {
        const Appended appended = append(*log, at, one(batch(at, 2, 1000 + at)), token);
        EXPECT_TRUE(appended.status.ok()) << appended.status.describe();
        if (at % 20 == 10) {
          EXPECT_TRUE(trim(*log, at - 40, token).ok());
        }
        if (at % 100 == 50) {
          EXPECT_TRUE(fence(*log, ++token).ok());
          EXPECT_TRUE(save(*log, "v", std::to_string(at), token).ok());
        }
      }
      --writing;
    });
    // At the start, where trims overtake it: it is told so, or gets the batch that it asked for.
    threads.emplace_back([&, log] {
      while (writing > 0) {
        const int64_t start = bounds(*log).start;
        const Read part = read(*log, start, INT64_MAX, 1);
        if (part.status.code() == StatusCode::out_of_range) {
          EXPECT_GT(part.start, start);
          continue;
        }
        EXPECT_TRUE(part.status.ok()) << part.status.describe();
        if (!part.status.ok()) return;
        check(part, start);
        EXPECT_GE(locate(*log, 1000), start);
      }
    });
    for (int reader = 0; reader < 2; ++reader) {
      threads.emplace_back([&, log, reader] {
        int64_t offset = 0;
        while (writing > 0 || offset < 2 * kBatches) {
          const Read part = read(*log, offset, INT64_MAX, reader == 0 ? 1 : 2000);
          if (part.status.code() == StatusCode::out_of_range) {
            EXPECT_GT(part.start, offset);
            offset = part.start;
            continue;
          }
          EXPECT_TRUE(part.status.ok()) << part.status.describe();
          if (!part.status.ok()) return;
          if (part.next == offset) std::this_thread::yield();
          offset = check(part, offset);
          const int64_t found = locate(*log, 1000 + offset);
          EXPECT_GE(found, offset);
          EXPECT_LE(bounds(*log).start, bounds(*log).end);
        }
      });
    }
  }
  for (std::thread& thread : threads) thread.join();
  for (auto& log : logs) EXPECT_EQ(bounds(*log).end, 2 * kBatches);
  logs.clear();
  world.abandon();
  ASSERT_TRUE(world.start().ok());
  for (uint64_t i = 0; i < kLogs; ++i) {
    auto log = world.log(i);
    const sluice_bounds now = bounds(*log);
    EXPECT_EQ(now.end, 2 * kBatches);
    EXPECT_EQ(load(*log, "v"), "750");
    int64_t offset = now.start;
    while (offset < now.end) offset = check(read(*log, offset), offset);
  }
  EXPECT_EQ(world.counters().torn_tails, 0U);
}

INSTANTIATE_TEST_SUITE_P(Modes, ConcurrencyTest, ::testing::Values(SyncMode::os, SyncMode::interval, SyncMode::fsync),
                         [](const ::testing::TestParamInfo<SyncMode>& mode) {
                           return mode.param == SyncMode::os      ? "os"
                                  : mode.param == SyncMode::fsync ? "fsync"
                                                                  : "interval";
                         });

}  // namespace
}  // namespace sluice::disk
