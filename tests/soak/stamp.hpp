// SPDX-License-Identifier: Apache-2.0
// Events of 110 bytes of JSON that say who they are: the bus, the producer, and the producer's count. Numbers are
// written as letters A to P, lowest half byte first, so that making and reading one takes a few instructions.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/event.hpp"

namespace sluice::soak {

inline constexpr size_t kEventBytes = 110;  // of JSON; the key's come on top
inline constexpr size_t kKeys = 1'024;
inline constexpr size_t kMaxProducers = 4;

struct Stamp {
  uint32_t bus = 0;
  uint32_t producer = 0;
  uint64_t n = 0;
};

inline constexpr uint64_t kLetterA = 0x4141414141414141;

inline void put_letters(uint8_t* at, uint32_t number) {
  uint64_t x = number;
  x = (x | x << 16) & 0x0000ffff0000ffff;
  x = (x | x << 8) & 0x00ff00ff00ff00ff;
  x = ((x | x << 4) & 0x0f0f0f0f0f0f0f0f) + kLetterA;
  std::memcpy(at, &x, sizeof x);
}

/// False: those are no such letters.
inline bool get_letters(const uint8_t* at, uint32_t& number) {
  uint64_t x;
  std::memcpy(&x, at, sizeof x);
  x -= kLetterA;
  if ((x & 0xf0f0f0f0f0f0f0f0) != 0) return false;
  x = (x | x >> 4) & 0x00ff00ff00ff00ff;
  x = (x | x >> 8) & 0x0000ffff0000ffff;
  number = static_cast<uint32_t>(x | x >> 16);
  return true;
}

/// Evenly distributed, so that sums of them tell sets apart.
inline uint64_t mixed(const Stamp& stamp) {
  uint64_t x = (stamp.n << 4 | stamp.producer) + 0x9e3779b97f4a7c15;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
  return x ^ x >> 31;
}

/// Which key an event has; its count decides.
inline size_t key_index(uint64_t n) {
  return n * 2'654'435'761u / 64 % kKeys;
}
inline std::string_view key_of(uint64_t n) {
  static const std::vector<std::string> keys = [] {
    std::vector<std::string> made;
    for (size_t i = 0; i < kKeys; ++i) made.push_back("user-" + std::to_string(10'000 + i));
    return made;
  }();
  return keys[key_index(n)];
}

inline constexpr size_t kBusAt = 8, kProducerAt = 24, kCountAt = 39;

/// One event, to be stamped anew for each use.
class EventText {
 public:
  EventText(uint32_t bus, uint32_t producer) {
    std::string text = R"({"bus":"        ","by":"        ","n":"                ","type":"page_view","path":"/)";
    text.resize(kEventBytes - 2, 'x');
    text += "\"}";
    std::memcpy(bytes_.data(), text.data(), kEventBytes);
    put_letters(bytes_.data() + kBusAt, bus);
    put_letters(bytes_.data() + kProducerAt, producer);
  }
  /// Valid until the next one.
  Event stamped(uint64_t n) {
    put_letters(bytes_.data() + kCountAt, static_cast<uint32_t>(n));
    put_letters(bytes_.data() + kCountAt + 8, static_cast<uint32_t>(n >> 32));
    Event event;
    event.key = as_bytes(key_of(n));
    event.value = Bytes(bytes_.data(), bytes_.size());
    return event;
  }

 private:
  std::array<uint8_t, kEventBytes> bytes_{};
};

/// Who a record is; nullopt: not one of ours, or damaged.
inline std::optional<Stamp> stamp_of(const Record& record) {
  Stamp stamp;
  uint32_t low = 0, high = 0;
  if (!record.key || !record.value || record.value->size() != kEventBytes) return std::nullopt;
  const uint8_t* at = record.value->data();
  if (!get_letters(at + kBusAt, stamp.bus) || !get_letters(at + kProducerAt, stamp.producer) ||
      !get_letters(at + kCountAt, low) || !get_letters(at + kCountAt + 8, high)) {
    return std::nullopt;
  }
  stamp.n = uint64_t{high} << 32 | low;
  if (stamp.producer >= kMaxProducers || as_text(*record.key) != key_of(stamp.n)) return std::nullopt;
  return stamp;
}

}  // namespace sluice::soak
