// SPDX-License-Identifier: Apache-2.0
// What sdk/dlq/README.md takes for granted.
#include "sluice/dlq.hpp"

#include <memory>

#include "sluice/source.hpp"

namespace readme_dlq {

extern const std::shared_ptr<sluice::Sink> sink;
extern const sluice::Record record;
extern const sluice::Status why;
extern const sluice::Source& source;

void block_1() {
#include "dlq_1.inc"
}

}  // namespace readme_dlq
