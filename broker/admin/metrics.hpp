// SPDX-License-Identifier: Apache-2.0
// Metrics for Prometheus: counters, gauges and histograms that code updates, and sources that are asked when somebody
// looks. What counts already elsewhere is shown by a source and not counted twice.
//
// Names begin with "sluice_", name their unit last ("_seconds", "_bytes") and, for counters, end in "_total"
// (https://prometheus.io/docs/practices/naming/). Names, label names and bucket bounds are constants of ours and
// asserted; label values and numbers may be anything.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice::admin {

using Labels = std::vector<std::pair<std::string, std::string>>;

/// Only rises. Any thread.
class Counter {
 public:
  void add(uint64_t by = 1) { value_.fetch_add(by, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

/// Any thread.
class Gauge {
 public:
  void set(double value) { value_.store(value, std::memory_order_relaxed); }
  void add(double by) { value_.fetch_add(by, std::memory_order_relaxed); }
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

/// Counts values by size. Any thread.
class Histogram {
 public:
  static constexpr size_t kMaxBuckets = 64;

  /// Upper bounds of the buckets, rising; one without bound is added. At most kMaxBuckets.
  explicit Histogram(std::vector<double> bounds);
  void observe(double value);

  const std::vector<double>& bounds() const { return bounds_; }
  /// How many values were in bucket `index`; bounds().size() is the one without bound.
  uint64_t count_in(size_t index) const { return counts_[index].load(std::memory_order_relaxed); }
  double sum() const { return sum_.load(std::memory_order_relaxed); }

 private:
  const std::vector<double> bounds_;
  std::vector<std::atomic<uint64_t>> counts_;
  std::atomic<double> sum_{0};
};

/// 50 us to 10 s, for the time that requests take.
std::vector<double> latency_bounds_seconds();

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
  void head(std::string_view name, std::string_view help, std::string_view type);
  void line(std::string_view suffix, const Labels& labels, std::string_view extra_label, double value);

  std::string text_;
  std::string family_;
  bool truncated_ = false;
};

/// All metrics of the process. Thread-safe. Metrics live as long as the registry.
class Registry {
 public:
  /// What this asks must be thread-safe, quick, and alive as long as the registry.
  using Number = std::function<double()>;
  using Source = std::function<void(Exposition&)>;

  /// The metric of that name and those labels, made if it is new. One name has one type and one help.
  Counter& counter(std::string_view name, std::string_view help, const Labels& labels = {});
  Gauge& gauge(std::string_view name, std::string_view help, const Labels& labels = {});
  Histogram& histogram(std::string_view name, std::string_view help, std::vector<double> bounds,
                       const Labels& labels = {});

  /// A number that is asked for. Of those with equal name and labels the first stays.
  void show_counter(std::string_view name, std::string_view help, Number number, const Labels& labels = {});
  void show_gauge(std::string_view name, std::string_view help, Number number, const Labels& labels = {});
  /// Whole families whose labels come and go. Their names must be nobody else's.
  void show(Source source);

  /// Everything, in Prometheus' text format 0.0.4: families by name, then those of the sources.
  std::string expose() const;
  static constexpr std::string_view kContentType = "text/plain; version=0.0.4; charset=utf-8";

 private:
  enum class Type { counter, gauge, histogram };
  struct Series {
    Labels labels;
    std::unique_ptr<Counter> counter;
    std::unique_ptr<Gauge> gauge;
    std::unique_ptr<Histogram> histogram;
    Number number;
  };
  struct Family {
    Type type;
    std::string help;
    std::vector<std::unique_ptr<Series>> series;
  };
  /// The series, and whether it is new.
  std::pair<Series&, bool> series(std::string_view name, std::string_view help, Type type, const Labels& labels);

  mutable std::mutex mutex_;
  std::map<std::string, Family, std::less<>> families_;  // guarded by mutex_
  std::vector<Source> sources_;                          // guarded by mutex_
};

}  // namespace sluice::admin
