// SPDX-License-Identifier: Apache-2.0
// Trips when two threads use at the same time what is meant for one at a time. Debug builds check, release builds do
// not; use from several threads one after the other is fine in both.
#pragma once

#include <atomic>
#include <cstdio>
#include <cstdlib>

namespace sluice::bus {

class CheckedOneAtATime {
 public:
  class Use {
   public:
    explicit Use(std::atomic<bool>& used) : used_(used) {
      if (used_.exchange(true, std::memory_order_acquire)) {
        static_cast<void>(std::fputs("used by two threads at once\n", stderr));
        std::abort();
      }
    }
    ~Use() { used_.store(false, std::memory_order_release); }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;

   private:
    std::atomic<bool>& used_;
  };
  [[nodiscard]] Use use() { return Use(used_); }

 private:
  std::atomic<bool> used_{false};
};

class UncheckedOneAtATime {
 public:
  struct Use {
    ~Use() {}
  };
  [[nodiscard]] Use use() { return {}; }
};

#ifdef NDEBUG
using OneAtATime = UncheckedOneAtATime;
#else
using OneAtATime = CheckedOneAtATime;
#endif

}  // namespace sluice::bus
