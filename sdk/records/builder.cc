// SPDX-License-Identifier: Apache-2.0
#include "records/builder.hpp"

#include <algorithm>
#include <limits>

#include "base/crc32c.hpp"

namespace sluice::records {
namespace {

size_t optional_size(const OptionalBytes& bytes) {
  if (!bytes) return 1;
  return signed_varint_size(static_cast<int64_t>(bytes->size())) + bytes->size();
}

void write_optional(ByteWriter& writer, const OptionalBytes& bytes) {
  if (!bytes) return writer.write_varint(-1);
  writer.write_varint(static_cast<int32_t>(bytes->size()));
  writer.write_bytes(*bytes);
}

size_t headers_size(std::span<const HeaderView> headers) {
  size_t size = signed_varint_size(static_cast<int64_t>(headers.size()));
  for (const HeaderView& header : headers) size += optional_size(header.key) + optional_size(header.value);
  return size;
}

uint16_t attributes_of(const BatchOptions& options) {
  auto attributes = static_cast<uint16_t>(options.codec);
  if (options.timestamp_type == TimestampType::log_append_time) attributes |= kLogAppendTimeBit;
  if (options.is_transactional) attributes |= kTransactionalBit;
  if (options.is_control) attributes |= kControlBit;
  return attributes;
}

}  // namespace

BatchBuilder::BatchBuilder(const BatchOptions& options) : options_(options) {
  start();
}

void BatchBuilder::start() {
  buffer_ = Buffer(kBatchHeaderBytes);
  count_ = 0;
  next_delta_ = 0;
  last_offset_delta_ = 0;
  base_timestamp_ = kNoTimestamp;
  max_timestamp_ = kNoTimestamp;
}

size_t BatchBuilder::upper_bound(const NewRecord& record) {
  return kMaxVarintBytes + 1 + kMaxVarlongBytes + kMaxVarintBytes + optional_size(record.key) +
         optional_size(record.value) + headers_size(record.headers);
}

Status BatchBuilder::add(const NewRecord& record) {
  return add_at(next_delta_, record);
}

Status BatchBuilder::add_at(int64_t offset_delta, const NewRecord& record) {
  if (offset_delta < next_delta_ || offset_delta > std::numeric_limits<int32_t>::max()) {
    return Status(StatusCode::invalid, "offset delta does not rise, or is beyond an int32");
  }
  if (upper_bound(record) > kMaxBuiltBatchBytes - buffer_.size())
    return Status(StatusCode::too_large, "batch beyond 2 GiB");

  if (count_ == 0) base_timestamp_ = record.timestamp;
  const auto timestamp_delta =
      static_cast<int64_t>(static_cast<uint64_t>(record.timestamp) - static_cast<uint64_t>(base_timestamp_));
  const size_t size = 1 + signed_varint_size(timestamp_delta) + signed_varint_size(offset_delta) +
                      optional_size(record.key) + optional_size(record.value) + headers_size(record.headers);
  ByteWriter writer(buffer_);
  writer.write_varint(static_cast<int32_t>(size));
  writer.write_be(int8_t{0});
  writer.write_varlong(timestamp_delta);
  writer.write_varint(static_cast<int32_t>(offset_delta));
  write_optional(writer, record.key);
  write_optional(writer, record.value);
  writer.write_varint(static_cast<int32_t>(record.headers.size()));
  for (const HeaderView& header : record.headers) {
    write_optional(writer, header.key);
    write_optional(writer, header.value);
  }

  max_timestamp_ = std::max(max_timestamp_, record.timestamp);
  last_offset_delta_ = std::max(last_offset_delta_, static_cast<int32_t>(offset_delta));
  next_delta_ = offset_delta + 1;
  ++count_;
  return {};
}

Result<Buffer> BatchBuilder::build() {
  Buffer batch;
  if (options_.codec == Codec::none) {
    batch = std::move(buffer_);
  } else {
    batch.resize(kBatchHeaderBytes);
    const Bytes section = buffer_.view().subspan(kBatchHeaderBytes);
    if (Status status = compress(options_.codec, options_.level, section, batch); !status)
      return fail(std::move(status));
  }
  const bool append_time = options_.timestamp_type == TimestampType::log_append_time;
  uint8_t* at = batch.data();
  store_be(at + layout::kBaseOffset, options_.base_offset);
  store_be(at + layout::kBatchLength, static_cast<int32_t>(batch.size() - kLengthPrefixBytes));
  store_be(at + layout::kLeaderEpoch, options_.leader_epoch);
  store_be(at + layout::kMagic, kMagic2);
  store_be(at + layout::kAttributes, attributes_of(options_));
  store_be(at + layout::kLastOffsetDelta, last_offset_delta_);
  store_be(at + layout::kBaseTimestamp, base_timestamp_);
  store_be(at + layout::kMaxTimestamp, append_time ? options_.log_append_time_ms : max_timestamp_);
  store_be(at + layout::kProducerId, options_.producer_id);
  store_be(at + layout::kProducerEpoch, options_.producer_epoch);
  store_be(at + layout::kBaseSequence, options_.base_sequence);
  store_be(at + layout::kRecordsCount, count_);
  store_be(at + layout::kCrc, crc32c(batch.view().subspan(layout::kAttributes)));
  start();
  return batch;
}

}  // namespace sluice::records
