// SPDX-License-Identifier: Apache-2.0
// The one writer of a log on a storage. A log belongs to one process at a time: a lock file in a state directory sees
// to that on one machine, and an epoch, which rises with every opening before it is used and fences the log,
// everywhere.
//
// Every record has an identity: log id, epoch, position. It is never given to another record, also after a crash,
// because positions only rise and no two openings share an epoch; both are in the nonce file beside the lock.
//
// Records are gathered while an append is under way and go out together with the next one (group commit). A failure
// of which the storage promises that nothing landed is tried again, in order, until the delivery timeout; an append
// whose outcome is open is settled by a fence before anybody hears of it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "sluice/export.hpp"
#include "sluice/record.hpp"
#include "sluice/status.hpp"
#include "sluice/storage_host.hpp"
#include "sluice/unique_function.hpp"

namespace sluice {

class Telemetry;

struct LogWriterSettings {
  std::string log{};                         // 1 to kMaxLogNameBytes of A-Z a-z 0-9 . _ -
  std::string state_directory{};             // absolute; made if absent. Holds LOG.lock and LOG.nonce
  bool sync = false;                         // acknowledge only what is as durable as the engine can make it
  std::string compression = "none";          // or gzip, snappy, lz4, zstd
  uint64_t max_batch_bytes = 1 << 20;        // of one batch before compression; 1 KiB to 64 MiB
  uint32_t max_batch_records = 100'000;      // 1 to 1'000'000
  uint64_t max_pending_bytes = 64ull << 20;  // accepted and not settled; beyond: BUSY. At least max_batch_bytes
  int64_t delivery_timeout_ms = 60'000;      // from append to failure; 100 to 3'600'000
  /// Hears of every batch, by the log's name, how long it took from its first record until it was settled, and why it
  /// failed; asks for the counters when a snapshot is taken (sluice.log.*, semconv::kSentMessages). Null: none.
  std::shared_ptr<Telemetry> telemetry{};
};

inline constexpr size_t kMaxLogNameBytes = 200;

/// Where the records of one append are.
struct Written {
  int64_t first = 0;  // positions, one after the other
  int64_t last = 0;
  int32_t epoch = 0;
};

/// appended = written + failed + pending, in records, always.
struct LogWriterCounters {
  uint64_t appended = 0;
  uint64_t written = 0;
  uint64_t failed = 0;
  uint64_t pending = 0;
  uint64_t refused = 0;  // records of appends that were not accepted
  uint64_t retries = 0;  // batches sent again
  uint64_t pending_bytes = 0;
};

/// Any thread.
class SLUICE_API LogWriter {
 public:
  using Done = UniqueFunction<void(Result<Written>)>;
  static constexpr int64_t kCloseMs = 10'000;

  /// INVALID names the field; opens nothing.
  static Status check(const LogWriterSettings& settings);
  /// [blocks] Takes the lock, raises the epoch, makes the log if it is new, and fences it. INVALID names the field;
  /// CONFLICT: another process, or writer, has it; CORRUPT: the nonce file is damaged, and nothing was touched; others
  /// as the storage says.
  static Result<std::unique_ptr<LogWriter>> open(const std::shared_ptr<StorageHost>& host, LogWriterSettings settings);
  /// close(kCloseMs).
  ~LogWriter();
  LogWriter(const LogWriter&) = delete;
  LogWriter& operator=(const LogWriter&) = delete;

  /// Accepts records, which are copied: all of them land together, or none. Their positions and partitions are not
  /// looked at; times are kept in whole milliseconds. Refused, and `done` is never called: BUSY, max_pending_bytes are
  /// spent; TOO_LARGE for one batch; INVALID, no record; FENCED, closed, or another writer took over.
  /// `done` is called once, in order of append, from any thread, possibly inside this call, without locks held; OK: the
  /// records are as durable as asked for. UNKNOWN: they may be there or not. Other errors: they are not.
  Status append(std::span<const Record> records, Done done);
  /// [blocks] Waits until all that was accepted before is settled. UNAVAILABLE when `deadline_ms` milliseconds were
  /// over first; else the first error since the last flush.
  Status flush(int64_t deadline_ms);
  /// [blocks] Takes no more, flushes, and gives the lock back. What is not settled in time fails as UNAVAILABLE, or
  /// UNKNOWN where it was sent. A second call answers OK.
  Status close(int64_t deadline_ms);
  /// [blocks] Permission to drop what is below `position`.
  Status trim(int64_t position);

  LogWriterCounters counters() const;
  const std::string& log() const;
  const std::string& log_id() const;  // 22 characters
  int32_t epoch() const;

 private:
  struct SLUICE_LOCAL Impl;
  explicit LogWriter(std::shared_ptr<Impl> impl);
  const std::shared_ptr<Impl> impl_;
};

}  // namespace sluice
