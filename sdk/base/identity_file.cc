// SPDX-License-Identifier: Apache-2.0
#include "base/identity_file.hpp"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>

#include "base/bytes.hpp"
#include "base/crc32c.hpp"
#include "base/files.hpp"

namespace sluice {
namespace {

// magic, version, generation, nonce, epoch, next id, CRC32C of all before: big-endian. Slots lie in different sectors.
constexpr uint32_t kMagic = 0x534c4944;  // "SLID"
constexpr uint32_t kVersion = 1;
constexpr size_t kSlotBytes = 44;
constexpr off_t kSlotDistanceBytes = 4096;

struct Slot {
  uint64_t generation, nonce, epoch, next_id;
};

std::optional<Slot> read_slot(int file, off_t at) {
  std::array<uint8_t, kSlotBytes> bytes{};
  if (pread(file, bytes.data(), bytes.size(), at) != static_cast<ssize_t>(bytes.size())) return std::nullopt;
  if (load_be<uint32_t>(bytes.data() + kSlotBytes - 4) != crc32c({bytes.data(), kSlotBytes - 4})) return std::nullopt;
  ByteReader reader(bytes);
  if (reader.read_be<uint32_t>() != kMagic || reader.read_be<uint32_t>() != kVersion) return std::nullopt;
  Slot slot{};
  slot.generation = reader.read_be<uint64_t>();
  slot.nonce = reader.read_be<uint64_t>();
  slot.epoch = reader.read_be<uint64_t>();
  slot.next_id = reader.read_be<uint64_t>();
  return slot;
}

Status failure(const std::string& path, const char* what, int error = errno) {
  const StatusCode code = error == ENOSPC || error == EDQUOT    ? StatusCode::no_space
                          : error == EACCES || error == EPERM   ? StatusCode::denied
                          : error == ENOENT || error == ENOTDIR ? StatusCode::not_found
                                                                : StatusCode::internal;
  return Status(code, path + ": " + what + ": " + std::strerror(error), error);
}

}  // namespace

Result<std::unique_ptr<IdentityFile>> IdentityFile::open(const std::string& path) {
  FileHandle file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!file) return fail(failure(path, "open"));
  if (const int error = try_lock(file); error != 0) {
    if (error == EWOULDBLOCK) return fail(StatusCode::conflict, path + ": in use by another process", error);
    return fail(failure(path, "flock", error));
  }
  std::unique_ptr<IdentityFile> identity(new IdentityFile(FileLock(std::move(file)), path));
  if (Status status = identity->load(); !status) return fail(std::move(status));
  ++identity->epoch_;
  if (Status status = identity->store(); !status) return fail(std::move(status));
  return identity;
}

IdentityFile::~IdentityFile() = default;

Status IdentityFile::load() {
  struct stat info {};
  if (fstat(file().get(), &info) != 0) return failure(path_, "fstat");
  if (info.st_size == 0) {
    if (getrandom(&nonce_, sizeof nonce_, 0) != sizeof nonce_) return failure(path_, "getrandom");
    // The name must be as durable as what is written next.
    std::filesystem::path folder = std::filesystem::path(path_).parent_path();
    if (folder.empty()) folder = ".";
    if (const int error = sync_directory(folder.string()); error != 0) return failure(folder.string(), "fsync", error);
    return {};
  }
  const std::optional<Slot> first = read_slot(file().get(), 0);
  const std::optional<Slot> second = read_slot(file().get(), kSlotDistanceBytes);
  if (!first && !second) {
    return Status(StatusCode::corrupt, path_ + ": no whole slot of " + std::to_string(info.st_size) + " bytes");
  }
  const Slot& newest = !second || (first && first->generation > second->generation) ? *first : *second;
  generation_ = newest.generation;
  nonce_ = newest.nonce;
  epoch_ = newest.epoch;
  next_id_ = newest.next_id;
  return {};
}

Status IdentityFile::store() {
  Buffer buffer;
  ByteWriter writer(buffer);
  writer.write_be(kMagic);
  writer.write_be(kVersion);
  writer.write_be(generation_ + 1);
  writer.write_be(nonce_);
  writer.write_be(epoch_);
  writer.write_be(next_id_);
  writer.write_be(crc32c(buffer));
  const off_t at = (generation_ + 1) % 2 == 0 ? kSlotDistanceBytes : 0;
  const ssize_t written = pwrite(file().get(), buffer.data(), buffer.size(), at);
  if (written < 0) return failure(path_, "write");
  if (written != static_cast<ssize_t>(buffer.size())) return Status(StatusCode::no_space, path_ + ": short write");
  if (fdatasync(file().get()) != 0) return failure(path_, "fdatasync");
  ++generation_;
  return {};
}

Result<uint64_t> IdentityFile::reserve(uint64_t count) {
  if (count > UINT64_MAX - next_id_) return fail(StatusCode::out_of_range, path_ + ": no ids left");
  const uint64_t first = next_id_;
  next_id_ += count;
  // After a failure the ids stay taken: the write may have reached the disk.
  if (Status status = store(); !status) return fail(std::move(status));
  return first;
}

}  // namespace sluice
