// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "sluice/telemetry.hpp"

namespace sluice {
namespace {

TelemetrySnapshot sample() {
  TelemetrySettings settings;
  settings.monotonic_ns = [] { return int64_t{0}; };
  settings.wall_ns = [] { return int64_t{1'700'000'000'000'000'000}; };
  const auto telemetry = std::move(Telemetry::make(std::move(settings)).value());
  telemetry->counter(semconv::kSentMessages, {{"messaging.system", "kafka"}}).add(12);
  telemetry->counter(semconv::kSentMessages, {{"messaging.system", "a\"b\\c\nd"}}).add(1);
  telemetry->counter("sluice.bytes", {}, "By").add(5);
  telemetry->gauge("sluice.depth").set(-3);
  telemetry->durations("wait").record_ns(1'000'000);
  FailureEvent event;
  event.operation = "append";
  event.adapter = "disk";
  event.shard = "3";
  event.code = StatusCode::corrupt;
  event.text = "bad \xff byte";
  event.elapsed_ns = 42;
  telemetry->failure(std::move(event));
  return telemetry->snapshot();
}

bool has_line(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

TEST(PrometheusText, NamesUnitsAndEscapes) {
  const std::string text = prometheus_text(sample());
  EXPECT_TRUE(has_line(text, "# TYPE messaging_client_sent_messages_total counter")) << text;
  EXPECT_TRUE(has_line(text, R"(messaging_client_sent_messages_total{messaging_system="kafka"} 12)")) << text;
  EXPECT_TRUE(has_line(text, R"(messaging_client_sent_messages_total{messaging_system="a\"b\\c\nd"} 1)")) << text;
  EXPECT_TRUE(has_line(text, "sluice_bytes_total 5")) << text;
  EXPECT_TRUE(has_line(text, "sluice_depth -3")) << text;
  EXPECT_TRUE(has_line(text, "# TYPE wait_seconds histogram")) << text;
  EXPECT_TRUE(has_line(text, R"(wait_seconds_bucket{le="+Inf"} 1)")) << text;
  EXPECT_TRUE(has_line(text, R"(wait_seconds_bucket{le="0.000524288"} 0)")) << text;
  EXPECT_TRUE(has_line(text, R"(wait_seconds_bucket{le="0.001048576"} 1)")) << text;
  EXPECT_TRUE(has_line(text, "wait_seconds_sum 0.001")) << text;
  EXPECT_TRUE(has_line(text, "wait_seconds_count 1")) << text;
  EXPECT_TRUE(has_line(
      text,
      R"(sluice_failures_total{error_type="corrupt",messaging_operation_name="append",messaging_system="disk"} 1)"))
      << text;
}

TEST(PrometheusText, NamesThatBecomeTheSameAreOneFamily) {
  const auto telemetry = std::move(Telemetry::make().value());
  telemetry->counter("a.b", {{"x.y", "1"}, {"x-y", "2"}}).add();
  telemetry->counter("a_b", {{"z", "1"}}).add();
  telemetry->gauge("0.g").set(1);
  const std::string text = prometheus_text(telemetry->snapshot());
  EXPECT_EQ(text.find("# TYPE a_b_total"), text.rfind("# TYPE a_b_total"));
  EXPECT_TRUE(has_line(text, R"(a_b_total{x_y="2;1"} 1)")) << text;
  EXPECT_TRUE(has_line(text, "_0_g 1")) << text;
}

TEST(Otlp, MetricsAreAsTheProtocolHasThem) {
  const auto document = nlohmann::json::parse(otlp_metrics_json(sample(), {{"service.name", "billing"}}));
  const auto& resource = document.at("resourceMetrics").at(0);
  EXPECT_EQ(resource.at("resource").at("attributes").at(0).at("value").at("stringValue"), "billing");
  const auto& metrics = resource.at("scopeMetrics").at(0).at("metrics");
  ASSERT_EQ(metrics.size(), 5U);
  EXPECT_EQ(metrics[0].at("name"), "messaging.client.sent.messages");
  EXPECT_EQ(metrics[0].at("sum").at("isMonotonic"), true);
  EXPECT_EQ(metrics[0].at("sum").at("dataPoints").size(), 2U);
  EXPECT_EQ(metrics[0].at("sum").at("dataPoints").at(1).at("asInt"), "12");
  EXPECT_EQ(metrics[2].at("gauge").at("dataPoints").at(0).at("asInt"), "-3");
  const auto& histogram = metrics[4].at("histogram").at("dataPoints").at(0);
  EXPECT_EQ(histogram.at("count"), "1");
  EXPECT_EQ(histogram.at("bucketCounts").size(), histogram.at("explicitBounds").size() + 1);
  EXPECT_EQ(histogram.at("startTimeUnixNano"), "1700000000000000000");
}

TEST(Otlp, FailuresAreLogs) {
  const auto document = nlohmann::json::parse(otlp_logs_json(sample()));
  const auto& record = document.at("resourceLogs").at(0).at("scopeLogs").at(0).at("logRecords").at(0);
  EXPECT_EQ(record.at("body").at("stringValue"), "bad \xef\xbf\xbd byte");
  EXPECT_EQ(record.at("severityText"), "ERROR");
  EXPECT_EQ(record.at("attributes").at(0).at("value").at("stringValue"), "corrupt");
  EXPECT_EQ(record.at("attributes").at(5).at("value").at("intValue"), "42");
}

}  // namespace
}  // namespace sluice
