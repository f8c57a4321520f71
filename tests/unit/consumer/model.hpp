// SPDX-License-Identifier: Apache-2.0
// The rule of the consumer against a brute-force oracle: what a response delivers of a shard must be exactly the
// matching records between the shard's place before and after it.
#pragma once

#include <cstdint>
#include <string>

namespace sluice::testing {

struct CaseReport {
  std::string fault;  // empty: the case holds
  uint64_t responses = 0;
  uint64_t records = 0;
  uint64_t restarts = 0;
};

/// One life of a consumer, or several, all from `seed`: shards, filter, order, limits, page sizes, what goes wrong and
/// when.
/// `trace`: what happens, on standard error.
CaseReport run_model_case(uint64_t seed, bool trace = false);

}  // namespace sluice::testing
