// SPDX-License-Identifier: Apache-2.0
#include "storage/unit.hpp"

#include <fmt/format.h>

#include "records/builder.hpp"
#include "records/record.hpp"

namespace sluice::storage {
namespace {

constexpr uint32_t kMaxWriters = 100'000;

Buffer encode_header(const UnitHeader& header) {
  Buffer buffer;
  ByteWriter writer(buffer);
  writer.write_be<uint8_t>(UnitHeader::kVersion);
  writer.write_be<uint8_t>(static_cast<uint8_t>(header.kind));
  writer.write_be<uint32_t>(header.previous_crc);
  writer.write_be<int32_t>(header.writer.broker);
  writer.write_be<uint64_t>(header.writer.incarnation);
  writer.write_be<uint64_t>(header.sequence);
  writer.write_be<uint32_t>(header.part);
  writer.write_be<uint32_t>(header.parts);
  writer.write_be<uint32_t>(static_cast<uint32_t>(header.progress.size()));
  for (const auto& p : header.progress) {
    writer.write_be<int32_t>(p.writer.broker);
    writer.write_be<uint64_t>(p.writer.incarnation);
    writer.write_be<uint64_t>(p.sequence);
  }
  return buffer;
}

Result<UnitHeader> decode_header(Bytes bytes) {
  ByteReader reader(bytes);
  const auto version = reader.read_be<uint8_t>();
  if (!reader.failed() && version != UnitHeader::kVersion) {
    return fail(StatusCode::unsupported, fmt::format("unit of version {}, this broker reads {}", version, UnitHeader::kVersion));
  }
  UnitHeader header;
  const auto kind = reader.read_be<uint8_t>();
  header.kind = static_cast<UnitHeader::Kind>(kind);
  header.previous_crc = reader.read_be<uint32_t>();
  header.writer.broker = reader.read_be<int32_t>();
  header.writer.incarnation = reader.read_be<uint64_t>();
  header.sequence = reader.read_be<uint64_t>();
  header.part = reader.read_be<uint32_t>();
  header.parts = reader.read_be<uint32_t>();
  const auto writers = reader.read_be<uint32_t>();
  if (reader.failed() || kind > 1 || writers > kMaxWriters || writers > reader.left()) {
    return fail(StatusCode::corrupt, "malformed unit header");
  }
  header.progress.resize(writers);
  for (auto& p : header.progress) {
    p.writer.broker = reader.read_be<int32_t>();
    p.writer.incarnation = reader.read_be<uint64_t>();
    p.sequence = reader.read_be<uint64_t>();
  }
  if (reader.failed() || reader.left() != 0) return fail(StatusCode::corrupt, "malformed unit header");
  return header;
}

}  // namespace

Result<Buffer> encode_unit(const UnitHeader& header, const std::vector<std::string>& records, int64_t base_offset, int32_t leader_epoch,
                           int64_t now_ms) {
  records::BatchOptions options;
  options.base_offset = base_offset;
  options.leader_epoch = leader_epoch;
  records::BatchBuilder builder(options);
  const Buffer head = encode_header(header);
  Status added = builder.add({.timestamp = now_ms, .key = as_bytes("unit"), .value = head.view()});
  for (size_t i = 0; added.ok() && i < records.size(); ++i) {
    added = builder.add({.timestamp = now_ms, .key = {}, .value = as_bytes(records[i])});
  }
  if (!added.ok()) return fail(added);
  return builder.build();
}

Result<Unit> decode_unit(const records::BatchView& batch) {
  if (batch.compute_crc() != batch.crc()) {
    return fail(StatusCode::corrupt, fmt::format("batch at offset {} fails its checksum", batch.base_offset()));
  }
  Unit unit;
  records::RecordIterator iterator(batch.records_section(), batch);
  records::RecordView record;
  bool first = true;
  while (iterator.next(record)) {
    if (!record.value) return fail(StatusCode::corrupt, fmt::format("null record at offset {}", batch.base_offset()));
    if (first) {
      auto header = decode_header(*record.value);
      if (!header) return fail(header.error().in(fmt::format("offset {}", batch.base_offset())));
      unit.header = std::move(*header);
      unit.timestamp_ms = record.timestamp(batch);
      first = false;
    } else {
      unit.records.push_back(as_text(*record.value));
    }
  }
  if (first || iterator.damaged()) {
    return fail(StatusCode::corrupt, fmt::format("malformed unit at offset {}", batch.base_offset()));
  }
  unit.first_record_offset = batch.base_offset() + 1;
  return unit;
}

}  // namespace sluice::storage
