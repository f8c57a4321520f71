// SPDX-License-Identifier: Apache-2.0
// Record batches as the host needs to see them: their offsets, and, in checked mode, whether a read is what was asked
// for.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/status.hpp"
#include "sluice/storage_abi.h"

namespace sluice::host {

/// The ABI's element for one whole batch, from its header. INVALID if `bytes` is not exactly one batch. Pure.
Result<sluice_batch> batch_element(std::span<const uint8_t> bytes);

/// What is wrong with the end of a read; empty if nothing. `end_before`: an end that the log had when the read was
/// sent. Reads file ranges (checked mode only).
std::string read_fault(const sluice_read& request, sluice_status status, const sluice_read_result& result, bool native,
                       int64_t end_before);

}  // namespace sluice::host
