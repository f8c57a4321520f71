// SPDX-License-Identifier: Apache-2.0
// Makes record batches: for the broker's own logs, for control batches, for adapters that synthesise batches from
// entries of an engine, for tests. One thread at a time.
#pragma once

#include <cstdint>
#include <span>

#include "base/bytes.hpp"
#include "base/status.hpp"
#include "records/batch.hpp"
#include "records/codec.hpp"
#include "records/record.hpp"

namespace sluice::records {

/// A batch's length is an int32.
constexpr size_t kMaxBuiltBatchBytes = 0x7fffffff - 64;

struct BatchOptions {
  int64_t base_offset = 0;
  int32_t leader_epoch = -1;
  Codec codec = Codec::none;
  int level = kDefaultLevel;
  TimestampType timestamp_type = TimestampType::create_time;
  /// The time of appending; only with TimestampType::log_append_time.
  int64_t log_append_time_ms = kNoTimestamp;
  bool is_transactional = false;
  bool is_control = false;
  int64_t producer_id = kNoProducerId;
  int16_t producer_epoch = kNoProducerEpoch;
  int32_t base_sequence = kNoSequence;
};

/// A record to be written; the bytes are copied by add().
struct NewRecord {
  int64_t timestamp = kNoTimestamp;  // milliseconds since the epoch
  OptionalBytes key = std::nullopt;
  OptionalBytes value = std::nullopt;
  std::span<const HeaderView> headers = {};
};

class BatchBuilder {
 public:
  explicit BatchBuilder(const BatchOptions& options);

  /// At the offset after the last one. Errors: too_large (2 GiB), invalid (no offset left); the batch is then as
  /// before.
  Status add(const NewRecord& record);
  /// At a delta above the last one: leaves a gap.
  Status add_at(int64_t offset_delta, const NewRecord& record);

  int32_t count() const { return count_; }
  bool empty() const { return count_ == 0; }
  /// Of the batch if it were built now without compression.
  size_t uncompressed_size() const { return buffer_.size(); }
  /// The size that add() would add, at most.
  static size_t upper_bound(const NewRecord& record);

  /// The batch's last offset delta is then at least this one: a batch may end with a gap, as after compaction.
  void set_last_offset_delta(int32_t delta) {
    last_offset_delta_ = delta > last_offset_delta_ ? delta : last_offset_delta_;
  }

  /// The finished batch; the builder is empty afterwards and starts anew with the same options. An empty batch is legal
  /// (its last offset delta is 0 unless set). Errors: as for compress().
  Result<Buffer> build();

 private:
  void start();

  const BatchOptions options_;
  Buffer buffer_;  // room for the header, then the records
  int32_t count_ = 0;
  int64_t next_delta_ = 0;
  int32_t last_offset_delta_ = 0;
  int64_t base_timestamp_ = kNoTimestamp;
  int64_t max_timestamp_ = kNoTimestamp;
};

}  // namespace sluice::records
