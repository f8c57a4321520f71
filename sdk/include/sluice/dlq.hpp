// SPDX-License-Identifier: Apache-2.0
// A dead letter queue: records that could not be handled go to a sink, as they were, with the cause in headers behind
// their own. Bounded in records and bytes; what the sink cannot take now is tried again by the class of its error, with
// growing, jittered delays; what becomes of each record is counted. At any moment
//
//     offered = dropped + sent + failed + waiting + in_flight
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "sluice/export.hpp"
#include "sluice/record.hpp"
#include "sluice/retry.hpp"
#include "sluice/sink.hpp"
#include "sluice/status.hpp"

namespace sluice {

class Telemetry;

/// Headers that tell the cause, behind the record's own, each a text; numbers in decimal digits.
namespace dlq {
inline constexpr std::string_view kCauseHeader = "sluice.dlq.cause";             // name of the status code
inline constexpr std::string_view kTextHeader = "sluice.dlq.text";               // cut to kMaxTextBytes
inline constexpr std::string_view kNativeCodeHeader = "sluice.dlq.native_code";  // unless 0
inline constexpr std::string_view kSourceHeader = "sluice.dlq.source";
inline constexpr std::string_view kPartitionHeader = "sluice.dlq.partition";
inline constexpr std::string_view kPositionHeader = "sluice.dlq.position";
inline constexpr std::string_view kTimestampHeader = "sluice.dlq.timestamp_ns";  // the record's own, unless it has none
inline constexpr std::string_view kAttemptsHeader = "sluice.dlq.attempts";
inline constexpr size_t kMaxTextBytes = 1'024;
inline constexpr size_t kMaxRecords = 10'000'000;
inline constexpr uint32_t kMaxInFlight = 100'000;
inline constexpr size_t kMaxNameBytes = 200;
}  // namespace dlq

struct DeadLetterCause {
  Status status;            // why it could not be handled
  std::string_view source;  // where the record is from: a Source's id
  uint32_t attempts = 1;    // at handling it
};

struct DeadLetterSettings {
  size_t max_records = 10'000;         // held, in flight included: 1 to dlq::kMaxRecords; the next are dropped
  uint64_t max_bytes = 64 << 20;       // of them, causes included: at least 1
  uint32_t max_in_flight = 256;        // given to the sink and not answered: 1 to dlq::kMaxInFlight
  RetryPolicy retry;                   // of what fails with UNAVAILABLE or BUSY, and with UNKNOWN where the sink
                                       // deduplicates; counted from the last progress. Opening the sink is tried again
                                       // by its delays without end, after UNKNOWN too: records wait within the limits
  bool own_thread = true;              // false: the application calls run()
  std::function<int64_t()> now_ms{};   // never goes back, any thread; empty: the machine's clock
  std::function<uint64_t()> random{};  // for jitter; not called by two threads at once; empty: seeded by the system
  std::function<void(std::string_view)> log{};  // a line when records are given up at destruction
  std::string name = "dlq";                     // in telemetry: 1 to dlq::kMaxNameBytes
  /// Hears of every delivery and opening how long it took and why it failed; asks for the counters with a snapshot
  /// (sluice.dlq.*, `dropped` by cause, semconv::kSentMessages). Null: none.
  std::shared_ptr<Telemetry> telemetry{};
};

struct DeadLetterCounters {
  uint64_t offered = 0;
  uint64_t dropped = 0;  // refused by offer(): no room, too large, closing
  uint64_t sent = 0;     // the sink has them
  uint64_t failed = 0;   // the sink will never have them: refused, an error that is not retried, retries used up
  uint64_t retries = 0;  // deliveries and openings that were tried again
  uint64_t waiting = 0;
  uint64_t in_flight = 0;
  uint64_t held_bytes = 0;  // of those waiting and in flight
  Status last_failure;      // why the last of `failed` did
  Status opening;           // why the sink is not open; ok: it is, or nobody has tried
};

/// Any thread. The sink is called by one thread at a time, without any lock held.
class DeadLetterQueue {
 public:
  /// INVALID names the field. The sink is opened when the first record comes. One that may not be opened (DENIED,
  /// INVALID, ...) is asked once, and all records fail then, those still to come too.
  SLUICE_API static Result<std::unique_ptr<DeadLetterQueue>> open(DeadLetterSettings settings,
                                                                  std::shared_ptr<Sink> sink);
  /// Without close() before, what is still held is given up, and the log told how many.
  SLUICE_API ~DeadLetterQueue();
  DeadLetterQueue(const DeadLetterQueue&) = delete;
  DeadLetterQueue& operator=(const DeadLetterQueue&) = delete;

  /// Copies the record. BUSY: no room; TOO_LARGE: never will be; FENCED: closed. It is dropped then, and counted.
  SLUICE_API Status offer(const Record& record, const DeadLetterCause& cause);

  /// With own_thread = false: does what is due and returns the milliseconds until more is, at most kIdleMs; sooner when
  /// a record is offered or the sink answers. Calls at the same time do nothing.
  SLUICE_API int64_t run();
  static constexpr int64_t kIdleMs = 60'000;

  SLUICE_API DeadLetterCounters counters() const;

  /// Takes nothing more, waits until nothing is held, and closes the sink, once. BUSY when `timeout_ms` is over: all
  /// goes on, and it may be called again. Otherwise how the sink closed. Without own_thread, calls run().
  SLUICE_API Status close(int64_t timeout_ms);

 private:
  struct Impl;
  explicit DeadLetterQueue(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice
