// SPDX-License-Identifier: Apache-2.0
// A thread that delivers for some shards. While events come fast it looks again and again with short naps, which costs
// producers nothing; when they do not it sleeps until a producer, a sink or a deadline wakes it.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "bus/shard.hpp"

namespace sluice::bus {

class Pump {
 public:
  /// `finished` is called on the pump's thread, no lock held, after a shard has delivered everything; the pump forgets
  /// it then.
  Pump(std::shared_ptr<Context> context, std::function<void(const std::shared_ptr<Shard>&)> finished);
  /// Ends the thread. Shards that are not finished stay as they are.
  ~Pump();

  /// Any thread.
  void add(std::shared_ptr<Shard> shard);
  const std::shared_ptr<Signal>& signal() const { return signal_; }
  /// The calling thread delivers for the bus of `context`.
  static bool is_current(const Context* context) { return serving_ == context; }

 private:
  void run();
  void rest(int64_t now_ns, int64_t due_ns);

  const std::shared_ptr<Context> context_;
  const std::function<void(const std::shared_ptr<Shard>&)> finished_;
  const std::shared_ptr<Signal> signal_ = std::make_shared<Signal>();
  std::atomic<bool> stop_{false};
  std::atomic<bool> arrived_{false};
  std::mutex mutex_;
  std::vector<std::shared_ptr<Shard>> arrivals_;  // guarded by mutex_
  std::vector<std::shared_ptr<Shard>> shards_;    // the thread's own
  static thread_local const Context* serving_;
  std::thread thread_;
};

}  // namespace sluice::bus
