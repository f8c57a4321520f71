// SPDX-License-Identifier: Apache-2.0
#include "bus/thread_token.hpp"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <mutex>
#include <vector>

namespace sluice::bus {
namespace {

struct Registry {
  std::mutex mutex;
  std::vector<ThreadToken*> all;   // guarded by mutex, as what follows
  std::vector<ThreadToken*> free;  // of threads that ended
};

Registry& registry() {
  static auto* registry = new Registry;  // threads may end after static objects are gone
  return *registry;
}

struct Return {
  ThreadToken* token;
  ~Return() {
    const std::lock_guard lock(registry().mutex);
    registry().free.push_back(token);
  }
};

bool register_membarrier() {
  const long supported = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
  return supported > 0 && (supported & MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0 &&
         syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

}  // namespace

const bool kAsymmetricFences = register_membarrier();
thread_local ThreadToken* ThreadToken::mine_ = nullptr;

void heavy_fence() {
  // A child of fork() is not registered until it is again.
  if (kAsymmetricFences && syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0) {
    static_cast<void>(register_membarrier());
    syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
  }
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

void ThreadToken::adopt() {
  {
    const std::lock_guard lock(registry().mutex);
    if (registry().free.empty()) {
      registry().all.push_back(new ThreadToken);
      registry().free.push_back(registry().all.back());
    }
    mine_ = registry().free.back();
    registry().free.pop_back();
  }
  static thread_local Return at_exit{nullptr};
  at_exit.token = mine_;
}

void await_all_outside() {
  heavy_fence();
  std::vector<ThreadToken*> all;
  {
    const std::lock_guard lock(registry().mutex);
    all = registry().all;
  }
  for (const ThreadToken* token : all) token->await_outside();
}

}  // namespace sluice::bus
