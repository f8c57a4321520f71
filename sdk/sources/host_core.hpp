// SPDX-License-Identifier: Apache-2.0
// What is behind StorageHost: the storage, the thread on which its calls are answered, and who is told when a log of it
// grew. Any thread. Kept by whoever works on it; the last who lets go stops it, on a thread of its own if that was the
// storage's.
#pragma once

#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/task.hpp"
#include "base/thread_loop.hpp"
#include "host/storage.hpp"
#include "sluice/storage_host.hpp"
#include "sources/names.hpp"
#include "sources/spare_buffers.hpp"

namespace sluice {

namespace sources {

/// Hears that a log grew. Any thread, no lock held.
class GrowthListener {
 public:
  virtual ~GrowthListener() = default;
  virtual void log_grew() = 0;
};

}  // namespace sources

struct StorageHost::Core : std::enable_shared_from_this<StorageHost::Core> {
  explicit Core(std::shared_ptr<host::Storage> made) : name(made->name()), storage(std::move(made)) {}
  ~Core();
  /// As a std::shared_ptr's deleter.
  static void let_go(Core* core);

  /// INVALID on the storage's own thread, on which nobody may wait.
  Status may_block(std::string_view what) const;

  /// [blocks] Runs `make()` on the storage's thread until its end. T: Status or a Result.
  template <class T, class Make>
  T wait_for(std::string_view what, Make make) {
    if (Status allowed = may_block(what); !allowed.ok()) return T(as<T>(std::move(allowed)));
    auto promise = std::make_shared<std::promise<T>>();
    std::future<T> future = promise->get_future();
    loop.post([make = std::move(make), promise]() mutable {
      sluice::start(make(), [promise](T value) { promise->set_value(std::move(value)); });
    });
    return future.get();
  }

  void listen(const host::LogId& log, std::weak_ptr<sources::GrowthListener> listener);
  void tell_growth(const host::LogId& log);

  const std::string name;
  const std::shared_ptr<host::Storage> storage;
  const std::shared_ptr<sources::SpareBuffers> spare = std::make_shared<sources::SpareBuffers>();
  ThreadLoop loop{"sluice-storage"};

 private:
  template <class T>
  static auto as(Status status) {
    if constexpr (std::is_same_v<T, Status>) {
      return status;
    } else {
      return fail(std::move(status));
    }
  }

  std::mutex mutex_;
  std::map<host::LogId, std::vector<std::weak_ptr<sources::GrowthListener>>> listeners_;  // guarded by mutex_
};

}  // namespace sluice
