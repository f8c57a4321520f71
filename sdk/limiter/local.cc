// SPDX-License-Identifier: Apache-2.0
// Buckets by key in shares that have a lock each. A bucket that is full again says no more than none at all, so that it
// makes room; each share knows which of its buckets is the first to be full, at a cost that grows with the logarithm of
// their number.
#include <fmt/format.h>

#include <array>
#include <chrono>
#include <mutex>
#include <new>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "limiter/bucket.hpp"
#include "limiter/tally.hpp"
#include "sluice/limiter.hpp"

namespace sluice {
namespace {

using limiter::check;
using limiter::TokenBucket;

constexpr size_t kMaxKeys = 10'000'000;
constexpr size_t kShares = 16;
constexpr int64_t kNanosPerMs = 1'000'000;

int64_t steady_now_ns() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

class Share {
 public:
  LimiterDecision acquire(const LimiterRate& rate, const LimiterRequest& request, int64_t now_ns, size_t max_keys) {
    const std::lock_guard lock(mutex_);
    LimiterDecision decision;
    Entry* entry = nullptr;
    try {
      entry = find_or_make(rate, request.key, now_ns, max_keys);
    } catch (const std::bad_alloc&) {
      decision.status = Status(StatusCode::busy, "no memory for another key");
      return decision;
    }
    if (entry == nullptr) {
      decision.status = Status(StatusCode::busy, fmt::format("all {} buckets of this share are in use", max_keys));
      return decision;
    }
    TokenBucket& bucket = entry->second.bucket;
    decision.allowed = bucket.take(rate, request.tokens, now_ns);
    if (decision.allowed) {
      entry->second.full_at_ns = bucket.full_at_ns(rate);
      fall(entry->second.place);
    } else {
      decision.retry_after_ms = (bucket.wait_ns(rate, request.tokens, now_ns) + kNanosPerMs - 1) / kNanosPerMs;
    }
    return decision;
  }

 private:
  struct Held {
    TokenBucket bucket;
    int64_t full_at_ns;
    size_t place;  // in soonest_
  };
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view key) const { return std::hash<std::string_view>()(key); }
  };
  using Entry = std::pair<const std::string, Held>;

  Entry* find_or_make(const LimiterRate& rate, std::string_view key, int64_t now_ns, size_t max_keys) {
    if (const auto found = by_key_.find(key); found != by_key_.end()) return &*found;
    if (by_key_.size() >= max_keys) {
      if (!soonest_.front()->second.bucket.full(rate, now_ns)) return nullptr;
      forget_soonest();
    }
    soonest_.push_back(nullptr);
    try {
      const TokenBucket bucket(rate, now_ns);
      const Held held{bucket, bucket.full_at_ns(rate), soonest_.size() - 1};
      soonest_.back() = &*by_key_.emplace(std::string(key), held).first;
    } catch (...) {
      soonest_.pop_back();
      throw;
    }
    Entry* const made = soonest_.back();
    rise(made->second.place);
    return made;
  }

  void forget_soonest() {
    const Entry* gone = soonest_.front();
    put(soonest_.back(), 0);
    soonest_.pop_back();
    if (!soonest_.empty()) fall(0);
    by_key_.erase(by_key_.find(gone->first));
  }

  void put(Entry* entry, size_t place) {
    soonest_[place] = entry;
    entry->second.place = place;
  }
  bool sooner(size_t one, size_t other) const {
    return soonest_[one]->second.full_at_ns < soonest_[other]->second.full_at_ns;
  }
  void swap(size_t one, size_t other) {
    Entry* const moved = soonest_[one];
    put(soonest_[other], one);
    put(moved, other);
  }
  void rise(size_t at) {
    for (; at > 0 && sooner(at, (at - 1) / 2); at = (at - 1) / 2) swap(at, (at - 1) / 2);
  }
  void fall(size_t at) {
    for (size_t child = 2 * at + 1; child < soonest_.size(); child = 2 * at + 1) {
      if (child + 1 < soonest_.size() && sooner(child + 1, child)) ++child;
      if (!sooner(child, at)) return;
      swap(at, child);
      at = child;
    }
  }

  std::mutex mutex_;
  std::unordered_map<std::string, Held, Hash, std::equal_to<>> by_key_;  // guarded by mutex_, as is what follows
  std::vector<Entry*> soonest_;  // a heap of all entries: the first is the first to be full
};

class LocalLimiter final : public RateLimiter {
 public:
  explicit LocalLimiter(LocalLimiterSettings settings)
      : settings_(std::move(settings)), tally_(settings_.telemetry, settings_.name) {}

  void acquire(std::span<const LimiterRequest> requests, std::span<LimiterDecision> decisions) override {
    const int64_t now_ns = settings_.now_ns();
    for (size_t i = 0; i < requests.size() && i < decisions.size(); ++i) {
      decisions[i] = decide(requests[i], requests.size(), now_ns);
      tally_.count(decisions[i]);
    }
  }
  LimiterCounters counters() const override { return tally_.counters(); }

 private:
  LimiterDecision decide(const LimiterRequest& request, size_t count, int64_t now_ns) {
    LimiterDecision decision;
    decision.status = count > kMaxLimiterBatch
                          ? Status(StatusCode::too_large, fmt::format("{} requests in one call", count))
                          : check(settings_.rate, request);
    if (!decision.status) return decision;
    // Few keys have one share, so that the limit is exact where it is small.
    const size_t shares = settings_.max_keys < kShares * kShares ? 1 : kShares;
    Share& share = shares_[std::hash<std::string_view>()(request.key) % shares];
    return share.acquire(settings_.rate, request, now_ns, settings_.max_keys / shares);
  }

  const LocalLimiterSettings settings_;
  std::array<Share, kShares> shares_;
  limiter::Tally tally_;
};

}  // namespace

Result<std::unique_ptr<RateLimiter>> make_local_limiter(LocalLimiterSettings settings) {
  if (Status status = check(settings.rate); !status) return fail(std::move(status));
  if (Status status = limiter::check_name(settings.name); !status) return fail(std::move(status));
  if (settings.max_keys < 1 || settings.max_keys > kMaxKeys) {
    return fail(StatusCode::invalid,
                fmt::format("limiter.max_keys: {} is not from 1 to {}", settings.max_keys, kMaxKeys));
  }
  if (!settings.now_ns) settings.now_ns = steady_now_ns;
  return std::unique_ptr<RateLimiter>(std::make_unique<LocalLimiter>(std::move(settings)));
}

}  // namespace sluice
