// SPDX-License-Identifier: Apache-2.0
// Counts messages, times an operation, tells a failure, and prints it all as Prometheus reads it.
#include "sluice/telemetry.hpp"

#include <cstdio>

int main() {
  const auto telemetry = sluice::Telemetry::make();
  if (!telemetry) return 1;
  sluice::Counter& sent = (*telemetry)->counter(sluice::semconv::kSentMessages, {{"messaging.system", "kafka"}});
  const sluice::OperationMeter meter = (*telemetry)->meter("send", "kafka", "orders-0");
  for (int i = 0; i < 1'000; ++i) {
    const int64_t started = meter.start();
    sent.add();
    if (i == 500) {
      meter.fail(started, sluice::Status(sluice::StatusCode::unavailable, "no leader", 5));
    } else {
      meter.succeed(started);
    }
  }
  const sluice::TelemetrySnapshot snapshot = (*telemetry)->snapshot();
  std::printf("%s", sluice::prometheus_text(snapshot).c_str());
  for (const sluice::FailureEvent& event : snapshot.failures) {
    std::printf("%s on %s, shard %s: %s, after %ld ns\n", event.operation.c_str(), event.adapter.c_str(),
                event.shard.c_str(), event.text.c_str(), static_cast<long>(event.elapsed_ns));
  }
  return sent.value() == 1'000 && snapshot.failures.size() == 1 ? 0 : 1;
}
