// SPDX-License-Identifier: Apache-2.0
// Is this batch fit to be stored? Looks at the header and the checksum, in place, once per produced batch: nothing is
// allocated, decompressed or copied. Pure functions, any thread.
#pragma once

#include <cstdint>
#include <limits>

#include "records/batch.hpp"

namespace sluice::records {

enum class BatchOrigin : uint8_t {
  client,  // a producer: its batches start at offset 0 and have no gaps
  broker,  // ourselves, another broker or a storage: offsets, gaps, empty and control batches are legal
};

/// Kafka's default of message.max.bytes.
constexpr size_t kDefaultMaxBatchBytes = 1'048'588;

struct BatchRules {
  BatchOrigin origin = BatchOrigin::client;
  /// Of the batch as sent, header included: max.message.bytes.
  size_t max_batch_bytes = kDefaultMaxBatchBytes;
  /// False for Produce before v7 (KIP-110).
  bool allow_zstd = true;
  /// How far from `now` a batch's own timestamps may be: message.timestamp.before.max.ms and .after.max.ms (KIP-937).
  /// Ignored for topics that stamp the time of appending: leave them at their defaults there.
  int64_t max_timestamp_before_ms = std::numeric_limits<int64_t>::max();
  int64_t max_timestamp_after_ms = std::numeric_limits<int64_t>::max();
  /// Also see, in an uncompressed batch, that as many records as it says fill it exactly: a look at the length of each.
  bool count_records = false;
  /// Also parse every record of an uncompressed batch. For compressed ones, and for rules on records, see
  /// check_records().
  bool parse_records = false;
};

/// What the broker needs of a valid batch.
struct BatchInfo {
  size_t size = 0;  // in bytes
  int64_t base_offset = 0;
  int32_t last_offset_delta = 0;
  int32_t records_count = 0;
  int64_t base_timestamp = 0;
  int64_t max_timestamp = 0;
  int64_t producer_id = kNoProducerId;
  int16_t producer_epoch =
      kNoProducerEpoch;  // kNoProducerEpoch and kNoSequence without a producer id, whatever was sent
  int32_t base_sequence = kNoSequence;
  Codec codec = Codec::none;
  TimestampType timestamp_type = TimestampType::create_time;
  bool is_transactional = false;
  bool is_control = false;
  bool has_delete_horizon = false;

  bool has_producer_id() const { return producer_id != kNoProducerId; }
  /// The sequence of the last offset: sequences wrap from the largest int32 to 0 (KIP-98).
  int32_t last_sequence() const;
};

/// Checks that `bytes` are exactly one batch that obeys `rules`: length and size, then the checksum, then the fields,
/// so that a damaged batch is bad_crc rather than whatever its fields seem to say. `now_ms` is wall time, milliseconds
/// since the epoch.
///
/// Without a producer id, epoch and sequence may be anything: clients that are not idempotent send -1 or 0 there.
BatchResult<BatchInfo> validate_batch(Bytes bytes, const BatchRules& rules, int64_t now_ms);

}  // namespace sluice::records
