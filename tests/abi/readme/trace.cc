// SPDX-License-Identifier: Apache-2.0
// What sdk/trace/README.md takes for granted.
#include "sluice/trace.hpp"

namespace readme_trace {

extern const sluice::Record record;
extern const sluice::TraceRandom random;
void send(const sluice::Headers& headers);

void block_1() {
#include "trace_1.inc"
}

}  // namespace readme_trace
