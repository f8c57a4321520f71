// SPDX-License-Identifier: Apache-2.0
// The storage's one thread: jobs that other threads post, timers, and the socket of the connection, in one epoll. All
// state of logs and of the connection lives on it, so that none of it needs a lock.
//
// Invariant: nothing on this thread waits for anything but epoll; a thread that posts never waits for the socket.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "base/loop.hpp"

namespace sluice::jetstream {

/// CLOCK_MONOTONIC.
int64_t monotonic_ns();
constexpr int64_t kNsPerMs = 1'000'000;
/// For "never".
constexpr int64_t kNoDeadlineNs = INT64_MAX;

/// What the loop asks the owner of its socket. Loop thread.
class Source {
 public:
  virtual ~Source() = default;
  /// The loop is about to wait: writes what is buffered, ends what is overdue. Returns when it must be asked again at
  /// the latest (CLOCK_MONOTONIC ns).
  virtual int64_t before_wait() = 0;
  /// The socket is readable or has failed.
  virtual void readable() = 0;
};

/// post, is_current, now_ms, wake: any thread. All else: the loop's thread, but for start and stop.
class EventLoop final : public Loop {
 public:
  EventLoop();
  ~EventLoop() override;
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  void post(Job job) override;
  TimerId call_after(int64_t delay_ms, Job job) override;
  bool cancel(TimerId id) override;
  bool is_current() const override { return std::this_thread::get_id() == thread_.get_id(); }
  int64_t now_ms() const override { return monotonic_ns() / kNsPerMs; }

  /// Makes a waiting loop ask its source again.
  void wake();
  /// Polls `fd` for reading, and for writing while `writing`; -1: nothing. The source outlives the polling.
  void attach(Source* source, int fd);
  void want_write(bool writing);
  void detach();

 private:
  struct Key {
    int64_t due_ms;
    TimerId id;
    auto operator<=>(const Key&) const = default;
  };
  void run();
  bool run_jobs();
  void run_timers();
  void wait(int64_t until_ns);

  int epoll_ = -1;
  int event_ = -1;
  Source* source_ = nullptr;
  int fd_ = -1;
  bool writing_ = false;
  std::map<Key, Job> timers_;
  TimerId last_timer_ = 0;

  std::mutex mutex_;
  std::vector<Job> jobs_;  // guarded by mutex_
  bool stopping_ = false;  // guarded by mutex_
  std::atomic<bool> asleep_{false};
  std::thread thread_;
};

}  // namespace sluice::jetstream
