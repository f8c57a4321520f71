// SPDX-License-Identifier: Apache-2.0
// A subscription and a poller are a thread each that polls and hands over; `mutex` is never held while either is done.
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <tuple>

#include "base/thread.hpp"
#include "sluice/consumer_stream.hpp"

namespace sluice {

// Shared with the thread, which may outlive the subscription when that ends within the handler.
struct Subscription::Impl {
  Impl(MergingConsumer& from, const PollRequest& how, Handler to)
      : consumer(from), request(how), handler(std::move(to)), told(from.cursor()) {}

  // A place may move with nothing else to show for it: past the markers of transactions, to an end that was sought.
  bool worth_telling(const Response& response) const {
    return !response.records.empty() || response.has_more || response.done ||
           response.rejected + response.corrupt + response.lost > 0 || !response.notes.empty() ||
           response.cursor != told;
  }

  void run() {
    for (;;) {
      {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return stopping || !paused; });
        if (stopping) break;
      }
      auto response = consumer.poll(request);
      std::unique_lock lock(mutex);
      // What came while it was paused is kept until it is resumed: its records are delivered by now.
      changed.wait(lock, [&] { return stopping || !paused; });
      // Nobody else will ever have what was polled, so that it is told also when it is time to stop.
      const bool last = stopping || !response || response->done;
      lock.unlock();
      if (response && !worth_telling(*response)) {
        if (last) break;
        continue;
      }
      if (response) told = response->cursor;
      if (!handler(std::move(response)) || last) break;
    }
    const std::lock_guard lock(mutex);
    over = true;
    changed.notify_all();
  }

  MergingConsumer& consumer;
  const PollRequest request;
  Handler handler;
  Cursor told;       // the last place that the handler heard of
  std::mutex mutex;  // guards what follows
  std::condition_variable changed;
  bool paused = false;
  bool stopping = false;
  bool over = false;
  std::thread thread;
};

Subscription::Subscription(MergingConsumer& consumer, const PollRequest& request, Handler handler)
    : impl_(std::make_shared<Impl>(consumer, request, std::move(handler))) {
  impl_->thread = start_thread("sluice-stream", [impl = impl_] { impl->run(); });
}

Subscription::~Subscription() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
    impl_->changed.notify_all();
  }
  impl_->consumer.wake();
  impl_->thread.join();
}

void Subscription::pause() {
  const std::lock_guard lock(impl_->mutex);
  impl_->paused = true;
}

void Subscription::resume() {
  const std::lock_guard lock(impl_->mutex);
  impl_->paused = false;
  impl_->changed.notify_all();
}

bool Subscription::running() const {
  const std::lock_guard lock(impl_->mutex);
  return !impl_->over;
}

Status Subscription::stop(int64_t deadline_ms) {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
    impl_->changed.notify_all();
  }
  if (impl_->thread.get_id() == std::this_thread::get_id()) return {};
  impl_->consumer.wake();
  std::unique_lock lock(impl_->mutex);
  if (impl_->changed.wait_for(lock, std::chrono::milliseconds(deadline_ms), [&] { return impl_->over; })) return {};
  return Status(StatusCode::unavailable, "subscription: the handler has not returned");
}

struct AsyncPoller::Impl {
  Impl(MergingConsumer& from, Resume to) : consumer(from), resume(std::move(to)), thread([this] { run(); }) {}

  void run() {
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [&] { return stopping || awaiter != nullptr; });
      if (awaiter == nullptr) return;
      Awaiter& asked = *awaiter;
      const std::coroutine_handle<> handle = waiter;
      const bool closing = stopping;
      lock.unlock();
      auto response = closing ? fail(StatusCode::fenced, "poller: closed") : consumer.poll(asked.request_);
      asked.result_.emplace(std::move(response));
      lock.lock();
      awaiter = nullptr;
      lock.unlock();
      if (resume) {
        resume(handle);
      } else {
        handle.resume();
      }
      lock.lock();
    }
  }

  MergingConsumer& consumer;
  Resume resume;
  std::mutex mutex;  // guards what follows
  std::condition_variable changed;
  Awaiter* awaiter = nullptr;
  std::coroutine_handle<> waiter;
  bool stopping = false;
  std::thread thread;  // the last member: it uses the others
};

AsyncPoller::AsyncPoller(MergingConsumer& consumer, Resume resume)
    : impl_(std::make_unique<Impl>(consumer, std::move(resume))) {}

AsyncPoller::~AsyncPoller() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
    impl_->changed.notify_all();
  }
  impl_->consumer.wake();
  impl_->thread.join();
}

bool AsyncPoller::Awaiter::await_suspend(std::coroutine_handle<> waiter) {
  Impl& impl = *poller_.impl_;
  const std::lock_guard lock(impl.mutex);
  if (impl.stopping || impl.awaiter != nullptr) {
    result_.emplace(impl.stopping ? fail(StatusCode::fenced, "poller: closed")
                                  : fail(StatusCode::busy, "poller: another coroutine waits"));
    return false;
  }
  impl.awaiter = this;
  impl.waiter = waiter;
  impl.changed.notify_all();
  return true;
}

}  // namespace sluice
