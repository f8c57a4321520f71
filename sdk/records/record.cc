// SPDX-License-Identifier: Apache-2.0
#include "records/record.hpp"

namespace sluice::records {
namespace {

// A length of -1 is null; anything below is damage.
OptionalBytes read_optional(ByteReader& reader, bool& damaged) {
  const int32_t size = reader.read_varint();
  if (size < 0) {
    damaged |= size != -1;
    return std::nullopt;
  }
  return reader.read_bytes(static_cast<size_t>(size));
}

}  // namespace

bool HeaderIterator::next(HeaderView& header) {
  if (left_ <= 0 || damaged_) return false;
  const OptionalBytes key = read_optional(reader_, damaged_);
  header.value = read_optional(reader_, damaged_);
  damaged_ |= !key.has_value() || reader_.failed();
  if (damaged_) return false;
  header.key = *key;
  --left_;
  return true;
}

int64_t RecordView::timestamp(const BatchView& batch) const {
  if (batch.timestamp_type() == TimestampType::log_append_time) return batch.max_timestamp();
  return static_cast<int64_t>(static_cast<uint64_t>(batch.base_timestamp()) + static_cast<uint64_t>(timestamp_delta));
}

BatchResult<RecordView> parse_record(Bytes bytes) {
  ByteReader reader(bytes);
  RecordView record;
  bool damaged = false;
  reader.read_be<int8_t>();  // attributes: unused so far, and ignored as Kafka does
  record.timestamp_delta = reader.read_varlong();
  record.offset_delta = reader.read_varint();
  record.key = read_optional(reader, damaged);
  record.value = read_optional(reader, damaged);
  record.headers_count = reader.read_varint();
  if (damaged || reader.failed() || record.headers_count < 0) return tl::unexpected(BatchError::bad_record);
  record.headers_section = reader.rest();
  HeaderIterator headers = record.headers();
  HeaderView header;
  while (headers.next(header)) {
  }
  if (headers.damaged() || !headers.rest().empty()) return tl::unexpected(BatchError::bad_record);
  return record;
}

bool RecordIterator::next(RecordView& record) {
  if (damaged_) return false;
  if (left_ <= 0) {
    damaged_ = left_ < 0 || reader_.left() != 0;
    return false;
  }
  const int32_t size = reader_.read_varint();
  const Bytes bytes = size < 0 ? Bytes{} : reader_.read_bytes(static_cast<size_t>(size));
  if (reader_.failed() || size < 0) {
    damaged_ = true;
    return false;
  }
  const BatchResult<RecordView> parsed = parse_record(bytes);
  if (!parsed || parsed->offset_delta <= previous_delta_ || parsed->offset_delta > last_offset_delta_) {
    damaged_ = true;
    return false;
  }
  record = *parsed;
  previous_delta_ = record.offset_delta;
  --left_;
  return true;
}

}  // namespace sluice::records
