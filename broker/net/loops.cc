// SPDX-License-Identifier: Apache-2.0
#include "net/loops.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <chrono>
#include <utility>

#include "base/thread.hpp"
#include "net/asio_loop.hpp"

namespace sluice::net {

namespace {
thread_local AsioLoop* current_loop = nullptr;

/// Due timers run before the loop looks at its sockets again, but no more than this at a time.
constexpr int kMaxTimersPerTurn = 256;
}  // namespace

AsioLoop::AsioLoop(const std::string& thread_name) {
  thread_ = start_thread(thread_name, [this] { run(); });
}

AsioLoop::~AsioLoop() {
  stop();
}

void AsioLoop::run() {
  current_loop = this;
  context_.run();
  current_loop = nullptr;
}

void AsioLoop::stop() {
  stopped_.store(true, std::memory_order_release);
  context_.stop();
  if (thread_.joinable()) thread_.join();
}

void AsioLoop::post(Job job) {
  if (stopped_.load(std::memory_order_acquire)) return;
  boost::asio::post(context_, [j = std::move(job)]() mutable { j(); });
}

TimerId AsioLoop::call_after(int64_t delay_ms, Job job) {
  const int64_t now = now_ms();
  constexpr int64_t kMaxDelayMs = int64_t{1} << 40;  // 35 years: the sum does not overflow
  const TimerId id = timers_.add(now + std::clamp<int64_t>(delay_ms, 0, kMaxDelayMs), std::move(job));
  arm();
  return id;
}

bool AsioLoop::cancel(TimerId id) {
  return timers_.cancel(id);
}

bool AsioLoop::is_current() const {
  return current_loop == this;
}

int64_t AsioLoop::now_ms() const {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void AsioLoop::arm() {
  const int64_t next = timers_.next_deadline_ms();
  // An alarm that goes off too early finds nothing due and is set again: cheaper than moving it at every cancel().
  if (next >= alarm_ms_) return;
  alarm_ms_ = next;
  alarm_.expires_at(std::chrono::steady_clock::time_point(std::chrono::milliseconds(next)));
  alarm_.async_wait([this](const boost::system::error_code& error) {
    if (!error) run_due();
  });
}

void AsioLoop::run_due() {
  alarm_ms_ = std::numeric_limits<int64_t>::max();
  const int64_t now = now_ms();
  for (int ran = 0; ran < kMaxTimersPerTurn; ++ran) {
    auto job = timers_.take_due(now);
    if (!job) break;
    (*job)();
  }
  arm();
}

LoopPool::LoopPool(size_t count, const std::string& name) {
  if (count == 0) count = std::max<size_t>(1, std::thread::hardware_concurrency());
  count = std::min(count, kMaxLoops);
  for (size_t i = 0; i < count; ++i) loops_.push_back(std::make_unique<AsioLoop>(name + "-" + std::to_string(i)));
}

LoopPool::~LoopPool() {
  stop();
}

Loop& LoopPool::at(size_t index) {
  return *loops_[index];
}

void LoopPool::stop() {
  for (auto& loop : loops_) loop->stop();
}

}  // namespace sluice::net
