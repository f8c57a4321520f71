// SPDX-License-Identifier: Apache-2.0
// Wakes one thread that waits for work. A notification given while nobody waits is kept for the next wait; several are
// one.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

namespace sluice::bus {

inline int64_t monotonic_ns() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

/// Waits while `word` is `value`, until CLOCK_MONOTONIC reaches `until_ns` (INT64_MAX: for ever). May return early.
inline void futex_wait(std::atomic<uint32_t>& word, uint32_t value, int64_t until_ns) {
  timespec until{};
  until.tv_sec = until_ns / 1'000'000'000;
  until.tv_nsec = until_ns % 1'000'000'000;
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAIT_BITSET_PRIVATE, value,
          until_ns == INT64_MAX ? nullptr : &until, nullptr, FUTEX_BITSET_MATCH_ANY);
}
inline void futex_wake(std::atomic<uint32_t>& word, int threads) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAKE_PRIVATE, threads, nullptr, nullptr, 0);
}

class Signal {
 public:
  /// Any thread.
  void notify() {
    if (state_.exchange(kNotified, std::memory_order_acq_rel) == kWaiting) futex_wake(state_, 1);
  }
  /// The same, but for the one thread itself, which looks for work anyway before it waits again.
  void notify_unless_mine() {
    if (mine_ != this) notify();
  }
  /// This thread is the one that waits.
  void claim() { mine_ = this; }
  /// The one thread. Returns at the next notification, or when CLOCK_MONOTONIC reaches `until_ns`.
  void wait_until(int64_t until_ns) {
    uint32_t idle = kIdle;
    if (state_.compare_exchange_strong(idle, kWaiting, std::memory_order_acq_rel)) {
      futex_wait(state_, kWaiting, until_ns);
    }
    state_.exchange(kIdle, std::memory_order_acq_rel);
  }

 private:
  static constexpr uint32_t kIdle = 0;
  static constexpr uint32_t kNotified = 1;
  static constexpr uint32_t kWaiting = 2;
  std::atomic<uint32_t> state_{kIdle};
  inline static thread_local const Signal* mine_ = nullptr;
};

/// Lets threads that found no room wait for it. Waiting threads look again by themselves too, after kLookAgainNs.
class RoomSignal {
 public:
  static constexpr int64_t kLookAgainNs = 2'000'000;

  /// Waits until there may be room, at most until `until_ns`. `has_room` is asked after this thread can be seen
  /// waiting.
  template <class HasRoom>
  void wait(int64_t until_ns, HasRoom&& has_room) {
    waiting_.fetch_add(1, std::memory_order_seq_cst);
    const uint32_t turn = turn_.load(std::memory_order_acquire);
    if (!has_room()) {
      const int64_t again = monotonic_ns() + kLookAgainNs;
      futex_wait(turn_, turn, until_ns < again ? until_ns : again);
    }
    waiting_.fetch_sub(1, std::memory_order_relaxed);
  }
  /// After room was made.
  void notify() {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (waiting_.load(std::memory_order_relaxed) == 0) return;
    turn_.fetch_add(1, std::memory_order_release);
    futex_wake(turn_, INT32_MAX);
  }

 private:
  alignas(64) std::atomic<uint32_t> turn_{0};
  std::atomic<uint32_t> waiting_{0};
};

}  // namespace sluice::bus
