// SPDX-License-Identifier: Apache-2.0
// What a snapshot of telemetry says of one name.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "sluice/telemetry.hpp"

namespace sluice::testing {

/// Whether the metric has all of these attributes.
inline bool has(const Metric& metric, const Attributes& attributes) {
  return std::all_of(attributes.begin(), attributes.end(), [&](const auto& attribute) {
    return std::find(metric.attributes.begin(), metric.attributes.end(), attribute) != metric.attributes.end();
  });
}

/// Sum of the counters, levels and numbers of durations of that name and with those attributes, whatever else they
/// have; -1 if there is none.
inline int64_t sum(const TelemetrySnapshot& snapshot, std::string_view name, const Attributes& attributes = {}) {
  int64_t sum = -1;
  for (const Metric& metric : snapshot.metrics) {
    if (metric.name != name || !has(metric, attributes)) continue;
    sum = std::max<int64_t>(sum, 0) + static_cast<int64_t>(metric.count + metric.durations.count) + metric.level;
  }
  return sum;
}

}  // namespace sluice::testing
