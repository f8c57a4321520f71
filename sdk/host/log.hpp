// SPDX-License-Identifier: Apache-2.0
// One log of a storage, as its single writer sees it. The host keeps one append in flight; what is queued meanwhile
// becomes the next unit (group commit for every engine), so that order after a failure is no question. An append whose
// outcome is unknown is settled by a fence with a higher attempt before anybody hears of it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "host/storage.hpp"

namespace sluice::host {

/// A place in a log's life as a writer: appends name the generation they were numbered in, and every failure starts a
/// new one, so that what was numbered behind a failed append is refused instead of landing with a hole before it.
struct WritePosition {
  int64_t end = 0;  // offset that the next batch gets, everything queued counted
  uint64_t generation = 0;
};

/// What became of one queued batch.
struct AppendOutcome {
  /// OK: durable as asked. FENCED: another writer took over, for good. Every other error: not there and never will be.
  /// UNKNOWN comes only where no fence can settle it (NATIVE, or the deadline for settling passed).
  Status status;
  int64_t first_offset = -1;  // NATIVE: as given by the engine; LOG: as asked for
  int64_t last_offset = -1;
  int64_t log_end = -1;  // known end of the log, also after an error; -1: not known
};

/// One whole record batch to append.
struct AppendEntry {
  std::span<const uint8_t> bytes;  // valid until done was called
  int64_t base_offset = 0;
  int64_t last_offset = 0;
  int64_t max_timestamp = 0;
  uint32_t record_count = 0;
  bool sync = false;  // SLUICE_APPEND_SYNC for the unit that carries it
  /// Called exactly once, in the order of enqueue. On the thread inside send(), or on `executor` of the first entry of
  /// its unit. Never with a lock of the host's held.
  UniqueFunction<void(AppendOutcome)> done;
  /// What keeps `bytes` alive. The host holds it until the adapter has let go of them, which may be after done where
  /// the adapter is overdue. Without an owner the host copies the bytes when it sends them.
  std::shared_ptr<const void> owner;
};

/// A lease on what a read showed; ends when the last copy goes. Any thread.
class Lease {
 public:
  Lease() = default;
  explicit Lease(std::shared_ptr<void> owner) : owner_(std::move(owner)) {}
  const std::shared_ptr<void>& owner() const { return owner_; }

 private:
  std::shared_ptr<void> owner_;
};

struct Slice {
  const uint8_t* data = nullptr;  // nullptr: a range of the file `fd`
  uint64_t length = 0;
  uint64_t position = 0;
  int fd = -1;
};

struct ReadResult {
  std::vector<Slice> slices;
  Lease lease;
  int64_t next = 0;
  int64_t start = 0;
  int64_t end = 0;
  uint64_t bytes = 0;
  uint64_t skipped = 0;
};

/// A read that failed also tells where the log starts and ends (OUT_OF_RANGE) and where to go on (CORRUPT).
struct ReadError {
  Status status;
  int64_t next = -1;
  int64_t start = -1;
  int64_t end = -1;
};

struct Bounds {
  int64_t start = 0;
  int64_t end = 0;
  uint64_t token = 0;
  std::optional<int64_t> bytes;
  std::optional<int64_t> newest_timestamp;
  uint64_t largest_unit = 0;
  uint64_t capabilities = 0;
};

/// Thread-safe unless said otherwise. Create by Storage::open. Tasks resume on the executor given to them. All work
/// that is under way keeps the Log alive.
class Log {
 public:
  virtual ~Log() = default;
  virtual const LogDescriptor& descriptor() const = 0;
  virtual Storage& storage() = 0;

  // ---- As the one writer (not on SEVERAL_WRITERS logs, not on NATIVE storages except append)

  /// Fences the log with (leader_epoch, next attempt) and gives the position to write at: always before the first read
  /// or write under a new epoch. FENCED: a higher token is in force. Repeating it is harmless. After an append was
  /// UNAVAILABLE or UNKNOWN the host fences again by itself. Waits for an append in flight (or its deadline). NATIVE:
  /// no fence, only the bounds.
  virtual Task<Result<WritePosition>> acquire(int32_t leader_epoch, Executor& on) = 0;
  /// Where the next batch goes. Valid after acquire; changes with every enqueue and every failure. An end below what
  /// was acknowledged means that the storage lost data (logged, and counted in StorageMetrics::data_losses).
  virtual WritePosition position() const = 0;

  /// Queues one batch behind all that are queued. Pure arithmetic: no I/O, never calls done; may be called with the
  /// caller's lock held. `entry.base_offset` must be >= position().end of `generation` (above it: a gap). Refused,
  /// without done ever being called: CONFLICT when `generation` is not the present one; BUSY when the storage's bytes
  /// in flight are spent; FENCED; TOO_LARGE beyond the storage's largest unit; UNAVAILABLE before acquire or while the
  /// storage is down.
  virtual Status enqueue(AppendEntry entry, uint64_t generation, Executor& executor) = 0;
  /// Sends what is queued if no append is in flight. Call after enqueue, without locks held: done may run inside.
  virtual void send() = 0;

  /// Token as of acquire. See the ABI.
  virtual Task<Status> trim(int64_t offset, Executor& on) = 0;
  virtual Task<Status> save(std::string name, std::string value, Executor& on) = 0;
  /// Absent: a Result holding nullopt.
  virtual Task<Result<std::optional<std::string>>> load(std::string name, Executor& on) = 0;

  // ---- On logs that several write (SEVERAL_WRITERS)

  /// Appends the batches as one unit with token 0 exactly at `at`. CONFLICT: outcome.log_end is the end. UNKNOWN is the
  /// caller's to settle: the same unit at the same `at` again until OK or CONFLICT.
  virtual Task<AppendOutcome> append_at(int64_t at, std::vector<std::string> batches, Executor& on) = 0;
  virtual Task<Status> trim_shared(int64_t offset, Executor& on) = 0;

  // ---- For everybody

  /// See the ABI; file ranges come as they are. BUSY when the storage's lease budget is spent.
  virtual Task<tl::expected<ReadResult, ReadError>> read(int64_t offset, int64_t limit, uint64_t max_bytes,
                                                         Executor& on) = 0;
  virtual Task<Result<Bounds>> bounds(Executor& on) = 0;
  /// Base offset of the first batch whose greatest timestamp is >= `timestamp`; none: the end.
  virtual Task<Result<int64_t>> locate(int64_t timestamp, Executor& on) = 0;
  /// Completes when the end passes `offset`; UNSUPPORTED where nobody else writes. UNKNOWN after the call's timeout:
  /// watch again.
  virtual Task<Status> watch(int64_t offset, Executor& on) = 0;
};

/// Copies all slices of a read, file ranges included (pread; blocks on a cold file). For replays and tests.
Result<std::string> gather(const ReadResult& result);

}  // namespace sluice::host
