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

// Reads a record as ByteReader would, but that numbers of one byte or two, which most are, cost no loop.
class FieldReader {
 public:
  explicit FieldReader(Bytes bytes) : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  bool failed() const { return failed_; }
  Bytes rest() const { return {at_, static_cast<size_t>(end_ - at_)}; }

  Bytes bytes(size_t size) {
    if (rest().size() < size) {
      failed_ = true;
      size = 0;
    }
    const Bytes taken(at_, size);
    at_ += size;
    return taken;
  }
  int32_t varint() {
    return static_cast<int32_t>(number([](ByteReader& reader) { return reader.read_varint(); }));
  }
  int64_t varlong() {
    return number([](ByteReader& reader) { return reader.read_varlong(); });
  }
  OptionalBytes optional() {
    const int32_t size = varint();
    if (size >= 0) return bytes(static_cast<size_t>(size));
    failed_ |= size != -1;
    return std::nullopt;
  }

 private:
  int64_t number(auto&& read_any) {
    if (end_ - at_ >= 2) [[likely]] {
      const uint64_t low = at_[0], high = at_[1];
      if (low < 0x80) return at_ += 1, zigzag_decode(low);
      if (high < 0x80) return at_ += 2, zigzag_decode((low & 0x7f) | high << 7);
    }
    return long_number(read_any);
  }
  __attribute__((noinline)) int64_t long_number(auto& read_any) {
    ByteReader reader(rest());
    const int64_t value = read_any(reader);
    failed_ |= reader.failed();
    at_ = reader.rest().data();
    return value;
  }

  const uint8_t* at_;
  const uint8_t* end_;
  bool failed_ = false;
};

// Whether `bytes` are a record, and no more; else `record` is in no known state.
__attribute__((always_inline)) inline bool parse(Bytes bytes, RecordView& record) {
  FieldReader reader(bytes);
  reader.bytes(1);  // attributes: unused so far, and ignored as Kafka does
  record.timestamp_delta = reader.varlong();
  record.offset_delta = reader.varint();
  record.key = reader.optional();
  record.value = reader.optional();
  record.headers_count = reader.varint();
  record.headers_section = reader.rest();
  if (reader.failed() || record.headers_count < 0) return false;
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
  FieldReader reader(reader_.rest());
  const OptionalBytes bytes = reader.optional();
  __builtin_prefetch(reader.rest().data());  // the next one
  if (reader.failed() || !bytes || !parse(*bytes, record) || record.offset_delta <= previous_delta_ ||
      record.offset_delta > last_offset_delta_) {
    damaged_ = true;
    return false;
  }
  reader_ = ByteReader(reader.rest());
  previous_delta_ = record.offset_delta;
  --left_;
  return true;
}

}  // namespace sluice::records
