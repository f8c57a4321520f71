// SPDX-License-Identifier: Apache-2.0
#include "sources/nonce_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <utility>

#include "base/bytes.hpp"
#include "base/crc32c.hpp"

namespace sluice::sources {
namespace {

constexpr std::string_view kMagic = "sluice-log 1\n";
constexpr size_t kMaxNonceBytes = 1024;

FileHandle open_file(const std::string& path, int flags) {
  return FileHandle(::open(path.c_str(), flags | O_CLOEXEC, 0600));
}

StatusCode code_of(int error) {
  if (error == EACCES || error == EPERM || error == EROFS) return StatusCode::denied;
  return error == ENOSPC || error == EDQUOT ? StatusCode::no_space : StatusCode::internal;
}

Status failed(const std::string& path, std::string_view what, int error = errno) {
  return Status(code_of(error), fmt::format("{}: {}: {}", path, what, std::strerror(error)), error);
}

/// The rest of the line that begins with `name` and a space, taken off `text`.
std::optional<std::string_view> take_line(std::string_view& text, std::string_view name) {
  const size_t end = text.find('\n');
  if (end == std::string_view::npos || !text.starts_with(name) || end <= name.size() || text[name.size()] != ' ') {
    return std::nullopt;
  }
  const std::string_view value = text.substr(name.size() + 1, end - name.size() - 1);
  text.remove_prefix(end + 1);
  return value;
}

std::optional<Nonce> parse(std::string_view text) {
  const std::string_view all = text;
  if (!text.starts_with(kMagic)) return std::nullopt;
  text.remove_prefix(kMagic.size());
  const auto log = take_line(text, "log");
  const auto id = take_line(text, "id");
  const auto epoch = take_line(text, "epoch");
  const size_t checked = all.size() - text.size();
  const auto crc = take_line(text, "crc32c");
  if (!log || !id || !epoch || !crc || !text.empty()) return std::nullopt;
  Nonce nonce;
  const auto uuid = Uuid::parse(*id);
  const auto [end, error] = std::from_chars(epoch->data(), epoch->data() + epoch->size(), nonce.epoch);
  if (!uuid || uuid->is_zero() || error != std::errc() || end != epoch->data() + epoch->size() || nonce.epoch < 0) {
    return std::nullopt;
  }
  if (*crc != fmt::format("{:08x}", crc32c(as_bytes(all.substr(0, checked))))) return std::nullopt;
  nonce.log = *log;
  nonce.id = *uuid;
  return nonce;
}

}  // namespace

std::string nonce_path(const std::string& directory, const std::string& log) {
  return directory + "/" + log + ".nonce";
}
std::string lock_path(const std::string& directory, const std::string& log) {
  return directory + "/" + log + ".lock";
}

Result<std::optional<Nonce>> read_nonce(const std::string& directory, const std::string& log) {
  const std::string path = nonce_path(directory, log);
  const FileHandle file = open_file(path, O_RDONLY);
  if (!file && (errno == ENOENT || errno == ENOTDIR)) return std::optional<Nonce>();
  if (!file) return fail(failed(path, "open"));
  std::array<char, kMaxNonceBytes + 1> text{};
  size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = ::read(file.get(), text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(failed(path, "read"));
    if (got == 0) break;
    size += static_cast<size_t>(got);
  }
  std::optional<Nonce> nonce = parse({text.data(), size});
  if (!nonce) return fail(StatusCode::corrupt, fmt::format("{}: not a whole nonce file", path));
  if (nonce->log != log) return fail(StatusCode::corrupt, fmt::format("{}: it is the log {}'s", path, nonce->log));
  return nonce;
}

Status write_nonce(const std::string& directory, const Nonce& nonce) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) return failed(directory, "create", error.value());
  std::string text = fmt::format("{}log {}\nid {}\nepoch {}\n", kMagic, nonce.log, nonce.id.to_string(), nonce.epoch);
  text += fmt::format("crc32c {:08x}\n", crc32c(as_bytes(text)));
  const std::string path = nonce_path(directory, nonce.log);
  const std::string fresh = path + ".new";
  {
    const FileHandle file = open_file(fresh, O_WRONLY | O_CREAT | O_TRUNC);
    if (!file) return failed(fresh, "create");
    if (const int written = write_all(file, as_bytes(text)); written != 0) return failed(fresh, "write", written);
    if (::fdatasync(file.get()) != 0) return failed(fresh, "fdatasync");
  }
  if (::rename(fresh.c_str(), path.c_str()) != 0) return failed(path, "rename");
  if (const int synced = sync_directory(directory); synced != 0) return failed(directory, "fsync", synced);
  return {};
}

Result<FileLock> take_lock(const std::string& path) {
  FileHandle file = open_file(path, O_RDWR | O_CREAT);
  if (!file) return fail(failed(path, "open"));
  if (const int error = try_lock(file); error != 0) {
    if (error != EWOULDBLOCK) return fail(failed(path, "flock", error));
    std::array<char, 32> pid{};
    const ssize_t got = ::pread(file.get(), pid.data(), pid.size() - 1, 0);
    return fail(StatusCode::conflict, got > 0 ? fmt::format("{}: process {} has the lock", path, pid.data())
                                              : fmt::format("{}: somebody has the lock", path));
  }
  // For people; the lock is what counts.
  const std::string pid = std::to_string(::getpid());
  FileLock lock(std::move(file));
  if (::ftruncate(lock.file().get(), 0) != 0) return fail(failed(path, "truncate"));
  if (const int error = write_all(lock.file(), as_bytes(pid)); error != 0) return fail(failed(path, "write", error));
  return lock;
}

}  // namespace sluice::sources
