// SPDX-License-Identifier: Apache-2.0
// What happens, how often, how long it takes and why it fails, under the names of OpenTelemetry's conventions for
// messaging. Instruments are made once and then used from any thread without locks: a counter's add() is one atomic
// addition in a cell that few threads share. Who counts himself already (the bus, the consumer, a limiter and others)
// is an observer, asked when a snapshot is taken, and costs nothing in between. snapshot() may be taken at any time,
// and printed for Prometheus or OTLP.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sluice/export.hpp"
#include "sluice/status.hpp"

namespace sluice {

/// OpenTelemetry's names for what messaging clients measure, and for what tells measurements apart.
namespace semconv {
inline constexpr std::string_view kSentMessages = "messaging.client.sent.messages";
inline constexpr std::string_view kConsumedMessages = "messaging.client.consumed.messages";
inline constexpr std::string_view kOperationDuration = "messaging.client.operation.duration";
inline constexpr std::string_view kSystem = "messaging.system";
inline constexpr std::string_view kOperationName = "messaging.operation.name";
inline constexpr std::string_view kDestinationName = "messaging.destination.name";
inline constexpr std::string_view kPartitionId = "messaging.destination.partition.id";
inline constexpr std::string_view kConsumerGroup = "messaging.consumer.group.name";
inline constexpr std::string_view kErrorType = "error.type";
inline constexpr std::string_view kOverflow = "otel.metric.overflow";
}  // namespace semconv

using Attributes = std::vector<std::pair<std::string, std::string>>;

namespace telemetry_detail {
inline constexpr uint32_t kCells = 16;
SLUICE_API uint32_t assign_cell();  // 1 to kCells, by turns
inline uint32_t cell() {
  thread_local uint32_t mine = 0;
  if (mine == 0) mine = assign_cell();
  return mine - 1;
}
}  // namespace telemetry_detail

/// Only rises. Any thread.
class Counter {
 public:
  void add(uint64_t count = 1) { cells_[telemetry_detail::cell()].value.fetch_add(count, std::memory_order_relaxed); }
  uint64_t value() const {
    uint64_t sum = 0;
    for (const Cell& cell : cells_) sum += cell.value.load(std::memory_order_relaxed);
    return sum;
  }

 private:
  struct alignas(64) Cell {
    std::atomic<uint64_t> value{0};
  };
  std::array<Cell, telemetry_detail::kCells> cells_;
};

/// A level. Any thread.
class Gauge {
 public:
  void set(int64_t value) { value_.store(value, std::memory_order_relaxed); }
  void add(int64_t by) { value_.fetch_add(by, std::memory_order_relaxed); }
  int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> value_{0};
};

/// Counts of durations in buckets, four to each doubling from 128 ns to 137 s: quantiles are right within 25%.
struct DurationCounts {
  static constexpr size_t kBuckets = 122;
  std::array<uint64_t, kBuckets> buckets{};
  uint64_t count = 0;
  uint64_t sum_ns = 0;

  /// The bucket of a duration, and the first duration, in nanoseconds, that is above a bucket (the last has no end).
  SLUICE_API static size_t bucket_of(uint64_t nanos);
  SLUICE_API static uint64_t end_of(size_t bucket);
  /// An upper bound of the `q` quantile (0 to 1) in nanoseconds; 0 when there is nothing.
  SLUICE_API uint64_t quantile_ns(double q) const;
};

/// Any thread.
class Durations {
 public:
  SLUICE_API void record_ns(int64_t nanos);  // below 0 counts as 0
  SLUICE_API DurationCounts counts() const;

 private:
  static constexpr uint32_t kShares = 4;
  struct alignas(64) Share {
    std::array<std::atomic<uint64_t>, DurationCounts::kBuckets> buckets{};
    std::atomic<uint64_t> sum_ns{0};
  };
  std::array<Share, kShares> shares_;
};

/// An operation that did not work out: why, where, and how long it had taken.
struct FailureEvent {
  std::string operation;
  std::string adapter;
  std::string shard;
  StatusCode code = StatusCode::internal;
  int64_t native_code = 0;
  std::string text;        // cut to kMaxFailureTextBytes
  int64_t elapsed_ns = 1;  // always above 0
  int64_t at_ns = 0;       // since the epoch
};
inline constexpr size_t kMaxFailureTextBytes = 1'024;

struct Metric {
  enum class Kind { counter, gauge, durations };
  Kind kind = Kind::counter;
  std::string name;
  std::string unit;  // UCUM: "{message}", "By", "s"
  Attributes attributes;
  uint64_t count = 0;        // counter
  int64_t level = 0;         // gauge
  DurationCounts durations;  // durations
};

struct TelemetrySnapshot {
  int64_t started_ns = 0;  // since the epoch, as at_ns
  int64_t at_ns = 0;
  std::vector<Metric> metrics;         // in order of names, then attributes
  std::vector<FailureEvent> failures;  // the last ones, oldest first
  uint64_t failures_forgotten = 0;     // older ones that are no longer among them
};

struct TelemetrySettings {
  size_t max_instruments = 4'000;  // 1 to 100,000; what is beyond shares one instrument per name, marked kOverflow
  size_t max_failures = 256;       // kept: 1 to 10,000
  std::function<int64_t()> monotonic_ns{};  // clocks, any thread; empty: the machine's
  std::function<int64_t()> wall_ns{};
};

/// Times one kind of operation on one adapter and shard; a small value, to be made once and kept while its Telemetry
/// lives. Any thread.
class OperationMeter {
 public:
  /// What succeed() and fail() want to know: when the operation began.
  SLUICE_API int64_t start() const;
  SLUICE_API void succeed(int64_t started) const;
  /// Its duration, one more of its cause, and a failure event. An ok status is told as INTERNAL.
  SLUICE_API void fail(int64_t started, const Status& why) const;

 private:
  friend class Telemetry;
  class Telemetry* telemetry_ = nullptr;
  Durations* durations_ = nullptr;
  std::shared_ptr<const FailureEvent> template_;
};

/// What observers say in, each series once per call; series of several observers, or of an instrument, are added up.
/// One thread at a time.
class Observations {
 public:
  /// Since the observer was there; only rises.
  SLUICE_API void counter(std::string_view name, uint64_t count, Attributes attributes = {},
                          std::string_view unit = "{message}");
  SLUICE_API void gauge(std::string_view name, int64_t level, Attributes attributes = {}, std::string_view unit = "1");

 private:
  friend class Telemetry;
  friend class Observing;
  struct Impl;
  explicit Observations(Impl& impl) : impl_(impl) {}
  Impl& impl_;
};

/// Tells what is counted elsewhere. Called by snapshots, by one thread at a time, without the lock of instruments; must
/// not throw, take a snapshot, or make or end an observation.
using Observer = std::function<void(Observations&)>;

/// Keeps an observer at its Telemetry, which must live longer. At its end the observer is called once more: its
/// counters stay as instruments, its levels go, and it is not called again.
class Observing {
 public:
  Observing() = default;
  SLUICE_API ~Observing();
  Observing(Observing&& other) noexcept
      : telemetry_(std::exchange(other.telemetry_, nullptr)), number_(other.number_) {}
  SLUICE_API Observing& operator=(Observing&& other) noexcept;

 private:
  friend class Telemetry;
  class Telemetry* telemetry_ = nullptr;
  uint64_t number_ = 0;
};

/// Any thread. Instruments live as long as it.
class Telemetry {
 public:
  /// INVALID names the field.
  SLUICE_API static Result<std::unique_ptr<Telemetry>> make(TelemetrySettings settings = {});
  SLUICE_API ~Telemetry();

  /// The instrument of that name and those attributes (whose order does not matter), made when first asked for. Takes a
  /// lock: keep the reference. A name is of one kind: asked for as another, it is an instrument that nobody reports,
  /// and counted in sluice.telemetry.conflicts.
  SLUICE_API Counter& counter(std::string_view name, Attributes attributes = {}, std::string_view unit = "{message}");
  SLUICE_API Gauge& gauge(std::string_view name, Attributes attributes = {}, std::string_view unit = "1");
  SLUICE_API Durations& durations(std::string_view name, Attributes attributes = {});

  /// Reports semconv::kOperationDuration by operation and adapter, sluice.failures by cause too, and failure events.
  SLUICE_API OperationMeter meter(std::string_view operation, std::string_view adapter, std::string_view shard);
  /// elapsed_ns below 1 becomes 1, at_ns of 0 becomes now.
  SLUICE_API void failure(FailureEvent event);

  /// Asks `observer` in every snapshot from now on.
  [[nodiscard]] SLUICE_API Observing observe(Observer observer);

  SLUICE_API TelemetrySnapshot snapshot() const;

 private:
  friend class OperationMeter;
  friend class Observing;
  struct Impl;
  explicit Telemetry(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// The text format of Prometheus (0.0.4), names translated by OpenTelemetry's rules for it; without failure events.
SLUICE_API std::string prometheus_text(const TelemetrySnapshot& snapshot);
/// Bodies for an OTLP/HTTP receiver's v1/metrics and v1/logs (failure events), encoded as JSON.
SLUICE_API std::string otlp_metrics_json(const TelemetrySnapshot& snapshot, const Attributes& resource = {});
SLUICE_API std::string otlp_logs_json(const TelemetrySnapshot& snapshot, const Attributes& resource = {});

}  // namespace sluice
