// SPDX-License-Identifier: Apache-2.0
// Looking into a validated batch for single records: by timestamp (ListOffsets: KIP-79, KIP-734), and against rules
// that bear on each record. Decompresses where needed, into at most `max_bytes`. Pure functions, any thread.
#pragma once

#include <cstdint>
#include <optional>

#include "base/status.hpp"
#include "records/batch.hpp"
#include "records/codec.hpp"
#include "records/record.hpp"

namespace sluice::records {

struct OffsetAndTimestamp {
  int64_t offset = 0;
  int64_t timestamp = 0;  // milliseconds since the epoch
  friend bool operator==(const OffsetAndTimestamp&, const OffsetAndTimestamp&) = default;
};

/// Calls `visit(const RecordView&) -> bool` for each record until it returns false. Errors: those of decompress(), and
/// corrupt where the records do not parse; records before the damage have then been visited.
template <class Visitor>
Status visit_records(const BatchView& batch, size_t max_bytes, Visitor&& visit) {
  Buffer scratch;
  Result<Bytes> section = uncompressed_records(batch, max_bytes, scratch);
  if (!section) return std::move(section.error());
  RecordIterator records(*section, batch);
  RecordView record;
  while (records.next(record)) {
    if (!visit(static_cast<const RecordView&>(record))) return {};
  }
  if (records.damaged()) return Status(StatusCode::corrupt, "damaged records");
  return {};
}

/// The first record at or after `from_offset` whose timestamp is at least `timestamp`; none: nullopt.
Result<std::optional<OffsetAndTimestamp>> find_timestamp(const BatchView& batch, int64_t timestamp, size_t max_bytes,
                                                         int64_t from_offset = 0);

/// The first of the records with the greatest timestamp; nullopt for a batch without records. Reads the records, since
/// a client's max_timestamp may be wrong.
Result<std::optional<OffsetAndTimestamp>> find_max_timestamp(const BatchView& batch, size_t max_bytes);

/// What a topic may demand of each record.
struct RecordRules {
  bool require_key = false;  // compacted topics
  /// As in BatchRules, for each record's own timestamp.
  int64_t max_timestamp_before_ms = INT64_MAX;
  int64_t max_timestamp_after_ms = INT64_MAX;
};

/// The first record that breaks a rule.
enum class RecordError : uint8_t { keyless, timestamp_out_of_range };
struct RecordFault {
  int32_t index = 0;  // of the record in its batch: batch_index in Produce's answer
  RecordError error = RecordError::keyless;
};

/// Parses every record. nullopt: all are well. Errors as for visit_records.
Result<std::optional<RecordFault>> check_records(const BatchView& batch, const RecordRules& rules, int64_t now_ms,
                                                 size_t max_bytes);

}  // namespace sluice::records
