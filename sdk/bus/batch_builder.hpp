// SPDX-License-Identifier: Apache-2.0
// A batch of events outside any bus, for tests of sinks.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

#include "bus/frame.hpp"

namespace sluice::bus {

/// Owns the events of one batch. One thread; must outlive the batches it made.
class BatchBuilder {
 public:
  explicit BatchBuilder(std::string bus = "test", uint64_t epoch = 1, uint64_t shard = 0, uint64_t first_sequence = 0)
      : bus_(std::move(bus)), epoch_(epoch), shard_(shard), next_(first_sequence) {}
  ~BatchBuilder() {
    for (size_t i = 0; i < count_; ++i) release_event(frame(i));
  }
  BatchBuilder(const BatchBuilder&) = delete;
  BatchBuilder& operator=(const BatchBuilder&) = delete;

  /// Copies the event; its sequence is one above the last one's.
  BatchBuilder& add(const Event& event, int64_t timestamp_ns = 1) {
    if ((count_ + 1) * kSlotBytes > memory_.size() * sizeof(uint64_t)) {
      memory_.resize((count_ + 1) * 2 * kSlotBytes / sizeof(uint64_t));
    }
    Frame& slot = *new (&frame(count_)) Frame();
    const size_t headers = encoded_header_bytes(event.headers);
    const uint64_t payload = (event.key ? event.key->size() : 0) + (event.value ? event.value->size() : 0) + headers;
    uint8_t* spill = nullptr;
    if (payload > kSlotBytes - sizeof(Frame)) {
      spill = static_cast<uint8_t*>(std::malloc(payload));
      if (spill == nullptr) throw std::bad_alloc();
    }
    write_event(event, headers, spill, slot);
    slot.timestamp_ns = timestamp_ns;
    slot.commit.store(++next_, std::memory_order_relaxed);
    payload_bytes_ += payload;
    ++count_;
    return *this;
  }
  EventBatch batch(uint32_t attempt = 0) const {
    return EventBatchAccess::make(reinterpret_cast<const uint8_t*>(memory_.data()), kSlotBytes,
                                  static_cast<uint32_t>(count_), payload_bytes_, {bus_, epoch_, shard_}, attempt);
  }

 private:
  static constexpr uint32_t kSlotBytes = 256;
  Frame& frame(size_t i) { return *reinterpret_cast<Frame*>(memory_.data() + i * (kSlotBytes / sizeof(uint64_t))); }

  std::string bus_;
  uint64_t epoch_;
  uint64_t shard_;
  uint64_t next_;
  size_t count_ = 0;
  uint64_t payload_bytes_ = 0;
  std::vector<uint64_t> memory_;
};

}  // namespace sluice::bus
