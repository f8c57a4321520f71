// SPDX-License-Identifier: Apache-2.0
// What sdk/telemetry/README.md takes for granted.
#include "sluice/telemetry.hpp"

#include <cstdio>

namespace readme_telemetry {

extern const sluice::Status status;

void block_1() {
#include "telemetry_1.inc"
}

}  // namespace readme_telemetry
