// SPDX-License-Identifier: Apache-2.0
// A log of a storage as a Source: one read of the adapter at a time, the next one under way while pages are served from
// the last (Chunk), unless the adapter answers on the spot. A page is decoded on the thread that asks for it where its
// bytes are there already, else on the storage's thread. The mutex is held for arithmetic only.
//
//   pending_   the read that waits to be answered; whoever takes it out answers it
//   chunk_     touched only by whoever holds the lock while pending_ is there, or has taken it out
//   arrived_   the last answer of the adapter, until a read wants it or turns out to want another
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/task.hpp"
#include "host/log.hpp"
#include "sluice/storage_source.hpp"
#include "sources/chunk.hpp"
#include "sources/host_core.hpp"

namespace sluice::sources {

/// How a log of the storage is opened: at once, or by way of the engine.
class LogOpener {
 public:
  virtual ~LogOpener() = default;
  virtual Task<Result<std::shared_ptr<host::Log>>> open(StorageHost::Core& core) = 0;
};

class StorageReader final : public GrowthListener, public std::enable_shared_from_this<StorageReader> {
 public:
  StorageReader(std::shared_ptr<StorageHost::Core> core, std::unique_ptr<LogOpener> opener,
                const StorageReadSettings& settings, int32_t partition);

  void read(const PageRequest& request, Source::PageCallback done);
  void bounds(Source::BoundsCallback done);
  void locate(int64_t timestamp_ns, Source::PositionCallback done);
  void wake();
  /// Nobody wants answers any more.
  void close();
  void log_grew() override;

 private:
  using Lock = std::unique_lock<std::mutex>;
  struct Pending {
    PageRequest request;
    Source::PageCallback done;
    int64_t deadline_ms = 0;  // of waiting for the first record
  };
  struct Arrived {
    int64_t from = 0;
    bool ahead = false;  // read before anybody asked for it
    std::unique_ptr<Chunk> chunk;
    Status status;
    int64_t corrupt_next = -1;  // status is CORRUPT: where to go on
  };

  Task<Result<std::shared_ptr<host::Log>>> log();
  Task<Arrived> fetch(int64_t from, bool ahead);
  Task<Result<SourceBounds>> find_bounds();
  Task<Result<int64_t>> find_time(int64_t timestamp_ms);
  void start_fetch(Lock& lock, int64_t from, bool ahead);
  void fetched(Arrived arrived);
  void advance();
  bool take_arrived(Lock& lock);
  bool has_to_wait(Lock& lock);
  void answer(Lock& lock, Result<Page> page);
  void watch(Lock& lock, int64_t from);
  void watched(const Status& status);
  void arm(Lock& lock);
  void timer_fired(int64_t due_ms);

  const std::shared_ptr<StorageHost::Core> core_;
  const std::unique_ptr<LogOpener> opener_;
  const uint64_t read_bytes_;
  const ChunkRules rules_;

  std::atomic<bool> closed_{false};
  std::mutex mutex_;  // guards all below
  std::shared_ptr<host::Log> log_;
  std::optional<Pending> pending_;
  std::unique_ptr<Chunk> chunk_;
  std::optional<Arrived> arrived_;
  bool fetching_ = false;
  bool starting_ = false;      // a fetch is on its way to the adapter
  bool came_at_once_ = false;  // the last one was answered there; or just then, which does no harm
  int64_t fetch_from_ = 0;
  int64_t end_ = -1;         // as far as known
  bool waiting_ = false;     // pending_ waits for the log to grow
  uint64_t grown_ = 0;       // how often somebody said so
  uint64_t grown_seen_ = 0;  // ... before the last fetch
  bool has_watch_ = true;    // until the adapter says that it has none
  bool watching_ = false;
  int64_t watch_from_ = 0;
  int64_t poll_ms_ = 0;  // until the next look, where nobody tells; 0: a watch tells
  int64_t timer_due_ms_ = INT64_MAX;
};

}  // namespace sluice::sources
