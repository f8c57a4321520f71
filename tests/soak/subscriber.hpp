// SPDX-License-Identifier: Apache-2.0
// A local subscriber: the shards of a bus as they come and go, through one merging consumer on a thread of its own.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "common.hpp"
#include "sluice/consumer.hpp"
#include "stamp.hpp"

namespace sluice::soak {

/// Ids of shards that were added; filled by the bus's on_change.
class Arrivals {
 public:
  void add(uint64_t shard) {
    const std::lock_guard lock(mutex_);
    shards_.push_back(shard);
  }
  std::vector<uint64_t> take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(shards_, {});
  }

 private:
  std::mutex mutex_;
  std::vector<uint64_t> shards_;
};

class Subscriber {
 public:
  /// Begins to read. `bus` lives until detach(). `in_order`: all that one producer gave is, within a shard.
  Subscriber(std::string who, Bus& bus, uint32_t number, bool in_order, std::shared_ptr<Arrivals> arrivals,
             Verdict& verdict);
  ~Subscriber();

  struct Got {
    uint64_t records = 0;
    uint64_t lost = 0;      // gave way before they were read
    bool complete = false;  // every shard was subscribed to and read to its end
  };
  /// Uses the bus no more; the shards that it knows are read on.
  void detach();
  /// Reads what is there to its end, and ends. After detach(), and after the bus's shutdown or destruction.
  Got finish();

 private:
  void run();
  void subscribe_to_new();
  void look_at(const Response& response);

  const std::string who_;
  Bus& bus_;
  const uint32_t number_;
  const bool in_order_;
  const std::shared_ptr<Arrivals> arrivals_;
  Verdict& verdict_;
  std::unique_ptr<MergingConsumer> consumer_;
  std::atomic<bool> detach_{false}, detached_{false}, finish_{false};
  struct Shard {
    int64_t next_position = -1;
    std::array<uint64_t, kMaxProducers> next_n{};
  };
  std::unordered_map<uint32_t, Shard> shards_;  // the thread's, as what follows
  Got got_;
  bool missed_one_ = false;
  std::thread thread_;
};

}  // namespace sluice::soak
