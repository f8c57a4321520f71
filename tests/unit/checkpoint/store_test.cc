// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <thread>

#include "../support/folder.hpp"
#include "../support/metrics.hpp"
#include "base/crc32c.hpp"
#include "checkpoint/files.hpp"
#include "checkpoint/format.hpp"
#include "sluice/checkpoint.hpp"
#include "support.hpp"

namespace sluice {
namespace {

using namespace checkpoint;
namespace fs = std::filesystem;

class Store : public ::testing::Test {
 protected:
  std::unique_ptr<CheckpointStore> open(uint32_t keep = 8, int64_t lock_timeout_ms = 10'000) {
    return open_store(directory_.path(), keep, lock_timeout_ms);
  }
  fs::path file(uint64_t id, const std::string& group = "g") const {
    return fs::path(directory_.path()) / directory_name(group) / file_name(id);
  }
  static void flip(const fs::path& path, size_t at) {
    std::fstream stream(path, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekg(static_cast<std::streamoff>(at));
    const int byte = stream.get();
    stream.seekp(static_cast<std::streamoff>(at));
    stream.put(static_cast<char>(byte ^ 0x10));
  }
  // `count` commits, each after the newest.
  static void commit_several(CheckpointStore& store, int count) {
    for (int i = 0; i < count; ++i) {
      const Result<Checkpoint> newest = store.newest("g");
      ASSERT_TRUE(store.commit("g", newest ? newest->id : 0, "cursor"));
    }
  }

  TemporaryDirectory directory_;
};

TEST_F(Store, ACommitIsReadBackAlsoByAnotherStore) {
  const auto store = open();
  EXPECT_EQ(store->newest("g").error().code(), StatusCode::not_found);
  const Result<uint64_t> id = store->commit("g", 0, "cursor one", {{"host", "a"}});
  ASSERT_TRUE(id) << id.error().describe();
  EXPECT_EQ(*id, 1U);
  EXPECT_EQ(store->commit("g", 1, "cursor two").value_or(0), 2U);
  const auto other = open();
  const Result<Checkpoint> newest = other->newest("g");
  ASSERT_TRUE(newest);
  EXPECT_EQ(newest->id, 2U);
  EXPECT_EQ(newest->cursor, "cursor two");
  const Result<CheckpointList> all = other->list("g");
  ASSERT_TRUE(all);
  ASSERT_EQ(all->checkpoints.size(), 2U);
  EXPECT_EQ(all->checkpoints[1].cursor, "cursor one");
  EXPECT_EQ(all->checkpoints[1].metadata, (CheckpointMetadata{{"host", "a"}}));
  EXPECT_GT(all->checkpoints[1].created_ns, 0);
}

TEST_F(Store, GroupsAreAnyBytesAndApartFromEachOther) {
  const auto store = open();
  const std::vector<std::string> groups = {
      "../up", "a", "a/b", "a%2Fb", std::string("\0\xff", 2), std::string(80, '.')};
  for (const std::string& group : groups) ASSERT_TRUE(store->commit(group, 0, "of " + group)) << group;
  for (const std::string& group : groups) EXPECT_EQ(store->newest(group)->cursor, "of " + group);
  std::vector<std::string> sorted = groups;
  std::sort(sorted.begin(), sorted.end());
  EXPECT_EQ(store->groups().value(), sorted);
  EXPECT_EQ(store->list("unknown")->checkpoints.size(), 0U);
}

TEST_F(Store, WhoComesSecondGetsConflict) {
  const auto one = open();
  const auto two = open();
  ASSERT_TRUE(one->commit("g", 0, "one"));
  const Result<uint64_t> late = two->commit("g", 0, "two");
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code(), StatusCode::conflict);
  EXPECT_EQ(late.error().text(), "group 'g' is at checkpoint 1, not 0");
  EXPECT_EQ(one->newest("g")->cursor, "one");
  EXPECT_EQ(one->commit("g", 7, "from nowhere").error().code(), StatusCode::conflict);
}

TEST_F(Store, S06_IdsAreUniqueAcrossRestarts) {
  std::set<uint64_t> ids;
  for (int run = 0; run < 2; ++run) {
    const auto store = open(/*keep=*/2);
    for (int i = 0; i < 3; ++i) {
      const Result<Checkpoint> newest = store->newest("g");
      const Result<uint64_t> id = store->commit("g", newest ? newest->id : 0, "cursor");
      ASSERT_TRUE(id) << id.error().describe();
      ids.insert(*id);
    }
  }
  EXPECT_EQ(ids.size(), 6U);
  // Nor is the id of a damaged one given again.
  flip(file(6), 30);
  const auto store = open(2);
  EXPECT_EQ(store->newest("g")->id, 5U);
  EXPECT_EQ(store->commit("g", 5, "cursor").value_or(0), 7U);
}

TEST_F(Store, S07_OneDamagedCheckpointHidesNoOther) {
  const auto store = open(/*keep=*/10);
  commit_several(*store, 10);
  flip(file(4), 25);
  const Result<CheckpointList> all = store->list("g");
  ASSERT_TRUE(all);
  EXPECT_EQ(all->checkpoints.size(), 9U);
  ASSERT_EQ(all->damaged.size(), 1U);
  EXPECT_EQ(all->damaged[0].path, file(4).string());
  EXPECT_EQ(all->damaged[0].why.code(), StatusCode::corrupt);
  EXPECT_EQ(store->newest("g")->id, 10U);
}

TEST_F(Store, S20_TheNewestValidOneWinsWhateverElseIsThere) {
  const auto store = open();
  commit_several(*store, 3);
  // An index that is stale, and times that say otherwise.
  std::ofstream(fs::path(directory_.path()) / "g" / "index") << file_name(1);
  std::ofstream(fs::path(directory_.path()) / "g" / "latest") << "1";
  fs::last_write_time(file(1), fs::file_time_type::clock::now() + std::chrono::hours(1));
  EXPECT_EQ(store->newest("g")->id, 3U);
  flip(file(3), 40);
  const Result<Checkpoint> newest = store->newest("g");
  ASSERT_TRUE(newest);
  EXPECT_EQ(newest->id, 2U);
  EXPECT_EQ(newest->damaged_newer, 1U);
  // What was made elsewhere and copied to an old name is not what its name says.
  fs::copy_file(file(2), file(9));
  EXPECT_EQ(store->newest("g")->id, 2U);
}

TEST_F(Store, AllDamagedIsAnErrorAndNotABeginning) {
  const auto store = open();
  commit_several(*store, 2);
  fs::resize_file(file(1), 3);
  fs::resize_file(file(2), 0);
  EXPECT_EQ(store->newest("g").error().code(), StatusCode::corrupt);
  EXPECT_EQ(store->commit("g", 2, "cursor").error().code(), StatusCode::conflict);
  EXPECT_EQ(store->commit("g", 0, "anew").value_or(0), 3U);
  EXPECT_EQ(store->newest("g")->cursor, "anew");
}

TEST_F(Store, AVersionOfTheFutureIsNotPassedOver) {
  const auto store = open();
  commit_several(*store, 2);
  Buffer bytes = read_file(file(2), kMaxFileBytes).value();
  store_be(bytes.data() + kVersionAt, uint32_t{9});
  store_be(bytes.data() + kHeaderCrcAt, crc32c(bytes.view().first(kHeaderCrcAt)));
  std::ofstream(file(2), std::ios::binary) << as_text(bytes);
  EXPECT_EQ(store->newest("g").error().code(), StatusCode::unsupported);
  EXPECT_EQ(store->commit("g", 1, "cursor").error().code(), StatusCode::unsupported);
  EXPECT_EQ(store->list("g")->damaged.size(), 1U);
}

TEST_F(Store, KeepsAsManyAsItWasTold) {
  const auto store = open(/*keep=*/3);
  commit_several(*store, 10);
  EXPECT_EQ(store->list("g")->checkpoints.size(), 3U);
  EXPECT_EQ(store->list("g")->checkpoints.back().id, 8U);
  const auto only_one = open(/*keep=*/1);
  commit_several(*only_one, 1);
  EXPECT_EQ(store->list("g")->checkpoints.size(), 1U);
}

TEST_F(Store, TheRoomOfWhatWasPrunedIsUsedAgain) {
  const auto store = open(/*keep=*/2);
  const auto inode = [&](uint64_t id) {
    struct stat found {};
    EXPECT_EQ(::stat(file(id).c_str(), &found), 0) << id;
    return found.st_ino;
  };
  std::vector<ino_t> inodes = {0};
  const size_t sizes[] = {1'000, 20'000, 10, 10, 0, 5'000, 300'000, 1, 100, 100};
  uint64_t id = 0;
  for (const size_t size : sizes) {
    const std::string cursor(size, static_cast<char>('a' + id));
    ASSERT_EQ(store->commit("g", id, cursor).value_or(0), id + 1);
    id += 1;
    inodes.push_back(inode(id));
    if (id > 3) {
      EXPECT_EQ(inodes[id], inodes[id - 3]) << id;
    }
    EXPECT_EQ(store->newest("g")->cursor, cursor);
    const Result<CheckpointList> all = store->list("g");
    EXPECT_EQ(all->checkpoints.size(), std::min<size_t>(id, 2));
    EXPECT_TRUE(all->damaged.empty());
  }
}

TEST_F(Store, ACopyByAnotherNameKeepsWhatItSays) {
  const auto store = open(/*keep=*/1);
  commit_several(*store, 1);
  const fs::path copy = fs::path(directory_.path()) / "copy";
  fs::create_hard_link(file(1), copy);
  commit_several(*store, 5);
  const Result<Checkpoint> kept = decode(read_file(copy, kMaxFileBytes).value());
  ASSERT_TRUE(kept) << kept.error().describe();
  EXPECT_EQ(kept->id, 1U);
  EXPECT_EQ(store->newest("g")->id, 6U);
}

TEST_F(Store, WhatACommitThatWasCutShortLeftIsWrittenOver) {
  const auto store = open();
  commit_several(*store, 1);
  std::ofstream(fs::path(directory_.path()) / "g" / "next.tmp") << std::string(100'000, 'x');
  commit_several(*store, 1);
  EXPECT_EQ(store->newest("g")->id, 2U);
  EXPECT_EQ(store->newest("g")->damaged_newer, 0U);
  fs::create_symlink(file(1), fs::path(directory_.path()) / "g" / "next.tmp");
  EXPECT_FALSE(store->commit("g", 2, "cursor")) << "a link is not followed";
  EXPECT_EQ(store->list("g")->checkpoints.size(), 2U);
}

// A reader is slower than the two commits after which the file that it has open is written over.
TEST_F(Store, WhoReadsWhileFilesAreUsedAgainSeesNoDamage) {
  constexpr uint64_t kLeast = 300;
  const auto store = open(/*keep=*/1);
  ASSERT_TRUE(store->commit("g", 0, std::string(1 << 20, 'a')));
  std::atomic<bool> over = false;
  std::atomic<uint64_t> looked = 0;
  std::vector<std::thread> readers;
  for (int reader = 0; reader < 3; ++reader) {
    readers.emplace_back([&, reader] {
      uint64_t last = 0;
      while (!over) {
        ++looked;
        if (reader == 0) {
          const Result<CheckpointList> all = store->list("g");
          ASSERT_TRUE(all) << all.error().describe();
          EXPECT_TRUE(all->damaged.empty()) << all->damaged[0].why.describe();
          continue;
        }
        const Result<Checkpoint> newest = store->newest("g");
        if (!newest && newest.error().code() == StatusCode::busy) continue;
        ASSERT_TRUE(newest) << newest.error().describe();
        EXPECT_EQ(newest->damaged_newer, 0U);
        EXPECT_GE(newest->id, last);
        EXPECT_EQ(newest->cursor.find_first_not_of(static_cast<char>('a' + (newest->id - 1) % 26)), std::string::npos);
        last = newest->id;
      }
    });
  }
  uint64_t id = 1;
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while ((id < kLeast || looked < 3 * kLeast) && std::chrono::steady_clock::now() < until) {
    const auto next = store->commit("g", id, std::string(1 << 20, static_cast<char>('a' + id % 26)));
    EXPECT_TRUE(next) << next.error().describe();
    if (!next) break;
    id = *next;
  }
  over = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_GE(id, kLeast);
}

TEST_F(Store, ALockThatIsHeldIsWaitedForAsLongAsToldAndNoLonger) {
  const auto store = open(8, /*lock_timeout_ms=*/30);
  commit_several(*store, 1);
  const Result<FileLock> held = lock_file(directory_.path() + "/g/lock", 1000);
  ASSERT_TRUE(held);
  EXPECT_EQ(store->commit("g", 1, "cursor").error().code(), StatusCode::busy);
  EXPECT_EQ(store->newest("g")->id, 1U) << "readers wait for nobody";
}

TEST_F(Store, TheLockIsGivenBackAlthoughAProcessThatIsBeingStartedHasACopy) {
  const std::string path = std::filesystem::canonical(directory_.path()).string() + "/lock";
  auto taken = lock_file(path, 0);
  ASSERT_TRUE(taken) << taken.error().describe();
  std::optional<FileLock> lock(std::move(*taken));
  const int copy = test::copy_of_descriptor(path);
  ASSERT_GE(copy, 0);
  EXPECT_EQ(lock_file(path, 0).error().code(), StatusCode::busy);
  lock.reset();
  const auto again = lock_file(path, 0);
  EXPECT_TRUE(again) << again.error().describe();
  ::close(copy);
}

TEST_F(Store, ThreadsOfOneProcessAreApartToo) {
  const auto store = open();
  std::atomic<int> committed = 0;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        const Result<Checkpoint> newest = store->newest("g");
        const uint64_t after = newest ? newest->id : 0;
        const Result<uint64_t> id = store->commit("g", after, "cursor");
        if (!id) {
          EXPECT_EQ(id.error().code(), StatusCode::conflict) << id.error().describe();
          continue;
        }
        EXPECT_EQ(*id, after + 1);
        ++committed;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(store->newest("g")->id, static_cast<uint64_t>(committed));
}

TEST_F(Store, TelemetryHearsOfEveryCommit) {
  const std::shared_ptr<Telemetry> telemetry = std::move(Telemetry::make().value());
  CheckpointSettings settings;
  settings.directory = directory_.path();
  settings.name = "billing";
  settings.telemetry = telemetry;
  auto store = std::move(CheckpointStore::open(settings).value());
  commit_several(*store, 3);
  EXPECT_FALSE(store->commit("g", 1, "late"));
  EXPECT_FALSE(store->commit("", 0, "nobody"));
  for (int look = 0; look < 2; ++look) {
    const TelemetrySnapshot snapshot = telemetry->snapshot();
    const Attributes mine = {{"messaging.system", "sluice.checkpoint"}, {"messaging.destination.name", "billing"}};
    EXPECT_EQ(testing::sum(snapshot, "sluice.checkpoint.commits", mine), 3);
    EXPECT_EQ(testing::sum(snapshot, "sluice.checkpoint.written", mine),
              static_cast<int64_t>(3 * fs::file_size(file(3))));
    EXPECT_EQ(testing::sum(snapshot, semconv::kOperationDuration, {{"messaging.operation.name", "commit"}}), 5);
    EXPECT_EQ(testing::sum(snapshot, "sluice.failures", {{"error.type", "conflict"}}), 1);
    EXPECT_EQ(testing::sum(snapshot, "sluice.failures", {{"error.type", "invalid"}}), 1);
    ASSERT_EQ(snapshot.failures.size(), 2U);
    EXPECT_EQ(snapshot.failures[0].text, "group 'g' is at checkpoint 3, not 1");
    store.reset();  // and it stays
  }
}

TEST_F(Store, SettingsAreCheckedFieldByField) {
  const auto refused = [&](auto change) {
    CheckpointSettings settings;
    settings.directory = directory_.path() + "/unmade";
    change(settings);
    const auto opened = CheckpointStore::open(settings);
    EXPECT_FALSE(opened);
    EXPECT_FALSE(fs::exists(directory_.path() + "/unmade"));
    return opened ? "" : opened.error().text().substr(0, opened.error().text().find(':'));
  };
  EXPECT_EQ(refused([](auto& s) { s.directory.clear(); }), "checkpoint.directory");
  EXPECT_EQ(refused([](auto& s) { s.keep = 0; }), "checkpoint.keep");
  EXPECT_EQ(refused([](auto& s) { s.keep = UINT32_MAX; }), "checkpoint.keep");
  EXPECT_EQ(refused([](auto& s) { s.name.clear(); }), "checkpoint.name");
  EXPECT_EQ(refused([](auto& s) { s.name = std::string(201, 'n'); }), "checkpoint.name");
  EXPECT_EQ(refused([](auto& s) { s.lock_timeout_ms = 0; }), "checkpoint.lock_timeout_ms");
  EXPECT_EQ(refused([](auto& s) { s.lock_timeout_ms = INT64_MAX; }), "checkpoint.lock_timeout_ms");
  EXPECT_EQ(refused([](auto& s) { s.directory = "/nowhere/at/all"; }), "checkpoint.directory");
}

}  // namespace
}  // namespace sluice
