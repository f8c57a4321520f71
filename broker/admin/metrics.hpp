// SPDX-License-Identifier: Apache-2.0
// Metrics for Prometheus, from sources that are asked when somebody looks: parts count for themselves.
//
// Names begin with "sluice_", name their unit last ("_seconds", "_bytes") and, for counters, end in "_total"
// (https://prometheus.io/docs/practices/naming/). Names and label names are constants of ours and asserted; label
// values and numbers may be anything.
#pragma once

#include <cstddef>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice::admin {

using Labels = std::vector<std::pair<std::string, std::string>>;

enum class MetricType { counter, gauge };

/// What a source writes to. All samples of one family come together.
class Exposition {
 public:
  /// Text beyond this is left out, a sample at a time, and sluice_metrics_truncated says so.
  static constexpr size_t kMaxBytes = 16 << 20;

  /// Begins the family `name`.
  void family(std::string_view name, std::string_view help, MetricType type);
  /// A sample of the family begun last.
  void sample(double value, const Labels& labels = {});

 private:
  friend class Registry;

  std::string text_;
  std::string family_;
  bool truncated_ = false;
};

/// All metrics of the process. Thread-safe.
class Registry {
 public:
  /// What this asks must be thread-safe, quick, and alive as long as the registry.
  using Source = std::function<void(Exposition&)>;

  /// Families whose names must be nobody else's.
  void show(Source source);

  /// Everything, in Prometheus' text format 0.0.4, source by source.
  std::string expose() const;
  static constexpr std::string_view kContentType = "text/plain; version=0.0.4; charset=utf-8";

 private:
  mutable std::mutex mutex_;
  std::vector<Source> sources_;  // guarded by mutex_
};

}  // namespace sluice::admin
