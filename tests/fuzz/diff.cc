// SPDX-License-Identifier: Apache-2.0
// Two texts, one after the other with a zero between: as two states, whose diff must turn one into the other, and as a
// state and a patch for it.
#include "sluice/diff.hpp"

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

void require(bool promise) {
  if (!promise) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t middle = input.find('\0');
  if (middle == std::string_view::npos) return 0;
  const std::string_view one = input.substr(0, middle);
  const std::string_view two = input.substr(middle + 1);
  sluice::DiffLimits limits;
  limits.max_state_bytes = 4'096;
  limits.max_depth = 20;
  if (const auto diff = sluice::diff_states(one, two, limits)) {
    const auto applied = sluice::apply_diff(one, *diff, limits);
    // Numbers may take more digits than they came with.
    require(applied ? sluice::hash_state(*applied).value() == sluice::hash_state(two).value()
                    : applied.error().code() == sluice::StatusCode::too_large);
  }
  const auto hash = sluice::hash_state(one, limits);
  if (!hash) return 0;
  const std::string diff =
      R"({"version":1,"before":")" + *hash + R"(","after":")" + *hash + R"(","patch":)" + std::string(two) + "}";
  if (const auto applied = sluice::apply_diff(one, diff, limits))
    require(sluice::hash_state(*applied).value() == *hash);
  static_cast<void>(sluice::verify_diff(one, two, limits));
  return 0;
}
