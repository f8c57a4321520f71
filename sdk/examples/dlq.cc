// SPDX-License-Identifier: Apache-2.0
// Records that cannot be handled go to a dead letter queue; its sink is down at first. Any sink of the library will do;
// this one prints.
#include "sluice/dlq.hpp"

#include <atomic>
#include <cstdio>
#include <memory>
#include <string>

namespace {

class PrintingSink final : public sluice::Sink {
 public:
  void deliver(sluice::EventBatch batch, Delivered done) override {
    sluice::Delivery delivery;
    if (++attempts_ < 3) {
      delivery.status = sluice::Status(sluice::StatusCode::unavailable, "starting");
      return done(delivery);
    }
    batch.each([&](const sluice::Record& record) {
      std::printf("%s:", std::string(sluice::as_text(*record.value)).c_str());
      record.headers.each([](const sluice::Header& header) {
        std::printf(" %s=%s", std::string(header.name).c_str(), std::string(sluice::as_text(*header.value)).c_str());
        return true;
      });
      std::printf("\n");
    });
    done(delivery);
  }

 private:
  std::atomic<int> attempts_{0};
};

}  // namespace

int main() {
  sluice::DeadLetterSettings settings;
  settings.max_records = 1'000;
  const auto queue = sluice::DeadLetterQueue::open(settings, std::make_shared<PrintingSink>());
  if (!queue) return 1;
  for (int i = 0; i < 3; ++i) {
    const std::string value = "order " + std::to_string(i);
    sluice::Record record;
    record.position = i;
    record.value = sluice::as_bytes(value);
    sluice::DeadLetterCause cause;
    cause.status = sluice::Status(sluice::StatusCode::corrupt, "byte 17: no JSON");
    cause.source = "orders-0";
    if (!(*queue)->offer(record, cause)) return 1;
  }
  const sluice::Status closed = (*queue)->close(10'000);
  const sluice::DeadLetterCounters counters = (*queue)->counters();
  std::printf("%lu sent after %lu retries\n", static_cast<unsigned long>(counters.sent),
              static_cast<unsigned long>(counters.retries));
  return closed && counters.sent == 3 && counters.retries == 2 ? 0 : 1;
}
