// SPDX-License-Identifier: Apache-2.0
// Checkpoints: where a group of readers has got to, kept in files so that a restart goes on from there. Each commit is
// a file of its own with magic, version and checksums, durable before commit() returns; nothing that is kept is
// overwritten, and no index is kept, so that the newest valid file is the truth. Several processes may commit for one
// group: a commit names the checkpoint that it continues, and whoever comes second gets CONFLICT.
//
// The directory must be on a file system of this machine (the store relies on flock and on rename being atomic).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sluice/export.hpp"
#include "sluice/status.hpp"

namespace sluice {

class Telemetry;

inline constexpr size_t kMaxCheckpointNameBytes = 200;
inline constexpr size_t kMaxCheckpointGroupBytes = 80;
inline constexpr size_t kMaxCheckpointCursorBytes = 16 << 20;
inline constexpr size_t kMaxCheckpointMetadataEntries = 64;
inline constexpr size_t kMaxCheckpointMetadataBytes = 64 << 10;  // names and values together
inline constexpr uint32_t kMaxKeptCheckpoints = 1'000;

struct CheckpointSettings {
  std::string directory;              // made if it is not there; its parent must be
  uint32_t keep = 8;                  // files kept for each group, the newest: 1 to kMaxKeptCheckpoints; beside them
                                      // the one that was pruned last, without its name, for the next commit's bytes
  int64_t lock_timeout_ms = 10'000;   // how long a commit waits for another process's: 1 to 600,000
  std::function<int64_t()> now_ns{};  // nanoseconds since the epoch; empty: the system's clock
  std::string name = "checkpoints";   // in telemetry: 1 to kMaxCheckpointNameBytes
  /// Hears of every commit how long it took and why it failed, CONFLICT included; asks with a snapshot for
  /// sluice.checkpoint.*. Null: none.
  std::shared_ptr<Telemetry> telemetry{};
};

using CheckpointMetadata = std::vector<std::pair<std::string, std::string>>;

struct Checkpoint {
  std::string group;
  uint64_t id = 0;         // from 1, rises with each commit of the group, never given twice
  int64_t created_ns = 0;  // since the epoch; for people: nothing is decided by it
  std::string cursor;
  CheckpointMetadata metadata;
  uint32_t damaged_newer = 0;  // newest(): files above this one that could not be read and were passed over
};

struct DamagedCheckpoint {
  std::string path;
  Status why;  // CORRUPT with the position in the file, UNSUPPORTED for a version of the future, or of the system
};

struct CheckpointList {
  std::vector<Checkpoint> checkpoints;  // valid ones, the newest first
  std::vector<DamagedCheckpoint> damaged;
};

/// Any thread, any number of stores and processes on one directory. Calls block on files.
class CheckpointStore {
 public:
  /// INVALID names the field; otherwise the system's reason.
  SLUICE_API static Result<std::unique_ptr<CheckpointStore>> open(CheckpointSettings settings);
  SLUICE_API ~CheckpointStore();
  CheckpointStore(const CheckpointStore&) = delete;
  CheckpointStore& operator=(const CheckpointStore&) = delete;

  /// Makes the checkpoint that follows `after` (0: the group has none) durable and returns its id.
  /// CONFLICT: the newest valid one is not `after`; read newest() and decide again. BUSY: the lock was not free in
  /// time. UNKNOWN: written, but the directory could not be made durable; newest() tells. NO_SPACE, DENIED, INTERNAL:
  /// nothing was committed. INVALID, TOO_LARGE: of the arguments; a group has 1 to kMaxCheckpointGroupBytes bytes, of
  /// any kind.
  SLUICE_API Result<uint64_t> commit(std::string_view group, uint64_t after, std::string_view cursor,
                                     const CheckpointMetadata& metadata = {});

  /// The newest valid one. NOT_FOUND: the group has none. CORRUPT: it has, and none is valid; commit(group, 0, ...)
  /// begins anew. UNSUPPORTED: the newest was written by a later version of this library, which is not passed over.
  SLUICE_API Result<Checkpoint> newest(std::string_view group) const;

  /// All that is kept of a group; one that is damaged hides no other. An unknown group has none.
  SLUICE_API Result<CheckpointList> list(std::string_view group) const;

  /// Groups that have a directory here, in order of their names.
  SLUICE_API Result<std::vector<std::string>> groups() const;

 private:
  struct Impl;
  explicit CheckpointStore(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice
