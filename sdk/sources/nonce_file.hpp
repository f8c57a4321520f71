// SPDX-License-Identifier: Apache-2.0
// What a log's writer keeps between runs: the log's id and the epoch that was used last, in a small text file with a
// checksum, replaced atomically and on disk before either is used; and the lock beside it. One thread at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "base/files.hpp"
#include "base/status.hpp"
#include "base/uuid.hpp"

namespace sluice::sources {

struct Nonce {
  std::string log;
  Uuid id;
  int32_t epoch = 0;  // >= 0
};

std::string nonce_path(const std::string& directory, const std::string& log);
std::string lock_path(const std::string& directory, const std::string& log);

/// nullopt: there is none. CORRUPT: there is, and it is not whole, or another log's: nothing is guessed.
Result<std::optional<Nonce>> read_nonce(const std::string& directory, const std::string& log);
/// Durable when it returns OK. Makes the directory if it is absent.
Status write_nonce(const std::string& directory, const Nonce& nonce);

/// Makes and locks a file. CONFLICT: somebody has it, with his process id where that is known.
Result<FileLock> take_lock(const std::string& path);

}  // namespace sluice::sources
