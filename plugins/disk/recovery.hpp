// SPDX-License-Identifier: Apache-2.0
// Finds out what a log's directory holds. Work is bounded by what was written since the last sealed segment or clean
// stop, not by the length of the log: segments with an index are known by name until they are wanted.
#pragma once

#include <string>
#include <vector>

#include "disk/engine.hpp"
#include "disk/layout.hpp"
#include "disk/segment.hpp"

namespace sluice::disk {

struct RecoveredLog {
  plugin::LogDescriptor descriptor;
  LogState state;
  std::vector<SharedSegment> segments;  // by base offset
  int64_t start = 0;
  int64_t end = 0;
  /// Not OK when something that must not come back could not be removed: nothing may be appended before that is done.
  Status unfinished;
};

/// Reads the file "log", examines the segments that no index covers, and cuts a torn tail at the last whole unit
/// (counted, and said to the operator). Leftovers of interrupted work are removed. CORRUPT when the file "log" is
/// damaged; else errors of the files. On a read-only file system it does what it can without writing.
Result<RecoveredLog> recover_log(Engine& engine, const std::string& directory);

/// Only the file "log".
Result<RecoveredLog> read_log_file(Engine& engine, const std::string& directory);

}  // namespace sluice::disk
