// SPDX-License-Identifier: Apache-2.0
#include "redis/reactor.hpp"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

#include "base/clock.hpp"
#include "base/thread.hpp"

namespace sluice::redis {

int64_t now_ns() {
  return system_clock().monotonic_ns();
}

Reactor::~Reactor() {
  stop();
}

Status Reactor::start(const std::string& name) {
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  wakeup_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = nullptr;
  if (epoll_ < 0 || wakeup_ < 0 || epoll_ctl(epoll_, EPOLL_CTL_ADD, wakeup_, &event) != 0) {
    const int error = errno;
    close(epoll_);
    close(wakeup_);
    return Status(StatusCode::internal, "no event loop", error);
  }
  {
    const std::lock_guard lock(mutex_);
    running_ = true;
    ending_ = false;
  }
  thread_ = start_thread(name, [this] { run(); });
  return {};
}

void Reactor::stop() {
  if (!thread_.joinable()) return;
  post([this] {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  });
  thread_.join();
  close(epoll_);
  close(wakeup_);
  timers_.clear();
  timer_of_.clear();
}

void Reactor::post(Job job) {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    if (!running_) return;
    jobs_.push_back(std::move(job));
    wake = std::exchange(sleeping_, false);
  }
  if (wake) {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(wakeup_, &one, sizeof one);
  }
}

void Reactor::watch(int fd, Source& source, bool writable) {
  epoll_event event{};
  event.events = EPOLLIN;
  if (writable) event.events |= EPOLLOUT;
  event.data.ptr = &source;
  if (epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event) != 0) epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
}

void Reactor::unwatch(int fd, Source& source) {
  epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
  for (int i = 0; i < event_count_; ++i) {
    if (events_[i].data.ptr == &source) events_[i].data.ptr = nullptr;
  }
  std::erase(flushes_, &source);
}

TimerId Reactor::call_after(int64_t delay_ms, Job job) {
  const TimerId id = next_timer_++;
  timer_of_[id] = timers_.emplace(now_ns() + std::max<int64_t>(delay_ms, 0) * kNsPerMs, std::pair(id, std::move(job)));
  return id;
}

void Reactor::cancel(TimerId id) {
  const auto found = timer_of_.find(id);
  if (found == timer_of_.end()) return;
  timers_.erase(found->second);
  timer_of_.erase(found);
}

void Reactor::run() {
  thread_id_ = std::this_thread::get_id();
  for (;;) {
    while (take_jobs() || !ready_.empty()) run_ready();
    run_timers();
    run_ready();
    run_flushes();
    const int timeout_ms = sleep_ms();
    {
      const std::lock_guard lock(mutex_);
      if (!jobs_.empty() || !ready_.empty()) continue;
      if (ending_) {
        running_ = false;
        break;
      }
      sleeping_ = true;
    }
    dispatch(timeout_ms);
    {
      const std::lock_guard lock(mutex_);
      sleeping_ = false;
    }
  }
  thread_id_ = std::thread::id();
}

bool Reactor::take_jobs() {
  {
    const std::lock_guard lock(mutex_);
    taken_.swap(jobs_);
  }
  if (taken_.empty()) return false;
  for (Job& job : taken_) job();
  taken_.clear();
  return true;
}

void Reactor::run_ready() {
  while (!ready_.empty()) {
    const std::vector<std::coroutine_handle<>> batch = std::exchange(ready_, {});
    for (const std::coroutine_handle<> waiter : batch) waiter.resume();
  }
}

void Reactor::run_timers() {
  const int64_t now = now_ns();
  while (!timers_.empty() && timers_.begin()->first <= now) {
    auto [id, job] = std::move(timers_.begin()->second);
    timer_of_.erase(id);
    timers_.erase(timers_.begin());
    job();
  }
}

void Reactor::run_flushes() {
  while (!flushes_.empty()) {
    Source* source = flushes_.back();
    flushes_.pop_back();
    source->on_flush();
  }
}

int Reactor::sleep_ms() {
  if (timers_.empty()) return -1;
  const int64_t left_ns = timers_.begin()->first - now_ns();
  return static_cast<int>(std::clamp<int64_t>((left_ns + kNsPerMs - 1) / kNsPerMs, 0, INT_MAX));
}

void Reactor::dispatch(int timeout_ms) {
  std::array<epoll_event, kMaxEvents> events;
  events_ = events.data();
  event_count_ = std::max(epoll_wait(epoll_, events.data(), kMaxEvents, timeout_ms), 0);
  bool woken = false;
  for (int i = 0; i < event_count_; ++i) {
    auto* source = static_cast<Source*>(events[static_cast<size_t>(i)].data.ptr);
    if (source != nullptr) {
      source->on_events(events[static_cast<size_t>(i)].events);
    } else {
      woken = true;  // or unwatch() took one out of the rest: then there is nothing to read
    }
  }
  event_count_ = 0;
  events_ = nullptr;
  if (!woken) return;
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t drained = read(wakeup_, &count, sizeof count);
}

}  // namespace sluice::redis
