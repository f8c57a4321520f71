// SPDX-License-Identifier: Apache-2.0
// The directory: who may have it, what is in it, and what it costs.
#include "disk/storage.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>

#include "support.hpp"

namespace sluice::disk {
namespace {

using namespace test;
namespace fs = std::filesystem;

struct Started {
  explicit Started(const std::string& directory)
      : storage({.directory = directory}, system_files(), [](LogLevel, const std::string&) {}) {
    status = storage.start();
  }
  Storage storage;
  Status status;
};

TEST(StorageTest, ADirectoryHasOneOwner) {
  Directory directory;
  World world(directory.path());
  Started other(directory.path());
  EXPECT_EQ(other.status.code(), StatusCode::exists);
  EXPECT_NE(other.status.text().find(directory.path()), std::string::npos) << other.status.text();
  EXPECT_NE(other.status.text().find(fmt::format("process {} on ", ::getpid())), std::string::npos)
      << other.status.text();
  ASSERT_TRUE(world.stop().ok());
  EXPECT_TRUE(other.storage.start().ok());
}

TEST(StorageTest, WhoHasADirectoryIsToldAlsoWhenItsFileSaysNothing) {
  Directory directory;
  World world(directory.path());
  fs::resize_file(directory.path() + "/owner", 0);
  EXPECT_NE(Started(directory.path()).status.text().find("in use by another process"), std::string::npos);
  ASSERT_TRUE(world.stop().ok());
  EXPECT_FALSE(fs::exists(directory.path() + "/owner"));
}

TEST(StorageTest, AnEmptyDirectoryThatCannotBeWrittenIsRefusedByName) {
  Directory directory;
  FaultyFiles files;
  files.write_error = EROFS;
  Storage storage({.directory = directory.path()}, files, [](LogLevel, const std::string&) {});
  const Status status = storage.start();
  EXPECT_EQ(status.code(), StatusCode::denied) << status.describe();
  EXPECT_NE(status.text().find(directory.path()), std::string::npos);
  if (::geteuid() == 0) return;  // root may write anywhere
  ASSERT_EQ(::chmod(directory.path().c_str(), 0555), 0);
  EXPECT_EQ(Started(directory.path()).status.code(), StatusCode::denied);
  ASSERT_EQ(::chmod(directory.path().c_str(), 0755), 0);
  EXPECT_TRUE(Started(directory.path()).status.ok());
}

TEST(StorageTest, ALaterFormatIsRefused) {
  Directory directory;
  { World world(directory.path()); }
  std::ofstream(directory.path() + "/format") << format_text(kFormatVersion + 1);
  Started later(directory.path());
  EXPECT_EQ(later.status.code(), StatusCode::unsupported);
  EXPECT_NE(later.status.text().find(std::to_string(kFormatVersion + 1)), std::string::npos);
  std::ofstream(directory.path() + "/format") << "nonsense";
  EXPECT_EQ(Started(directory.path()).status.code(), StatusCode::corrupt);
}

TEST(StorageTest, LogsWithoutAFormatAreNotTakenOver) {
  Directory directory;
  {
    World world(directory.path());
    ASSERT_TRUE(create(*world.log(1), descriptor(1)).ok());
  }
  fs::remove(directory.path() + "/format");
  EXPECT_EQ(Started(directory.path()).status.code(), StatusCode::corrupt);
}

TEST(StorageTest, IsTiedToOneCluster) {
  Directory directory;
  Uuid first = Uuid::from_words(1, 1), second = Uuid::from_words(2, 2);
  World world(directory.path());
  Uuid id = first;
  ASSERT_TRUE(world->bind(id, false).ok());
  EXPECT_EQ(id, first);
  ASSERT_TRUE(world.stop().ok());
  ASSERT_TRUE(world.start().ok());
  id = second;
  ASSERT_TRUE(world->bind(id, false).ok());
  EXPECT_EQ(id, first);
  ASSERT_TRUE(create(*world.log(1), descriptor(1)).ok());
  id = second;
  EXPECT_EQ(world->bind(id, true).code(), StatusCode::exists);
  ASSERT_TRUE(remove(*world.log(1)).ok());
  id = second;
  ASSERT_TRUE(world->bind(id, true).ok());
  EXPECT_EQ(id, second);
}

TEST(StorageTest, ListsWholeLogsWithTheirNames) {
  Directory directory;
  World world(directory.path());
  auto odd = descriptor(2);
  odd.topic = std::string(240, 'n') + "/..";
  ASSERT_TRUE(create(*world.log(1), descriptor(1)).ok());
  ASSERT_TRUE(create(*world.log(2), odd).ok());
  // What a kill leaves behind of a log that was being made, and of one that was being removed.
  fs::create_directories(directory.path() + "/new/half");
  std::ofstream(directory.path() + "/new/half/log") << "x";
  fs::create_directories(directory.path() + "/gone/half");
  world.abandon();
  ASSERT_TRUE(world.start().ok());
  auto listed = world->list();
  std::ranges::sort(listed, {}, &Storage::Listed::partition);
  ASSERT_EQ(listed.size(), 2U);
  EXPECT_EQ(listed[0].topic, "topic");
  EXPECT_EQ(listed[0].id, descriptor(1).id);
  EXPECT_EQ(listed[1].topic, odd.topic);
  ASSERT_TRUE(world.stop().ok());
  EXPECT_TRUE(fs::is_empty(directory.path() + "/new"));
  EXPECT_TRUE(fs::is_empty(directory.path() + "/gone"));
}

TEST(StorageTest, CallsAfterStopAreUnavailableAndHandlesLiveOn) {
  Directory directory;
  World world(directory.path());
  auto log = world.log(1);
  ASSERT_TRUE(create(*log, descriptor(1)).ok());
  ASSERT_TRUE(append(*log, 0, one(batch(0, 1))).status.ok());
  ASSERT_TRUE(world.stop().ok());
  EXPECT_EQ(world->while_started([] { return Status(); }).code(), StatusCode::unavailable);
  ASSERT_TRUE(world->start().ok());
  EXPECT_EQ(bounds(*log).end, 1);
  ASSERT_TRUE(append(*log, 1, one(batch(1, 1))).status.ok());
}

// B13: caches cost what is used.
TEST(StorageTest, B13_TenThousandLogsCostWhatIsUsedOfThem) {
  constexpr uint64_t kHandles = 10'000;
  constexpr uint64_t kMade = 300;
  constexpr uint64_t kUsed = 40;
  Directory directory;
  FaultyFiles files;
  Settings settings{.directory = directory.path()};
  settings.max_open_files = 16;
  World world(settings, files);
  std::vector<std::shared_ptr<Log>> handles;
  for (uint64_t i = 0; i < kHandles; ++i) handles.push_back(world.log(i));
  EXPECT_LE(files.opens - files.closes, 1) << "the lock";
  std::vector<std::unique_ptr<Ticket>> tickets;
  for (uint64_t i = 0; i < kMade; ++i) {
    tickets.push_back(std::make_unique<Ticket>());
    tickets.back()->start([&](plugin::Call& call) { return handles[i]->create(call, descriptor(i)); });
  }
  for (auto& ticket : tickets) ASSERT_TRUE(ticket->wait().ok());
  EXPECT_EQ(world.counters().segments_made, 0U) << "an empty log has none";
  for (uint64_t i = 0; i < kUsed; ++i) ASSERT_TRUE(append(*handles[i], 0, one(batch(0, 1))).status.ok());
  EXPECT_EQ(world->engine().open_files.used(), 16U);
  EXPECT_EQ(files.opens - files.closes, 16 + 1);
  for (uint64_t i = 0; i < kUsed; ++i) EXPECT_EQ(read(*handles[i], 0).next, 1);
  handles.clear();
  world.abandon();

  const int before = files.opens;
  ASSERT_TRUE(world.start().ok());
  EXPECT_LE(files.opens - before, 4) << "starting looks into no log";
  for (uint64_t i = 0; i < kUsed; ++i) EXPECT_EQ(bounds(*world.log(i)).end, 1);
  EXPECT_EQ(world->list().size(), kMade);
  EXPECT_LT(sizeof(Log), 1024U);
}

struct Cost {
  int opens = 0;
  uint64_t bytes = 0;  // read
};
/// What a start and the first use of a log cost, whose history has `segments` segments.
Cost cost_of_start(int segments, bool clean) {
  Directory directory;
  FaultyFiles files;
  files.skip_syncs = true;
  Settings settings{.directory = directory.path()};
  settings.segment_bytes = 1000;
  World world(settings, files);
  auto log = world.log(1);
  EXPECT_TRUE(create(*log, descriptor(1)).ok());
  int64_t end = 0;
  for (; world.counters().segments_made < static_cast<uint64_t>(segments); ++end) {
    EXPECT_TRUE(append(*log, end, one(batch(end, 1, 1000, 450))).status.ok());
  }
  log.reset();
  if (clean) {
    EXPECT_TRUE(world.stop().ok());
  } else {
    world.abandon();
  }
  const Cost before{files.opens, files.bytes_read};
  EXPECT_TRUE(world.start().ok());
  log = world.log(1);
  EXPECT_EQ(bounds(*log).end, end);
  EXPECT_TRUE(append(*log, end, one(batch(end, 1))).status.ok());  // fits behind the last one
  const Cost cost{files.opens - before.opens, files.bytes_read - before.bytes};
  EXPECT_EQ(read(*log, 0, INT64_MAX, 1).next, 1);
  EXPECT_EQ(read(*log, end / 2, INT64_MAX, 1).next, end / 2 + 1);
  EXPECT_EQ(world.counters().torn_tails + world.counters().rebuilt_indexes, 0U);
  return cost;
}

TEST(StorageTest, AStartLooksIntoNoClosedSegment) {
  for (const bool clean : {true, false}) {
    const Cost little = cost_of_start(5, clean);
    const Cost much = cost_of_start(500, clean);
    EXPECT_EQ(much.opens, little.opens) << clean;
    EXPECT_LE(much.bytes, little.bytes + 100) << clean << ": digits in names";
    EXPECT_LE(much.bytes, 40'000U) << clean;
  }
}

TEST(StorageTest, AbsentLogsAreForgotten) {
  Directory directory;
  World world(directory.path());
  auto log = world.log(1);
  const std::weak_ptr<Log> weak = log;
  ASSERT_TRUE(create(*log, descriptor(1)).ok());
  world->released(std::move(log));
  EXPECT_FALSE(weak.expired()) << "it is there";
  log = world.log(1);
  ASSERT_TRUE(remove(*log).ok());
  // The queue of the log ends a moment after the answer.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!log->is_forgettable() || log.use_count() > 2) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    std::this_thread::yield();
  }
  world->released(std::move(log));
  EXPECT_TRUE(weak.expired());
}

}  // namespace
}  // namespace sluice::disk
