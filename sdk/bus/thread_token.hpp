// SPDX-License-Identifier: Apache-2.0
// Threads that ingest, as the rest of the bus sees them. A thread enters before it looks at the routing table or claims
// slots, and leaves when its event is committed; it never waits inside. Whoever takes something out of sight (a shard,
// the right to claim without atomic read-modify-writes) waits until all who might still see it have left.
//
// Entering must be visible before what follows is read. The thread that ingests pays a compiler barrier for that; the
// rare other side pays a membarrier(2) which makes every thread of the process execute a full fence. Where the kernel
// has no membarrier, both sides use fences.
#pragma once

#include <sched.h>

#include <atomic>
#include <cstdint>

namespace sluice::bus {

/// True if membarrier(2) works here; found out once, before the first token exists.
extern const bool kAsymmetricFences;

/// Orders earlier stores before later loads, as far as threads are concerned that call heavy_fence().
inline void light_fence() {
  if (kAsymmetricFences) [[likely]] {
    std::atomic_signal_fence(std::memory_order_seq_cst);
  } else {
    std::atomic_thread_fence(std::memory_order_seq_cst);
  }
}
/// The other half: a system call of some microseconds.
void heavy_fence();

class alignas(64) ThreadToken {
 public:
  /// This thread's. Tokens live for ever, and pass to a later thread when theirs ends.
  static ThreadToken& current() {
    if (mine_ == nullptr) [[unlikely]]
      adopt();
    return *mine_;
  }

  void enter() {
    passages_.store(passages_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    light_fence();
  }
  void leave() { passages_.store(passages_.load(std::memory_order_relaxed) + 1, std::memory_order_release); }

  /// Waits until this thread was outside once since the call, which follows a heavy_fence(). Never call it inside.
  void await_outside() const {
    const uint64_t passages = passages_.load(std::memory_order_acquire);
    if (passages % 2 == 0) return;
    while (passages_.load(std::memory_order_acquire) == passages) sched_yield();
  }

  /// Where this thread's next event without a key goes. Own thread only.
  uint32_t next_turn() { return turn_++; }
  /// Counts the events that were candidates for being left out. Own thread only.
  uint32_t next_sample() { return sample_++; }

  /// Waits until every thread was outside once. Never call it inside.
  static void await_all_outside();

 private:
  struct Registry;
  struct Return;
  static void adopt();

  std::atomic<uint64_t> passages_{0};  // odd: inside
  uint32_t turn_ = 0;
  uint32_t sample_ = 0;
  ThreadToken* older_ = nullptr;      // constant once others see the token
  ThreadToken* next_free_ = nullptr;  // of those whose thread has ended; guarded by the registry's lock
  // constinit: else each use asks whether there is something to be initialised first.
  static constinit thread_local ThreadToken* mine_ __attribute__((tls_model("initial-exec")));
};

}  // namespace sluice::bus
