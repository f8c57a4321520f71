// SPDX-License-Identifier: Apache-2.0
// Buckets by key in shares that have a lock each. A bucket that is full again says no more than none at all, so that it
// makes room; within a share, the one not asked for longest is the first to be full.
#include <fmt/format.h>

#include <array>
#include <chrono>
#include <list>
#include <mutex>
#include <unordered_map>

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
    TokenBucket* bucket = find_or_make(rate, request.key, now_ns, max_keys);
    if (bucket == nullptr) {
      decision.status = Status(StatusCode::busy, fmt::format("all {} buckets of this share are in use", max_keys));
      return decision;
    }
    decision.allowed = bucket->take(rate, request.tokens, now_ns);
    if (!decision.allowed) {
      decision.retry_after_ms = (bucket->wait_ns(rate, request.tokens, now_ns) + kNanosPerMs - 1) / kNanosPerMs;
    }
    return decision;
  }

 private:
  struct Entry {
    std::string key;
    TokenBucket bucket;
  };

  TokenBucket* find_or_make(const LimiterRate& rate, std::string_view key, int64_t now_ns, size_t max_keys) {
    if (const auto found = by_key_.find(key); found != by_key_.end()) {
      entries_.splice(entries_.begin(), entries_, found->second);
      return &found->second->bucket;
    }
    if (entries_.size() >= max_keys) {
      if (!entries_.back().bucket.full(rate, now_ns)) return nullptr;
      by_key_.erase(entries_.back().key);
      entries_.pop_back();
    }
    entries_.push_front({std::string(key), TokenBucket(rate, now_ns)});
    by_key_.emplace(entries_.front().key, entries_.begin());
    return &entries_.front().bucket;
  }

  std::mutex mutex_;
  std::list<Entry> entries_;  // guarded by mutex_, as is what follows; last asked for first
  std::unordered_map<std::string_view, std::list<Entry>::iterator> by_key_;  // keys lie in the entries
};

class LocalLimiter final : public RateLimiter {
 public:
  explicit LocalLimiter(LocalLimiterSettings settings) : settings_(std::move(settings)) {}

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
  if (settings.max_keys < 1 || settings.max_keys > kMaxKeys) {
    return fail(StatusCode::invalid,
                fmt::format("limiter.max_keys: {} is not from 1 to {}", settings.max_keys, kMaxKeys));
  }
  if (!settings.now_ns) settings.now_ns = steady_now_ns;
  return std::unique_ptr<RateLimiter>(std::make_unique<LocalLimiter>(std::move(settings)));
}

}  // namespace sluice
