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

// Whether `bytes` are a record, and no more; else `record` is in no known state.
__attribute__((always_inline)) inline bool parse(Bytes bytes, RecordView& record) {
  ByteReader reader(bytes);
  bool damaged = false;
  reader.read_bytes(1);  // attributes: unused so far, and ignored as Kafka does
  record.timestamp_delta = reader.read_varlong();
  record.offset_delta = reader.read_varint();
  record.key = read_optional(reader, damaged);
  record.value = read_optional(reader, damaged);
  record.headers_count = reader.read_varint();
  record.headers_section = reader.rest();
  if (damaged || reader.failed() || record.headers_count < 0) return false;
  if (record.headers_count == 0) return record.headers_section.empty();
  HeaderIterator headers = record.headers();
  HeaderView header;
  while (headers.next(header)) {
  }
  return !headers.damaged() && headers.rest().empty();
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
  RecordView record;
  if (!parse(bytes, record)) return tl::unexpected(BatchError::bad_record);
  return record;
}

bool RecordIterator::next(RecordView& record) {
  if (damaged_) return false;
  if (left_ <= 0) {
    damaged_ = left_ < 0 || reader_.left() != 0;
    return false;
  }
  const OptionalBytes bytes = read_optional(reader_, damaged_);
  __builtin_prefetch(reader_.rest().data());  // the next one
  if (damaged_ || reader_.failed() || !bytes || !parse(*bytes, record) || record.offset_delta <= previous_delta_ ||
      record.offset_delta > last_offset_delta_) {
    damaged_ = true;
    return false;
  }
  previous_delta_ = record.offset_delta;
  --left_;
  return true;
}

}  // namespace sluice::records
