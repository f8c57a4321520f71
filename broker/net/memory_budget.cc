// SPDX-License-Identifier: Apache-2.0
#include "net/memory_budget.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace sluice::net {

bool MemoryBudget::try_reserve(int64_t bytes) {
  if (waiting_.load(std::memory_order_seq_cst) != 0) return false;
  int64_t used = used_.load(std::memory_order_relaxed);
  while (used < max_bytes_) {
    if (used_.compare_exchange_weak(used, used + bytes, std::memory_order_seq_cst)) return true;
  }
  return false;
}

std::shared_ptr<MemoryBudget::Wait> MemoryBudget::wait(int64_t bytes, bool in_progress, Executor& executor,
                                                       Job granted) {
  auto wait = std::make_shared<Wait>();
  wait->bytes_ = bytes;
  wait->in_progress_ = in_progress;
  wait->executor_ = &executor;
  wait->granted_ = std::move(granted);
  {
    const std::lock_guard lock(mutex_);
    (in_progress ? in_progress_ : new_frames_).push_back(wait);
    waiting_.fetch_add(1, std::memory_order_seq_cst);
  }
  // What was released between the failed reservation and now found nobody waiting.
  grant_to_waiting();
  return wait;
}

void MemoryBudget::give_up(Wait& wait) {
  int64_t back = 0;
  bool end_overdraft_too = false;
  {
    const std::lock_guard lock(mutex_);
    if (wait.state_ == Wait::State::waiting) {
      auto& queue = wait.in_progress_ ? in_progress_ : new_frames_;
      const auto at = std::find_if(queue.begin(), queue.end(), [&](const auto& w) { return w.get() == &wait; });
      if (at != queue.end()) {
        wait.state_ = Wait::State::given_up;
        queue.erase(at);
        waiting_.fetch_sub(1, std::memory_order_seq_cst);
        return;
      }
    }
    if (wait.state_ == Wait::State::granted) {
      back = wait.bytes_;
      end_overdraft_too = wait.overdrawn_;
    }
    wait.state_ = Wait::State::given_up;
  }
  if (end_overdraft_too) end_overdraft();
  if (back != 0) release(back);
}

void MemoryBudget::release(int64_t bytes) {
  used_.fetch_sub(bytes, std::memory_order_seq_cst);
  if (waiting_.load(std::memory_order_seq_cst) != 0) grant_to_waiting();
}

void MemoryBudget::end_overdraft() {
  {
    const std::lock_guard lock(mutex_);
    overdraft_taken_ = false;
  }
  grant_to_waiting();
}

void MemoryBudget::grant_to_waiting() {
  std::vector<std::shared_ptr<Wait>> granted;
  {
    const std::lock_guard lock(mutex_);
    const auto take_front = [&](std::deque<std::shared_ptr<Wait>>& queue, bool overdrawn) {
      auto wait = std::move(queue.front());
      queue.pop_front();
      waiting_.fetch_sub(1, std::memory_order_seq_cst);
      used_.fetch_add(wait->bytes_, std::memory_order_seq_cst);
      wait->state_ = Wait::State::granted;
      wait->overdrawn_ = overdrawn;
      granted.push_back(std::move(wait));
    };
    while (!in_progress_.empty() && used() < max_bytes_) take_front(in_progress_, false);
    if (!in_progress_.empty() && !overdraft_taken_) {
      overdraft_taken_ = true;
      take_front(in_progress_, true);
    }
    while (in_progress_.empty() && !new_frames_.empty() && used() < max_bytes_) take_front(new_frames_, false);
  }
  for (auto& wait : granted) wait->executor_->post(std::move(wait->granted_));
}

}  // namespace sluice::net
