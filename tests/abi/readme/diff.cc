// SPDX-License-Identifier: Apache-2.0
// What sdk/diff/README.md takes for granted.
#include "sluice/diff.hpp"

#include <string>

namespace readme_diff {

extern const std::string before;
extern const std::string after;

void block_1() {
#include "diff_1.inc"
}

}  // namespace readme_diff
