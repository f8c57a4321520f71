// SPDX-License-Identifier: Apache-2.0
// The event bus's events into a log on any storage, by a LogWriter of its own: one log for all shards behind the sink.
// A source made by make_log_source reads it, in this process or another. Times are kept in whole milliseconds.
#pragma once

#include <cstdint>
#include <memory>

#include "sluice/export.hpp"
#include "sluice/log_writer.hpp"
#include "sluice/sink.hpp"
#include "sluice/storage_host.hpp"

namespace sluice {

struct StorageSinkCounters {
  uint64_t opened = 0;     // writers that were opened
  uint64_t delivered = 0;  // events
  uint64_t refused = 0;    // too large for a batch of the log
  uint64_t failed = 0;     // the others that were not delivered, once for each attempt
};

/// As Sink says. Batches given before open() wait for it, and begin it once if nobody did. An event larger than the
/// writer's max_batch_bytes is refused. The storage that stops answers UNAVAILABLE, another writer of the log FENCED.
class SLUICE_API StorageSink final : public Sink {
 public:
  /// Batches that may wait until the sink is open; beyond: BUSY.
  static constexpr size_t kMaxWaitingBatches = 1'024;

  /// INVALID names the field of `settings`; nothing is opened before open().
  static Result<std::unique_ptr<StorageSink>> make(std::shared_ptr<StorageHost> host, LogWriterSettings settings);
  /// close(LogWriter::kCloseMs), waiting, unless that was done.
  ~StorageSink() override;

  SinkTraits traits() const override;
  void open(Done done) override;
  void deliver(EventBatch batch, Delivered done) override;
  void flush(int64_t timeout_ms, Done done) override;
  void close(int64_t timeout_ms, Done done) override;

  StorageSinkCounters counters() const;
  /// Of the log, once it is open; else empty.
  std::string log_id() const;

 private:
  struct SLUICE_LOCAL Impl;
  explicit StorageSink(std::shared_ptr<Impl> impl);
  const std::shared_ptr<Impl> impl_;
};

}  // namespace sluice
