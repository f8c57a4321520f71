// SPDX-License-Identifier: Apache-2.0
// The Kafka record batch, magic 2 (KIP-98): a header of 61 bytes, all numbers big-endian, then the records, which are
// compressed together or not at all. This header reads and stamps batches where they lie; nothing here allocates, and
// all of it may be called on any thread as long as nobody writes to the bytes meanwhile.
#pragma once

#include <cstdint>
#include <string_view>
#include <tl/expected.hpp>

#include "base/bytes.hpp"

namespace sluice::records {

/// What is wrong with a batch. The broker maps these to protocol errors, once.
enum class BatchError : uint8_t {
  too_short,               // fewer bytes than a header, or than the batch says it has
  trailing_bytes,          // bytes after the batch, where only one batch may be
  bad_length,              // the length field cannot be: negative, or less than a header
  bad_magic,               // not magic 2
  bad_crc,                 // the bytes were damaged
  too_large,               // more bytes than the limit, as sent
  bad_base_offset,         // a client's batch does not start at offset 0, or an offset is out of the range of an int64
  bad_offset_delta,        // negative, or not that of the record count
  bad_count,               // negative, none from a client, or more records than the bytes can hold
  bad_codec,               // a codec that does not exist
  codec_not_allowed,       // a codec that this request may not use (zstd before Produce v7: KIP-110)
  reserved_attributes,     // attribute bits that have no meaning, or none from a client
  bad_timestamp_type,      // a client claims the time of appending
  bad_timestamp,           // negative, and not the -1 of "none"
  timestamp_out_of_range,  // further from now than the topic allows
  control_batch_from_client,  // only brokers write these
  bad_producer,               // producer id, epoch and sequence do not go together
  bad_record,                 // the records do not parse, or are not as many as the header says
};

/// "bad_crc".
std::string_view batch_error_name(BatchError error);

template <class T>
using BatchResult = tl::expected<T, BatchError>;

enum class Codec : uint8_t { none = 0, gzip = 1, snappy = 2, lz4 = 3, zstd = 4 };
constexpr uint8_t kMaxCodec = 4;

/// Which time a batch's timestamps are: the producer's, or the broker's, which then is its max_timestamp for each
/// record.
enum class TimestampType : uint8_t { create_time = 0, log_append_time = 1 };

/// Where the fields lie, in bytes from the start of a batch.
namespace layout {
constexpr size_t kBaseOffset = 0;
constexpr size_t kBatchLength = 8;  // of what follows this field
constexpr size_t kLeaderEpoch = 12;
constexpr size_t kMagic = 16;
constexpr size_t kCrc = 17;  // covers all bytes from kAttributes on
constexpr size_t kAttributes = 21;
constexpr size_t kLastOffsetDelta = 23;
constexpr size_t kBaseTimestamp = 27;
constexpr size_t kMaxTimestamp = 35;
constexpr size_t kProducerId = 43;
constexpr size_t kProducerEpoch = 51;
constexpr size_t kBaseSequence = 53;
constexpr size_t kRecordsCount = 57;
}  // namespace layout

constexpr size_t kLengthPrefixBytes = 12;
constexpr size_t kBatchHeaderBytes = 61;
constexpr int8_t kMagic2 = 2;
/// A record's smallest form: length, attributes, two deltas, null key, null value, no headers.
constexpr size_t kMinRecordBytes = 7;
constexpr int64_t kNoTimestamp = -1;
constexpr int64_t kNoProducerId = -1;
constexpr int16_t kNoProducerEpoch = -1;
constexpr int32_t kNoSequence = -1;

constexpr uint16_t kCodecMask = 0x07;
constexpr uint16_t kLogAppendTimeBit = 0x08;
constexpr uint16_t kTransactionalBit = 0x10;
constexpr uint16_t kControlBit = 0x20;
constexpr uint16_t kDeleteHorizonBit = 0x40;  // base_timestamp is when compaction may drop a tombstone (KIP-534)
constexpr uint16_t kReservedAttributes = 0xff80;

/// One whole batch in memory that must outlive the view. Fields are read when asked for.
class BatchView {
 public:
  /// The batch at the front of `bytes`; what follows it is left alone. Checks length and magic, so that every accessor
  /// is safe, and nothing else. A batch of an older format is bad_magic.
  static BatchResult<BatchView> parse(Bytes bytes);

  Bytes bytes() const { return bytes_; }
  size_t size() const { return bytes_.size(); }

  int64_t base_offset() const { return field<int64_t>(layout::kBaseOffset); }
  int32_t leader_epoch() const { return field<int32_t>(layout::kLeaderEpoch); }
  uint32_t crc() const { return field<uint32_t>(layout::kCrc); }
  uint16_t attributes() const { return field<uint16_t>(layout::kAttributes); }
  int32_t last_offset_delta() const { return field<int32_t>(layout::kLastOffsetDelta); }
  int64_t base_timestamp() const { return field<int64_t>(layout::kBaseTimestamp); }
  int64_t max_timestamp() const { return field<int64_t>(layout::kMaxTimestamp); }
  int64_t producer_id() const { return field<int64_t>(layout::kProducerId); }
  int16_t producer_epoch() const { return field<int16_t>(layout::kProducerEpoch); }
  int32_t base_sequence() const { return field<int32_t>(layout::kBaseSequence); }
  int32_t records_count() const { return field<int32_t>(layout::kRecordsCount); }

  /// Saturates on a batch that was never validated.
  int64_t last_offset() const;
  /// The offset after the batch.
  int64_t next_offset() const;
  /// Values above kMaxCodec are possible in a batch that was never validated.
  Codec codec() const { return static_cast<Codec>(attributes() & kCodecMask); }
  TimestampType timestamp_type() const { return static_cast<TimestampType>((attributes() & kLogAppendTimeBit) != 0); }
  bool is_transactional() const { return (attributes() & kTransactionalBit) != 0; }
  bool is_control() const { return (attributes() & kControlBit) != 0; }
  bool has_delete_horizon() const { return (attributes() & kDeleteHorizonBit) != 0; }
  bool has_producer_id() const { return producer_id() != kNoProducerId; }
  /// What the checksum covers.
  Bytes checked_bytes() const { return bytes_.subspan(layout::kAttributes); }
  /// The records as they lie in the batch: compressed if codec() says so.
  Bytes records_section() const { return bytes_.subspan(kBatchHeaderBytes); }

  /// Reads the whole batch: about 30 GB/s.
  uint32_t compute_crc() const;

 private:
  explicit BatchView(Bytes bytes) : bytes_(bytes) {}

  template <class T>
  T field(size_t at) const {
    return load_be<T>(bytes_.data() + at);
  }

  Bytes bytes_;
};

/// All fields of a batch's header by value.
struct BatchHeader {
  int64_t base_offset = 0;
  int32_t batch_length = 0;
  int32_t leader_epoch = 0;
  int8_t magic = 0;
  uint32_t crc = 0;
  uint16_t attributes = 0;
  int32_t last_offset_delta = 0;
  int64_t base_timestamp = 0;
  int64_t max_timestamp = 0;
  int64_t producer_id = 0;
  int16_t producer_epoch = 0;
  int32_t base_sequence = 0;
  int32_t records_count = 0;

  /// Of the whole batch, header included.
  size_t size() const { return kLengthPrefixBytes + static_cast<size_t>(batch_length); }
};

/// The header at the front of `bytes`, which need not hold the records: to walk a file. Checks what BatchView::parse
/// checks but that the whole batch is there.
BatchResult<BatchHeader> parse_batch_header(Bytes bytes);

/// The size of the batch at the front of `bytes`, from its first kLengthPrefixBytes alone.
BatchResult<size_t> batch_size(Bytes bytes);

/// Takes the batch at the front of `bytes` off them. For several batches one after the other, as in a storage unit.
BatchResult<BatchView> take_batch(Bytes& bytes);

/// `bytes` as exactly one batch, as Produce wants it since v3.
BatchResult<BatchView> single_batch(Bytes bytes);

/// Stamping, in place, of one whole batch that has been validated. Base offset and leader epoch lie outside of the
/// checksum.
void stamp_base_offset(MutableBytes batch, int64_t base_offset);
void stamp_leader_epoch(MutableBytes batch, int32_t leader_epoch);
/// Marks the batch with the time of appending, in milliseconds since the epoch, which holds for each of its records,
/// and corrects the checksum without reading the records.
void stamp_log_append_time(MutableBytes batch, int64_t now_ms);

}  // namespace sluice::records
