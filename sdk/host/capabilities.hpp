// SPDX-License-Identifier: Apache-2.0
// The names of what storages promise.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sluice::host {

/// Of each bit of SLUICE_CAP_*, in their order: "durable", "power_safe", "no_rollback", "shared", "atomic".
std::vector<std::string> capability_names(uint64_t capabilities);

}  // namespace sluice::host
