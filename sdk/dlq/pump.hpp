// SPDX-License-Identifier: Apache-2.0
// The queue itself: letters that wait, one batch that is with the sink or waits for its next attempt, and the sink,
// which is opened first. One batch at a time keeps the order on any sink. Held by shared_ptr, as the sink may answer
// late. Any thread; the sink is called by run() alone, without the lock.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "bus/batch_builder.hpp"
#include "dlq/letter.hpp"
#include "sluice/dlq.hpp"
#include "sluice/telemetry.hpp"

namespace sluice::dlq {

class Pump : public std::enable_shared_from_this<Pump> {
 public:
  /// `settings` are whole and valid, its clocks and randomness there.
  Pump(DeadLetterSettings settings, std::shared_ptr<Sink> sink);

  Status offer(const Record& record, const DeadLetterCause& cause);
  int64_t run();
  DeadLetterCounters counters() const;
  void report(Observations& to) const;

  /// From now on offers are refused.
  void refuse();
  /// Waits until nothing is held and the sink has closed; `help`: runs the queue itself. BUSY: not by then.
  Status close(std::chrono::steady_clock::time_point deadline, bool help);
  /// Waits as long as run() said, or until there is something new since `seen`.
  void wait(int64_t ms, uint64_t seen);
  /// Rises with whatever might give run() something to do.
  uint64_t turn() const;
  void turn_over();

 private:
  enum class Gate { cold, opening, open, failed, closing, closed };

  // A batch. Its bytes live as long as an answer may come.
  struct Flight {
    explicit Flight(uint64_t first_sequence) : builder("dlq", 1, 0, first_sequence) {}
    bus::BatchBuilder builder;
    size_t count = 0;
    size_t settled = 0;
    uint64_t held_bytes = 0;
    uint32_t attempt = 0;
    bool with_sink = false;
    int64_t given_ns = 0;  // to the sink, by the meter's clock
  };
  class Answer;

  bool step(int64_t& wait_ms);
  std::shared_ptr<Flight> build();
  void opened(Status status, int64_t asked_ns);
  void answered(const std::shared_ptr<Flight>& flight, Delivery delivery);
  void closed(Status status);
  void fail(size_t count, const Status& why);
  std::optional<int64_t> retry_in(const RetryPolicy& policy, const Status& why, Effect effect);
  bool idle() const { return waiting_.empty() && flight_ == nullptr; }

  const DeadLetterSettings settings_;
  const std::shared_ptr<Sink> sink_;
  const SinkTraits traits_;
  const std::optional<OperationMeter> meter_;          // of deliveries
  const std::optional<OperationMeter> opening_meter_;  // of the sink

  mutable std::mutex mutex_;
  std::condition_variable turned_;
  uint64_t turn_ = 0;  // guarded by mutex_, as is what follows
  Gate gate_ = Gate::cold;
  bool refusing_ = false;
  bool running_ = false;
  std::deque<Letter> waiting_;
  std::shared_ptr<Flight> flight_;
  uint64_t next_sequence_ = 0;
  int64_t last_timestamp_ns_ = 0;
  int64_t due_ms_ = 0;    // when the sink may be called again
  uint32_t retries_ = 0;  // since the last progress
  Status close_status_;
  DeadLetterCounters counters_;
  std::map<StatusCode, uint64_t> dropped_;  // of counters_.dropped
};

}  // namespace sluice::dlq
