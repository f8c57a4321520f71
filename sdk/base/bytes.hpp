// SPDX-License-Identifier: Apache-2.0
// Bytes: views, an owned buffer that grows without clearing, big-endian integers, Protocol-Buffers style
// variable-length integers, and a reader and a writer over them. Plain values: one thread at a time.
#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

namespace sluice {

/// A view of bytes that someone else owns.
using Bytes = std::span<const uint8_t>;
using MutableBytes = std::span<uint8_t>;

inline Bytes as_bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}
inline std::string_view as_text(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// The big-endian integer at `at`, of any alignment; the caller has checked that it is there.
template <std::integral T>
T load_be(const uint8_t* at) {
  std::make_unsigned_t<T> value;
  std::memcpy(&value, at, sizeof value);
  if constexpr (std::endian::native == std::endian::little) {
    if constexpr (sizeof value == 2) value = __builtin_bswap16(value);
    if constexpr (sizeof value == 4) value = __builtin_bswap32(value);
    if constexpr (sizeof value == 8) value = __builtin_bswap64(value);
  }
  return static_cast<T>(value);
}

template <std::integral T>
void store_be(uint8_t* at, T number) {
  auto value = static_cast<std::make_unsigned_t<T>>(number);
  if constexpr (std::endian::native == std::endian::little) {
    if constexpr (sizeof value == 2) value = __builtin_bswap16(value);
    if constexpr (sizeof value == 4) value = __builtin_bswap32(value);
    if constexpr (sizeof value == 8) value = __builtin_bswap64(value);
  }
  std::memcpy(at, &value, sizeof value);
}

/// Signed numbers as unsigned ones that are small when the number is near zero.
constexpr uint64_t zigzag_encode(int64_t number) {
  return (static_cast<uint64_t>(number) << 1) ^ static_cast<uint64_t>(number >> 63);
}
constexpr int64_t zigzag_decode(uint64_t number) {
  return static_cast<int64_t>((number >> 1) ^ (~(number & 1) + 1));
}

constexpr size_t kMaxVarintBytes = 5;
constexpr size_t kMaxVarlongBytes = 10;

/// How many bytes write_varint() and write_varlong() use for `number`: 1 to 10.
constexpr size_t signed_varint_size(int64_t number) {
  return (static_cast<size_t>(std::bit_width(zigzag_encode(number) | 1)) + 6) / 7;
}

/// Owned bytes. Growing leaves the new ones uninitialised and, being realloc, often in place. Moves, never copies by
/// accident.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(size_t size) { resize(size); }
  Buffer(Buffer&& other) noexcept
      : data_(std::move(other.data_)),
        size_(std::exchange(other.size_, 0)),
        capacity_(std::exchange(other.capacity_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    data_ = std::move(other.data_);
    size_ = std::exchange(other.size_, 0);
    capacity_ = std::exchange(other.capacity_, 0);
    return *this;
  }

  static Buffer copy_of(Bytes bytes) {
    Buffer buffer;
    buffer.append(bytes);
    return buffer;
  }

  uint8_t* data() { return data_.get(); }
  const uint8_t* data() const { return data_.get(); }
  size_t size() const { return size_; }
  size_t capacity() const { return capacity_; }
  bool empty() const { return size_ == 0; }
  Bytes view() const { return {data(), size_}; }
  MutableBytes mutable_view() { return {data(), size_}; }
  operator Bytes() const { return view(); }  // NOLINT(google-explicit-constructor): a buffer is its bytes

  /// Exactly `capacity` bytes at least; throws std::bad_alloc.
  void reserve(size_t capacity) {
    if (capacity <= capacity_) return;
    auto* grown = static_cast<uint8_t*>(std::realloc(data_.get(), capacity));
    if (grown == nullptr) throw std::bad_alloc();
    static_cast<void>(data_.release());
    data_.reset(grown);
    capacity_ = capacity;
  }
  /// New bytes are uninitialised. Capacity doubles, so that appending is linear in all.
  void resize(size_t size) {
    if (size > capacity_) reserve(size > 2 * capacity_ ? size : 2 * capacity_);
    size_ = size;
  }
  void clear() { size_ = 0; }
  void append(Bytes bytes) {
    if (bytes.empty()) return;
    const size_t at = size_;
    resize(at + bytes.size());
    std::memcpy(data() + at, bytes.data(), bytes.size());
  }

 private:
  struct Free {
    void operator()(uint8_t* memory) const { std::free(memory); }
  };
  std::unique_ptr<uint8_t[], Free> data_;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

/// Reads from the front of bytes that must outlive it. The first read beyond the end or of a malformed number fails,
/// returns zero, and so does every later one: check failed() once at the end.
class ByteReader {
 public:
  explicit ByteReader(Bytes bytes) : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  bool failed() const { return failed_; }
  size_t left() const { return static_cast<size_t>(end_ - at_); }
  Bytes rest() const { return {at_, left()}; }

  template <std::integral T>
  T read_be() {
    if (left() < sizeof(T)) return fail(), T{0};
    const T value = load_be<T>(at_);
    at_ += sizeof(T);
    return value;
  }

  Bytes read_bytes(size_t size) {
    if (left() < size) return fail(), Bytes{};
    const Bytes bytes(at_, size);
    at_ += size;
    return bytes;
  }

  /// A zigzag number of at most 32 (varint) or 64 bits (varlong), not necessarily in its shortest form.
  int32_t read_varint() { return static_cast<int32_t>(zigzag_decode(read_unsigned<kMaxVarintBytes, 32>())); }
  int64_t read_varlong() { return zigzag_decode(read_unsigned<kMaxVarlongBytes, 64>()); }

 private:
  void fail() {
    failed_ = true;
    at_ = end_;
  }

  template <size_t kMaxBytes, int kBits>
  uint64_t read_unsigned() {
    if (left() >= 2) [[likely]] {  // of one byte or two, as most are: no loop
      const uint64_t low = at_[0], high = at_[1];
      if (low < 0x80) return at_ += 1, low;
      if (high < 0x80) return at_ += 2, (low & 0x7f) | high << 7;
    }
    return read_any<kMaxBytes, kBits>();
  }
  template <size_t kMaxBytes, int kBits>
  __attribute__((noinline)) uint64_t read_any() {
    uint64_t value = 0;
    for (size_t i = 0; i < kMaxBytes && at_ != end_; ++i) {
      const uint8_t byte = *at_++;
      const int used = static_cast<int>(7 * i);
      if (kBits - used < 7 && (byte & 0x7f) >> (kBits - used) != 0) break;  // more bits than the number has
      value |= static_cast<uint64_t>(byte & 0x7f) << used;
      if (byte < 0x80) return value;
    }
    fail();
    return 0;
  }

  const uint8_t* at_;
  const uint8_t* end_;
  bool failed_ = false;
};

/// Appends to a buffer that must outlive it.
class ByteWriter {
 public:
  explicit ByteWriter(Buffer& buffer) : buffer_(buffer) {}

  template <std::integral T>
  void write_be(T value) {
    const size_t at = buffer_.size();
    buffer_.resize(at + sizeof value);
    store_be(buffer_.data() + at, value);
  }
  void write_bytes(Bytes bytes) { buffer_.append(bytes); }
  void write_varint(int32_t number) { write_varlong(number); }
  void write_varlong(int64_t number) {
    uint8_t encoded[kMaxVarlongBytes];
    size_t size = 0;
    uint64_t value = zigzag_encode(number);
    for (; value >= 0x80; value >>= 7) encoded[size++] = static_cast<uint8_t>(value | 0x80);
    encoded[size++] = static_cast<uint8_t>(value);
    buffer_.append({encoded, size});
  }

 private:
  Buffer& buffer_;
};

}  // namespace sluice
