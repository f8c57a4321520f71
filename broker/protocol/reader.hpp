// SPDX-License-Identifier: Apache-2.0
// Reads the protocol's primitive types from a buffer that nobody vouches for. Every length is checked against the bytes
// that remain, and the memory that arrays would take against a budget, before any is taken. All functions return false
// on the first violation; the error then says what, at which byte, in which field. Generated code is the main user.
//
// Views handed out point into the buffer. One thread at a time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/status.hpp"
#include "base/uuid.hpp"
#include "errors/error_code.hpp"
#include "protocol/types.hpp"

namespace sluice::protocol {

/// What decoding may take in memory: the allowance, plus so many times the size of the encoded message. Honest messages
/// stay far below: the smallest useful array elements grow about fivefold when decoded.
inline constexpr size_t kDecodeAllowanceBytes = 1 << 20;
inline constexpr size_t kMaxDecodeGrowth = 16;
/// The most for a request, whatever its size: some 300,000 partitions. Answers are several times larger than what asks
/// for them.
inline constexpr size_t kMaxRequestDecodeBytes = 16 << 20;

enum class DecodeFault : uint8_t {
  kNone,
  kTruncated,       // a value or length reaches beyond the end
  kNegativeLength,  // a length below zero that does not mean null
  kNull,            // null where the version has no null
  kVarintTooLong,   // more than 5 (10) bytes, or bits beyond 32 (64)
  kTooMuchMemory,   // arrays would take more than the budget
  kTagOrder,        // tags not in rising order
  kTagLength,       // a tagged field shorter than its stated size
  kBadBool,         // a presence byte that is neither
  kTrailingBytes,   // bytes after the end of the message
};

struct DecodeError {
  DecodeFault fault = DecodeFault::kNone;
  /// Byte offset of the value at fault, from the start of the buffer.
  size_t offset_bytes = 0;
  /// "topics[3].partitions[0].records"; empty where the fault is in no field.
  std::string path;

  /// "topics[3].name: reaches beyond the end, at byte 57".
  std::string describe() const;
  /// StatusCode::invalid with `message`'s name and version before the description.
  Status to_status(std::string_view message, int16_t version) const;
};

class Reader {
 public:
  explicit Reader(std::span<const std::byte> buffer, size_t max_memory_bytes = SIZE_MAX)
      : begin_(buffer.data()),
        at_(buffer.data()),
        end_(buffer.data() + buffer.size()),
        memory_left_bytes_(std::min(kDecodeAllowanceBytes + kMaxDecodeGrowth * buffer.size(), max_memory_bytes)) {}

  size_t offset_bytes() const { return static_cast<size_t>(at_ - begin_); }
  size_t remaining_bytes() const { return static_cast<size_t>(end_ - at_); }
  const DecodeError& error() const { return error_; }

  bool read(bool& out) {
    uint8_t value = 0;
    if (!big_endian(value)) return false;
    out = value != 0;
    return true;
  }
  bool read(int8_t& out) { return big_endian(out); }
  bool read(int16_t& out) { return big_endian(out); }
  bool read(int32_t& out) { return big_endian(out); }
  bool read(int64_t& out) { return big_endian(out); }
  bool read(ErrorCode& out) {
    int16_t value = 0;
    if (!big_endian(value)) return false;
    out = static_cast<ErrorCode>(value);
    return true;
  }
  bool read(Uuid& out) {
    if (remaining_bytes() < out.bytes.size()) return fail(DecodeFault::kTruncated);
    std::memcpy(out.bytes.data(), at_, out.bytes.size());
    at_ += out.bytes.size();
    return true;
  }
  bool varuint(uint32_t& out);

  /// Text. `nullable`: whether this version of the field may be null.
  template <class Text>
  bool text(Text& out, bool flexible) {
    std::optional<std::string_view> view;
    if (!text_view(view, flexible, false)) return false;
    out = Text(*view);
    return true;
  }
  template <class Text>
  bool text(std::optional<Text>& out, bool flexible, bool nullable) {
    std::optional<std::string_view> view;
    if (!text_view(view, flexible, nullable)) return false;
    out.reset();
    if (view) out.emplace(*view);
    return true;
  }

  /// Opaque bytes, into Bytes (a view) or std::string (a copy).
  bool bytes(Bytes& out, bool flexible);
  bool bytes(std::string& out, bool flexible);
  bool bytes(std::optional<Bytes>& out, bool flexible, bool nullable);
  bool bytes(std::optional<std::string>& out, bool flexible, bool nullable);
  bool records(RecordsOut& out, bool flexible, bool nullable);

  /// The head of an array of elements of at least `wire_bytes` each, that will take `memory_bytes` each. `count` is -1
  /// for null. What passes is safe to allocate.
  bool array_count(int32_t& count, bool flexible, bool nullable, size_t wire_bytes, size_t memory_bytes);

  /// Arrays of structures (anything with read(Reader&, int16_t)), of integers and ids, and of text.
  template <class T>
  bool structs(std::vector<T>& out, int16_t version, bool flexible, size_t wire_bytes) {
    int32_t count = 0;
    return array_count(count, flexible, false, wire_bytes, sizeof(T)) && struct_elements(out, count, version);
  }
  template <class T>
  bool structs(std::optional<std::vector<T>>& out, int16_t version, bool flexible, bool nullable, size_t wire_bytes) {
    int32_t count = 0;
    out.reset();
    if (!array_count(count, flexible, nullable, wire_bytes, sizeof(T))) return false;
    return count < 0 || struct_elements(out.emplace(), count, version);
  }
  template <class T>
  bool values(std::vector<T>& out, bool flexible) {
    int32_t count = 0;
    return array_count(count, flexible, false, sizeof(T), sizeof(T)) && value_elements(out, count);
  }
  template <class T>
  bool values(std::optional<std::vector<T>>& out, bool flexible, bool nullable) {
    int32_t count = 0;
    out.reset();
    if (!array_count(count, flexible, nullable, sizeof(T), sizeof(T))) return false;
    return count < 0 || value_elements(out.emplace(), count);
  }
  template <class Text>
  bool texts(std::vector<Text>& out, bool flexible) {
    int32_t count = 0;
    return array_count(count, flexible, false, 1, sizeof(Text)) && text_elements(out, count, flexible);
  }
  template <class Text>
  bool texts(std::optional<std::vector<Text>>& out, bool flexible, bool nullable) {
    int32_t count = 0;
    out.reset();
    if (!array_count(count, flexible, nullable, 1, sizeof(Text))) return false;
    return count < 0 || text_elements(out.emplace(), count, flexible);
  }

  /// A structure that may be null: its presence byte, then itself.
  template <class T>
  bool nullable_struct(std::optional<T>& out, int16_t version) {
    int8_t present = 0;
    out.reset();
    if (!read(present)) return false;
    if (present == -1) return true;
    if (present != 1) return fail_before(DecodeFault::kBadBool, 1);
    out = T{};  // clang rejects emplace() for a structure nested in the one that holds the optional
    return out->read(*this, version);
  }

  /// One tagged field, between begin_tag and end_tag; until then the buffer ends where the field does. The same Tag
  /// serves for all fields of a section, so that it sees their order.
  struct Tag {
    int64_t number = -1;
    const std::byte* outer_end = nullptr;
  };
  bool begin_tag(Tag& tag);
  /// Refuses what the field did not use.
  bool end_tag(const Tag& tag);
  /// Skips what is left of a tagged field that nobody here knows.
  void skip_tag() { at_ = end_; }
  /// Skips a whole section of tagged fields.
  bool skip_tags();

  /// Refuses bytes after the message.
  bool at_end() { return at_ == end_ || fail(DecodeFault::kTrailingBytes); }

  /// On the way out of a failure: adds the name of the field that was being read. Always false.
  bool in(std::string_view field);

 private:
  template <class T>
  bool big_endian(T& out) {
    using Unsigned = std::make_unsigned_t<T>;
    if (remaining_bytes() < sizeof(T)) return fail(DecodeFault::kTruncated);
    Unsigned value = 0;
    for (size_t i = 0; i < sizeof(T); ++i) {
      value = static_cast<Unsigned>((uint64_t{value} << 8) | std::to_integer<uint8_t>(at_[i]));
    }
    out = static_cast<T>(value);
    at_ += sizeof(T);
    return true;
  }
  template <class T>
  bool struct_elements(std::vector<T>& out, int32_t count, int16_t version) {
    out.clear();
    out.resize(static_cast<size_t>(count));
    for (int32_t i = 0; i < count; ++i) {
      if (!out[static_cast<size_t>(i)].read(*this, version)) return in_element(i);
    }
    return true;
  }
  template <class T>
  bool value_elements(std::vector<T>& out, int32_t count) {
    out.resize(static_cast<size_t>(count));
    for (T& value : out) {
      if (!read(value)) return false;
    }
    return true;
  }
  template <class Text>
  bool text_elements(std::vector<Text>& out, int32_t count, bool flexible) {
    out.resize(static_cast<size_t>(count));
    for (int32_t i = 0; i < count; ++i) {
      if (!text(out[static_cast<size_t>(i)], flexible)) return in_element(i);
    }
    return true;
  }

  bool text_view(std::optional<std::string_view>& out, bool flexible, bool nullable);
  bool bytes_view(std::optional<Bytes>& out, bool flexible, bool nullable);
  /// Takes `length` bytes, which is -1 for null.
  bool take(int64_t length, bool nullable, std::optional<Bytes>& out);
  bool in_element(int32_t index);
  bool fail(DecodeFault fault) { return fail_before(fault, 0); }
  /// The fault began `back_bytes` before the current position.
  bool fail_before(DecodeFault fault, size_t back_bytes);

  const std::byte* begin_;
  const std::byte* at_;
  const std::byte* end_;
  size_t memory_left_bytes_;
  DecodeError error_;
};

}  // namespace sluice::protocol
