// SPDX-License-Identifier: Apache-2.0
// What sdk/limiter/README.md takes for granted.
#include "sluice/limiter.hpp"

namespace readme_limiter {

void block_1() {
#include "limiter_1.inc"
}

}  // namespace readme_limiter
