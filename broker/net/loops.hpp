// SPDX-License-Identifier: Apache-2.0
// The event loops of the broker: N threads, each with its own sluice::Loop, on which connections and all else that must
// not block run.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "base/loop.hpp"

namespace sluice::net {

class AsioLoop;

/// Starts its threads at once. Thread-safe, but for stop() and destruction.
class LoopPool {
 public:
  static constexpr size_t kMaxLoops = 256;

  /// `count` loops; 0: one per core. Threads are named `name`-0, `name`-1, ... (15 characters at most). More than
  /// kMaxLoops is kMaxLoops.
  explicit LoopPool(size_t count = 0, const std::string& name = "loop");
  /// stop().
  ~LoopPool();

  size_t size() const { return loops_.size(); }
  Loop& at(size_t index);

  /// Ends the threads after the job each is running; jobs and timers left over are destroyed unrun. Not from a loop.
  /// Later calls do nothing. at() stays valid, posts are dropped.
  void stop();

  /// For the network's own sources.
  AsioLoop& asio_at(size_t index) { return *loops_[index]; }

 private:
  std::vector<std::unique_ptr<AsioLoop>> loops_;
};

}  // namespace sluice::net
