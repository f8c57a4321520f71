// SPDX-License-Identifier: Apache-2.0
// One record as every part of the SDK sees it: a view whose bytes someone else keeps alive (a page's lease, an event's
// buffer). Null and empty are different, headers keep order and duplicates, and no byte of key, value or header is
// interpreted. Plain values: any thread, as long as nobody writes to the bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "sluice/bytes.hpp"

namespace sluice {

/// Time that a record does not have.
inline constexpr int64_t kNoTimestamp = INT64_MIN;

struct Header {
  std::string_view name;       // UTF-8 by convention, not checked
  std::optional<Bytes> value;  // nullopt: null
};

/// The headers of one record: an array, or the bytes of a Kafka v2 record's headers section, which are then decoded
/// while being walked. Views.
class Headers {
 public:
  Headers() = default;
  explicit Headers(std::span<const Header> array) : array_(array), count_(static_cast<int32_t>(array.size())) {}
  /// `section`: `count` headers as in a v2 record (KIP-82), already validated; a damaged one ends the walk early.
  Headers(Bytes section, int32_t count) : section_(section), count_(count) {}

  int32_t count() const { return count_; }
  bool empty() const { return count_ == 0; }

  /// Calls `visit(const Header&)` for each, in order, until it returns false.
  template <class Visit>
  void each(Visit&& visit) const {
    if (section_.empty()) {
      for (const Header& header : array_) {
        if (!visit(header)) return;
      }
      return;
    }
    ByteReader reader(section_);
    for (int32_t i = 0; i < count_; ++i) {
      Header header;
      const int32_t name_size = reader.read_varint();
      if (reader.failed() || name_size < 0) return;
      header.name = as_text(reader.read_bytes(static_cast<size_t>(name_size)));
      const int32_t value_size = reader.read_varint();
      if (value_size >= 0) header.value = reader.read_bytes(static_cast<size_t>(value_size));
      if (reader.failed() || !visit(header)) return;
    }
  }

  /// What names and values, or the section, occupy.
  size_t bytes() const {
    size_t bytes = section_.size();
    for (const Header& header : array_) bytes += header.name.size() + (header.value ? header.value->size() : 0);
    return bytes;
  }

  /// The last header of that name, as Kafka's Headers.lastHeader; nullopt if there is none.
  std::optional<Header> last(std::string_view name) const {
    std::optional<Header> found;
    each([&](const Header& header) {
      if (header.name == name) found = header;
      return true;
    });
    return found;
  }

 private:
  std::span<const Header> array_;
  Bytes section_;
  int32_t count_ = 0;
};

struct Record {
  int64_t position = 0;                 // in its shard; >= 0, rises, may have gaps
  int64_t timestamp_ns = kNoTimestamp;  // since the epoch
  int32_t partition = 0;                // of the topic that the shard belongs to
  std::optional<Bytes> key;             // nullopt: null
  std::optional<Bytes> value;           // nullopt: null
  Headers headers;

  /// Of key, value and headers.
  size_t bytes() const { return (key ? key->size() : 0) + (value ? value->size() : 0) + headers.bytes(); }
};

}  // namespace sluice
