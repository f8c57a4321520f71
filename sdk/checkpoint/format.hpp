// SPDX-License-Identifier: Apache-2.0
// The bytes of a checkpoint's file: a header that stays as it is in every version (magic, version, size of the body,
// its own checksum), the body, the body's checksum. Integers are big-endian. Pure functions, any thread.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/bytes.hpp"
#include "base/status.hpp"
#include "sluice/checkpoint.hpp"

namespace sluice::checkpoint {

inline constexpr std::string_view kMagic = "SLUICECP";
inline constexpr uint32_t kVersion = 1;
inline constexpr size_t kVersionAt = 8;
inline constexpr size_t kBodySizeAt = 12;
inline constexpr size_t kHeaderCrcAt = 16;
inline constexpr size_t kHeaderBytes = 20;
inline constexpr size_t kTrailerBytes = 4;
inline constexpr size_t kMaxFileBytes = kMaxCheckpointCursorBytes + kMaxCheckpointMetadataBytes + 4096;

/// INVALID or TOO_LARGE where group, cursor or metadata are not what a checkpoint may hold.
Status check(std::string_view group, std::string_view cursor, const CheckpointMetadata& metadata);

/// `checkpoint` has passed check().
Buffer encode(const Checkpoint& checkpoint);

/// CORRUPT with the position of the fault, or UNSUPPORTED: an intact header with a version that is not known here.
Result<Checkpoint> decode(Bytes file);

}  // namespace sluice::checkpoint
