// SPDX-License-Identifier: Apache-2.0
#include "limiter/tally.hpp"

#include <fmt/format.h>

#include <utility>

#include "telemetry/attributes.hpp"

namespace sluice::limiter {

Status check_name(const std::string& name) {
  if (!name.empty() && name.size() <= kMaxLimiterNameBytes) return {};
  return Status(StatusCode::invalid,
                fmt::format("limiter.name: {} bytes, not from 1 to {}", name.size(), kMaxLimiterNameBytes));
}

Tally::Tally(std::shared_ptr<Telemetry> telemetry, std::string name) : telemetry_(std::move(telemetry)) {
  if (!telemetry_) return;
  observing_ = telemetry_->observe([this, name = std::move(name)](Observations& to) {
    const Attributes of = telemetry::named(kTelemetrySystem, semconv::kDestinationName, name);
    const LimiterCounters now = counters();
    to.counter("sluice.limiter.allowed", now.allowed, of, "{request}");
    to.counter("sluice.limiter.refused", now.refused, of, "{request}");
    to.counter("sluice.limiter.failed", now.failed, of, "{request}");
    to.counter("sluice.limiter.invalid", now.invalid, of, "{request}");
  });
}

}  // namespace sluice::limiter
