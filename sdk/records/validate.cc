// SPDX-License-Identifier: Apache-2.0
#include "records/validate.hpp"

#include "records/record.hpp"

namespace sluice::records {
namespace {

using Check = tl::expected<void, BatchError>;

Check check_attributes(const BatchView& batch, const BatchRules& rules) {
  const uint16_t attributes = batch.attributes();
  const bool client = rules.origin == BatchOrigin::client;
  if ((attributes & kCodecMask) > kMaxCodec) return tl::unexpected(BatchError::bad_codec);
  if (batch.codec() == Codec::zstd && !rules.allow_zstd) return tl::unexpected(BatchError::codec_not_allowed);
  if ((attributes & kReservedAttributes) != 0) return tl::unexpected(BatchError::reserved_attributes);
  if (!client) return {};
  if (batch.has_delete_horizon()) return tl::unexpected(BatchError::reserved_attributes);
  if (batch.is_control()) return tl::unexpected(BatchError::control_batch_from_client);
  if (batch.timestamp_type() != TimestampType::create_time) return tl::unexpected(BatchError::bad_timestamp_type);
  return {};
}

Check check_counts(const BatchView& batch, const BatchRules& rules) {
  const int64_t count = batch.records_count();
  const int64_t delta = batch.last_offset_delta();
  const bool client = rules.origin == BatchOrigin::client;
  if (batch.base_offset() < 0 || (client && batch.base_offset() != 0))
    return tl::unexpected(BatchError::bad_base_offset);
  if (batch.base_offset() > std::numeric_limits<int64_t>::max() - 1 - std::numeric_limits<int32_t>::max()) {
    return tl::unexpected(BatchError::bad_base_offset);
  }
  if (count < 0 || (client && count == 0)) return tl::unexpected(BatchError::bad_count);
  if (delta < 0 || count > delta + 1 || (client && count != delta + 1))
    return tl::unexpected(BatchError::bad_offset_delta);
  if (batch.codec() == Codec::none && static_cast<size_t>(count) > batch.records_section().size() / kMinRecordBytes) {
    return tl::unexpected(BatchError::bad_count);
  }
  return {};
}

Check check_producer(const BatchView& batch) {
  const int64_t id = batch.producer_id();
  if (id < kNoProducerId) return tl::unexpected(BatchError::bad_producer);
  if (id == kNoProducerId) {
    if (batch.is_transactional()) return tl::unexpected(BatchError::bad_producer);
    return {};
  }
  // Control batches carry a producer but are not part of its sequence.
  if (batch.producer_epoch() < 0) return tl::unexpected(BatchError::bad_producer);
  if (batch.base_sequence() < 0 && !batch.is_control()) return tl::unexpected(BatchError::bad_producer);
  return {};
}

Check check_timestamps(const BatchView& batch, const BatchRules& rules, int64_t now_ms) {
  const int64_t base = batch.base_timestamp();
  const int64_t max = batch.max_timestamp();
  if (base < kNoTimestamp || max < kNoTimestamp) return tl::unexpected(BatchError::bad_timestamp);
  // Both are at least -1 and the clock is after 1970: the differences fit.
  if (base != kNoTimestamp && now_ms - base > rules.max_timestamp_before_ms) {
    return tl::unexpected(BatchError::timestamp_out_of_range);
  }
  if (max - now_ms > rules.max_timestamp_after_ms || base - now_ms > rules.max_timestamp_after_ms) {
    return tl::unexpected(BatchError::timestamp_out_of_range);
  }
  return {};
}

Check check_records_fill(const BatchView& batch) {
  ByteReader reader(batch.records_section());
  for (int32_t left = batch.records_count(); left > 0; --left) {
    const int32_t size = reader.read_varint();
    if (size < 0 || reader.failed()) return tl::unexpected(BatchError::bad_record);
    reader.read_bytes(static_cast<size_t>(size));
  }
  if (reader.failed() || reader.left() != 0) return tl::unexpected(BatchError::bad_record);
  return {};
}

Check check_records_parse(const BatchView& batch) {
  RecordIterator records(batch.records_section(), batch);
  RecordView record;
  while (records.next(record)) {
  }
  if (records.damaged()) return tl::unexpected(BatchError::bad_record);
  return {};
}

}  // namespace

int32_t BatchInfo::last_sequence() const {
  if (base_sequence < 0) return kNoSequence;
  return static_cast<int32_t>((static_cast<uint32_t>(base_sequence) + static_cast<uint32_t>(last_offset_delta)) &
                              0x7fffffff);
}

BatchResult<BatchInfo> validate_batch(Bytes bytes, const BatchRules& rules, int64_t now_ms) {
  const BatchResult<BatchView> parsed = single_batch(bytes);
  if (!parsed) return tl::unexpected(parsed.error());
  const BatchView& batch = *parsed;
  if (batch.size() > rules.max_batch_bytes) return tl::unexpected(BatchError::too_large);

  // A damaged batch is damaged, whatever its fields seem to say.
  if (batch.compute_crc() != batch.crc()) return tl::unexpected(BatchError::bad_crc);
  if (const Check check = check_attributes(batch, rules); !check) return tl::unexpected(check.error());
  if (const Check check = check_counts(batch, rules); !check) return tl::unexpected(check.error());
  if (const Check check = check_producer(batch); !check) return tl::unexpected(check.error());
  if (const Check check = check_timestamps(batch, rules, now_ms); !check) return tl::unexpected(check.error());
  if (rules.count_records && batch.codec() == Codec::none) {
    if (const Check check = check_records_fill(batch); !check) return tl::unexpected(check.error());
  }
  if (rules.parse_records && batch.codec() == Codec::none) {
    if (const Check check = check_records_parse(batch); !check) return tl::unexpected(check.error());
  }

  const bool has_producer = batch.has_producer_id();
  return BatchInfo{
      .size = batch.size(),
      .base_offset = batch.base_offset(),
      .last_offset_delta = batch.last_offset_delta(),
      .records_count = batch.records_count(),
      .base_timestamp = batch.base_timestamp(),
      .max_timestamp = batch.max_timestamp(),
      .producer_id = batch.producer_id(),
      .producer_epoch = has_producer ? batch.producer_epoch() : kNoProducerEpoch,
      .base_sequence = has_producer ? batch.base_sequence() : kNoSequence,
      .codec = batch.codec(),
      .timestamp_type = batch.timestamp_type(),
      .is_transactional = batch.is_transactional(),
      .is_control = batch.is_control(),
      .has_delete_horizon = batch.has_delete_horizon(),
  };
}

}  // namespace sluice::records
