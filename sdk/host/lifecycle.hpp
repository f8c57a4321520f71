// SPDX-License-Identifier: Apache-2.0
// The thread on which one storage's lifecycle calls run, one after the other. Whoever asks waits until a deadline; a
// call that does not come back by then keeps the thread, and the process goes on.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/loop.hpp"

namespace sluice::host {

/// Any thread.
class LifecycleWorker {
 public:
  explicit LifecycleWorker(std::string storage_name);
  /// The thread ends with the job it is in; nobody waits for it.
  ~LifecycleWorker();

  enum class Outcome {
    ended,     // the job ran to its end
    running,   // the deadline came first; the job goes on
    not_begun  // an earlier one holds the thread; this job will never run
  };
  /// Runs `job` behind those that wait already, and waits for its end until `deadline_ns` (CLOCK_MONOTONIC). [blocks]
  /// On the worker's own thread, which is a storage that ends with its last lifecycle call, it runs at once.
  Outcome run(const char* call, Job job, int64_t deadline_ns);
  /// The same without waiting.
  void post(const char* call, Job job);

  /// The call that holds the thread now; "" if none.
  std::string current() const;

 private:
  struct State;
  std::shared_ptr<State> state_;  // shared with the thread, which may outlive this object
};

}  // namespace sluice::host
