// SPDX-License-Identifier: Apache-2.0
// A control record's key is its version and its type, its value for a marker a version and the coordinator's epoch.
#include "records/control.hpp"

#include <utility>

#include "records/builder.hpp"
#include "records/record.hpp"

namespace sluice::records {
namespace {

constexpr int16_t kVersion = 0;

}  // namespace

Buffer make_marker(const TransactionMarker& marker, int64_t now_ms) {
  uint8_t key[4];
  store_be(key, kVersion);
  store_be(key + 2, static_cast<int16_t>(marker.type));
  uint8_t value[6];
  store_be(value, kVersion);
  store_be(value + 2, marker.coordinator_epoch);
  BatchOptions options;
  options.is_transactional = true;
  options.is_control = true;
  options.producer_id = marker.producer_id;
  options.producer_epoch = marker.producer_epoch;
  BatchBuilder builder(options);
  static_cast<void>(builder.add({.timestamp = now_ms, .key = Bytes(key), .value = Bytes(value)}));
  return std::move(*builder.build());  // one small, uncompressed record always fits
}

Result<TransactionMarker> parse_marker(const BatchView& batch) {
  if (!batch.is_control()) return fail(StatusCode::invalid, "not a control batch");
  if (batch.codec() != Codec::none) return fail(StatusCode::corrupt, "a compressed control batch");
  RecordIterator records(batch.records_section(), batch);
  RecordView record;
  if (!records.next(record) || !record.key)
    return fail(StatusCode::corrupt, "a control batch without a control record");

  ByteReader key(*record.key);
  const auto key_version = key.read_be<int16_t>();
  const auto type = key.read_be<int16_t>();
  if (key.failed() || key_version < 0) return fail(StatusCode::corrupt, "a damaged control record key");
  if (type != static_cast<int16_t>(MarkerType::abort) && type != static_cast<int16_t>(MarkerType::commit)) {
    return fail(StatusCode::unsupported, "a control record that is no transaction marker", type);
  }
  ByteReader value(record.value.value_or(Bytes{}));
  const auto value_version = value.read_be<int16_t>();
  const auto coordinator_epoch = value.read_be<int32_t>();
  if (value.failed() || value_version < 0) return fail(StatusCode::corrupt, "a damaged control record value");
  return TransactionMarker{.type = static_cast<MarkerType>(type),
                           .producer_id = batch.producer_id(),
                           .producer_epoch = batch.producer_epoch(),
                           .coordinator_epoch = coordinator_epoch};
}

}  // namespace sluice::records
