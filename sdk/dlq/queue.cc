// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <random>
#include <thread>

#include "base/thread.hpp"
#include "dlq/pump.hpp"
#include "dlq/validate.hpp"
#include "sluice/dlq.hpp"

namespace sluice {
namespace {

constexpr int64_t kMaxCloseMs = 86'400'000;

int64_t steady_now_ms() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

}  // namespace

struct DeadLetterQueue::Impl {
  std::shared_ptr<dlq::Pump> pump;
  std::function<void(std::string_view)> log;
  std::atomic<bool> ending{false};
  std::thread thread;
  Observing observing;  // of the pump

  void work() {
    while (!ending.load()) {
      const uint64_t seen = pump->turn();
      const int64_t wait_ms = pump->run();
      if (!ending.load()) pump->wait(wait_ms, seen);
    }
  }
};

DeadLetterQueue::DeadLetterQueue(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Result<std::unique_ptr<DeadLetterQueue>> DeadLetterQueue::open(DeadLetterSettings settings,
                                                               std::shared_ptr<Sink> sink) {
  if (Status status = dlq::validate(settings); !status) return fail(std::move(status));
  if (sink == nullptr) return fail(StatusCode::invalid, "dlq.sink: none");
  if (!settings.now_ms) settings.now_ms = steady_now_ms;
  if (!settings.random)
    settings.random = [engine = std::mt19937_64(std::random_device()())]() mutable { return engine(); };
  auto impl = std::make_unique<Impl>();
  impl->log = settings.log;
  const std::shared_ptr<Telemetry> telemetry = settings.telemetry;
  const bool own_thread = settings.own_thread;
  impl->pump = std::make_shared<dlq::Pump>(std::move(settings), std::move(sink));
  if (telemetry) {
    impl->observing = telemetry->observe([pump = impl->pump.get()](Observations& to) { pump->report(to); });
  }
  if (own_thread) impl->thread = start_thread("sluice-dlq", [raw = impl.get()] { raw->work(); });
  return std::unique_ptr<DeadLetterQueue>(new DeadLetterQueue(std::move(impl)));
}

DeadLetterQueue::~DeadLetterQueue() {
  impl_->pump->refuse();
  impl_->ending = true;
  impl_->pump->turn_over();
  if (impl_->thread.joinable()) impl_->thread.join();
  const DeadLetterCounters counters = impl_->pump->counters();
  const uint64_t left = counters.waiting + counters.in_flight;
  if (left > 0 && impl_->log) {
    impl_->log(fmt::format("dead letter queue destroyed without close: {} records given up, {} of them with the sink{}",
                           left, counters.in_flight,
                           counters.opening ? "" : ", which does not open: " + counters.opening.describe()));
  }
}

Status DeadLetterQueue::offer(const Record& record, const DeadLetterCause& cause) {
  return impl_->pump->offer(record, cause);
}

int64_t DeadLetterQueue::run() {
  return impl_->thread.joinable() ? kIdleMs : impl_->pump->run();
}

DeadLetterCounters DeadLetterQueue::counters() const {
  return impl_->pump->counters();
}

Status DeadLetterQueue::close(int64_t timeout_ms) {
  impl_->pump->refuse();
  const auto timeout = std::chrono::milliseconds(std::clamp<int64_t>(timeout_ms, 0, kMaxCloseMs));
  return impl_->pump->close(std::chrono::steady_clock::now() + timeout, !impl_->thread.joinable());
}

}  // namespace sluice
