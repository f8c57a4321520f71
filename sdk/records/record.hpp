// SPDX-License-Identifier: Apache-2.0
// The records of a batch (KIP-82, KIP-98), read one after the other where they lie: no allocation, every bound checked.
// A null key or value is not an empty one. Values; one thread at a time per iterator.
#pragma once

#include <cstdint>
#include <optional>

#include "base/bytes.hpp"
#include "records/batch.hpp"

namespace sluice::records {

/// Absent: null.
using OptionalBytes = std::optional<Bytes>;

struct HeaderView {
  Bytes key;  // UTF-8 by convention; not checked
  OptionalBytes value = std::nullopt;
};

/// A record's headers in order, duplicates included. Ends early, with damaged() true, only over bytes that no
/// RecordIterator has passed.
class HeaderIterator {
 public:
  HeaderIterator(Bytes headers, int32_t count) : reader_(headers), left_(count) {}

  /// False at the end.
  bool next(HeaderView& header);
  bool damaged() const { return damaged_; }
  Bytes rest() const { return reader_.rest(); }

 private:
  ByteReader reader_;
  int32_t left_;
  bool damaged_ = false;
};

/// One record; lives as long as the bytes it was read from.
struct RecordView {
  int64_t timestamp_delta = 0;  // to the batch's base timestamp, in milliseconds
  int32_t offset_delta = 0;     // to the batch's base offset
  OptionalBytes key = std::nullopt;
  OptionalBytes value = std::nullopt;
  int32_t headers_count = 0;
  Bytes headers_section;

  HeaderIterator headers() const { return {headers_section, headers_count}; }
  int64_t offset(const BatchView& batch) const { return batch.base_offset() + offset_delta; }
  /// The batch's max_timestamp where that is the time of appending. Wraps on a record that was never checked.
  int64_t timestamp(const BatchView& batch) const;
};

/// The record without its length at the front of `bytes`, which it must fill.
BatchResult<RecordView> parse_record(Bytes bytes);

class RecordIterator {
 public:
  /// `section` is uncompressed; `count` and `last_offset_delta` are what the batch's header says.
  RecordIterator(Bytes section, int32_t count, int32_t last_offset_delta = INT32_MAX)
      : reader_(section), left_(count), last_offset_delta_(last_offset_delta) {}
  /// `section`: the records of `batch`, uncompressed.
  RecordIterator(Bytes section, const BatchView& batch)
      : RecordIterator(section, batch.records_count(), batch.last_offset_delta()) {}

  /// False at the end and at the first damage.
  bool next(RecordView& record);
  /// After next() was false: the records did not parse, offset deltas did not rise or went beyond the last, or there
  /// were fewer or more bytes than `count` records need.
  bool damaged() const { return damaged_; }

 private:
  ByteReader reader_;
  int32_t left_;
  const int32_t last_offset_delta_;
  int32_t previous_delta_ = -1;
  bool damaged_ = false;
};

}  // namespace sluice::records
