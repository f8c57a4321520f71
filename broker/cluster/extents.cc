// SPDX-License-Identifier: Apache-2.0
#include "cluster/extents.hpp"

#include <algorithm>

namespace sluice::cluster {

std::vector<Extent> run_to_copy(const PartitionInfo& partition, std::string_view target) {
  std::vector<Extent> run;
  for (size_t i = 0; i + 1 < partition.extents.size(); ++i) {
    if (partition.extents[i].storage != target) {
      run.push_back(partition.extents[i]);
    } else if (!run.empty()) {
      break;
    }
  }
  return run;
}

bool is_settled(const PartitionInfo& partition, std::string_view target) {
  return !partition.next && !partition.copy && partition.dropped.empty() &&
         std::all_of(partition.extents.begin(), partition.extents.end(),
                     [&](const Extent& extent) { return extent.storage == target; });
}

std::string_view home_of(const TopicInfo& topic) {
  if (topic.migration) return topic.migration->target;
  return topic.partitions.empty() ? std::string_view()
                                  : std::string_view(topic.partitions.front().extents.back().storage);
}

ExtentCount count_settled(const TopicInfo& topic, std::string_view target) {
  ExtentCount count;
  for (const PartitionInfo& partition : topic.partitions) {
    ++count.partitions;
    if (partition.extents.back().storage == target) ++count.switched;
    if (is_settled(partition, target)) ++count.settled;
  }
  return count;
}

}  // namespace sluice::cluster
