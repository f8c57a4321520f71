// SPDX-License-Identifier: Apache-2.0
// Coroutines without a network library. A Task starts when it is awaited (or handed to start()), runs on the thread that
// started it until it first waits, and is resumed by whatever it waits for. Exceptions do not travel: a coroutine that throws
// ends the program, because errors are values here.
#pragma once

#include <atomic>
#include <coroutine>
#include <exception>
#include <memory>
#include <optional>
#include <utility>

#include "base/loop.hpp"

namespace sluice {

template <class T = void>
class Task;

namespace detail {

struct PromiseBase {
  std::coroutine_handle<> continuation = std::noop_coroutine();
  std::suspend_always initial_suspend() noexcept { return {}; }
  struct Final {
    bool await_ready() noexcept { return false; }
    template <class P>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<P> h) noexcept {
      return h.promise().continuation;
    }
    void await_resume() noexcept {}
  };
  Final final_suspend() noexcept { return {}; }
  void unhandled_exception() noexcept { std::terminate(); }
};

template <class T>
struct Promise : PromiseBase {
  std::optional<T> value;
  Task<T> get_return_object();
  template <class U>
  void return_value(U&& v) {
    value.emplace(std::forward<U>(v));
  }
  T take() { return std::move(*value); }
};

template <>
struct Promise<void> : PromiseBase {
  Task<void> get_return_object();
  void return_void() {}
  void take() {}
};

}  // namespace detail

/// A coroutine's result to be. Move-only; awaited at most once; destroying one that is suspended destroys the coroutine.
template <class T>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::Promise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  explicit Task(Handle h) : handle_(h) {}
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      if (handle_) handle_.destroy();
      handle_ = std::exchange(other.handle_, {});
    }
    return *this;
  }
  ~Task() {
    if (handle_) handle_.destroy();
  }

  struct Awaiter {
    Handle handle;
    bool await_ready() noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> continuation) noexcept {
      handle.promise().continuation = continuation;
      return handle;
    }
    T await_resume() { return handle.promise().take(); }
  };
  /// The Task must outlive the await.
  Awaiter operator co_await() & { return Awaiter{handle_}; }
  Awaiter operator co_await() && { return Awaiter{handle_}; }

 private:
  Handle handle_;
};

namespace detail {

template <class T>
Task<T> Promise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<Promise<T>>::from_promise(*this));
}
inline Task<void> Promise<void>::get_return_object() {
  return Task<void>(std::coroutine_handle<Promise<void>>::from_promise(*this));
}

struct Detached {
  struct promise_type {
    Detached get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() noexcept { std::terminate(); }
  };
};

template <class T>
struct ResumeState {
  explicit ResumeState(Executor& e) : executor(e) {}
  Executor& executor;
  std::coroutine_handle<> waiter;
  std::optional<T> value;
  std::atomic<int> step{0};  // 0: init runs; 1: suspended; 2: value set before that
};

}  // namespace detail

/// Runs `task` on this thread until it first waits, then lets it go on by itself; `done(value)` is called where it ends.
template <class T, class F>
detail::Detached start(Task<T> task, F done) {
  if constexpr (std::is_void_v<T>) {
    co_await std::move(task);
    done();
  } else {
    done(co_await std::move(task));
  }
}
inline detail::Detached start(Task<void> task) { co_await std::move(task); }

/// Gives one waiting coroutine its value. Copyable; the first call counts, later ones do nothing. Any thread. If no copy is
/// ever called, the coroutine never resumes: whoever holds one answers.
template <class T>
class Resumer {
 public:
  explicit Resumer(std::shared_ptr<detail::ResumeState<T>> state) : state_(std::move(state)) {}
  void operator()(T value) const {
    if (claimed_->exchange(true)) return;
    state_->value.emplace(std::move(value));
    if (state_->step.exchange(2) == 1) {
      state_->executor.post([s = state_] { s->waiter.resume(); });
    }
  }

 private:
  std::shared_ptr<detail::ResumeState<T>> state_;
  std::shared_ptr<std::atomic<bool>> claimed_ = std::make_shared<std::atomic<bool>>(false);
};

/// Suspends the awaiting coroutine, calls `init(Resumer<T>)`, and resumes on `executor` with the value given to the Resumer
/// (at once, without a post, if it was given before init returned).
template <class T, class Init>
auto suspend_until(Executor& executor, Init init) {
  struct Awaiter {
    std::shared_ptr<detail::ResumeState<T>> state;
    Init init;
    bool await_ready() noexcept { return false; }
    bool await_suspend(std::coroutine_handle<> h) {
      auto keep = state;  // the coroutine, and this awaiter with it, may be gone once init has run
      keep->waiter = h;
      init(Resumer<T>(keep));
      int expected = 0;
      return keep->step.compare_exchange_strong(expected, 1);
    }
    T await_resume() { return std::move(*state->value); }
  };
  return Awaiter{std::make_shared<detail::ResumeState<T>>(executor), std::move(init)};
}

/// Goes on on `executor`'s thread.
inline auto hop(Executor& executor) {
  struct Awaiter {
    Executor& executor;
    bool await_ready() noexcept { return false; }
    void await_suspend(std::coroutine_handle<> h) {
      executor.post([h] { h.resume(); });
    }
    void await_resume() noexcept {}
  };
  return Awaiter{executor};
}

/// Goes on on the loop's thread when `delay_ms` have passed on the loop's clock. Loop thread only.
inline auto sleep_for(Loop& loop, int64_t delay_ms) {
  struct Awaiter {
    Loop& loop;
    int64_t delay_ms;
    bool await_ready() noexcept { return false; }
    void await_suspend(std::coroutine_handle<> h) {
      loop.call_after(delay_ms, [h] { h.resume(); });
    }
    void await_resume() noexcept {}
  };
  return Awaiter{loop, delay_ms};
}

}  // namespace sluice
