// SPDX-License-Identifier: Apache-2.0
// A host of one thread for the disk engine: makes calls and waits for their answers, builds batches, counts what is
// said to the operator; and a layer of files that fails when told to.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "../support/folder.hpp"
#include "disk/storage.hpp"
#include "plugin/adapter.hpp"
#include "records/builder.hpp"

namespace sluice::disk::test {

using Directory = sluice::test::Folder;

/// One ticket: calls a method that takes a plugin::Call, and waits for its answer.
class Ticket {
 public:
  Ticket() {
    ticket_.raw.size = sizeof ticket_.raw;
    ticket_.raw.error = &error_;
    ticket_.owner = this;
    error_.size = sizeof error_;
    error_.text = text_;
    error_.text_capacity = sizeof text_;
  }

  template <class F>
  Status run(F&& method) {
    start(std::forward<F>(method));
    return wait();
  }
  /// Without waiting; wait() is to follow.
  template <class F>
  void start(F&& method) {
    plugin::Call call(&host(), &ticket_.raw);
    const Status status = method(call);
    if (status.code() == StatusCode::pending) return;
    std::lock_guard lock(mutex_);
    status_ = status;
    done_ = true;
  }
  Status wait() {
    std::unique_lock lock(mutex_);
    if (!answered_.wait_for(lock, std::chrono::seconds(60), [&] { return done_; })) ADD_FAILURE() << "no answer";
    return status_;
  }

 private:
  struct Owned {
    sluice_ticket raw{};  // first: complete() is given its address
    Ticket* owner = nullptr;
  };

  static const sluice_host& host() {
    static const sluice_host table = [] {
      sluice_host t{};
      t.size = sizeof t;
      t.complete = [](const sluice_host*, sluice_ticket* raw, sluice_status code) {
        Ticket& self = *reinterpret_cast<Owned*>(raw)->owner;
        std::lock_guard lock(self.mutex_);
        EXPECT_FALSE(self.done_) << "completed twice";
        self.status_ = Status(static_cast<StatusCode>(code), self.text_, self.error_.native_code);
        self.done_ = true;
        self.answered_.notify_all();
      };
      return t;
    }();
    return table;
  }

  std::mutex mutex_;
  std::condition_variable answered_;
  bool done_ = false;
  Status status_;
  Owned ticket_;
  sluice_error error_{};
  char text_[256] = {};
};

inline plugin::LogDescriptor descriptor(uint64_t id, uint32_t flags = 0, int64_t start = 0) {
  plugin::LogDescriptor d;
  d.id = Uuid::from_words(0x51ce, id);
  d.flags = flags;
  d.start_offset = start;
  d.topic = "topic";
  d.topic_id = Uuid::from_words(1, id);
  d.partition = static_cast<int32_t>(id);
  d.partition_count = 1;
  return d;
}

/// A batch of `count` records of `size` bytes each at `base`, with rising timestamps from `timestamp` on.
inline Buffer batch(int64_t base, int count, int64_t timestamp = 1000, size_t size = 20) {
  records::BatchOptions options;
  options.base_offset = base;
  records::BatchBuilder builder(options);
  const std::vector<uint8_t> value(size, static_cast<uint8_t>('a' + base % 26));
  for (int i = 0; i < count; ++i) {
    EXPECT_TRUE(builder.add({.timestamp = timestamp + i, .key = std::nullopt, .value = Bytes(value)}).ok());
  }
  auto built = builder.build();
  EXPECT_TRUE(built.has_value());
  return std::move(*built);
}

inline std::vector<Buffer> one(Buffer b) {
  std::vector<Buffer> batches;
  batches.push_back(std::move(b));
  return batches;
}

inline Buffer concat(const std::vector<Buffer>& batches) {
  Buffer all;
  for (const Buffer& b : batches) all.append(b);
  return all;
}

struct Appended {
  Status status;
  int64_t end = -1;
  uint64_t token = 0;
};

inline std::vector<sluice_batch> describe(const std::vector<Buffer>& batches) {
  std::vector<sluice_batch> described;
  for (const Buffer& b : batches) {
    const auto view = records::BatchView::parse(b);
    described.push_back({b.data(), b.size(), view->base_offset(), view->last_offset(), view->max_timestamp(),
                         static_cast<uint32_t>(view->records_count()), 0});
  }
  return described;
}

inline Appended append(Log& log, int64_t at, const std::vector<Buffer>& batches, uint64_t token = 0,
                       uint32_t flags = 0) {
  const auto described = describe(batches);
  sluice_append request{};
  request.size = sizeof request;
  request.flags = flags;
  request.token = token;
  request.at = at;
  request.batches = described.data();
  request.batch_count = static_cast<uint32_t>(described.size());
  for (const auto& b : described) request.bytes += b.size;
  sluice_append_result result{};
  result.size = sizeof result;
  Ticket ticket;
  Appended appended;
  appended.status = ticket.run([&](plugin::Call& call) { return log.append(call, request, result); });
  appended.end = result.end;
  appended.token = result.token;
  return appended;
}

struct Read {
  Status status;
  Buffer bytes;
  int64_t next = -1, start = -1, end = -1;
  bool from_memory = false;
};

/// A read whose lease is held until release.
class HeldRead {
 public:
  HeldRead() { result_.size = sizeof result_; }
  HeldRead(const HeldRead&) = delete;
  HeldRead& operator=(const HeldRead&) = delete;
  ~HeldRead() {
    if (result_.release != nullptr) result_.release(result_.owner);
  }
  Status run(Log& log, int64_t offset, int64_t limit, uint64_t max_bytes) {
    sluice_read request{};
    request.size = sizeof request;
    request.offset = offset;
    request.limit = limit;
    request.max_bytes = max_bytes;
    Ticket ticket;
    return ticket.run([&](plugin::Call& call) { return log.read(call, request, result_); });
  }
  Buffer bytes() const {
    Buffer all;
    for (uint32_t i = 0; i < result_.slice_count; ++i) {
      const sluice_slice& slice = result_.slices[i];
      if (slice.data != nullptr) {
        all.append({slice.data, slice.length});
      } else {
        const size_t at = all.size();
        all.resize(at + slice.length);
        EXPECT_EQ(::pread(slice.fd, all.data() + at, slice.length, static_cast<off_t>(slice.position)),
                  static_cast<ssize_t>(slice.length));
      }
    }
    return all;
  }
  const sluice_read_result& result() const { return result_; }

 private:
  sluice_read_result result_{};
};

inline Read read(Log& log, int64_t offset, int64_t limit = INT64_MAX, uint64_t max_bytes = 1 << 20) {
  HeldRead held;
  Read answer;
  answer.status = held.run(log, offset, limit, max_bytes);
  answer.next = held.result().next;
  answer.start = held.result().start;
  answer.end = held.result().end;
  answer.bytes = held.bytes();
  answer.from_memory = held.result().slice_count > 0 && held.result().slices[0].data != nullptr;
  return answer;
}

/// All batches from `offset` to the end, in as many reads as it takes.
inline Buffer read_all(Log& log, int64_t offset, uint64_t max_bytes = 1 << 20) {
  Buffer all;
  for (;;) {
    const Read part = read(log, offset, INT64_MAX, max_bytes);
    EXPECT_TRUE(part.status.ok()) << part.status.describe();
    if (!part.status.ok() || part.next == offset) return all;
    all.append(part.bytes);
    offset = part.next;
  }
}

inline sluice_bounds bounds(Log& log, Status* status = nullptr) {
  sluice_bounds result{};
  result.size = sizeof result;
  Ticket ticket;
  const Status answer = ticket.run([&](plugin::Call& call) { return log.bounds(call, result); });
  if (status != nullptr) {
    *status = answer;
  } else {
    EXPECT_TRUE(answer.ok()) << answer.describe();
  }
  return result;
}

inline Status create(Log& log, const plugin::LogDescriptor& d) {
  return Ticket().run([&](plugin::Call& call) { return log.create(call, d); });
}
inline Status remove(Log& log) {
  return Ticket().run([&](plugin::Call& call) { return log.remove(call); });
}
inline Status trim(Log& log, int64_t offset, uint64_t token = 0) {
  return Ticket().run([&](plugin::Call& call) { return log.trim(call, token, offset); });
}
inline Status fence(Log& log, uint64_t token, int64_t* end = nullptr) {
  sluice_fence_result result{};
  result.size = sizeof result;
  const Status status = Ticket().run([&](plugin::Call& call) { return log.fence(call, token, result); });
  if (end != nullptr) *end = result.end;
  return status;
}
inline int64_t locate(Log& log, int64_t timestamp) {
  sluice_locate_result result{};
  result.size = sizeof result;
  const Status status = Ticket().run([&](plugin::Call& call) { return log.locate(call, timestamp, result); });
  EXPECT_TRUE(status.ok()) << status.describe();
  return result.offset;
}
inline Status save(Log& log, std::string_view name, std::string_view value, uint64_t token = 0) {
  sluice_save request{};
  request.size = sizeof request;
  request.name = name.data();
  request.name_size = static_cast<uint32_t>(name.size());
  request.token = token;
  request.value = reinterpret_cast<const uint8_t*>(value.data());
  request.value_size = value.size();
  return Ticket().run([&](plugin::Call& call) { return log.save(call, request); });
}
/// "(absent)" when there is none, or the status.
inline std::string load(Log& log, std::string_view name) {
  sluice_load request{};
  request.size = sizeof request;
  request.name = name.data();
  request.name_size = static_cast<uint32_t>(name.size());
  sluice_load_result result{};
  result.size = sizeof result;
  const Status status = Ticket().run([&](plugin::Call& call) { return log.load(call, request, result); });
  if (!status.ok()) return status.describe();
  if (result.present == 0) return "(absent)";
  const std::string value(reinterpret_cast<const char*>(result.value), result.value_size);
  if (result.release != nullptr) result.release(result.owner);
  return value;
}

/// Files that fail when told to. A budget that is reached tears the write that reaches it.
class FaultyFiles : public Files {
 public:
  std::atomic<int> write_error{0};             // errno for every pwritev that writes batches or slots
  std::atomic<int64_t> space_left{INT64_MAX};  // bytes that may still be written behind known ends
  std::atomic<uint64_t> room{UINT64_MAX};      // most that can be taken ahead at once
  std::atomic<int> sync_error{0};
  std::atomic<int> syncs{0};
  std::atomic<bool> skip_syncs{false};  // for what is not about them
  std::atomic<int> opens{0}, closes{0};
  std::atomic<uint64_t> bytes_read{0};
  std::atomic<int> metadata_error{0};  // of creating files and directories

  int open(const std::string& path, int flags) override {
    if ((flags & O_CREAT) != 0 && metadata_error != 0) return -metadata_error;
    if (write_error == EROFS && (flags & (O_RDWR | O_WRONLY)) != 0) return -EROFS;
    const int fd = Files::open(path, flags);
    if (fd < 0) return fd;
    ++opens;
    std::lock_guard lock(mutex_);
    if (path.ends_with(kSegmentSuffix)) segments_.insert(fd);
    return fd;
  }
  int close(int fd) override {
    ++closes;
    {
      std::lock_guard lock(mutex_);
      segments_.erase(fd);
    }
    return Files::close(fd);
  }
  ssize_t pread(int fd, void* data, size_t size, uint64_t position, bool only_cached) override {
    const ssize_t got = Files::pread(fd, data, size, position, only_cached);
    if (got > 0) bytes_read += static_cast<uint64_t>(got);
    return got;
  }
  ssize_t pwritev(int fd, const iovec* parts, int count, uint64_t position) override {
    if (write_error != 0) return -write_error;
    size_t size = 0;
    for (int i = 0; i < count; ++i) size += parts[i].iov_len;
    if (position < kSegmentHeaderBytes || space_left == INT64_MAX || !is_segment(fd))
      return Files::pwritev(fd, parts, count, position);
    if (space_left <= 0) return -ENOSPC;
    if (static_cast<int64_t>(size) <= space_left) {
      space_left -= static_cast<int64_t>(size);
      return Files::pwritev(fd, parts, count, position);
    }
    iovec torn = parts[0];
    torn.iov_len = std::min(torn.iov_len, static_cast<size_t>(space_left.load()));
    space_left = 0;
    return Files::pwritev(fd, &torn, 1, position);
  }
  int allocate(int fd, uint64_t position, uint64_t size) override {
    return size > room ? -ENOSPC : Files::allocate(fd, position, size);
  }
  int sync_data(int fd) override {
    ++syncs;
    if (sync_error != 0) return -sync_error;
    return skip_syncs ? 0 : Files::sync_data(fd);
  }
  int sync_directory(const std::string& path) override {
    if (sync_error != 0) return -sync_error;
    return skip_syncs ? 0 : Files::sync_directory(path);
  }
  int make_directory(const std::string& path) override {
    if (metadata_error != 0) return -metadata_error;
    return write_error == EROFS ? -EROFS : Files::make_directory(path);
  }
  int rename(const std::string& from, const std::string& to) override {
    if (metadata_error != 0) return -metadata_error;
    return write_error == EROFS ? -EROFS : Files::rename(from, to);
  }

 private:
  bool is_segment(int fd) {
    std::lock_guard lock(mutex_);
    return segments_.contains(fd);
  }

  std::mutex mutex_;
  std::set<int> segments_;  // descriptors
};

/// A started storage in a directory, and what it said.
class World {
 public:
  explicit World(Settings settings, Files& files = system_files()) : files_(files) { set(std::move(settings)); }
  explicit World(const std::string& directory, SyncMode sync = SyncMode::os) : files_(system_files()) {
    Settings settings;
    settings.directory = directory;
    settings.sync = sync;
    set(std::move(settings));
  }

  Status start() {
    storage_ = std::make_unique<Storage>(settings_, files_, [this](LogLevel level, const std::string& text) {
      std::lock_guard lock(mutex_);
      if (level >= LogLevel::warning) said_.push_back(text);
    });
    return storage_->start();
  }
  Status stop() { return storage_->stop(std::chrono::steady_clock::now() + std::chrono::seconds(30)); }
  /// Waits for what goes on behind answered calls, such as the sealing of segments, which syncs and writes too.
  void settle() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    EXPECT_TRUE(storage_->engine().outstanding.wait_for_none(deadline));
  }
  /// As kill -9 leaves it: nothing is synced or written down any more. The object is left behind.
  void abandon() {
    settle();
    storage_->let_go();
    storage_.reset();
  }

  Storage& operator*() { return *storage_; }
  Storage* operator->() { return storage_.get(); }
  std::shared_ptr<Log> log(uint64_t id) { return storage_->log(descriptor(id).id); }
  Counters& counters() { return storage_->engine().counters; }
  std::string log_directory(uint64_t id) { return settings_.directory + "/logs/" + log(id)->directory_name(); }
  std::vector<std::string> said() {
    std::lock_guard lock(mutex_);
    return said_;
  }

 private:
  void set(Settings settings) {
    settings_ = std::move(settings);
    const Status status = start();
    EXPECT_TRUE(status.ok()) << status.describe();
  }

  Settings settings_;
  Files& files_;
  std::mutex mutex_;
  std::vector<std::string> said_;
  std::unique_ptr<Storage> storage_;
};

}  // namespace sluice::disk::test
