// SPDX-License-Identifier: Apache-2.0
#include "protocol/writer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace sluice::protocol {
namespace {

// Room at the start of the buffer, so that a frame's length can be put before the message without moving it.
constexpr size_t kLengthBytes = 4;
constexpr size_t kMaxMessageBytes = std::numeric_limits<int32_t>::max();

/// Encodes into `out`, which has room for five bytes; returns how many it took.
size_t encode_varuint(uint32_t value, std::byte* out) {
  size_t size = 0;
  while (value >= 0x80) {
    out[size++] = static_cast<std::byte>(value | 0x80);
    value >>= 7;
  }
  out[size++] = static_cast<std::byte>(value);
  return size;
}

}  // namespace

std::vector<std::byte> Output::to_vector() const {
  std::vector<std::byte> bytes;
  bytes.reserve(size_bytes_);
  for (const auto& segment : segments_) bytes.insert(bytes.end(), segment.begin(), segment.end());
  return bytes;
}

Writer::Writer(size_t capacity_bytes)
    : buffer_(new std::byte[capacity_bytes + kLengthBytes]),
      capacity_bytes_(capacity_bytes + kLengthBytes),
      used_bytes_(kLengthBytes) {}

void Writer::grow(size_t need_bytes) {
  const size_t capacity = std::max(used_bytes_ + need_bytes, 2 * capacity_bytes_);
  std::unique_ptr<std::byte[]> larger(new std::byte[capacity]);
  std::memcpy(larger.get(), buffer_.get(), used_bytes_);
  buffer_ = std::move(larger);
  capacity_bytes_ = capacity;
}

void Writer::fail(std::string text) {
  if (status_.ok()) status_ = Status(StatusCode::too_large, std::move(text));
}

void Writer::varuint(uint32_t value) {
  std::byte encoded[5];
  append(encoded, encode_varuint(value, encoded));
}

void Writer::length(int64_t value, bool flexible) {
  if (value > static_cast<int64_t>(kMaxMessageBytes)) {
    fail(fmt::format("a length of {} does not fit into the protocol", value));
    value = 0;
  }
  if (flexible) return varuint(static_cast<uint32_t>(value + 1));
  write(static_cast<int32_t>(value));
}

void Writer::count(size_t elements, bool flexible) {
  length(static_cast<int64_t>(elements), flexible);
}

void Writer::null_text(bool flexible) {
  if (flexible) return varuint(0);
  write(int16_t{-1});
}

void Writer::text(std::string_view value, bool flexible) {
  if (flexible) {
    length(static_cast<int64_t>(value.size()), true);
  } else {
    if (value.size() > static_cast<size_t>(std::numeric_limits<int16_t>::max())) {
      return fail(fmt::format("a text of {} bytes does not fit into a classic version", value.size()));
    }
    write(static_cast<int16_t>(value.size()));
  }
  append(value.data(), value.size());
}

void Writer::bytes(Bytes value, bool flexible) {
  length(static_cast<int64_t>(value.size()), flexible);
  append(value.data(), value.size());
}

void Writer::lend(const Segment& segment, size_t size_bytes) {
  lent_.push_back({used_bytes_, segment});
  lent_bytes_ += size_bytes;
}

void Writer::records(const RecordsOut& value, bool flexible, bool nullable) {
  if (value.is_null && nullable) return length(-1, flexible);
  length(static_cast<int64_t>(value.size_bytes()), flexible);
  bool borrowed = false;
  auto file = value.files.begin();
  for (size_t i = 0; i <= value.slices.size(); ++i) {
    for (; file != value.files.end() && file->before == i; ++file) {
      lend(Segment(file->fd, file->position, file->length), file->length);
      borrowed = true;
    }
    if (i == value.slices.size()) break;
    const auto& slice = value.slices[i];
    if (slice.size() < kCopyBelowBytes) {
      append(slice.data(), slice.size());
      continue;
    }
    lend(Segment(slice), slice.size());
    borrowed = true;
  }
  if (borrowed && value.keep_alive) keep_alive_.push_back(value.keep_alive);
}

void Writer::note_error(ErrorCode code) {
  for (ErrorCount& known : errors_) {
    if (known.code == code) {
      ++known.count;
      return;
    }
  }
  errors_.push_back({code, 1});
}

size_t Writer::begin_tag(uint32_t number) {
  varuint(number);
  return used_bytes_;
}

void Writer::end_tag(size_t content_start) {
  const size_t content_bytes = used_bytes_ - content_start;
  if (content_bytes > kMaxMessageBytes) return fail("a tagged field does not fit into the protocol");
  std::byte size[5];
  const size_t size_bytes = encode_varuint(static_cast<uint32_t>(content_bytes), size);
  append(size, size_bytes);  // room
  std::byte* content = buffer_.get() + content_start;
  std::memmove(content + size_bytes, content, content_bytes);
  std::memcpy(content, size, size_bytes);
}

Result<Output> Writer::finish(bool frame) && {
  if (!status_.ok()) return tl::unexpected<Status>(std::move(status_));
  const size_t message_bytes = used_bytes_ - kLengthBytes + lent_bytes_;
  if (message_bytes > kMaxMessageBytes) {
    return sluice::fail(StatusCode::too_large,
                        fmt::format("a message of {} bytes does not fit into a frame", message_bytes));
  }
  const auto prefix = static_cast<uint32_t>(message_bytes);
  for (size_t i = 0; i < kLengthBytes; ++i) buffer_[i] = static_cast<std::byte>(prefix >> (24 - 8 * i));

  Output output;
  output.size_bytes_ = message_bytes + (frame ? kLengthBytes : 0);
  output.segments_.reserve(2 * lent_.size() + 1);
  size_t at = frame ? 0 : kLengthBytes;
  for (const Lent& lent : lent_) {
    if (lent.position != at) output.segments_.emplace_back(buffer_.get() + at, lent.position - at);
    output.segments_.push_back(lent.slice);
    at = lent.position;
  }
  if (at != used_bytes_) output.segments_.emplace_back(buffer_.get() + at, used_bytes_ - at);
  output.owned_ = std::move(buffer_);
  output.keep_alive_ = std::move(keep_alive_);
  output.errors_ = std::move(errors_);
  return output;
}

}  // namespace sluice::protocol
