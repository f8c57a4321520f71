// SPDX-License-Identifier: Apache-2.0
// What sdk/sources/README.md takes for granted.
#include <vector>

#include "sluice/kafka_source.hpp"
#include "sluice/log_writer.hpp"
#include "sluice/storage_source.hpp"

namespace readme_sources {

extern const std::vector<sluice::Record> records;
void settled(int64_t position);

void block_1() {
#include "sources_1.inc"
}

void block_2() {
#include "sources_2.inc"
}

}  // namespace readme_sources
