// SPDX-License-Identifier: Apache-2.0
// A device that hangs: no call waits for it, and whatever does not need it goes on.
#include <atomic>
#include <thread>

#include "support.hpp"

namespace sluice::disk {
namespace {

using namespace test;

/// Files on a device that answers nothing while it hangs; the page cache does.
class HangingFiles : public Files {
 public:
  void hang(bool everything) {
    syncs_hang_ = true;
    everything_hangs_ = everything;
  }
  void go_on() {
    syncs_hang_ = everything_hangs_ = false;
    syncs_hang_.notify_all();
    everything_hangs_.notify_all();
  }
  std::atomic<int> waiting{0};

  int open(const std::string& path, int flags) override {
    wait(everything_hangs_);
    return Files::open(path, flags);
  }
  ssize_t pread(int fd, void* data, size_t size, uint64_t position, bool only_cached) override {
    if (!only_cached) wait(everything_hangs_);
    return Files::pread(fd, data, size, position, only_cached);
  }
  ssize_t pwritev(int fd, const iovec* parts, int count, uint64_t position) override {
    wait(everything_hangs_);
    return Files::pwritev(fd, parts, count, position);
  }
  int sync_data(int fd) override {
    wait(syncs_hang_);
    return Files::sync_data(fd);
  }
  int sync_directory(const std::string& path) override {
    wait(syncs_hang_);
    return Files::sync_directory(path);
  }
  int rename(const std::string& from, const std::string& to) override {
    wait(everything_hangs_);
    return Files::rename(from, to);
  }
  int unlink(const std::string& path) override {
    wait(everything_hangs_);
    return Files::unlink(path);
  }
  int make_directory(const std::string& path) override {
    wait(everything_hangs_);
    return Files::make_directory(path);
  }
  int list(const std::string& path, const std::function<void(std::string_view)>& each) override {
    wait(everything_hangs_);
    return Files::list(path, each);
  }

 private:
  void wait(std::atomic<bool>& hangs) {
    ++waiting;
    hangs.wait(true);
    --waiting;
  }
  std::atomic<bool> syncs_hang_{false}, everything_hangs_{false};
};

template <class T>
T sized() {
  T t{};
  t.size = sizeof t;
  return t;
}

/// Whether the file system reads from the page cache alone where it is asked to (older tmpfs do not).
bool tells_what_is_cached(const std::string& directory) {
  const int fd = system_files().open(directory + "/format", O_RDONLY);
  char byte = 0;
  const ssize_t got = system_files().pread(fd, &byte, 1, 0, true);
  system_files().close(fd);
  return got == 1;
}

/// An append that is under way, with all that has to stay for it.
struct Sent {
  Sent(Log& log, int64_t at, uint32_t flags = 0) : batches(one(batch(at, 1))), described(describe(batches)) {
    request.size = sizeof request;
    request.flags = flags;
    request.at = at;
    request.batches = described.data();
    request.batch_count = 1;
    request.bytes = batches[0].size();
    result.size = sizeof result;
    ticket.start([&](plugin::Call& call) { return log.append(call, request, result); });
  }
  std::vector<Buffer> batches;
  std::vector<sluice_batch> described;
  sluice_append request{};
  sluice_append_result result{};
  Ticket ticket;
};

TEST(WaitingTest, NoCallWaitsForTheDevice) {
  Directory directory;
  HangingFiles files;
  World world(Settings{.directory = directory.path()}, files);
  {
    auto log = world.log(2);
    ASSERT_TRUE(create(*log, descriptor(2)).ok());
    ASSERT_TRUE(append(*log, 0, one(batch(0, 1))).status.ok());
  }
  world.abandon();
  ASSERT_TRUE(world.start().ok());
  auto warm = world.log(1), cold = world.log(2), fresh = world.log(3);
  ASSERT_TRUE(create(*warm, descriptor(1)).ok());
  ASSERT_TRUE(append(*warm, 0, one(batch(0, 1))).status.ok());

  files.hang(true);
  // Were one of these to wait, the test would end by its time limit.
  Sent sent(*warm, 1);
  auto cold_bounds = sized<sluice_bounds>();
  auto request = sized<sluice_read>();
  request.limit = INT64_MAX;
  request.max_bytes = 1 << 20;
  auto cold_read = sized<sluice_read_result>();
  auto cold_locate = sized<sluice_locate_result>();
  auto fenced = sized<sluice_fence_result>();
  const uint8_t value = 'v';
  auto saved = sized<sluice_save>();
  saved.name = "n";
  saved.name_size = 1;
  saved.value = &value;
  saved.value_size = 1;
  auto load = sized<sluice_load>();
  load.name = "n";
  load.name_size = 1;
  auto loaded = sized<sluice_load_result>();
  Ticket tickets[8];
  tickets[0].start([&](plugin::Call& call) { return cold->bounds(call, cold_bounds); });
  tickets[1].start([&](plugin::Call& call) { return cold->read(call, request, cold_read); });
  tickets[2].start([&](plugin::Call& call) { return cold->locate(call, 0, cold_locate); });
  tickets[3].start([&](plugin::Call& call) { return warm->save(call, saved); });
  tickets[4].start([&](plugin::Call& call) { return warm->load(call, load, loaded); });
  tickets[5].start([&](plugin::Call& call) { return warm->trim(call, 0, 1); });
  tickets[6].start([&](plugin::Call& call) { return warm->fence(call, 1, fenced); });
  tickets[7].start([&](plugin::Call& call) { return fresh->create(call, descriptor(3)); });
  // What is in memory and in the page cache is there all the time.
  EXPECT_EQ(bounds(*warm).end, 1);
  if (tells_what_is_cached(directory.path())) {
    EXPECT_EQ(read(*warm, 0).bytes.size(), batch(0, 1).size());
    EXPECT_EQ(locate(*warm, 1000), 0);
  }
  Ticket removal;
  removal.start([&](plugin::Call& call) { return warm->remove(call); });

  files.go_on();
  EXPECT_TRUE(sent.ticket.wait().ok());
  for (Ticket& ticket : tickets) EXPECT_TRUE(ticket.wait().ok()) << ticket.wait().describe();
  EXPECT_TRUE(removal.wait().ok());
  EXPECT_EQ(cold_bounds.end, 1);
  EXPECT_EQ(loaded.value_size, 1U);
  if (loaded.release != nullptr) loaded.release(loaded.owner);
  if (cold_read.release != nullptr) cold_read.release(cold_read.owner);
}

TEST(WaitingTest, AppendsGoOnBesideASyncThatHangs) {
  Directory directory;
  HangingFiles files;
  Settings settings{.directory = directory.path(), .sync = SyncMode::interval};
  settings.sync_interval_ms = 2;
  World world(settings, files);
  auto log = world.log(1), always = world.log(2);
  ASSERT_TRUE(create(*log, descriptor(1)).ok());
  ASSERT_TRUE(create(*always, descriptor(2, SLUICE_LOG_SYNC)).ok());
  files.hang(false);
  Sent sent(*always, 0);
  ASSERT_TRUE(append(*log, 0, one(batch(0, 1))).status.ok());
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (files.waiting < 2 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  EXPECT_GE(files.waiting, 2) << "both logs are being synced";
  for (int64_t at = 1; at < 100; ++at) ASSERT_TRUE(append(*log, at, one(batch(at, 1))).status.ok());
  EXPECT_EQ(read_all(*log, 0).size(), 100 * batch(0, 1).size());
  EXPECT_EQ(bounds(*always).end, 0) << "nothing is counted before it is durable";
  files.go_on();
  EXPECT_TRUE(sent.ticket.wait().ok());
  EXPECT_EQ(bounds(*always).end, 1);
}

TEST(WaitingTest, B16_StopHasADeadlineAndMayBeCalledAgain) {
  Directory directory;
  HangingFiles files;
  World world(Settings{.directory = directory.path()}, files);
  auto log = world.log(1);
  ASSERT_TRUE(create(*log, descriptor(1)).ok());
  world.settle();
  files.hang(true);
  Sent sent(*log, 0);
  const auto before = std::chrono::steady_clock::now();
  const Status late = world->stop(before + std::chrono::milliseconds(50));
  EXPECT_EQ(late.code(), StatusCode::unavailable) << late.describe();
  EXPECT_NE(late.text().find("1 call"), std::string::npos) << "says what is left: " << late.text();
  EXPECT_GE(std::chrono::steady_clock::now() - before, std::chrono::milliseconds(50));
  files.go_on();
  EXPECT_TRUE(world.stop().ok());
  EXPECT_TRUE(sent.ticket.wait().ok()) << "every ticket is answered";
  ASSERT_TRUE(world.start().ok());
  EXPECT_EQ(bounds(*world.log(1)).end, 1);
}

}  // namespace
}  // namespace sluice::disk
