// SPDX-License-Identifier: Apache-2.0
// What sdk/filter/README.md takes for granted.
#include "sluice/filter.hpp"

namespace readme_filter {

extern const sluice::Record record;
void handle(const sluice::Record& record);

sluice::Status block_1() {
#include "filter_1.inc"
  return {};
}

}  // namespace readme_filter
