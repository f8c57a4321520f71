// SPDX-License-Identifier: Apache-2.0
// The host's watchdog: deadlines of calls, and pauses before a fence is tried again. One thread serves the whole
// process; tests bring timers with a clock of their own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <vector>

#include "base/loop.hpp"

namespace sluice::host {

/// Any thread, unless said otherwise.
class Timers {
 public:
  /// One deadline, part of what it is for. After arm() it must stay alive until disarm() said true or expired()
  /// returned.
  class Entry {
   public:
    virtual ~Entry() = default;

   protected:
    /// The deadline passed. On the timers' thread, without their lock: posts, never waits.
    virtual void expired() = 0;

   private:
    friend class Timers;
    static constexpr size_t kNotArmed = SIZE_MAX;
    int64_t due_ns_ = 0;
    size_t index_ = kNotArmed;  // in the heap
  };

  virtual ~Timers() = default;
  /// Nanoseconds of CLOCK_MONOTONIC, or what a test puts in its place.
  virtual int64_t now_ns() const = 0;
  /// Has `entry` expire at `due_ns`. It must not be armed already.
  void arm(Entry& entry, int64_t due_ns);
  /// True: it will not expire. False: it has, or is about to, or was never armed.
  bool disarm(Entry& entry);
  /// Runs `job` soon on the timers' thread: for endings that must not happen where they were noticed.
  void post(Job job);

 protected:
  /// Something became due earlier than before. With the lock held.
  virtual void changed() = 0;
  /// Runs one job or one entry that is due at `now`; false if there is none. `lock` holds mutex_, and holds it again
  /// after.
  bool run_one(std::unique_lock<std::mutex>& lock, int64_t now);
  /// When the next thing is due; INT64_MAX: nothing. With the lock held.
  int64_t next_due() const;

  mutable std::mutex mutex_;  // guards the heap and the jobs

 private:
  void place(size_t index, Entry* entry);
  void rise(size_t index);
  void sink(size_t index);

  std::vector<Entry*> heap_;
  std::deque<Job> jobs_;
};

/// The process's timers, on a thread that starts with their first use and lives as long as the process.
Timers& process_timers();

/// Timers that a test moves by hand.
class ManualTimers final : public Timers {
 public:
  int64_t now_ns() const override;
  /// Runs all that is due, on this thread. Returns how many things ran.
  size_t run_due();
  /// Moves the clock, deadline by deadline, and runs what becomes due.
  void advance_ms(int64_t by);

 private:
  void changed() override {}
  int64_t now_ns_ = 1'000'000'000;  // guarded by mutex_
};

}  // namespace sluice::host
