// SPDX-License-Identifier: Apache-2.0
// Reads of file ranges that are not in the page cache, on threads of their own, because such a read may take
// milliseconds and a loop may not. The threads start with the first read.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "base/bytes.hpp"
#include "base/loop.hpp"

namespace sluice::net {

/// What a read gave: fewer bytes than asked for only at the file's end, or none and an errno.
struct ColdRead {
  Buffer bytes;
  int error = 0;
};

/// Thread-safe. Its queue is as long as there are callers: each connection asks for one read at a time.
class ColdReads {
 public:
  static constexpr size_t kMaxThreads = 4;

  ColdReads() = default;
  /// stop().
  ~ColdReads() { stop(); }

  /// Reads `length` bytes of `fd` at `position`, then posts `done` to `executor`. The caller keeps `fd` open until
  /// then. After stop(), `done` is destroyed unrun.
  void read(int fd, uint64_t position, size_t length, Executor& executor, UniqueFunction<void(ColdRead)> done);
  /// Ends the threads; reads that had not begun are dropped. Not from a loop.
  void stop();

 private:
  struct Order {
    int fd;
    uint64_t position;
    size_t length;
    Executor* executor;
    UniqueFunction<void(ColdRead)> done;
  };
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Order> orders_;          // guarded by mutex_
  std::vector<std::thread> threads_;  // guarded by mutex_
  size_t idle_ = 0;                   // guarded by mutex_
  bool stopped_ = false;              // guarded by mutex_
};

}  // namespace sluice::net
