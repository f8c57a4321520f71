// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/format.hpp"

#include <fmt/format.h>

#include "base/crc32c.hpp"

namespace sluice::checkpoint {
namespace {

void write_text(ByteWriter& writer, std::string_view text) {
  writer.write_be(static_cast<uint32_t>(text.size()));
  writer.write_bytes(as_bytes(text));
}

std::string read_text(ByteReader& reader) {
  const auto size = reader.read_be<uint32_t>();
  return std::string(as_text(reader.read_bytes(size)));
}

Status corrupt(size_t at, std::string_view what) {
  return Status(StatusCode::corrupt, fmt::format("byte {}: {}", at, what));
}

Status check_header(Bytes file) {
  if (file.size() < kHeaderBytes + kTrailerBytes) return corrupt(file.size(), "ends within its header");
  for (size_t at = 0; at < kMagic.size(); ++at) {
    if (file[at] != static_cast<uint8_t>(kMagic[at])) return corrupt(at, "not a checkpoint");
  }
  if (load_be<uint32_t>(file.data() + kHeaderCrcAt) != crc32c(file.first(kHeaderCrcAt))) {
    return corrupt(kHeaderCrcAt, "checksum of the header");
  }
  if (const auto version = load_be<uint32_t>(file.data() + kVersionAt); version != kVersion) {
    return Status(StatusCode::unsupported, fmt::format("version {}, known here is {}", version, kVersion));
  }
  const uint64_t body_bytes = load_be<uint32_t>(file.data() + kBodySizeAt);
  if (kHeaderBytes + body_bytes + kTrailerBytes != file.size()) {
    return corrupt(kBodySizeAt, fmt::format("a body of {} bytes in a file of {}", body_bytes, file.size()));
  }
  return {};
}

}  // namespace

Status check(std::string_view group, std::string_view cursor, const CheckpointMetadata& metadata) {
  if (group.empty()) return Status(StatusCode::invalid, "group: empty");
  if (group.size() > kMaxCheckpointGroupBytes) {
    return Status(StatusCode::invalid, fmt::format("group: more than {} bytes", kMaxCheckpointGroupBytes));
  }
  if (cursor.size() > kMaxCheckpointCursorBytes) {
    return Status(StatusCode::too_large, fmt::format("cursor: more than {} bytes", kMaxCheckpointCursorBytes));
  }
  if (metadata.size() > kMaxCheckpointMetadataEntries) {
    return Status(StatusCode::too_large, fmt::format("metadata: more than {} entries", kMaxCheckpointMetadataEntries));
  }
  size_t bytes = 0;
  for (const auto& [name, value] : metadata) bytes += name.size() + value.size();
  if (bytes > kMaxCheckpointMetadataBytes) {
    return Status(StatusCode::too_large, fmt::format("metadata: more than {} bytes", kMaxCheckpointMetadataBytes));
  }
  return {};
}

Buffer encode(const Checkpoint& checkpoint) {
  Buffer file;
  file.reserve(kHeaderBytes + 256 + checkpoint.cursor.size());
  ByteWriter writer(file);
  writer.write_bytes(as_bytes(kMagic));
  writer.write_be(kVersion);
  writer.write_be(uint32_t{0});  // size of the body and checksum of the header: filled in below
  writer.write_be(uint32_t{0});
  writer.write_be(checkpoint.id);
  writer.write_be(checkpoint.created_ns);
  write_text(writer, checkpoint.group);
  write_text(writer, checkpoint.cursor);
  writer.write_be(static_cast<uint32_t>(checkpoint.metadata.size()));
  for (const auto& [name, value] : checkpoint.metadata) {
    write_text(writer, name);
    write_text(writer, value);
  }
  store_be(file.data() + kBodySizeAt, static_cast<uint32_t>(file.size() - kHeaderBytes));
  store_be(file.data() + kHeaderCrcAt, crc32c(file.view().first(kHeaderCrcAt)));
  writer.write_be(crc32c(file.view().subspan(kHeaderBytes)));
  return file;
}

Result<Checkpoint> decode(Bytes file) {
  if (Status status = check_header(file); !status) return fail(std::move(status));
  const Bytes body = file.subspan(kHeaderBytes, file.size() - kHeaderBytes - kTrailerBytes);
  const size_t trailer_at = file.size() - kTrailerBytes;
  if (load_be<uint32_t>(file.data() + trailer_at) != crc32c(body))
    return fail(corrupt(trailer_at, "checksum of the body"));

  Checkpoint checkpoint;
  ByteReader reader(body);
  const auto at = [&] { return trailer_at - reader.left(); };
  checkpoint.id = reader.read_be<uint64_t>();
  checkpoint.created_ns = reader.read_be<int64_t>();
  checkpoint.group = read_text(reader);
  checkpoint.cursor = read_text(reader);
  const auto entries = reader.read_be<uint32_t>();
  if (entries > kMaxCheckpointMetadataEntries)
    return fail(corrupt(at(), fmt::format("{} entries of metadata", entries)));
  for (uint32_t i = 0; i < entries && !reader.failed(); ++i) {
    std::string name = read_text(reader);
    std::string value = read_text(reader);
    checkpoint.metadata.emplace_back(std::move(name), std::move(value));
  }
  if (reader.failed()) return fail(corrupt(trailer_at, "the body ends within a field"));
  if (reader.left() != 0) return fail(corrupt(at(), "bytes behind the last field"));
  if (checkpoint.id == 0) return fail(corrupt(kHeaderBytes, "id 0"));
  if (Status status = check(checkpoint.group, checkpoint.cursor, checkpoint.metadata); !status) {
    return fail(corrupt(kHeaderBytes, status.text()));
  }
  return checkpoint;
}

}  // namespace sluice::checkpoint
