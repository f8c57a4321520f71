// SPDX-License-Identifier: Apache-2.0
// Questions about a partition's extents that several places ask. Pure functions.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "cluster/types.hpp"

namespace sluice::cluster {

/// Every log that metadata names for a partition, whatever for.
template <class F>
void for_each_log(const PartitionInfo& partition, F f) {
  for (const Extent& extent : partition.extents) f(extent);
  if (partition.next) f(*partition.next);
  if (partition.copy) f(partition.copy->extent);
  for (const Extent& extent : partition.dropped) f(extent);
}

/// The first stretch of neighbouring sealed extents that are not on `target`; empty if there is none.
std::vector<Extent> run_to_copy(const PartitionInfo& partition, std::string_view target);

/// All extents are on `target`, and nothing is under way.
bool is_settled(const PartitionInfo& partition, std::string_view target);

/// The storage that the topic's new records go to, or are to go to: the target of a migration.
std::string_view home_of(const TopicInfo& topic);

/// How far a topic's partitions are on their way to a storage.
struct ExtentCount {
  int32_t partitions = 0;
  int32_t switched = 0;  // new records go to the target
  int32_t settled = 0;   // nothing is left to do
};
ExtentCount count_settled(const TopicInfo& topic, std::string_view target);

}  // namespace sluice::cluster
