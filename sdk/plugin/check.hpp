// SPDX-License-Identifier: Apache-2.0
// What can be said about a request without knowing the log. INVALID or TOO_LARGE with the reason, else OK. Any thread.
#pragma once

#include <cstdint>

#include "base/status.hpp"
#include "sluice/storage_abi.h"

namespace sluice::plugin {

/// Flags known, start offset not negative and below INT64_MAX, topic given.
Status check(const sluice_log_descriptor& descriptor);
/// Flags known, one batch at least, offsets rise from `at` on and end below INT64_MAX, `bytes` is the sum.
Status check(const sluice_append& request);
/// Name and size of the value within limits.
Status check(const sluice_save& request);
/// 1 to SLUICE_LONGEST_NAME bytes.
Status check_name(const char* name, uint32_t name_size);

}  // namespace sluice::plugin
