// SPDX-License-Identifier: Apache-2.0
// What all logs of one storage share: settings, threads, caches, counters. Made by Storage; outlives its logs.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_set>

#include "disk/files.hpp"
#include "disk/index.hpp"
#include "disk/lru_cache.hpp"
#include "disk/workers.hpp"

namespace sluice::disk {

/// When an append is acknowledged.
enum class SyncMode : uint8_t {
  os,        // written to the page cache: survives kill -9
  interval,  // as os, and synced within sync_interval_ms
  fsync,     // after fdatasync: survives loss of power
};

constexpr uint64_t kLargestUnitBytes = uint64_t{256} << 20;

struct Settings {
  std::string directory;
  SyncMode sync = SyncMode::os;
  int64_t sync_interval_ms = 1000;
  uint64_t segment_bytes = uint64_t{128} << 20;
  uint64_t index_interval_bytes = 4096;
  uint64_t index_memory_bytes = uint64_t{32} << 20;
  uint64_t max_open_files = 1024;
  uint64_t preallocate_bytes = 0;  // ahead of the end, at most; 0: none
  bool verify_reads = true;
  size_t writer_threads = 1;
  size_t io_threads = 6;
  std::chrono::microseconds watch{20};  // of a writer that has nothing to do, before it sleeps
};

/// What happened since the storage was made. Any thread.
struct Counters {
  std::atomic<uint64_t> torn_tails{0};     // logs that were cut at recovery
  std::atomic<uint64_t> torn_bytes{0};     // cut off
  std::atomic<uint64_t> scanned_bytes{0};  // read at recovery to check them
  std::atomic<uint64_t> damaged_batches{
      0};  // acknowledged data that does not match its checksum; kept, reads say CORRUPT
  std::atomic<uint64_t> rebuilt_indexes{0};  // damaged, made anew from the segment
  std::atomic<uint64_t> failed_syncs{0};
  std::atomic<uint64_t> segments_made{0};
  std::atomic<uint64_t> segments_removed{0};
};

/// Calls that were deferred and background work, so that stop() can wait until there is none.
class Outstanding {
 public:
  void begin() { count_.fetch_add(1, std::memory_order_relaxed); }
  void end() {
    if (count_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    std::lock_guard lock(mutex_);
    none_.notify_all();
  }
  uint64_t count() const { return count_.load(std::memory_order_acquire); }
  /// False when the deadline came first.
  bool wait_for_none(std::chrono::steady_clock::time_point deadline) {
    std::unique_lock lock(mutex_);
    return none_.wait_until(lock, deadline, [&] { return count() == 0; });
  }

 private:
  std::atomic<uint64_t> count_{0};
  std::mutex mutex_;
  std::condition_variable none_;
};

enum class LogLevel : int32_t { debug = 0, info = 1, warning = 2, error = 3 };

class Log;

struct Engine {
  Engine(Settings given, Files& given_files, std::function<void(LogLevel, const std::string&)> logger)
      : settings(std::move(given)),
        files(given_files),
        report(std::move(logger)),
        open_files(settings.max_open_files),
        indexes(settings.index_memory_bytes),
        writers("sluice-disk-wr", settings.writer_threads, settings.watch),
        io("sluice-disk-io", settings.io_threads, std::chrono::microseconds(0)) {}

  std::string logs_directory() const { return settings.directory + "/logs"; }
  std::string new_directory() const { return settings.directory + "/new"; }
  std::string gone_directory() const { return settings.directory + "/gone"; }

  /// A log has bytes that are to be synced within the interval.
  void mark_dirty(std::shared_ptr<Log> log);
  std::unordered_set<std::shared_ptr<Log>> take_dirty();

  const Settings settings;
  Files& files;
  const std::function<void(LogLevel, const std::string&)> report;  // to the operator; any thread
  Counters counters;
  Outstanding outstanding;
  LruCache<File> open_files;
  LruCache<SparseIndex> indexes;
  std::atomic<uint64_t> unique{1};  // for names in new/ and gone/

 private:
  std::mutex dirty_mutex_;
  std::unordered_set<std::shared_ptr<Log>> dirty_;  // guarded by dirty_mutex_

 public:
  // Last, so that their tasks end while all above is there. `writers` never waits for a sync; `io` may wait for
  // anything.
  Workers writers;
  Workers io;
};

}  // namespace sluice::disk
