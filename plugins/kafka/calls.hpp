// SPDX-License-Identifier: Apache-2.0
// Calls that are not answered yet. Each is answered once: by whoever carries it out, at its deadline, or by stop. What
// a call's request and result point to may be used only inside Ticket::use and Ticket::answer, which keep the others
// off meanwhile.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "plugin/call.hpp"

namespace sluice::kafka {

class Calls;

enum class CallKind { question, append, change };

class Ticket {
 public:
  Ticket(Calls& calls, plugin::Pending pending, CallKind kind);
  Ticket(const Ticket&) = delete;
  Ticket& operator=(const Ticket&) = delete;

  /// Runs `function` if the call is open; false if not. Any thread, one at a time; not from inside another use().
  template <class Function>
  bool use(Function&& function) {
    const std::lock_guard lock(mutex_);
    if (!pending_) return false;
    function();
    return true;
  }
  /// Ends the call with the Status that `fill` gives, if it is open.
  template <class Fill>
  bool answer_with(Fill&& fill) {
    {
      const std::lock_guard lock(mutex_);
      if (!pending_) return false;
      pending_.complete(fill());
    }
    ended();
    return true;
  }
  bool answer(const Status& status) {
    return answer_with([&]() -> const Status& { return status; });
  }
  bool is_open() {
    return use([] {});
  }
  int64_t deadline_ns() const { return deadline_ns_; }
  CallKind kind() const { return kind_; }

 private:
  friend class Calls;
  void ended();

  Calls& calls_;
  const int64_t deadline_ns_;
  const CallKind kind_;
  std::mutex mutex_;
  plugin::Pending pending_;                                          // guarded by mutex_
  std::multimap<int64_t, std::shared_ptr<Ticket>>::iterator place_;  // guarded by Calls::mutex_
  bool placed_ = false;                                              // guarded by Calls::mutex_
};

using TicketPtr = std::shared_ptr<Ticket>;

class Calls {
 public:
  Calls() = default;
  Calls(const Calls&) = delete;
  Calls& operator=(const Calls&) = delete;
  ~Calls();

  /// The call as a ticket, which answers it from now on; nullptr while closed, and the call is as before.
  TicketPtr open(plugin::Call& call, CallKind kind);

  /// Lets calls in, or not.
  void admit(bool yes);
  /// Answers those that are open: what changes something UNKNOWN, others UNAVAILABLE. `appends` too, or not.
  void end_all(bool appends);
  /// Waits until none is open; false if the deadline came first.
  bool wait_for_none(int64_t deadline_ns);
  size_t open_count();

 private:
  friend class Ticket;
  static Status late(CallKind kind, const char* why);
  void remove(Ticket& ticket);
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::condition_variable none_;
  std::multimap<int64_t, TicketPtr> open_;  // by deadline; guarded by mutex_
  bool admitted_ = false;                   // guarded by mutex_
  bool ending_ = false;                     // guarded by mutex_
  std::thread thread_;                      // started with the first call; guarded by mutex_
};

}  // namespace sluice::kafka
