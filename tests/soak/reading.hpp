// SPDX-License-Identifier: Apache-2.0
// A source read as if its calls waited, through whatever trouble passes.
#pragma once

#include <cstdint>
#include <functional>

#include "sluice/source.hpp"

namespace sluice::soak {

/// How long trouble that passes (UNAVAILABLE, BUSY, UNKNOWN) is borne, and a call that is not answered.
inline constexpr int64_t kPatienceMs = 90'000;

/// Calls `visit` with every record from `from` to the end that the source has when this is called. A negative `from`:
/// from its start. Gives the position of the end. CORRUPT: something there cannot be decoded.
Result<int64_t> read_to_end(Source& source, int64_t from, const std::function<void(const Record&)>& visit);

/// `attempt` again and again while it fails with trouble that passes, for kPatienceMs.
Status patiently(const std::function<Status()>& attempt);

}  // namespace sluice::soak
