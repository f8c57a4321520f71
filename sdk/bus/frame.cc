// SPDX-License-Identifier: Apache-2.0
#include "bus/frame.hpp"

#include <cstdlib>

namespace sluice::bus {
namespace {

uint8_t* write_varint(uint32_t value, uint8_t* at) {
  for (; value >= 0x80; value >>= 7) *at++ = static_cast<uint8_t>(value | 0x80);
  *at++ = static_cast<uint8_t>(value);
  return at;
}

}  // namespace

Record record_of(const Frame& frame) {
  Record record;
  record.position = static_cast<int64_t>(frame.commit.load(std::memory_order_relaxed) - 1);
  record.timestamp_ns = frame.timestamp_ns;
  const uint8_t* at = payload_of(frame);
  if (frame.key_bytes >= 0) {
    record.key = Bytes(at, static_cast<size_t>(frame.key_bytes));
    at += frame.key_bytes;
  }
  if (frame.value_bytes >= 0) {
    record.value = Bytes(at, static_cast<size_t>(frame.value_bytes));
    at += frame.value_bytes;
  }
  if (frame.header_count != 0) record.headers = Headers(Bytes(at, frame.header_bytes), frame.header_count);
  return record;
}

size_t encoded_header_bytes(std::span<const Header> headers) {
  size_t bytes = 0;
  for (const Header& header : headers) {
    bytes += signed_varint_size(static_cast<int64_t>(header.name.size())) + header.name.size();
    bytes += header.value ? signed_varint_size(static_cast<int64_t>(header.value->size())) + header.value->size() : 1;
  }
  return bytes;
}

uint8_t* encode_headers(std::span<const Header> headers, uint8_t* at) {
  const auto size = [&](int64_t bytes) { at = write_varint(static_cast<uint32_t>(zigzag_encode(bytes)), at); };
  for (const Header& header : headers) {
    size(static_cast<int64_t>(header.name.size()));
    at = copy_bytes(as_bytes(header.name), at);
    size(header.value ? static_cast<int64_t>(header.value->size()) : -1);
    if (header.value) at = copy_bytes(*header.value, at);
  }
  return at;
}

void release_event(Frame& frame) {
  if (!frame.spilled) return;
  std::free(const_cast<uint8_t*>(payload_of(frame)));
  frame.spilled = false;
}

}  // namespace sluice::bus

namespace sluice {

uint64_t EventBatch::first_sequence() const {
  return count_ == 0 ? 0 : EventBatchAccess::frame(*this, 0).commit.load(std::memory_order_relaxed) - 1;
}

uint64_t EventBatch::last_sequence() const {
  return count_ == 0 ? 0 : EventBatchAccess::frame(*this, count_ - 1).commit.load(std::memory_order_relaxed) - 1;
}

Record EventBatch::operator[](size_t i) const {
  return bus::record_of(EventBatchAccess::frame(*this, i));
}

EventBatch EventBatch::after(size_t count) const {
  EventBatch rest = *this;
  rest.slots_ += count * slot_bytes_;
  rest.count_ -= static_cast<uint32_t>(count);
  for (size_t i = 0; i < count; ++i) rest.payload_bytes_ -= bus::payload_bytes(EventBatchAccess::frame(*this, i));
  return rest;
}

}  // namespace sluice
