// SPDX-License-Identifier: Apache-2.0
// What sdk/checkpoint/README.md takes for granted.
#include "sluice/checkpoint.hpp"

#include <string>

namespace readme_checkpoint {

extern const std::string cursor;

void block_1() {
#include "checkpoint_1.inc"
}

}  // namespace readme_checkpoint
