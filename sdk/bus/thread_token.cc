// SPDX-License-Identifier: Apache-2.0
#include "bus/thread_token.hpp"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <mutex>

namespace sluice::bus {

// Chained through the tokens themselves: to wait for all of them, or to end a thread, must not need memory.
struct ThreadToken::Registry {
  std::mutex mutex;
  ThreadToken* all = nullptr;   // the youngest; guarded by mutex, as what follows
  ThreadToken* free = nullptr;  // of threads that ended

  static Registry& the() {
    static auto* registry = new Registry;  // threads may end after static objects are gone
    return *registry;
  }
};

struct ThreadToken::Return {
  ThreadToken* token;
  ~Return() {
    Registry& registry = Registry::the();
    const std::lock_guard lock(registry.mutex);
    token->next_free_ = registry.free;
    registry.free = token;
  }
};

namespace {

bool register_membarrier() {
  const long supported = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
  return supported > 0 && (supported & MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0 &&
         syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

}  // namespace

const bool kAsymmetricFences = register_membarrier();
constinit thread_local ThreadToken* ThreadToken::mine_ = nullptr;

void heavy_fence() {
  // A child of fork() is not registered until it is again.
  if (kAsymmetricFences && syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0) {
    static_cast<void>(register_membarrier());
    syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
  }
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

void ThreadToken::adopt() {
  Registry& registry = Registry::the();
  {
    const std::lock_guard lock(registry.mutex);
    if (registry.free != nullptr) {
      mine_ = registry.free;
      registry.free = mine_->next_free_;
    } else {
      mine_ = new ThreadToken;
      mine_->older_ = registry.all;
      registry.all = mine_;
    }
  }
  static thread_local Return at_exit{nullptr};
  at_exit.token = mine_;
}

void ThreadToken::await_all_outside() {
  heavy_fence();
  Registry& registry = Registry::the();
  const ThreadToken* token = nullptr;
  {
    const std::lock_guard lock(registry.mutex);
    token = registry.all;
  }
  for (; token != nullptr; token = token->older_) token->await_outside();
}

}  // namespace sluice::bus
