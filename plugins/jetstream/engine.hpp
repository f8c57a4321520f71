// SPDX-License-Identifier: Apache-2.0
// What the storage and its logs share: the loop, the connection, and the count of calls that are under way, so that
// stop knows when all are answered.
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "base/task.hpp"
#include "jetstream/client.hpp"
#include "jetstream/entry.hpp"
#include "jetstream/event_loop.hpp"
#include "jetstream/kept_units.hpp"
#include "jetstream/settings.hpp"
#include "plugin/adapter.hpp"

namespace sluice::jetstream {

/// When a call must be answered: a little before its deadline, so that what is known then is still heard.
inline int64_t answer_by(const plugin::Call& call) {
  constexpr int64_t kMarginNs = 20 * kNsPerMs;
  const int64_t left_ns = call.deadline_ns() - monotonic_ns();
  return call.deadline_ns() - std::clamp(left_ns / 10, int64_t{0}, kMarginNs);
}

/// A server takes 16 logs' units of 2 MiB at 0.6 to 0.9 of a plain program's speed, and those of 1 MiB at 1.
constexpr uint64_t kPreferredUnitBytes = uint64_t{1} << 20;

class Engine {
 public:
  Engine(plugin::Host made_host, Settings made_settings)
      : host(std::move(made_host)),
        settings(std::move(made_settings)),
        client(loop, settings, [this](int32_t level, const std::string& text) { host.log(level, text); }) {}
  /// What a stop left under way is answered, and what was posted is done, while everything is still there.
  ~Engine() {
    static_cast<void>(client.close(kNoDeadlineNs));
    static_cast<void>(run_and_wait([]() -> Task<Status> { co_return Status(); }));
  }

  const plugin::Host host;
  const Settings settings;
  EventLoop loop;
  Client client;
  KeptUnits kept_units;       // the loop's thread
  uint64_t pulled_bytes = 0;  // the loop's thread: that consumers may be delivering at the moment

  /// Bytes of a payload that fit into one message, and of a unit that fits into as many as one may take.
  uint64_t message_room() const {
    const uint64_t payload = client.max_payload();
    return payload > kHeaderAllowanceBytes ? payload - kHeaderAllowanceBytes : 1;
  }
  uint64_t largest_unit() const {
    return std::max(message_room(), std::min(kMostMessagesOfUnit * message_room(), kLargestUnitInParts));
  }

  /// How much of what waits makes a unit: one message of it, and none so large that the server, which grows a buffer to
  /// what it reads, works longer on it than it gains.
  uint64_t preferred_unit() const { return std::min(message_room(), kPreferredUnitBytes); }

  /// Calls are taken from now on. Lifecycle thread.
  void begin() {
    const std::lock_guard lock(mutex_);
    open_ = true;
  }
  /// ... and no longer.
  void end() {
    const std::lock_guard lock(mutex_);
    open_ = false;
  }
  bool taking() {
    const std::lock_guard lock(mutex_);
    return open_;
  }
  /// Whether all calls that were taken are answered, waiting for it until then. Lifecycle thread.
  bool idle_by(int64_t deadline_ns) {
    std::unique_lock lock(mutex_);
    const auto until = std::chrono::steady_clock::time_point(std::chrono::nanoseconds(deadline_ns));
    return changed_.wait_until(lock, until, [this] { return under_way_ == 0; });
  }
  size_t under_way() {
    const std::lock_guard lock(mutex_);
    return under_way_;
  }

  /// Answers `call` with what the coroutine that `make` starts on the loop returns. Any thread.
  template <class Make>
  Status run(plugin::Call& call, Make make) {
    if (!enter()) return Status(StatusCode::unavailable, "the storage is not started");
    loop.post([this, pending = call.defer(), make = std::move(make)]() mutable {
      start(make(), [this, pending = std::move(pending)](Status status) mutable {
        pending.complete(status);
        leave();
      });
    });
    return plugin::pending();
  }

  /// Runs the coroutine on the loop without a call that it answers; stop waits for it too. Loop thread.
  template <class Make>
  void run_aside(Make make) {
    {
      const std::lock_guard lock(mutex_);
      ++under_way_;
    }
    start(make(), [this] { leave(); });
  }

  /// Runs the coroutine on the loop and waits for it: every one ends by its own deadline. Lifecycle thread.
  template <class Make>
  Status run_and_wait(Make make) {
    std::mutex mutex;
    std::condition_variable done;
    bool ended = false;
    Status result;
    loop.post([&] {
      start(make(), [&](Status status) {
        const std::lock_guard lock(mutex);
        result = std::move(status);
        ended = true;
        done.notify_one();
      });
    });
    std::unique_lock lock(mutex);
    done.wait(lock, [&] { return ended; });
    return result;
  }

 private:
  bool enter() {
    const std::lock_guard lock(mutex_);
    if (!open_) return false;
    ++under_way_;
    return true;
  }
  void leave() {
    const std::lock_guard lock(mutex_);
    if (--under_way_ == 0) changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;     // guarded by mutex_
  size_t under_way_ = 0;  // guarded by mutex_
};

}  // namespace sluice::jetstream
