// SPDX-License-Identifier: Apache-2.0
// Writes the protocol's primitive types into one growing buffer, and remembers where lent record batches go between its
// bytes, so that a fetch response leaves by gathered writes without its records ever being copied. What cannot be
// encoded (a text of 40,000 bytes in a classic version) is remembered as the first failure, and finish() returns it.
// Generated code is the main user. One thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.hpp"
#include "base/uuid.hpp"
#include "errors/error_code.hpp"
#include "protocol/types.hpp"

namespace sluice::protocol {

/// Lent slices shorter than this are copied: an entry in a gathered write costs more.
inline constexpr size_t kCopyBelowBytes = 1024;

/// What goes out: memory, or, where fd >= 0, `file_length` bytes of an open file from `file_position` (the span is
/// empty then).
struct Segment : std::span<const std::byte> {
  Segment(std::span<const std::byte> memory) : std::span<const std::byte>(memory) {}
  Segment(const std::byte* data, size_t size_bytes) : std::span<const std::byte>(data, size_bytes) {}
  Segment(int file, uint64_t position, uint64_t length) : fd(file), file_position(position), file_length(length) {}

  int fd = -1;
  uint64_t file_position = 0;
  uint64_t file_length = 0;
};

/// How often an error code occurs in a message.
struct ErrorCount {
  ErrorCode code = ErrorCode::kNone;
  uint32_t count = 0;
};

/// An encoded message: spans to be written one after the other, with all that keeps them valid. Moves, does not copy.
class Output {
 public:
  Output() = default;
  Output(Output&&) = default;
  Output& operator=(Output&&) = default;
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  /// Valid as long as this Output, also after it was moved.
  std::span<const Segment> segments() const { return segments_; }
  size_t size_bytes() const { return size_bytes_; }
  /// One contiguous copy of the memory segments, for tests and small messages.
  std::vector<std::byte> to_vector() const;
  /// The error codes in the message other than NONE, in order of their first occurrence.
  std::span<const ErrorCount> errors() const { return errors_; }

 private:
  friend class Writer;
  std::unique_ptr<std::byte[]> owned_;
  std::vector<Segment> segments_;
  std::vector<std::shared_ptr<const void>> keep_alive_;
  std::vector<ErrorCount> errors_;
  size_t size_bytes_ = 0;
};

class Writer {
 public:
  explicit Writer(size_t capacity_bytes = 256);

  void write(bool value) { big_endian(static_cast<uint8_t>(value)); }
  void write(int8_t value) { big_endian(static_cast<uint8_t>(value)); }
  void write(int16_t value) { big_endian(static_cast<uint16_t>(value)); }
  void write(int32_t value) { big_endian(static_cast<uint32_t>(value)); }
  void write(int64_t value) { big_endian(static_cast<uint64_t>(value)); }
  void write(ErrorCode value) {
    if (value != ErrorCode::kNone) note_error(value);
    big_endian(static_cast<uint16_t>(value));
  }
  void write(const Uuid& value) { append(value.bytes.data(), value.bytes.size()); }
  void varuint(uint32_t value);

  void text(std::string_view value, bool flexible);
  /// Null where the version has no null is written as the empty text.
  template <class Text>
  void text(const std::optional<Text>& value, bool flexible, bool nullable) {
    if (value || !nullable) {
      text(value ? std::string_view(*value) : std::string_view(), flexible);
    } else {
      null_text(flexible);
    }
  }

  void bytes(Bytes value, bool flexible);
  void bytes(const std::string& value, bool flexible) { bytes(Bytes(std::string_view(value)), flexible); }
  template <class B>
  void bytes(const std::optional<B>& value, bool flexible, bool nullable) {
    if (value || !nullable) {
      bytes(value ? Bytes(*value) : Bytes(), flexible);
    } else {
      length(-1, flexible);
    }
  }
  void records(const RecordsOut& value, bool flexible, bool nullable);

  /// Arrays of structures (anything with write(Writer&, int16_t)), of integers and ids, and of text; null where the
  /// version has no null is written as no elements.
  template <class T>
  void structs(const std::vector<T>& values, int16_t version, bool flexible) {
    count(values.size(), flexible);
    for (const T& value : values) value.write(*this, version);
  }
  template <class T>
  void structs(const std::optional<std::vector<T>>& values, int16_t version, bool flexible, bool nullable) {
    if (values) return structs(*values, version, flexible);
    length(nullable ? -1 : 0, flexible);
  }
  template <class T>
  void values(const std::vector<T>& list, bool flexible) {
    count(list.size(), flexible);
    for (const T& value : list) write(value);
  }
  template <class T>
  void values(const std::optional<std::vector<T>>& list, bool flexible, bool nullable) {
    if (list) return values(*list, flexible);
    length(nullable ? -1 : 0, flexible);
  }
  template <class Text>
  void texts(const std::vector<Text>& list, bool flexible) {
    count(list.size(), flexible);
    for (const Text& value : list) text(std::string_view(value), flexible);
  }
  template <class Text>
  void texts(const std::optional<std::vector<Text>>& list, bool flexible, bool nullable) {
    if (list) return texts(*list, flexible);
    length(nullable ? -1 : 0, flexible);
  }
  template <class T>
  void nullable_struct(const std::optional<T>& value, int16_t version) {
    write(static_cast<int8_t>(value ? 1 : -1));
    if (value) value->write(*this, version);
  }

  /// A tagged field is what is written between begin_tag and end_tag (which gets begin_tag's result). No lent records
  /// within.
  size_t begin_tag(uint32_t number);
  void end_tag(size_t content_start);

  /// Remembers the first failure; what is written after it does not matter.
  void fail(std::string text);
  /// The first failure, if any.
  const Status& status() const { return status_; }

  /// The encoded bytes, or the first failure. `frame`: preceded by their length in four bytes, as on a connection.
  Result<Output> finish(bool frame) &&;

 private:
  struct Lent {
    size_t position;  // in the own bytes, before which it goes
    Segment slice;
  };

  template <class T>
  void big_endian(T value) {
    std::byte encoded[sizeof(T)];
    for (size_t i = 0; i < sizeof(T); ++i) encoded[i] = static_cast<std::byte>(value >> (8 * (sizeof(T) - 1 - i)));
    append(encoded, sizeof(T));
  }
  void append(const void* data, size_t size_bytes) {
    if (size_bytes > capacity_bytes_ - used_bytes_) grow(size_bytes);
    if (size_bytes != 0) std::memcpy(buffer_.get() + used_bytes_, data, size_bytes);
    used_bytes_ += size_bytes;
  }
  void grow(size_t need_bytes);
  void lend(const Segment& segment, size_t size_bytes);
  void note_error(ErrorCode code);
  void null_text(bool flexible);
  /// A length or count as this version writes it; -1 is null.
  void length(int64_t value, bool flexible);
  void count(size_t elements, bool flexible);

  std::unique_ptr<std::byte[]> buffer_;
  size_t capacity_bytes_;
  size_t used_bytes_;
  std::vector<Lent> lent_;
  std::vector<std::shared_ptr<const void>> keep_alive_;
  size_t lent_bytes_ = 0;
  std::vector<ErrorCount> errors_;
  Status status_;
};

}  // namespace sluice::protocol
