// SPDX-License-Identifier: Apache-2.0
// Bounds what is kept at hand for many owners (open descriptors, loaded indexes). Each owner has a slot; the least
// recently used slots are emptied when the costs exceed the limit. Whoever got a value holds a reference of its own, so
// emptying a slot never pulls anything away from a user. Any thread; a slot's owner must not destroy it while using it
// elsewhere.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace sluice::disk {

template <class T>
class LruCache {
 public:
  class Slot {
   public:
    explicit Slot(LruCache& cache) : cache_(cache) {}
    Slot(const Slot&) = delete;
    Slot& operator=(const Slot&) = delete;
    ~Slot() { clear(); }

    /// What was put, if it is still there.
    std::shared_ptr<T> get() {
      std::lock_guard lock(cache_.mutex_);
      if (value_) cache_.order_.splice(cache_.order_.begin(), cache_.order_, where_);
      return value_;
    }
    void put(std::shared_ptr<T> value, uint64_t cost) { cache_.put(*this, std::move(value), cost); }
    void clear() { cache_.put(*this, nullptr, 0); }

   private:
    friend class LruCache;
    LruCache& cache_;
    std::shared_ptr<T> value_;
    uint64_t cost_ = 0;
    typename std::list<Slot*>::iterator where_;
  };

  explicit LruCache(uint64_t limit) : limit_(limit) {}

  /// The sum of the costs of what is kept.
  uint64_t used() const {
    std::lock_guard lock(mutex_);
    return used_;
  }

 private:
  void put(Slot& slot, std::shared_ptr<T> value, uint64_t cost) {
    std::vector<std::shared_ptr<T>> dropped;  // freed without the lock
    std::lock_guard lock(mutex_);
    if (slot.value_) dropped.push_back(remove(slot));
    if (!value) return;
    slot.value_ = std::move(value);
    slot.cost_ = cost;
    used_ += cost;
    order_.push_front(&slot);
    slot.where_ = order_.begin();
    while (used_ > limit_ && order_.size() > 1) dropped.push_back(remove(*order_.back()));
  }

  std::shared_ptr<T> remove(Slot& slot) {
    order_.erase(slot.where_);
    used_ -= slot.cost_;
    return std::exchange(slot.value_, nullptr);
  }

  mutable std::mutex mutex_;
  const uint64_t limit_;
  uint64_t used_ = 0;
  std::list<Slot*> order_;  // most recently used first
};

}  // namespace sluice::disk
