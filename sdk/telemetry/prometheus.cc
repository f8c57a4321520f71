// SPDX-License-Identifier: Apache-2.0
// https://prometheus.io/docs/instrumenting/exposition_formats, with the names that OpenTelemetry's specification of
// compatibility gives: dots become underscores, units are spelt out and appended, counters end in _total.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <iterator>
#include <map>

#include "sluice/telemetry.hpp"

namespace sluice {
namespace {

// Every fourth bucket has a line: a doubling each, which is what dashboards can use.
constexpr size_t kBucketsPerLine = 4;
constexpr double kNanosPerSecond = 1e9;

std::string plain_name(std::string_view name) {
  std::string plain;
  for (const char character : name) {
    const bool fits = std::isalnum(static_cast<unsigned char>(character)) != 0;
    if (fits || plain.empty() || plain.back() != '_') plain.push_back(fits ? character : '_');
  }
  if (plain.empty() || std::isdigit(static_cast<unsigned char>(plain.front())) != 0) plain.insert(plain.begin(), '_');
  return plain;
}

std::string family_name(const Metric& metric) {
  std::string name = plain_name(metric.name);
  const auto append = [&](std::string_view suffix) {
    if (!name.ends_with(suffix)) name += suffix;
  };
  if (metric.unit == "s") append("_seconds");
  if (metric.unit == "By") append("_bytes");
  if (metric.kind == Metric::Kind::counter) append("_total");
  return name;
}

std::string escaped(std::string_view value) {
  std::string text;
  for (const char character : value) {
    if (character == '\n') {
      text += "\\n";
      continue;
    }
    if (character == '\\' || character == '"') text.push_back('\\');
    text.push_back(character);
  }
  return text;
}

// `more`: one more label, or nothing.
std::string labels(const Attributes& attributes, std::string_view more = {}) {
  std::map<std::string, std::string> by_name;  // names that became the same have their values together
  for (const auto& [name, value] : attributes) {
    std::string& values = by_name[plain_name(name)];
    values += values.empty() ? value : ";" + value;
  }
  std::string text;
  for (const auto& [name, value] : by_name)
    text += fmt::format("{}{}=\"{}\"", text.empty() ? "" : ",", name, escaped(value));
  if (!more.empty()) text += fmt::format("{}{}", text.empty() ? "" : ",", more);
  return text.empty() ? "" : "{" + text + "}";
}

void print_durations(const std::string& name, const Metric& metric, std::string& out) {
  uint64_t below = 0;
  for (size_t bucket = 0; bucket + 1 < DurationCounts::kBuckets; ++bucket) {
    below += metric.durations.buckets[bucket];
    if (bucket % kBucketsPerLine != 0) continue;
    const double end = static_cast<double>(DurationCounts::end_of(bucket)) / kNanosPerSecond;
    out += fmt::format("{}_bucket{} {}\n", name, labels(metric.attributes, fmt::format("le=\"{}\"", end)), below);
  }
  out += fmt::format("{}_bucket{} {}\n", name, labels(metric.attributes, "le=\"+Inf\""), metric.durations.count);
  out += fmt::format("{}_sum{} {}\n", name, labels(metric.attributes),
                     static_cast<double>(metric.durations.sum_ns) / kNanosPerSecond);
  out += fmt::format("{}_count{} {}\n", name, labels(metric.attributes), metric.durations.count);
}

}  // namespace

std::string prometheus_text(const TelemetrySnapshot& snapshot) {
  constexpr std::string_view kTypes[] = {"counter", "gauge", "histogram"};
  // Names that became the same belong to one family, which has its lines together.
  std::map<std::string, std::vector<const Metric*>> families;
  for (const Metric& metric : snapshot.metrics) families[family_name(metric)].push_back(&metric);
  std::string out;
  for (const auto& [name, metrics] : families) {
    const Metric::Kind kind = metrics.front()->kind;
    out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, escaped(metrics.front()->name), name,
                       kTypes[static_cast<size_t>(kind)]);
    for (const Metric* metric : metrics) {
      if (metric->kind != kind) continue;
      switch (kind) {
        case Metric::Kind::counter:
          out += fmt::format("{}{} {}\n", name, labels(metric->attributes), metric->count);
          break;
        case Metric::Kind::gauge:
          out += fmt::format("{}{} {}\n", name, labels(metric->attributes), metric->level);
          break;
        case Metric::Kind::durations:
          print_durations(name, *metric, out);
          break;
      }
    }
  }
  return out;
}

}  // namespace sluice
