// SPDX-License-Identifier: Apache-2.0
// Shards read through a storage adapter: a log that a LogWriter wrote, in this process or another, or a native stream
// of the engine. Records come without being copied where the adapter lends memory and the batch is not compressed.
//
// Nothing that was acknowledged is skipped in silence: a damaged batch, or an entry that cannot be decoded, is passed
// and counted in Page::corrupt, with as many records as its header claims. The source waits by the adapter's watch
// where it has one, is told by writers on the same StorageHost, and looks again every kPollMostMs elsewhere.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "sluice/export.hpp"
#include "sluice/source.hpp"
#include "sluice/storage_host.hpp"

namespace sluice {

/// How a source on a storage reads.
struct StorageReadSettings {
  /// What names the shard in cursors. Empty: "STORAGE:LOG@ID" for a log, "STORAGE:STREAM/PARTITION" for a stream.
  std::string source_id{};
  /// Asked of the adapter at once; as much again is read ahead. 4 KiB to 64 MiB.
  uint64_t read_bytes = 1 << 20;
  /// What a compressed batch may be when it is not: beyond, it counts as undecodable. 64 KiB to 1 GiB.
  uint64_t max_batch_bytes = 128ull << 20;
  /// Check every batch's CRC32C. Off: trust what checks the adapter makes.
  bool verify_checksums = true;
};

/// A log of the SDK's own. Give its id, or the folder in which its writer keeps its state.
struct LogSourceSettings {
  std::string log{};              // the writer's LogWriterSettings::log
  std::string state_directory{};  // the writer's; only read, and only by make
  std::string log_id{};           // LogWriter::log_id(); 22 characters
  StorageReadSettings read{};
};

/// INVALID, naming the field; NOT_FOUND: no writer has opened a log there; CORRUPT: its nonce file is damaged.
/// Whether the log is there shows with the first call, which answers NOT_FOUND if not. May block on a small file.
SLUICE_API Result<std::unique_ptr<Source>> make_log_source(const std::shared_ptr<StorageHost>& host,
                                                           LogSourceSettings settings);

/// A native topic: a Redis stream, a JetStream stream (both with `layout` = "record"), a topic of the kafka adapter.
/// Redis and JetStream adapters leave a small marker beside a stream that they read, in the way of an adopted topic.
struct NativeSourceSettings {
  std::string stream{};
  int32_t partition = 0;
  StorageReadSettings read{};
};

/// INVALID, naming the field. The engine is first asked with the first call: NOT_FOUND if there is no such stream.
SLUICE_API Result<std::unique_ptr<Source>> make_native_source(const std::shared_ptr<StorageHost>& host,
                                                              NativeSourceSettings settings);

/// How often a source looks again where nobody tells it: from the first, doubled up to the last.
inline constexpr int64_t kPollFirstMs = 5;
inline constexpr int64_t kPollMostMs = 100;

}  // namespace sluice
