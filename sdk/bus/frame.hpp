// SPDX-License-Identifier: Apache-2.0
// One event in memory: a slot of fixed size that begins with a Frame, then key, value and headers one after the other.
// What does not fit lies in a block of its own, which the frame points to and owns (a "spilled" event). A slot's frame
// is written by the one producer that claimed it, and read by others after they saw its `commit`.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <span>

#include "sluice/event.hpp"
#include "sluice/sink.hpp"

namespace sluice::bus {

struct Frame {
  std::atomic<uint64_t> commit{0};  // sequence + 1 once the event is whole; something smaller before
  int64_t timestamp_ns = 0;
  int32_t key_bytes = -1;    // -1: null
  int32_t value_bytes = -1;  // -1: null
  uint32_t header_bytes = 0;
  uint16_t header_count = 0;
  bool spilled = false;
  uint8_t unused = 0;  // so that the three above are set with one store
};
static_assert(sizeof(Frame) == 32);

inline const uint8_t* payload_of(const Frame& frame) {
  const auto* inside = reinterpret_cast<const uint8_t*>(&frame + 1);
  if (!frame.spilled) return inside;
  const uint8_t* block;
  std::memcpy(&block, inside, sizeof block);
  return block;
}
inline uint64_t payload_bytes(const Frame& frame) {
  return (frame.key_bytes > 0 ? static_cast<uint32_t>(frame.key_bytes) : 0U) +
         (frame.value_bytes > 0 ? static_cast<uint32_t>(frame.value_bytes) : uint64_t{0}) + frame.header_bytes;
}

/// The event as a record that views the frame.
Record record_of(const Frame& frame);

/// Bytes of `headers` as a v2 record's headers section (KIP-82).
size_t encoded_header_bytes(std::span<const Header> headers);
/// Writes them; returns where they end.
uint8_t* encode_headers(std::span<const Header> headers, uint8_t* at);

/// Copies what is short in a few wide moves; memcpy's call costs as much as its work there.
[[gnu::always_inline]] inline uint8_t* copy_bytes(Bytes bytes, uint8_t* at) {
  const uint8_t* from = bytes.data();
  const size_t size = bytes.size();
  const auto move = [&]<class Word>(Word word, size_t offset) {
    std::memcpy(&word, from + offset, sizeof word);
    std::memcpy(at + offset, &word, sizeof word);
  };
  struct Wide {
    uint64_t words[2];
  };
  constexpr size_t kInlineBytes = 256;
  if (size >= sizeof(Wide) && size <= kInlineBytes) [[likely]] {
    for (size_t i = 0; i + sizeof(Wide) < size; i += sizeof(Wide)) move(Wide{}, i);
    move(Wide{}, size - sizeof(Wide));
  } else if (size > kInlineBytes) {
    std::memcpy(at, from, size);
  } else if (size >= 8) {
    move(uint64_t{}, 0);
    move(uint64_t{}, size - 8);
  } else if (size >= 4) {
    move(uint32_t{}, 0);
    move(uint32_t{}, size - 4);
  } else {
    for (size_t i = 0; i < size; ++i) at[i] = from[i];
  }
  return at + size;
}

/// Writes `event`, whose sizes were checked, into a slot, the commit word and the timestamp aside. `header_bytes`: as
/// encoded. `spill`: memory of all its payload, which the frame then owns; null: it fits behind the frame.
[[gnu::always_inline]] inline void write_event(const Event& event, size_t header_bytes, uint8_t* spill, Frame& frame) {
  auto* at = reinterpret_cast<uint8_t*>(&frame + 1);
  if (spill != nullptr) [[unlikely]] {
    std::memcpy(at, &spill, sizeof spill);
    at = spill;
  }
  // Read before the slot is written: it might be the same memory, as far as the compiler knows.
  const bool has_key = event.key.has_value();
  const bool has_value = event.value.has_value();
  Bytes key;
  Bytes value;
  if (has_key) [[likely]]
    key = *event.key;
  if (has_value) [[likely]]
    value = *event.value;
  frame.key_bytes = has_key ? static_cast<int32_t>(key.size()) : -1;
  frame.value_bytes = has_value ? static_cast<int32_t>(value.size()) : -1;
  frame.header_bytes = static_cast<uint32_t>(header_bytes);
  frame.header_count = header_bytes == 0 ? uint16_t{0} : static_cast<uint16_t>(event.headers.size());
  frame.spilled = spill != nullptr;
  frame.unused = 0;
  at = copy_bytes(value, copy_bytes(key, at));
  if (header_bytes != 0) [[unlikely]]
    encode_headers(event.headers, at);
}
/// Gives up the block of a spilled event.
void release_event(Frame& frame);

}  // namespace sluice::bus

namespace sluice {

/// Makes batches for the bus and for tests of sinks.
class EventBatchAccess {
 public:
  static EventBatch make(const uint8_t* slots, uint32_t slot_bytes, uint32_t count, uint64_t payload_bytes,
                         const BatchOrigin& origin, uint32_t attempt = 0) {
    EventBatch batch;
    batch.slots_ = slots;
    batch.slot_bytes_ = slot_bytes;
    batch.count_ = count;
    batch.payload_bytes_ = payload_bytes;
    batch.origin_ = origin;
    batch.attempt_ = attempt;
    return batch;
  }
  static EventBatch again(EventBatch batch, uint32_t attempt) {
    batch.attempt_ = attempt;
    return batch;
  }
  static const bus::Frame& frame(const EventBatch& batch, size_t i) {
    return *reinterpret_cast<const bus::Frame*>(batch.slots_ + i * batch.slot_bytes_);
  }
};

}  // namespace sluice
