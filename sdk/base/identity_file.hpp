// SPDX-License-Identifier: Apache-2.0
// Numbers that are never used twice, across restarts and crashes too: ids counted up from 0, and an epoch that rises
// each time the file is opened. One process holds the file at a time, by a lock that ends with it.
//
// On disk: two slots, written in turns and synced, of which the newest whole one counts; so a crash in the middle of a
// write leaves the other. A number is on disk as used before anybody gets it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "files.hpp"
#include "status.hpp"

namespace sluice {

class IdentityFile {
 public:
  /// Opens or creates the file (its folder must exist), takes the lock, and raises the epoch. [blocks: some fsyncs]
  /// CONFLICT: another process, or this one, has it. CORRUPT: neither slot is whole; nothing is guessed.
  static Result<std::unique_ptr<IdentityFile>> open(const std::string& path);
  ~IdentityFile();
  IdentityFile(const IdentityFile&) = delete;
  IdentityFile& operator=(const IdentityFile&) = delete;

  /// Of this opening; 1 for the first one.
  uint64_t epoch() const { return epoch_; }
  /// Random, made with the file: tells apart files that stood at the same path.
  uint64_t nonce() const { return nonce_; }
  /// `count` ids that were never given before; returns the first. One thread at a time. [blocks: an fdatasync]
  /// OUT_OF_RANGE: there are none left. Other failures: none was given.
  Result<uint64_t> reserve(uint64_t count);

 private:
  IdentityFile(FileLock lock, std::string path) : lock_(std::move(lock)), path_(std::move(path)) {}
  const FileHandle& file() const { return lock_.file(); }
  Status load();
  Status store();

  const FileLock lock_;
  std::string path_;
  uint64_t generation_ = 0;  // of the slot written last
  uint64_t nonce_ = 0;
  uint64_t epoch_ = 0;
  uint64_t next_id_ = 0;
};

}  // namespace sluice
