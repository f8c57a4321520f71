// SPDX-License-Identifier: Apache-2.0
#include "host/call.hpp"

#include <fmt/format.h>

#include <cstring>
#include <set>

#include "host/storage_impl.hpp"

namespace sluice::host {
namespace {

/// Calls that adapters have not let go of though they are overdue. Found here by whoever looks for leaks.
struct Pinned {
  std::mutex mutex;
  std::set<const Call*> calls;  // guarded by mutex
};
Pinned& pinned() {
  static auto* instance = new Pinned();
  return *instance;
}
void pin(const Call* call) {
  std::lock_guard lock(pinned().mutex);
  pinned().calls.insert(call);
}
void unpin(const Call* call) {
  std::lock_guard lock(pinned().mutex);
  pinned().calls.erase(call);
}

}  // namespace

const char* call_name(CallKind kind) {
  static constexpr const char* kNames[kCallKinds] = {"create_log", "delete_log", "list_logs", "append",
                                                     "read",       "bounds",     "locate",    "trim",
                                                     "fence",      "save",       "load",      "watch"};
  return kNames[static_cast<size_t>(kind)];
}

void Call::prepare(Executor& on, int64_t deadline_ns) {
  add_ref();  // for this thread, until issue() returns
  bits_.store(0, std::memory_order_relaxed);
  abandoned_ = false;
  executor_ = &on;
  issued_ns_ = storage_->timers().now_ns();
  text_[0] = '\0';
  error_ = sluice_error{};
  error_.size = sizeof error_;
  error_.text_capacity = kErrorTextBytes;
  error_.text = text_;
  block_ = Block{};
  block_.call = this;
  block_.ticket.size = sizeof(sluice_ticket);
  block_.ticket.deadline_ns = deadline_ns;
  block_.ticket.error = &error_;
}

bool Call::enter() {
  if (!storage_->enter()) return false;
  add_ref();  // the adapter's
  if (storage_->checker() != nullptr) switches_before_ = Checker::voluntary_switches();
  return true;
}

void Call::leave() {
  if (Checker* checker = storage_->checker()) {
    checker->returned(*storage_, kind_, Checker::voluntary_switches() - switches_before_);
  }
  storage_->leave();
}

void Call::threw(const char* what) {
  storage_->say(SLUICE_LOG_ERROR, fmt::format("adapter {} threw a C++ exception out of {}: {}",
                                              storage_->library().name(), call_name(kind_), what));
  if (Checker* checker = storage_->checker())
    checker->breach(*storage_, call_name(kind_), fmt::format("threw an exception: {}", what));
}

bool Call::conclude_issue(sluice_status status) {
  bool ended = true;
  if (status == kStopped) {
    bits_.store(with_status(kFinal, status));
  } else if (status == kThrew) {
    // Whether the adapter will complete the call nobody can know: it counts as overdue from the start.
    pin(this);
    uint64_t now = bits_.load();
    while ((now & kCompleted) == 0 &&
           !bits_.compare_exchange_weak(now, with_status(now | kOverdue | kReturned, status))) {
    }
    if ((now & kCompleted) != 0) {
      unpin(this);
      drop_ref();  // the adapter's
    } else {
      storage_->metrics().tickets_pending.fetch_add(1);
    }
  } else if (status != SLUICE_PENDING) {
    uint64_t now = bits_.load();
    while (!bits_.compare_exchange_weak(now, with_status(now | kFinal, status))) {
    }
    if ((now & kCompleted) != 0) {
      storage_->metrics().tickets_pending.fetch_add(1);  // taken back by complete()
      if (Checker* checker = storage_->checker()) {
        checker->breach(*storage_, call_name(kind_), "was completed, and then returned a final status too");
      }
    }
    drop_ref();  // the adapter's
  } else {
    storage_->metrics().tickets_pending.fetch_add(1);
    add_ref();  // the watchdog's
    storage_->timers().arm(*this, block_.ticket.deadline_ns);
    const uint64_t before = bits_.fetch_or(kReturned);
    ended = (before & (kCompleted | kOverdue)) != 0;
    if ((before & kCompleted) != 0 && (before & kOverdue) == 0) {
      if (storage_->timers().disarm(*this)) drop_ref();
      drop_ref();  // the adapter's
    }
  }
  drop_ref();  // this thread's: issue() ends here
  return ended;
}

void Call::complete(sluice_ticket* ticket, sluice_status status) {
  Call* call = reinterpret_cast<Block*>(ticket)->call;
  uint64_t now = call->bits_.load(std::memory_order_acquire);
  if ((now & (kCompleted | kFinal)) != 0) {
    if (Checker* checker = call->storage_->checker()) {
      checker->breach(*call->storage_, call_name(call->kind_),
                      (now & kCompleted) != 0 ? "was completed twice" : "was completed after a final return");
    }
    return;
  }
  call->storage_->metrics().tickets_pending.fetch_sub(1);
  // Once the bit is set and the waiter has not been told yet, the call may be gone at any moment.
  while (!call->bits_.compare_exchange_weak(
      now, (now & kOverdue) != 0 ? now | kCompleted : with_status(now | kCompleted, status))) {
  }
  if ((now & kOverdue) != 0) {
    call->storage_->timers().post([call, status] { run_late(call, status); });
  } else if ((now & kReturned) != 0) {
    // The adapter's reference goes with the job; a job that is destroyed unrun lets go of it too.
    struct Adopted {
      Call* call;
      explicit Adopted(Call* c) : call(c) {}
      Adopted(Adopted&& other) noexcept : call(std::exchange(other.call, nullptr)) {}
      ~Adopted() {
        if (call != nullptr) call->drop_ref();
      }
      void operator()() { run_finished(call); }
    };
    call->executor_->post(Adopted(call));
  }
}

void Call::run_finished(Call* call) {
  if (call->storage_->timers().disarm(*call)) call->drop_ref();
  call->finished();
}

void Call::run_late(Call* call, sluice_status status) {
  unpin(call);
  call->discard(status);
  call->drop_ref();  // the adapter's
}

void Call::expired() {
  pin(this);
  uint64_t now = bits_.load();
  while ((now & kCompleted) == 0 && !bits_.compare_exchange_weak(now, now | kOverdue)) {
  }
  if ((now & kCompleted) != 0) {
    unpin(this);
  } else {
    storage_->metrics().overdue.fetch_add(1);
    if ((now & kReturned) != 0) executor_->post([ref = CallRef<Call>(this)] { ref->finished(); });
  }
  drop_ref();  // the watchdog's
}

Status Call::conclude() {
  const uint64_t bits = bits_.load(std::memory_order_acquire);
  sluice_status status = status_of(bits);
  if ((bits & kOverdue) != 0) {
    abandoned_ = true;
    if (status == kThrew) {
      return Status(StatusCode::unknown, fmt::format("adapter {} of storage {} threw an exception out of {}",
                                                     storage_->library().name(), storage_->name(), call_name(kind_)));
    }
    return Status(StatusCode::unknown,
                  fmt::format("storage {} did not answer {} within {} ms", storage_->name(), call_name(kind_),
                              (block_.ticket.deadline_ns - issued_ns_) / 1'000'000));
  }
  if (status == kStopped) return storage_->refusal();
  if (Checker* checker = storage_->checker()) {
    if (const std::string wrong = Checker::status_fault(kind_, storage_->is_native(), status); !wrong.empty()) {
      checker->breach(*storage_, call_name(kind_), wrong);
    }
    if (const std::string wrong = fault(status); !wrong.empty()) checker->breach(*storage_, call_name(kind_), wrong);
    if (std::memchr(text_, '\0', kErrorTextBytes) == nullptr) {
      checker->breach(*storage_, call_name(kind_), "wrote an error text without its final zero");
    }
  }
  if (status == SLUICE_OK) return {};
  if (status < 100 || status > 599) status = SLUICE_UNKNOWN;
  text_[kErrorTextBytes - 1] = '\0';
  Status result(static_cast<StatusCode>(status),
                text_[0] != '\0' ? fmt::format("storage {}: {}", storage_->name(), text_)
                                 : fmt::format("storage {}: {} failed", storage_->name(), call_name(kind_)),
                error_.native_code);
  result.set_retry_after_ms(error_.retry_after_ms);
  return result;
}

void Call::recycle() {
  release();
  const std::shared_ptr<const void> keep =
      std::move(keep_);  // may be the last to hold the storage, and the pool with it
  storage_->calls().push(this);
}

CallPool::~CallPool() {
  for (auto& list : free_) {
    for (Call* call : list) destroy(call);
  }
  for (Call* call : quarantine_) destroy(call);
}

Call* CallPool::pop(CallKind kind) {
  std::lock_guard lock(mutex_);
  auto& list = free_[static_cast<size_t>(kind)];
  if (list.empty()) return nullptr;
  Call* call = list.back();
  list.pop_back();
  return call;
}

void CallPool::hand_out(Call& call, std::shared_ptr<const void> keep) {
  call.storage_ = &storage_;
  call.keep_ = std::move(keep);
  call.bits_.store(0, std::memory_order_relaxed);
  call.reset();
}

void CallPool::push(Call* call) {
  Call* surplus = nullptr;
  {
    std::lock_guard lock(mutex_);
    if (storage_.checker() != nullptr) {
      quarantine_.push_back(call);
      if (quarantine_.size() > kMaxQuarantinedCalls) {
        surplus = quarantine_.front();
        quarantine_.pop_front();
      }
    } else if (auto& list = free_[static_cast<size_t>(call->kind())]; call->pooled_ && list.size() < kMaxPooledCalls) {
      list.push_back(call);
    } else {
      surplus = call;
    }
  }
  if (surplus != nullptr) destroy(surplus);
}

}  // namespace sluice::host
