// SPDX-License-Identifier: Apache-2.0
// Reads a whole directory and says what does not fit together. Changes nothing; the directory should not be in use, or
// what is being written looks damaged. Reads every byte: a matter of the disk's speed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "disk/files.hpp"

namespace sluice::disk {

struct VerifyReport {
  uint64_t logs = 0;
  uint64_t segments = 0;
  uint64_t bytes = 0;  // of batches that are whole
  /// One sentence each, with the path. Empty: all is well.
  std::vector<std::string> problems;
};

/// Errors are those of reading the directory itself: NOT_FOUND, DENIED, UNSUPPORTED (a later format), CORRUPT (no
/// storage).
Result<VerifyReport> verify_storage(Files& files, const std::string& directory);

}  // namespace sluice::disk
