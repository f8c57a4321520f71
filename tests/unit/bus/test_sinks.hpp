// SPDX-License-Identifier: Apache-2.0
// Sinks for tests of the bus: one that keeps what it got, and behaves as it is told.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/sanitizers.hpp"
#include "sluice/bus.hpp"

namespace sluice::bus {

inline constexpr int64_t kPatienceMs = 30'000;

inline constexpr bool kSanitized = SLUICE_ADDRESS_SANITIZER != 0 || SLUICE_THREAD_SANITIZER != 0;

template <class Predicate>
bool eventually(Predicate predicate, int64_t patience_ms = kPatienceMs) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(patience_ms);
  while (!predicate()) {
    if (std::chrono::steady_clock::now() >= until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

struct Seen {
  uint64_t shard;
  uint64_t sequence;
  int64_t timestamp_ns;
  std::string key;
  std::string value;
};

class TestSink : public Sink {
 public:
  // Set before use.
  SinkTraits its_traits;
  bool keeps = true;
  std::function<Delivery(const EventBatch&)> judge;  // null: all delivered
  std::function<Status()> on_open;
  Status flush_status;
  Status close_status;

  // While `held` deliveries wait for release().
  std::atomic<bool> held{false};

  std::atomic<uint64_t> events{0}, batches{0}, opens{0}, flushes{0}, closes{0};

  SinkTraits traits() const override { return its_traits; }
  void open(Done done) override {
    ++opens;
    done(on_open ? on_open() : Status());
  }
  void deliver(EventBatch batch, Delivered done) override {
    ++batches;
    {
      const std::lock_guard lock(mutex_);
      if (held) {
        waiting_.push_back({batch, std::move(done)});
        return;
      }
    }
    finish(batch, std::move(done));
  }
  void flush(int64_t, Done done) override {
    ++flushes;
    done(flush_status);
  }
  void close(int64_t, Done done) override {
    ++closes;
    done(close_status);
  }

  void release() {
    {
      const std::lock_guard lock(mutex_);
      held = false;  // what is not waiting by now will not wait
    }
    answer_waiting();
  }
  void answer_waiting() {
    std::vector<Waiting> waiting;
    {
      const std::lock_guard lock(mutex_);
      waiting.swap(waiting_);
    }
    for (Waiting& w : waiting) finish(w.batch, std::move(w.done));
  }
  size_t waiting() const {
    const std::lock_guard lock(mutex_);
    return waiting_.size();
  }
  std::vector<Seen> seen() const {
    const std::lock_guard lock(mutex_);
    return seen_;
  }

 private:
  struct Waiting {
    EventBatch batch;
    Delivered done;
  };
  void finish(const EventBatch& batch, Delivered done) {
    Delivery delivery = judge ? judge(batch) : Delivery();
    const size_t taken = delivery.status ? batch.size() : delivery.settled;
    events += taken - delivery.refused;
    if (keeps) {
      const std::lock_guard lock(mutex_);
      for (size_t i = 0; i < taken; ++i) {
        const Record r = batch[i];
        seen_.push_back({batch.origin().shard, static_cast<uint64_t>(r.position), r.timestamp_ns,
                         r.key ? std::string(as_text(*r.key)) : "", r.value ? std::string(as_text(*r.value)) : ""});
      }
    }
    done(std::move(delivery));
  }
  mutable std::mutex mutex_;
  std::vector<Waiting> waiting_;
  std::vector<Seen> seen_;
};

inline Event event(std::string_view key, std::string_view value) {
  return {.key = as_bytes(key), .value = as_bytes(value)};
}

inline BusOptions options_for(std::shared_ptr<Sink> sink) {
  BusOptions options;
  options.sink = std::move(sink);
  options.log = [](std::string_view) {};
  return options;
}

inline std::unique_ptr<Bus> make_bus(BusOptions options) {
  auto bus = Bus::create(std::move(options));
  if (!bus) throw std::runtime_error(bus.error().describe());
  return std::move(*bus);
}

}  // namespace sluice::bus
