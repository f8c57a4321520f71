// SPDX-License-Identifier: Apache-2.0
// What an application gives to the event bus: a view of bytes, copied before the call returns. Null and empty are
// different, headers keep order and duplicates, and no byte is interpreted.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "sluice/record.hpp"

namespace sluice {

/// Largest event: bytes of key, value and headers (each with its lengths). Options may allow less.
inline constexpr uint32_t kMaxEventBytes = 1U << 30;
/// Headers of one event at most.
inline constexpr uint32_t kMaxEventHeaders = 1'000;

struct Event {
  std::optional<Bytes> key;           // nullopt: null; what routing by key hashes, and nothing else
  std::optional<Bytes> value;         // nullopt: null
  std::span<const Header> headers{};  // names of any bytes
};

}  // namespace sluice
