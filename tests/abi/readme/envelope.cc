// SPDX-License-Identifier: Apache-2.0
// What sdk/envelope/README.md takes for granted.
#include "sluice/envelope.hpp"

namespace readme_envelope {

extern const sluice::Bytes message;
extern sluice::Buffer stream;
extern sluice::Bytes piece;

void block_1() {
#include "envelope_1.inc"
}

}  // namespace readme_envelope
