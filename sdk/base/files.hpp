// SPDX-License-Identifier: Apache-2.0
// Small files that must survive a loss of power: a descriptor with an owner, whole writes, durable names. What fails is
// given as errno, since each caller says it in its own words. Any thread; calls block.
#pragma once

#include <string>
#include <utility>

#include "bytes.hpp"

namespace sluice {

/// A descriptor that is closed with its owner.
class FileHandle {
 public:
  explicit FileHandle(int descriptor = -1) : descriptor_(descriptor) {}
  FileHandle(FileHandle&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  FileHandle& operator=(FileHandle&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~FileHandle();
  int get() const { return descriptor_; }
  explicit operator bool() const { return descriptor_ >= 0; }

 private:
  int descriptor_;
};

/// The lock (flock) of a file, given back when its owner goes. Closing alone does not while another process is being
/// started: between fork and exec that has a copy of the descriptor, and the lock with it.
class FileLock {
 public:
  /// `file` was locked by try_lock().
  explicit FileLock(FileHandle file) : file_(std::move(file)) {}
  FileLock(FileLock&&) noexcept = default;
  FileLock& operator=(FileLock&&) noexcept = default;
  ~FileLock();
  const FileHandle& file() const { return file_; }

 private:
  FileHandle file_;
};

/// Locks the whole file against other processes, and other opens of it. 0, or errno: EWOULDBLOCK where somebody has it.
int try_lock(const FileHandle& file);
/// Writes all of `bytes` at the descriptor's place. 0, or errno.
int write_all(const FileHandle& file, Bytes bytes);
/// Makes the names in a directory as durable as its files. 0, or errno.
int sync_directory(const std::string& path);

}  // namespace sluice
