// SPDX-License-Identifier: Apache-2.0
// A state's change as a patch, applied elsewhere; applied to another state it is refused.
#include "sluice/diff.hpp"

#include <cstdio>
#include <string>

int main() {
  const std::string before = R"({"cart": {"items": ["tea"], "total": 4}})";
  const std::string after = R"({"cart": {"items": ["tea", "milk"], "total": 6.5}})";
  const auto diff = sluice::diff_states(before, after);
  if (!diff) return std::printf("%s\n", diff.error().describe().c_str()), 1;
  std::printf("%s\n", diff->c_str());
  const auto applied = sluice::apply_diff(before, *diff);
  if (!applied) return std::printf("%s\n", applied.error().describe().c_str()), 1;
  std::printf("%s\n", applied->c_str());
  const sluice::Status again = sluice::verify_diff(*applied, *diff);
  std::printf("a second time: %s\n", again.describe().c_str());
  return again.code() == sluice::StatusCode::conflict ? 0 : 1;
}
