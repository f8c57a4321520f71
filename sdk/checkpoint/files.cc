// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/files.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <memory>
#include <thread>

namespace sluice::checkpoint {
namespace {

constexpr std::string_view kSuffix = ".checkpoint";
constexpr size_t kIdDigits = 20;
constexpr std::chrono::microseconds kFirstLockWait{50};
constexpr std::chrono::microseconds kMaxLockWait{2'000};

struct CloseDirectory {
  void operator()(DIR* directory) const { closedir(directory); }
};

bool plain(unsigned char byte) {
  return std::isalnum(byte) != 0 || byte == '-' || byte == '_';
}

StatusCode class_of(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return StatusCode::no_space;
    case EACCES:
    case EPERM:
    case EROFS:
      return StatusCode::denied;
    case ENOENT:
      return StatusCode::not_found;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return StatusCode::unavailable;
    default:
      return StatusCode::internal;
  }
}

Status durable_names_in(const std::string& path) {
  if (const int error = sync_directory(path); error != 0) return system_status("cannot sync", path, error);
  return {};
}

}  // namespace

Status system_status(std::string_view what, const std::string& path, int error) {
  return Status(class_of(error), fmt::format("{} {}: {}", what, path, ::strerrordesc_np(error)), error);
}

std::string directory_name(std::string_view group) {
  std::string name;
  for (const char character : group) {
    const auto byte = static_cast<unsigned char>(character);
    if (plain(byte)) {
      name.push_back(character);
    } else {
      name += fmt::format("%{:02X}", byte);
    }
  }
  return name;
}

std::optional<std::string> group_of(std::string_view name) {
  std::string group;
  for (size_t at = 0; at < name.size(); ++at) {
    if (name[at] != '%') {
      group.push_back(name[at]);
      continue;
    }
    unsigned byte = 0;
    if (at + 2 >= name.size()) return std::nullopt;
    const auto [end, error] = std::from_chars(name.data() + at + 1, name.data() + at + 3, byte, 16);
    if (error != std::errc{} || end != name.data() + at + 3) return std::nullopt;
    group.push_back(static_cast<char>(byte));
    at += 2;
  }
  // One spelling for each group: what directory_name() would not give is not ours.
  if (group.empty() || directory_name(group) != name) return std::nullopt;
  return group;
}

std::string file_name(uint64_t id) {
  return fmt::format("{:020}{}", id, kSuffix);
}

std::optional<uint64_t> id_of(std::string_view name) {
  if (name.size() != kIdDigits + kSuffix.size() || !name.ends_with(kSuffix)) return std::nullopt;
  uint64_t id = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + kIdDigits, id);
  if (error != std::errc{} || end != name.data() + kIdDigits || id == 0) return std::nullopt;
  return id;
}

Result<std::vector<std::string>> names_in(const std::string& path) {
  const std::unique_ptr<DIR, CloseDirectory> directory(::opendir(path.c_str()));
  if (directory == nullptr) return fail(system_status("cannot list", path));
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(directory.get());
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  if (errno != 0) return fail(system_status("cannot list", path));
  return names;
}

Status make_directory(const std::string& path, const std::string& parent) {
  if (::mkdir(path.c_str(), 0755) == 0) return durable_names_in(parent);
  if (errno != EEXIST) return system_status("cannot make", path);
  struct stat found {};
  if (::stat(path.c_str(), &found) != 0) return system_status("cannot look at", path);
  if (!S_ISDIR(found.st_mode)) return Status(StatusCode::exists, fmt::format("{} is no directory", path), ENOTDIR);
  return {};
}

Result<Buffer> read_file(const std::string& path, size_t max_bytes) {
  const FileHandle file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file) return fail(system_status("cannot open", path));
  struct stat found {};
  if (::fstat(file.get(), &found) != 0) return fail(system_status("cannot look at", path));
  if (!S_ISREG(found.st_mode)) return fail(StatusCode::corrupt, fmt::format("{} is no file", path));
  const auto size = static_cast<size_t>(found.st_size);
  if (size > max_bytes) return fail(StatusCode::corrupt, fmt::format("byte {}: longer than any checkpoint", max_bytes));
  Buffer bytes(size);
  size_t at = 0;
  while (at < size) {
    const ssize_t got = ::read(file.get(), bytes.data() + at, size - at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(system_status("cannot read", path));
    if (got == 0) break;
    at += static_cast<size_t>(got);
  }
  bytes.resize(at);
  return bytes;
}

namespace {

// A file of our own at `path`, whatever is in it: the one that is there, or a new one.
Result<FileHandle> open_to_write(const std::string& path) {
  FileHandle file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
  struct stat found {};
  if (!file) return fail(system_status("cannot open", path));
  if (::fstat(file.get(), &found) != 0) return fail(system_status("cannot look at", path));
  if (S_ISREG(found.st_mode) && found.st_nlink == 1) return file;
  // It has another name, somebody's copy, which keeps what it says.
  if (::unlink(path.c_str()) != 0) return fail(system_status("cannot remove", path));
  FileHandle made(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!made) return fail(system_status("cannot open", path));
  return made;
}

}  // namespace

Status write_durably(const std::string& directory, const std::string& temporary, const std::string& path, Bytes bytes) {
  {
    const Result<FileHandle> file = open_to_write(temporary);
    if (!file) return file.error();
    if (const int error = write_all(*file, bytes); error != 0) return system_status("cannot write", temporary, error);
    struct stat found {};
    if (::fstat(file->get(), &found) != 0) return system_status("cannot look at", temporary);
    const auto size = static_cast<off_t>(bytes.size());
    if (found.st_size != size && ::ftruncate(file->get(), size) != 0) return system_status("cannot cut", temporary);
    // Not tried again where it fails: the system may have dropped what it could not write.
    if (::fdatasync(file->get()) != 0) return system_status("cannot sync", temporary);
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) return system_status("cannot rename to", path);
  if (Status status = durable_names_in(directory); !status) {
    return Status(StatusCode::unknown, status.text(), status.native_code());
  }
  return {};
}

bool is_there(const std::string& path) {
  struct stat found {};
  return ::lstat(path.c_str(), &found) == 0 || errno != ENOENT;
}

Result<FileLock> lock_file(const std::string& path, int64_t timeout_ms) {
  FileHandle file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!file) return fail(system_status("cannot open", path));
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
  int error = 0;
  for (auto wait = kFirstLockWait; (error = try_lock(file)) != 0; wait = std::min(2 * wait, kMaxLockWait)) {
    if (error != EWOULDBLOCK && error != EINTR) return fail(system_status("cannot lock", path, error));
    if (std::chrono::steady_clock::now() >= deadline) {
      return fail(StatusCode::busy, fmt::format("{} was held by others for {} ms", path, timeout_ms));
    }
    std::this_thread::sleep_for(wait);
  }
  return FileLock(std::move(file));
}

}  // namespace sluice::checkpoint
