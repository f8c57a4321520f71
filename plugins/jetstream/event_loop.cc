// SPDX-License-Identifier: Apache-2.0
#include "jetstream/event_loop.hpp"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "base/clock.hpp"
#include "base/thread.hpp"

namespace sluice::jetstream {

int64_t monotonic_ns() {
  return system_clock().monotonic_ns();
}

EventLoop::EventLoop() : epoll_(epoll_create1(EPOLL_CLOEXEC)), event_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (epoll_ < 0 || event_ < 0) throw std::system_error(errno, std::generic_category(), "epoll");
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = event_;
  epoll_ctl(epoll_, EPOLL_CTL_ADD, event_, &event);
  const std::lock_guard lock(mutex_);  // run() begins once thread_ is assigned
  thread_ = start_thread("jetstream", [this] { run(); });
}

EventLoop::~EventLoop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake();
  thread_.join();
  close(event_);
  close(epoll_);
}

void EventLoop::post(Job job) {
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  if (asleep_.exchange(false)) wake();
}

void EventLoop::wake() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(event_, &one, sizeof one);
}

TimerId EventLoop::call_after(int64_t delay_ms, Job job) {
  const TimerId id = ++last_timer_;
  timers_.emplace(Key{now_ms() + delay_ms, id}, std::move(job));
  return id;
}

bool EventLoop::cancel(TimerId id) {
  const auto found =
      std::find_if(timers_.begin(), timers_.end(), [id](const auto& timer) { return timer.first.id == id; });
  if (found == timers_.end()) return false;
  const Job job = std::move(found->second);
  timers_.erase(found);
  return true;
}

void EventLoop::attach(Source* source, int fd) {
  source_ = source;
  fd_ = fd;
  writing_ = false;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
}

void EventLoop::want_write(bool writing) {
  if (fd_ < 0 || writing == writing_) return;
  writing_ = writing;
  epoll_event event{};
  event.events = EPOLLIN | (writing ? uint32_t{EPOLLOUT} : 0u);
  event.data.fd = fd_;
  epoll_ctl(epoll_, EPOLL_CTL_MOD, fd_, &event);
}

void EventLoop::detach() {
  // The socket may be closed already: then it left the epoll by itself, and this fails without harm.
  if (fd_ >= 0) epoll_ctl(epoll_, EPOLL_CTL_DEL, fd_, nullptr);
  fd_ = -1;
  source_ = nullptr;
}

bool EventLoop::run_jobs() {
  std::vector<Job> batch;
  bool last = false;
  {
    const std::lock_guard lock(mutex_);
    batch.swap(jobs_);
    last = stopping_;
  }
  for (Job& job : batch) {
    job();
    job = nullptr;
  }
  return !last;
}

void EventLoop::run_timers() {
  if (timers_.empty()) return;
  const int64_t now = now_ms();
  while (!timers_.empty() && timers_.begin()->first.due_ms <= now) {
    Job job = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
    job();
  }
}

void EventLoop::wait(int64_t until_ns) {
  asleep_.store(true);
  bool idle = true;
  {
    const std::lock_guard lock(mutex_);
    idle = jobs_.empty() && !stopping_;
  }
  int timeout_ms = 0;
  if (idle) {
    if (!timers_.empty()) until_ns = std::min(until_ns, timers_.begin()->first.due_ms * kNsPerMs);
    constexpr int64_t kLongestWaitMs = 60'000;
    const int64_t left_ns = until_ns == kNoDeadlineNs ? kLongestWaitMs * kNsPerMs : until_ns - monotonic_ns();
    timeout_ms = static_cast<int>(std::clamp((left_ns + kNsPerMs - 1) / kNsPerMs, int64_t{0}, kLongestWaitMs));
  }
  epoll_event events[4];
  const int count = epoll_wait(epoll_, events, 4, timeout_ms);
  asleep_.store(false);
  for (int i = 0; i < count; ++i) {
    if (events[i].data.fd == event_) {
      uint64_t ignored = 0;
      [[maybe_unused]] const ssize_t got = read(event_, &ignored, sizeof ignored);
    } else if (events[i].data.fd == fd_ && source_ != nullptr && (events[i].events & ~uint32_t{EPOLLOUT}) != 0) {
      source_->readable();
    }
  }
}

void EventLoop::run() {
  while (run_jobs()) {
    run_timers();
    const int64_t until_ns = source_ != nullptr ? source_->before_wait() : kNoDeadlineNs;
    wait(until_ns);
  }
  timers_.clear();
}

}  // namespace sluice::jetstream
