// SPDX-License-Identifier: Apache-2.0
// One asynchronous call into an adapter: the ticket, everything that request and result point to, and the race between
// three parties that may end it.
//
//   the caller     learns that the adapter's function returned: a final status, or PENDING
//   the adapter    calls complete(), from any thread, possibly before its function returned
//   the watchdog   finds the call overdue
//
// Whoever comes first among completion and watchdog decides what the waiter hears; the waiter hears it once: inside
// issue() if it was decided by then, else through finished() on its executor. A call that is overdue stays in memory,
// with all that it pins, until the adapter completes it; what it brings then is discarded on the timers' thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/loop.hpp"
#include "base/status.hpp"
#include "host/timers.hpp"
#include "sluice/storage_abi.h"

namespace sluice::host {

class StorageImpl;

enum class CallKind : uint8_t {
  create_log,
  delete_log,
  list_logs,
  append,
  read,
  bounds,
  locate,
  trim,
  fence,
  save,
  load,
  watch
};
constexpr size_t kCallKinds = 12;
const char* call_name(CallKind kind);

/// A result struct that the adapter fills in, with bytes behind it that it must not touch.
template <class T>
struct Guarded {
  static constexpr uint64_t kGuard = 0x5afe5afe5afe5afe;
  T value{};
  uint64_t guard[4]{};

  void prepare() {
    value = T{};
    value.size = sizeof(T);
    for (uint64_t& word : guard) word = kGuard;
  }
  bool intact() const {
    for (const uint64_t word : guard) {
      if (word != kGuard) return false;
    }
    return true;
  }
};

/// Reference counted: the waiter, the adapter while the call is pending, and the watchdog while it is armed hold one
/// each.
class Call : private Timers::Entry {
 public:
  explicit Call(CallKind kind) : kind_(kind) {}
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  CallKind kind() const { return kind_; }
  sluice_ticket* ticket() { return &block_.ticket; }

  /// Calls the adapter: `invoke()` returns its status. True: the call has ended and finished() will not be called.
  /// False: finished() will run once, on `on`, and may have run already. The call may be issued again only after it was
  /// recycled.
  template <class Invoke>
  bool issue(Executor& on, int64_t deadline_ns, Invoke&& invoke) {
    prepare(on, deadline_ns);
    return conclude_issue(guarded(std::forward<Invoke>(invoke)));
  }

  /// What the waiter hears. Once, after issue() returned true or inside finished(). Checks the adapter's manners, if
  /// asked to.
  Status conclude();
  /// After conclude(): the adapter has not let go of this call: results must not be looked at.
  bool abandoned() const { return abandoned_; }

  void add_ref() { refs_.fetch_add(1, std::memory_order_relaxed); }
  void drop_ref() {
    if (refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) recycle();
  }

  /// host->complete of the ABI.
  static void complete(sluice_ticket* ticket, sluice_status status);

 protected:
  ~Call() override = default;
  /// The call ended after issue() had returned; on the executor.
  virtual void finished() = 0;
  /// Sets up request and result for a new use.
  virtual void reset() {}
  /// Lets go of what the call pinned: both sides are through with it.
  virtual void release() {}
  /// Gives back what came with `status` when nobody waits for it any more. On the timers' thread.
  virtual void discard(sluice_status) {}
  /// Checked mode: what is wrong with the results that came with `status`; empty if nothing.
  virtual std::string fault(sluice_status) { return {}; }

  StorageImpl& storage() const { return *storage_; }

 private:
  friend class CallPool;

  static constexpr size_t kErrorTextBytes = 512;
  // Not statuses of the ABI:
  static constexpr sluice_status kThrew = INT32_MIN;        // the function threw
  static constexpr sluice_status kStopped = INT32_MIN + 1;  // the storage is not started; the adapter was not called

  /// What has happened; the status that came with it is in the upper half of the same word.
  enum Bits : uint64_t { kReturned = 1, kCompleted = 2, kOverdue = 4, kFinal = 8 };
  static uint64_t with_status(uint64_t bits, sluice_status status) {
    return (bits & 0xffffffff) | uint64_t{static_cast<uint32_t>(status)} << 32;
  }
  static sluice_status status_of(uint64_t bits) { return static_cast<sluice_status>(bits >> 32); }

  /// `ticket` comes first, so that complete() finds its way back.
  struct Block {
    sluice_ticket ticket;
    Call* call;
  };

  template <class Invoke>
  sluice_status guarded(Invoke&& invoke) {
    if (!enter()) return kStopped;
    sluice_status status = kThrew;
    try {
      status = invoke();
    } catch (const std::exception& e) {
      threw(e.what());
    } catch (...) {
      threw("something that is no std::exception");
    }
    leave();
    return status;
  }
  void prepare(Executor& on, int64_t deadline_ns);
  bool conclude_issue(sluice_status status);
  bool enter();
  void leave();
  void threw(const char* what);
  void expired() override;
  void recycle();
  static void run_finished(Call* call);
  static void run_late(Call* call, sluice_status status);

  const CallKind kind_;
  std::atomic<uint32_t> refs_{0};
  std::atomic<uint64_t> bits_{0};
  bool abandoned_ = false;
  bool pooled_ = true;
  int64_t switches_before_ = 0;  // checked mode: how often the thread had waited before the call
  int64_t issued_ns_ = 0;
  Executor* executor_ = nullptr;
  StorageImpl* storage_ = nullptr;
  std::shared_ptr<const void> keep_;  // the log or storage that the call works on
  Block block_{};
  sluice_error error_{};
  char text_[kErrorTextBytes];
};

/// Holds the waiter's reference.
template <class C>
class CallRef {
 public:
  CallRef() = default;
  explicit CallRef(C* call) : call_(call) {
    if (call_ != nullptr) call_->add_ref();
  }
  CallRef(CallRef&& other) noexcept : call_(std::exchange(other.call_, nullptr)) {}
  CallRef& operator=(CallRef&& other) noexcept {
    std::swap(call_, other.call_);
    return *this;
  }
  ~CallRef() {
    if (call_ != nullptr) call_->drop_ref();
  }
  C* operator->() const { return call_; }
  C& operator*() const { return *call_; }
  C* get() const { return call_; }
  explicit operator bool() const { return call_ != nullptr; }

 private:
  C* call_ = nullptr;
};

/// Calls to be used again, by kind. In checked mode a used call is kept aside for a while instead, so that a second
/// completion of it is noticed and harms nobody. Any thread.
class CallPool {
 public:
  explicit CallPool(StorageImpl& storage) : storage_(storage) {}
  ~CallPool();

  /// A call for work on `keep`, which it holds until it is recycled.
  template <class C>
  CallRef<C> take(std::shared_ptr<const void> keep) {
    Call* call = pop(C::kKind);
    if (call == nullptr) call = new C();
    hand_out(*call, std::move(keep));
    return CallRef<C>(static_cast<C*>(call));
  }
  /// The same for a rare kind of call that is not kept to be used again.
  template <class C>
  CallRef<C> take_unpooled(std::shared_ptr<const void> keep) {
    C* call = new C();
    static_cast<Call*>(call)->pooled_ = false;
    hand_out(*call, std::move(keep));
    return CallRef<C>(call);
  }

 private:
  friend class Call;
  static constexpr size_t kMaxPooledCalls = 64;         // of each kind
  static constexpr size_t kMaxQuarantinedCalls = 1024;  // in checked mode

  Call* pop(CallKind kind);
  void hand_out(Call& call, std::shared_ptr<const void> keep);
  void push(Call* call);
  static void destroy(Call* call) { delete call; }

  StorageImpl& storage_;
  std::mutex mutex_;  // guards the lists
  std::vector<Call*> free_[kCallKinds];
  std::deque<Call*> quarantine_;
};

}  // namespace sluice::host
