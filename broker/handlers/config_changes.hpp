// SPDX-License-Identifier: Apache-2.0
// Changes of single settings, as KIP-339 has them. Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cluster/cluster.hpp"

namespace sluice::handlers {

/// The protocol's numbers.
enum class ConfigOperation : int8_t { set = 0, remove = 1, append = 2, subtract = 3 };

struct ConfigOperationOn {
  std::string name;
  ConfigOperation operation = ConfigOperation::set;
  std::string value;
};

/// `present` with the changes. APPEND and SUBTRACT start from the list in force, the topic's own or the default; elements that are there
/// already, or are not, change nothing. INVALID_CONFIG for a setting that is no list. Whether the values are good is not judged here.
cluster::ClusterResult<cluster::Configs> apply_changes(const std::vector<ConfigOperationOn>& changes, const cluster::Configs& present,
                                                       const cluster::Configs& broker_defaults);

}  // namespace sluice::handlers
