// SPDX-License-Identifier: Apache-2.0
#include "records/lookup.hpp"

#include <utility>

namespace sluice::records {
namespace {

bool out_of_range(int64_t timestamp, const RecordRules& rules, int64_t now_ms) {
  if (timestamp == kNoTimestamp) return false;
  int64_t age = 0;
  if (__builtin_sub_overflow(now_ms, timestamp, &age)) return true;
  if (age == INT64_MIN) return true;
  return age >= 0 ? age > rules.max_timestamp_before_ms : -age > rules.max_timestamp_after_ms;
}

}  // namespace

Result<std::optional<OffsetAndTimestamp>> find_timestamp(const BatchView& batch, int64_t timestamp, size_t max_bytes,
                                                         int64_t from_offset) {
  std::optional<OffsetAndTimestamp> found;
  if (batch.timestamp_type() == TimestampType::log_append_time && batch.max_timestamp() < timestamp) return found;
  Status status = visit_records(batch, max_bytes, [&](const RecordView& record) {
    const OffsetAndTimestamp at{record.offset(batch), record.timestamp(batch)};
    if (at.offset >= from_offset && at.timestamp >= timestamp) found = at;
    return !found.has_value();
  });
  if (!status) return fail(std::move(status));
  return found;
}

Result<std::optional<OffsetAndTimestamp>> find_max_timestamp(const BatchView& batch, size_t max_bytes) {
  std::optional<OffsetAndTimestamp> found;
  const bool all_equal = batch.timestamp_type() == TimestampType::log_append_time;
  Status status = visit_records(batch, max_bytes, [&](const RecordView& record) {
    const OffsetAndTimestamp at{record.offset(batch), record.timestamp(batch)};
    if (!found || at.timestamp > found->timestamp) found = at;
    return !all_equal;
  });
  if (!status) return fail(std::move(status));
  return found;
}

Result<std::optional<RecordFault>> check_records(const BatchView& batch, const RecordRules& rules, int64_t now_ms,
                                                 size_t max_bytes) {
  std::optional<RecordFault> fault;
  int32_t index = 0;
  Status status = visit_records(batch, max_bytes, [&](const RecordView& record) {
    if (!fault && rules.require_key && !record.key) fault = RecordFault{index, RecordError::keyless};
    if (!fault && out_of_range(record.timestamp(batch), rules, now_ms)) {
      fault = RecordFault{index, RecordError::timestamp_out_of_range};
    }
    ++index;
    return true;
  });
  if (!status) return fail(std::move(status));
  return fault;
}

}  // namespace sluice::records
