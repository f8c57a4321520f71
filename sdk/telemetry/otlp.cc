// SPDX-License-Identifier: Apache-2.0
// The OpenTelemetry protocol's messages (opentelemetry-proto, metrics and logs, version 1) in Protocol Buffers' JSON
// mapping, in which 64-bit integers are strings.
#include <nlohmann/json.hpp>

#include "sluice/telemetry.hpp"

namespace sluice {
namespace {

using nlohmann::json;

constexpr int kCumulative = 2;      // AggregationTemporality
constexpr int kSeverityError = 17;  // SeverityNumber
constexpr double kNanosPerSecond = 1e9;
constexpr const char* kScope = "sluice";

json attribute(std::string_view name, std::string_view value) {
  return {{"key", name}, {"value", {{"stringValue", value}}}};
}
json attribute(std::string_view name, int64_t value) {
  return {{"key", name}, {"value", {{"intValue", std::to_string(value)}}}};
}

json attributes_of(const Attributes& attributes) {
  json list = json::array();
  for (const auto& [name, value] : attributes) list.push_back(attribute(name, value));
  return list;
}

json point_of(const Metric& metric, const TelemetrySnapshot& snapshot) {
  json point = {{"attributes", attributes_of(metric.attributes)},
                {"startTimeUnixNano", std::to_string(snapshot.started_ns)},
                {"timeUnixNano", std::to_string(snapshot.at_ns)}};
  if (metric.kind == Metric::Kind::counter) point["asInt"] = std::to_string(metric.count);
  if (metric.kind == Metric::Kind::gauge) point["asInt"] = std::to_string(metric.level);
  if (metric.kind != Metric::Kind::durations) return point;
  json counts = json::array();
  json bounds = json::array();
  for (size_t bucket = 0; bucket < DurationCounts::kBuckets; ++bucket) {
    counts.push_back(std::to_string(metric.durations.buckets[bucket]));
    if (bucket + 1 == DurationCounts::kBuckets) break;
    bounds.push_back(static_cast<double>(DurationCounts::end_of(bucket)) / kNanosPerSecond);
  }
  point["count"] = std::to_string(metric.durations.count);
  point["sum"] = static_cast<double>(metric.durations.sum_ns) / kNanosPerSecond;
  point["bucketCounts"] = std::move(counts);
  point["explicitBounds"] = std::move(bounds);
  return point;
}

json metric_of(const Metric& metric) {
  json made = {{"name", metric.name}, {"unit", metric.unit}};
  switch (metric.kind) {
    case Metric::Kind::counter:
      made["sum"] = {{"aggregationTemporality", kCumulative}, {"isMonotonic", true}, {"dataPoints", json::array()}};
      break;
    case Metric::Kind::gauge:
      made["gauge"] = {{"dataPoints", json::array()}};
      break;
    case Metric::Kind::durations:
      made["histogram"] = {{"aggregationTemporality", kCumulative}, {"dataPoints", json::array()}};
      break;
  }
  return made;
}

const char* points_of(Metric::Kind kind) {
  return kind == Metric::Kind::counter ? "sum" : kind == Metric::Kind::gauge ? "gauge" : "histogram";
}

// Bytes that are no UTF-8 are replaced: texts come from servers.
std::string print(const json& document) {
  return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace

std::string otlp_metrics_json(const TelemetrySnapshot& snapshot, const Attributes& resource) {
  json metrics = json::array();
  for (const Metric& metric : snapshot.metrics) {
    if (metrics.empty() || metrics.back()["name"] != metric.name) metrics.push_back(metric_of(metric));
    metrics.back()[points_of(metric.kind)]["dataPoints"].push_back(point_of(metric, snapshot));
  }
  const json scope = {{"scope", {{"name", kScope}}}, {"metrics", std::move(metrics)}};
  const json of_resource = {{"resource", {{"attributes", attributes_of(resource)}}},
                            {"scopeMetrics", json::array({scope})}};
  return print({{"resourceMetrics", json::array({of_resource})}});
}

std::string otlp_logs_json(const TelemetrySnapshot& snapshot, const Attributes& resource) {
  json records = json::array();
  for (const FailureEvent& event : snapshot.failures) {
    records.push_back(
        {{"timeUnixNano", std::to_string(event.at_ns)},
         {"severityNumber", kSeverityError},
         {"severityText", "ERROR"},
         {"body", {{"stringValue", event.text}}},
         {"attributes",
          json::array({attribute(semconv::kErrorType, status_name(event.code)),
                       attribute(semconv::kOperationName, event.operation), attribute(semconv::kSystem, event.adapter),
                       attribute("sluice.shard", event.shard), attribute("sluice.native_code", event.native_code),
                       attribute("sluice.elapsed_ns", event.elapsed_ns)})}});
  }
  const json scope = {{"scope", {{"name", kScope}}}, {"logRecords", std::move(records)}};
  const json of_resource = {{"resource", {{"attributes", attributes_of(resource)}}},
                            {"scopeLogs", json::array({scope})}};
  return print({{"resourceLogs", json::array({of_resource})}});
}

}  // namespace sluice
