// SPDX-License-Identifier: Apache-2.0
// The adapter's I/O thread: sockets, timers, jobs from other threads, and coroutines that wait for replies. All that
// talks to the server runs here, so that logs and connections need no locks.
//
// Jobs and resumed coroutines run between two looks at the sockets; what they send is written once, after all of them.
// "Thread: reactor" below means this one's thread.
#pragma once

#include <array>
#include <atomic>
#include <coroutine>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/loop.hpp"
#include "base/status.hpp"

struct epoll_event;

namespace sluice::redis {

/// CLOCK_MONOTONIC, nanoseconds.
int64_t now_ns();
inline constexpr int64_t kNsPerMs = 1'000'000;

class Reactor final : public Executor {
 public:
  /// What happens to a socket. Thread: reactor.
  class Source {
   public:
    virtual ~Source() = default;
    virtual void on_events(uint32_t events) = 0;
    /// Asked for by flush_later(): everything that was to be done for now is done.
    virtual void on_flush() = 0;
  };

  Reactor() = default;
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;
  ~Reactor() override;

  /// Starts the thread. May be repeated after stop().
  Status start(const std::string& name);
  /// Runs what is queued and ends the thread. Timers that have not fired never will. Not from the thread itself.
  void stop();

  /// Any thread.
  void post(Job job) override;
  /// Any thread.
  bool is_current() const { return std::this_thread::get_id() == thread_id_.load(); }

  // Thread: reactor.
  /// Waits for EPOLLIN, and for EPOLLOUT while `writable`. Again with another `writable` to change it.
  void watch(int fd, Source& source, bool writable);
  void unwatch(int fd, Source& source);
  /// on_flush() of `source`, once, before the next sleep.
  void flush_later(Source& source) { flushes_.push_back(&source); }
  /// Resumes `waiter` soon, not before this returns.
  void resume(std::coroutine_handle<> waiter) { ready_.push_back(waiter); }
  TimerId call_after(int64_t delay_ms, Job job);
  void cancel(TimerId id);

 private:
  static constexpr int kMaxEvents = 64;

  void run();
  bool take_jobs();
  void run_ready();
  void run_timers();
  void run_flushes();
  int sleep_ms();
  void dispatch(int timeout_ms);

  int epoll_ = -1;
  int wakeup_ = -1;
  std::thread thread_;
  std::atomic<std::thread::id> thread_id_{};

  std::mutex mutex_;
  std::vector<Job> jobs_;  // guarded by mutex_
  bool sleeping_ = false;  // guarded by mutex_
  bool ending_ = false;    // guarded by mutex_
  bool running_ = false;   // guarded by mutex_

  std::vector<Job> taken_;
  std::vector<std::coroutine_handle<>> ready_;
  std::vector<Source*> flushes_;
  std::multimap<int64_t, std::pair<TimerId, Job>> timers_;
  std::map<TimerId, std::multimap<int64_t, std::pair<TimerId, Job>>::iterator> timer_of_;
  TimerId next_timer_ = 1;
  epoll_event* events_ = nullptr;  // of the dispatch that is under way
  int event_count_ = 0;
};

/// Something that one coroutine waits for and that happens at most once per wait. Thread: reactor.
class Event {
 public:
  explicit Event(Reactor& reactor) : reactor_(reactor) {}
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  /// Wakes the waiter; with none, the next wait() ends at once.
  void fire() {
    if (waiter_) {
      reactor_.resume(std::exchange(waiter_, nullptr));
    } else {
      fired_ = true;
    }
  }
  void clear() { fired_ = false; }

  auto wait() {
    struct Awaiter {
      Event& event;
      bool await_ready() noexcept { return std::exchange(event.fired_, false); }
      void await_suspend(std::coroutine_handle<> waiter) noexcept { event.waiter_ = waiter; }
      void await_resume() noexcept {}
    };
    return Awaiter{*this};
  }

 private:
  Reactor& reactor_;
  std::coroutine_handle<> waiter_;
  bool fired_ = false;
};

}  // namespace sluice::redis
