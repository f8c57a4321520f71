// SPDX-License-Identifier: Apache-2.0
// What every source of this folder says to a read before it does anything. Any thread.
#pragma once

#include <cstdint>

#include "sluice/source.hpp"

namespace sluice::sources {

/// INVALID: a request that no source serves.
inline Status check(const PageRequest& request) {
  if (request.from >= 0 && request.max_records != 0 && request.wait_ms >= 0) return {};
  return Status(StatusCode::invalid,
                "a read begins at 0 or later, asks for one record at least, and waits for 0 ms or longer");
}

/// Why a source that is closed, or busy with another read, takes none.
inline Status not_now(bool closed) {
  return closed ? Status(StatusCode::fenced, "the source is closed")
                : Status(StatusCode::invalid, "a read of this source is under way");
}

/// Until when it waits, on the clock that says `now_ms`.
inline int64_t wait_until(const PageRequest& request, int64_t now_ms) {
  return request.wait_ms > INT64_MAX - now_ms ? INT64_MAX : now_ms + request.wait_ms;
}

}  // namespace sluice::sources
