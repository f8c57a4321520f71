// SPDX-License-Identifier: Apache-2.0
#include "disk/files.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <system_error>

namespace sluice::disk {

namespace {

constexpr mode_t kFileMode = 0640;
constexpr mode_t kDirectoryMode = 0750;

template <class T>
T answer(T result) {
  return result < 0 ? static_cast<T>(-errno) : result;
}

}  // namespace

int Files::open(const std::string& path, int flags) {
  return answer(::open(path.c_str(), flags | O_CLOEXEC, kFileMode));
}
int Files::close(int fd) {
  return answer(::close(fd));
}

ssize_t Files::pread(int fd, void* data, size_t size, uint64_t position, bool only_cached) {
  if (!only_cached) return answer(::pread(fd, data, size, static_cast<off_t>(position)));
  const iovec part{data, size};
  const ssize_t got = answer(::preadv2(fd, &part, 1, static_cast<off_t>(position), RWF_NOWAIT));
  return got == -EOPNOTSUPP ? -EAGAIN : got;
}

ssize_t Files::pwritev(int fd, const iovec* parts, int count, uint64_t position) {
  return answer(::pwritev(fd, parts, count, static_cast<off_t>(position)));
}

int Files::sync_data(int fd) {
  return answer(::fdatasync(fd));
}

int Files::sync_directory(const std::string& path) {
  const int fd = open(path, O_RDONLY | O_DIRECTORY);
  if (fd < 0) return fd;
  const int result = answer(::fsync(fd));
  close(fd);
  return result;
}

int Files::allocate(int fd, uint64_t position, uint64_t size) {
  return answer(::fallocate(fd, FALLOC_FL_KEEP_SIZE, static_cast<off_t>(position), static_cast<off_t>(size)));
}

int Files::truncate(int fd, uint64_t size) {
  return answer(::ftruncate(fd, static_cast<off_t>(size)));
}
int Files::rename(const std::string& from, const std::string& to) {
  return answer(::rename(from.c_str(), to.c_str()));
}
int Files::unlink(const std::string& path) {
  return answer(::unlink(path.c_str()));
}
int Files::make_directory(const std::string& path) {
  return answer(::mkdir(path.c_str(), kDirectoryMode));
}
int Files::remove_directory(const std::string& path) {
  return answer(::rmdir(path.c_str()));
}

int Files::list(const std::string& path, const std::function<void(std::string_view)>& each) {
  DIR* directory = ::opendir(path.c_str());
  if (directory == nullptr) return -errno;
  errno = 0;
  while (const dirent* entry = ::readdir(directory)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") each(name);
    errno = 0;
  }
  const int result = -errno;
  ::closedir(directory);
  return result;
}

Files& system_files() {
  static Files files;
  return files;
}

Status io_error(int negative_errno, std::string_view doing, std::string_view path) {
  const int code = -negative_errno;
  const std::string text = fmt::format("cannot {} {}: {}", doing, path, std::generic_category().message(code));
  switch (code) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return Status(StatusCode::no_space, text, code);
    case EROFS:
    case EACCES:
    case EPERM:
      return Status(StatusCode::denied, text, code);
    case ENOENT:
      return Status(StatusCode::not_found, text, code);
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EAGAIN:
      return Status(StatusCode::unavailable, text, code);
    default:
      return Status(StatusCode::internal, text, code);
  }
}

Result<SharedFile> open_file(Files& files, const std::string& path, int flags) {
  const int fd = files.open(path, flags);
  if (fd < 0) return fail(io_error(fd, "open", path));
  return std::make_shared<File>(files, fd);
}

int write_fully(Files& files, int fd, std::span<iovec> parts, uint64_t position) {
  while (!parts.empty()) {
    const int count = static_cast<int>(std::min<size_t>(parts.size(), IOV_MAX));
    const ssize_t wrote = files.pwritev(fd, parts.data(), count, position);
    if (wrote == -EINTR) continue;
    if (wrote < 0) return static_cast<int>(wrote);
    if (wrote == 0) return -EIO;
    position += static_cast<uint64_t>(wrote);
    auto left = static_cast<size_t>(wrote);
    while (left > 0 && left >= parts.front().iov_len) {
      left -= parts.front().iov_len;
      parts = parts.subspan(1);
    }
    if (left > 0) {
      parts.front().iov_base = static_cast<uint8_t*>(parts.front().iov_base) + left;
      parts.front().iov_len -= left;
    }
    while (!parts.empty() && parts.front().iov_len == 0) parts = parts.subspan(1);
  }
  return 0;
}

int write_fully(Files& files, int fd, Bytes bytes, uint64_t position) {
  iovec part{const_cast<uint8_t*>(bytes.data()), bytes.size()};
  return write_fully(files, fd, std::span(&part, 1), position);
}

ssize_t read_fully(Files& files, int fd, MutableBytes into, uint64_t position, bool only_cached) {
  size_t done = 0;
  while (done < into.size()) {
    const ssize_t got = files.pread(fd, into.data() + done, into.size() - done, position + done, only_cached);
    if (got == -EINTR) continue;
    if (got < 0) return done > 0 && got == -EAGAIN ? static_cast<ssize_t>(done) : got;
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  return static_cast<ssize_t>(done);
}

Result<Buffer> read_small_file(Files& files, const std::string& path, uint64_t limit) {
  auto file = open_file(files, path, O_RDONLY);
  if (!file) return fail(file.error());
  Buffer content;
  constexpr size_t kStep = 16 * 1024;
  for (;;) {
    const size_t size = content.size();
    content.resize(size + kStep);
    const ssize_t got = read_fully(files, (*file)->fd(), content.mutable_view().subspan(size), size);
    if (got < 0) return fail(io_error(static_cast<int>(got), "read", path));
    content.resize(size + static_cast<size_t>(got));
    if (content.size() > limit)
      return fail(StatusCode::too_large, fmt::format("{} is larger than {} bytes", path, limit));
    if (static_cast<size_t>(got) < kStep) return content;
  }
}

Status replace_file(Files& files, const std::string& directory, const std::string& name, Bytes content, bool durable) {
  const std::string path = directory + "/" + name;
  const std::string beside = path + std::string(kTemporarySuffix);
  const int fd = files.open(beside, O_WRONLY | O_CREAT | O_TRUNC);
  if (fd < 0) return io_error(fd, "create", beside);
  int result = content.empty() ? 0 : write_fully(files, fd, content, 0);
  if (result == 0 && durable) result = files.sync_data(fd);
  files.close(fd);
  if (result == 0) result = files.rename(beside, path);
  if (result < 0) {
    files.unlink(beside);
    return io_error(result, "replace", path);
  }
  if (durable) result = files.sync_directory(directory);
  return result < 0 ? io_error(result, "sync", directory) : Status();
}

int remove_tree(Files& files, const std::string& path) {
  std::vector<std::string> names;
  int result = files.list(path, [&](std::string_view name) { names.emplace_back(name); });
  if (result == -ENOENT) return 0;
  for (const std::string& name : names) {
    const int removed = files.unlink(path + "/" + name);
    if (removed < 0 && removed != -ENOENT && result == 0) result = removed;
  }
  const int removed = files.remove_directory(path);
  return result < 0 ? result : removed;
}

}  // namespace sluice::disk
