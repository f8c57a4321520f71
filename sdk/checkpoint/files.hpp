// SPDX-License-Identifier: Apache-2.0
// What the store asks of the file system, each with its reason as a Status: names, whole files, durable files, a lock
// between processes. Any thread; calls block.
#pragma once

#include <cerrno>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "base/files.hpp"
#include "base/status.hpp"

namespace sluice::checkpoint {

/// What `error`, an errno, means, with `what` and `path` in the text.
Status system_status(std::string_view what, const std::string& path, int error = errno);

/// A group as the name of a directory and back: letters, digits, '-' and '_' as they are, other bytes as %XX.
std::string directory_name(std::string_view group);
std::optional<std::string> group_of(std::string_view directory_name);

/// The name of a checkpoint's file and back; nothing unless it is exactly such a name.
std::string file_name(uint64_t id);
std::optional<uint64_t> id_of(std::string_view file_name);

/// Names in a directory, unordered, without "." and "..". NOT_FOUND: there is no such directory.
Result<std::vector<std::string>> names_in(const std::string& directory);

/// Makes a directory durably unless it is there.
Status make_directory(const std::string& path, const std::string& parent);

/// A whole file of at most `max_bytes`. NOT_FOUND; CORRUPT: longer.
Result<Buffer> read_file(const std::string& path, size_t max_bytes);

/// Writes `bytes` to `temporary`, makes them durable, renames to `path`, makes the directory durable. A file that is at
/// `temporary` is written over: where it is as long, its room and the record of it on the disk need no change, which is
/// half the cost. UNKNOWN: renamed, but whether that survives a loss of power is not known; any other error: `path` is
/// not there.
Status write_durably(const std::string& directory, const std::string& temporary, const std::string& path, Bytes bytes);

/// False only if there is certainly nothing of that name.
bool is_there(const std::string& path);

/// The lock of a group, which goes with its owner, or with the process. BUSY: not in time.
Result<FileLock> lock_file(const std::string& path, int64_t timeout_ms);

}  // namespace sluice::checkpoint
