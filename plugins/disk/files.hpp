// SPDX-License-Identifier: Apache-2.0
// The system calls that the adapter makes, behind one interface, so that a test can fill the disk, tear a write or fail
// a sync at a chosen moment; and what is built on them: descriptors that close themselves, whole reads and writes,
// errors as Status.
//
// Files is stateless and safe on any thread. Its functions answer like the kernel: a result >= 0, or a negated errno.
#pragma once

#include <sys/types.h>
#include <sys/uio.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "base/status.hpp"

namespace sluice::disk {

class Files {
 public:
  virtual ~Files() = default;
  virtual int open(const std::string& path, int flags);
  virtual int close(int fd);
  virtual ssize_t pread(int fd, void* data, size_t size, uint64_t position, bool only_cached);
  virtual ssize_t pwritev(int fd, const iovec* parts, int count, uint64_t position);
  virtual int sync_data(int fd);
  virtual int sync_directory(const std::string& path);
  virtual int allocate(int fd, uint64_t position, uint64_t size);  // keeps the file's size
  virtual int truncate(int fd, uint64_t size);
  virtual int rename(const std::string& from, const std::string& to);
  virtual int unlink(const std::string& path);
  virtual int make_directory(const std::string& path);
  virtual int remove_directory(const std::string& path);
  /// Names in a directory without "." and "..", in any order.
  virtual int list(const std::string& path, const std::function<void(std::string_view name)>& each);
};

/// The machine's own.
Files& system_files();

/// An open descriptor, closed with the last owner.
class File {
 public:
  File(Files& files, int fd) : files_(files), fd_(fd) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() { files_.close(fd_); }
  int fd() const { return fd_; }
  Files& files() const { return files_; }

 private:
  Files& files_;
  const int fd_;
};
using SharedFile = std::shared_ptr<File>;

/// The status of a call that failed with -errno. NO_SPACE, DENIED, INTERNAL, NOT_FOUND, UNAVAILABLE (descriptors or
/// memory ran out), each naming what was done to which path.
Status io_error(int negative_errno, std::string_view doing, std::string_view path);

Result<SharedFile> open_file(Files& files, const std::string& path, int flags);

/// Writes all of `parts` at `position`; parts are used up. A failure leaves any part of them written.
int write_fully(Files& files, int fd, std::span<iovec> parts, uint64_t position);
int write_fully(Files& files, int fd, Bytes bytes, uint64_t position);

/// Reads until `size` bytes or the end of the file; returns how many, or -errno. With `only_cached` whatever is not in
/// the page cache is -EAGAIN (or a short count).
ssize_t read_fully(Files& files, int fd, MutableBytes into, uint64_t position, bool only_cached = false);

/// A whole small file; NOT_FOUND if there is none, TOO_LARGE beyond `limit`.
Result<Buffer> read_small_file(Files& files, const std::string& path, uint64_t limit);

/// Replaces a file as a whole: written beside, synced if `durable`, renamed, directory synced if `durable`. Whatever
/// happens, the old content or the new is there.
Status replace_file(Files& files, const std::string& directory, const std::string& name, Bytes content, bool durable);

/// Files that end so are never read, and removed when met.
constexpr std::string_view kTemporarySuffix = ".tmp";

/// Removes a directory with the files in it (one level). Goes on after errors and returns the first.
int remove_tree(Files& files, const std::string& path);

}  // namespace sluice::disk
