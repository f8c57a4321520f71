// SPDX-License-Identifier: Apache-2.0
// A sink that takes events as fast as they come, looks at every one of them, and is at times slow, late or ill: what it
// was given must be in order, once, and whole.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "common.hpp"
#include "sluice/sink.hpp"
#include "stamp.hpp"

namespace sluice::soak {

/// What keeps its order within a shard.
enum class Order {
  producer,  // all that one producer gave
  key,       // what it gave with one key
  none,      // nothing, but for sequences
};

struct CheckingSinkPlan {
  uint32_t bus = 0;
  Order order = Order::producer;
  bool ordered = false;   // several batches of a shard at once, and then no failures
  bool failures = false;  // some batches, or parts of them, are refused, fail, or are to be tried again
  uint64_t seed = 0;
  std::string bus_text{};  // what kind of bus it is behind
};

struct Taken {
  uint64_t delivered = 0, refused = 0, failed = 0, retried = 0;  // events
  uint64_t sum = 0;                                              // of all but those to be tried again
};

/// As Sink says.
class CheckingSink final : public Sink {
 public:
  CheckingSink(std::string who, CheckingSinkPlan plan, Verdict& verdict)
      : who_(std::move(who)), plan_(plan), verdict_(verdict) {}

  SinkTraits traits() const override;
  void deliver(EventBatch batch, Delivered done) override;

  /// From now on nothing is answered, until release() answers all that waits, in order.
  void hold();
  void release();
  /// Whether any batch waits.
  bool holds_any() const;

  /// What was answered.
  Taken taken() const;

 private:
  struct Waiting {
    EventBatch batch;
    Delivered done;
  };
  struct Shard {
    std::mutex mutex;
    Random random{0};
    uint64_t next_sequence = 0;
    std::vector<uint64_t> next_n;  // by producer, or by producer and key
    Taken taken;
  };

  void answer(const EventBatch& batch, Delivered done);
  Shard& shard(uint64_t id);
  Delivery judge(Shard& shard, size_t size) const;
  void look_at(Shard& shard, const EventBatch& batch, size_t count);

  const std::string who_;
  const CheckingSinkPlan plan_;
  Verdict& verdict_;
  std::atomic<bool> held_{false};
  mutable std::mutex mutex_;
  std::deque<Waiting> waiting_;                                  // guarded by mutex_, as what follows
  std::unordered_map<uint64_t, std::unique_ptr<Shard>> shards_;  // never erased
};

}  // namespace sluice::soak
