// SPDX-License-Identifier: Apache-2.0
// What sdk/sinks/README.md takes for granted.
#include "sluice/kafka_sink.hpp"
#include "sluice/storage_sink.hpp"

namespace readme_sinks {

void block_1() {
#include "sinks_1.inc"
}

}  // namespace readme_sinks
