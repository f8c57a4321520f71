// SPDX-License-Identifier: Apache-2.0
// The model's cases, a thousand of them; SLUICE_MODEL_CASES and SLUICE_MODEL_SEED ask for others. `consumer_model` is
// the same for a million.
#include "consumer/model.hpp"

#include <gtest/gtest.h>

#include <cstdlib>

namespace sluice::testing {
namespace {

uint64_t number_of(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

#ifdef NDEBUG
constexpr uint64_t kCases = 1'000;
#else
constexpr uint64_t kCases = 200;  // sanitizers check every access
#endif

TEST(ConsumerModel, nothing_is_skipped_and_nothing_comes_twice) {
  const uint64_t seed = number_of("SLUICE_MODEL_SEED", 1);
  const uint64_t cases = number_of("SLUICE_MODEL_CASES", kCases);
  uint64_t records = 0;
  uint64_t restarts = 0;
  for (uint64_t i = seed; i < seed + cases; ++i) {
    const CaseReport report = run_model_case(i);
    ASSERT_EQ(report.fault, "") << "seed " << i;
    records += report.records;
    restarts += report.restarts;
  }
  if (cases < 1'000) return;
  EXPECT_GT(records, 10 * cases);
  EXPECT_GT(restarts, cases / 4);
}

}  // namespace
}  // namespace sluice::testing
