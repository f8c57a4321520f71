// SPDX-License-Identifier: Apache-2.0
// Points in time as people write them (ISO 8601, RFC 3339). Functions without state.
#pragma once

#include <optional>
#include <string_view>

#include "filter/number.hpp"

namespace sluice::filter {

constexpr int64_t kNanosPerMs = 1'000'000;
constexpr int64_t kNanosPerSecond = 1'000'000'000;

/// Nanoseconds since the epoch of `2024-05-31`, `2024-05-31T12:30Z`, `2024-05-31 12:30:15.123456789+02:00` and the
/// like: years 0001 to 9999, up to nine digits of a second, UTC where no zone is named. nullopt: no such time.
std::optional<Int128> parse_time(std::string_view text);

}  // namespace sluice::filter
