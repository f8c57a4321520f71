// SPDX-License-Identifier: Apache-2.0
// The broker's own state is kept in logs too. A StateMachine is rebuilt by replaying its StateLog from the newest snapshot;
// afterwards every change is a record that is appended first, made durable, and only then applied, in log order.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/loop.hpp"
#include "base/status.hpp"

namespace sluice::storage {

/// Deterministic state. Called by one StateLog, one call at a time, on whichever thread the log's completions run: a state
/// machine that others read guards itself.
class StateMachine {
 public:
  virtual ~StateMachine() = default;
  /// Back to the empty state: a replay from a snapshot, or from the start, follows.
  virtual void reset() = 0;
  /// One record, in log order, each exactly once after reset. `offset` is the record's place in the log; `timestamp_ms` the
  /// wall clock of the broker that wrote it. A record that it cannot read is an error: the log stops there, it never skips.
  virtual Status apply(std::string_view record, int64_t offset, int64_t timestamp_ms) = 0;
  /// Records that, applied after reset, give the present state.
  virtual std::vector<std::string> snapshot() const = 0;
};

/// The log of one StateMachine.
class StateLog {
 public:
  virtual ~StateLog() = default;
  /// Appends `records` as one atomic batch. `done` runs on `executor` exactly once, after they are durable and applied (ok), or
  /// with the reason why they are not and never will be. Several calls are applied in the order of the calls. Any thread.
  virtual void append(std::vector<std::string> records, Executor& executor, UniqueFunction<void(Status)> done) = 0;
};

}  // namespace sluice::storage
