// SPDX-License-Identifier: Apache-2.0
// Where work runs: an Executor takes jobs, a Loop is an Executor of one thread that has timers too. Broker logic sees only
// these, so that the network's event loops serve it in production and a ManualLoop with a clock of its own in tests.
#pragma once

#include <cstdint>

#include "base/unique_function.hpp"

namespace sluice {

using Job = UniqueFunction<void()>;

/// Runs jobs, each once, in the order posted by one thread.
class Executor {
 public:
  virtual ~Executor() = default;
  /// Queues `job`; never runs it before returning. Any thread. Jobs posted after the executor ended are destroyed unrun.
  virtual void post(Job job) = 0;
};

using TimerId = uint64_t;

/// One thread's executor. Jobs never run at the same time as each other.
class Loop : public Executor {
 public:
  /// Runs `job` on the loop when `delay_ms` (>= 0) have passed on the loop's clock. Loop thread only.
  virtual TimerId call_after(int64_t delay_ms, Job job) = 0;
  /// Forgets a timer that has not fired; its job is destroyed. True if it had not fired. Loop thread only.
  virtual bool cancel(TimerId id) = 0;
  /// True on the loop's own thread.
  virtual bool is_current() const = 0;
  /// Milliseconds of a clock that never goes back. Any thread.
  virtual int64_t now_ms() const = 0;
};

}  // namespace sluice
