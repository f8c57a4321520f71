// SPDX-License-Identifier: Apache-2.0
// Headers of records that come from C callers. Any thread.
#pragma once

#include <vector>

#include "c/boundary.hpp"
#include "sluice/record.hpp"

namespace sluice::c {

inline constexpr uint64_t kMaxHeaders = 100'000;
/// Of one call.
inline constexpr uint64_t kMaxBatchEvents = 1'000'000;

/// Every field checked, then all of them as views. The verdict's index is the field that is at fault.
Verdict headers_of(const sluice_field* fields, uint64_t count, std::vector<Header>& headers);

}  // namespace sluice::c
