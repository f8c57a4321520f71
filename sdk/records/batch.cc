// SPDX-License-Identifier: Apache-2.0
#include "records/batch.hpp"

#include <limits>

#include "base/crc32c.hpp"

namespace sluice::records {
namespace {

int64_t saturating_add(int64_t a, int64_t b) {
  int64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum))
    return b < 0 ? std::numeric_limits<int64_t>::min() : std::numeric_limits<int64_t>::max();
  return sum;
}

}  // namespace

std::string_view batch_error_name(BatchError error) {
  switch (error) {
    case BatchError::too_short:
      return "too_short";
    case BatchError::trailing_bytes:
      return "trailing_bytes";
    case BatchError::bad_length:
      return "bad_length";
    case BatchError::bad_magic:
      return "bad_magic";
    case BatchError::bad_crc:
      return "bad_crc";
    case BatchError::too_large:
      return "too_large";
    case BatchError::bad_base_offset:
      return "bad_base_offset";
    case BatchError::bad_offset_delta:
      return "bad_offset_delta";
    case BatchError::bad_count:
      return "bad_count";
    case BatchError::bad_codec:
      return "bad_codec";
    case BatchError::codec_not_allowed:
      return "codec_not_allowed";
    case BatchError::reserved_attributes:
      return "reserved_attributes";
    case BatchError::bad_timestamp_type:
      return "bad_timestamp_type";
    case BatchError::bad_timestamp:
      return "bad_timestamp";
    case BatchError::timestamp_out_of_range:
      return "timestamp_out_of_range";
    case BatchError::control_batch_from_client:
      return "control_batch_from_client";
    case BatchError::bad_producer:
      return "bad_producer";
    case BatchError::bad_record:
      return "bad_record";
  }
  return "unknown";
}

BatchResult<size_t> batch_size(Bytes bytes) {
  if (bytes.size() < kLengthPrefixBytes) return tl::unexpected(BatchError::too_short);
  const auto length = load_be<int32_t>(bytes.data() + layout::kBatchLength);
  if (length <= static_cast<int32_t>(layout::kMagic - kLengthPrefixBytes))
    return tl::unexpected(BatchError::bad_length);
  // The magic comes first: messages of the older formats may be shorter than a header of ours.
  if (bytes.size() > layout::kMagic && bytes[layout::kMagic] != kMagic2) return tl::unexpected(BatchError::bad_magic);
  if (static_cast<size_t>(length) < kBatchHeaderBytes - kLengthPrefixBytes)
    return tl::unexpected(BatchError::bad_length);
  return kLengthPrefixBytes + static_cast<size_t>(length);
}

BatchResult<BatchView> BatchView::parse(Bytes bytes) {
  const BatchResult<size_t> size = batch_size(bytes);
  if (!size) return tl::unexpected(size.error());
  if (bytes.size() < *size) return tl::unexpected(BatchError::too_short);
  return BatchView(bytes.first(*size));
}

int64_t BatchView::last_offset() const {
  return saturating_add(base_offset(), last_offset_delta());
}
int64_t BatchView::next_offset() const {
  return saturating_add(last_offset(), 1);
}
uint32_t BatchView::compute_crc() const {
  return crc32c(checked_bytes());
}

BatchResult<BatchHeader> parse_batch_header(Bytes bytes) {
  if (const BatchResult<size_t> size = batch_size(bytes); !size) return tl::unexpected(size.error());
  if (bytes.size() < kBatchHeaderBytes) return tl::unexpected(BatchError::too_short);
  const uint8_t* at = bytes.data();
  return BatchHeader{
      .base_offset = load_be<int64_t>(at + layout::kBaseOffset),
      .batch_length = load_be<int32_t>(at + layout::kBatchLength),
      .leader_epoch = load_be<int32_t>(at + layout::kLeaderEpoch),
      .magic = load_be<int8_t>(at + layout::kMagic),
      .crc = load_be<uint32_t>(at + layout::kCrc),
      .attributes = load_be<uint16_t>(at + layout::kAttributes),
      .last_offset_delta = load_be<int32_t>(at + layout::kLastOffsetDelta),
      .base_timestamp = load_be<int64_t>(at + layout::kBaseTimestamp),
      .max_timestamp = load_be<int64_t>(at + layout::kMaxTimestamp),
      .producer_id = load_be<int64_t>(at + layout::kProducerId),
      .producer_epoch = load_be<int16_t>(at + layout::kProducerEpoch),
      .base_sequence = load_be<int32_t>(at + layout::kBaseSequence),
      .records_count = load_be<int32_t>(at + layout::kRecordsCount),
  };
}

BatchResult<BatchView> take_batch(Bytes& bytes) {
  BatchResult<BatchView> batch = BatchView::parse(bytes);
  if (batch) bytes = bytes.subspan(batch->size());
  return batch;
}

BatchResult<BatchView> single_batch(Bytes bytes) {
  BatchResult<BatchView> batch = BatchView::parse(bytes);
  if (batch && batch->size() != bytes.size()) return tl::unexpected(BatchError::trailing_bytes);
  return batch;
}

void stamp_base_offset(MutableBytes batch, int64_t base_offset) {
  store_be(batch.data() + layout::kBaseOffset, base_offset);
}

void stamp_leader_epoch(MutableBytes batch, int32_t leader_epoch) {
  store_be(batch.data() + layout::kLeaderEpoch, leader_epoch);
}

void stamp_log_append_time(MutableBytes batch, int64_t now_ms) {
  // The checksum of A then B is that of A moved over B's length, plus that of B: replacing A alone changes it by the
  // moved difference of A's checksums, whatever B is.
  constexpr size_t kChangedBytes = layout::kProducerId - layout::kAttributes;
  uint8_t* at = batch.data();
  const Bytes changed(at + layout::kAttributes, kChangedBytes);
  const uint32_t before = crc32c(changed);
  const auto attributes = load_be<uint16_t>(at + layout::kAttributes);
  store_be(at + layout::kAttributes, static_cast<uint16_t>(attributes | kLogAppendTimeBit));
  store_be(at + layout::kMaxTimestamp, now_ms);
  const uint32_t difference = before ^ crc32c(changed);
  const auto crc = load_be<uint32_t>(at + layout::kCrc);
  store_be(at + layout::kCrc, crc32c_combine(difference, crc, batch.size() - layout::kProducerId));
}

}  // namespace sluice::records
