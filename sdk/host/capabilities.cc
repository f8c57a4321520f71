// SPDX-License-Identifier: Apache-2.0
#include "host/capabilities.hpp"

#include <array>
#include <string_view>
#include <utility>

#include "sluice/storage_abi.h"

namespace sluice::host {
namespace {

constexpr std::array<std::pair<uint64_t, std::string_view>, 5> kNames = {{
    {SLUICE_CAP_DURABLE, "durable"},
    {SLUICE_CAP_POWER_SAFE, "power_safe"},
    {SLUICE_CAP_NO_ROLLBACK, "no_rollback"},
    {SLUICE_CAP_SHARED, "shared"},
    {SLUICE_CAP_ATOMIC, "atomic"},
}};

}  // namespace

std::vector<std::string> capability_names(uint64_t capabilities) {
  std::vector<std::string> names;
  for (const auto& [bit, name] : kNames) {
    if ((capabilities & bit) != 0) names.emplace_back(name);
  }
  return names;
}

}  // namespace sluice::host
