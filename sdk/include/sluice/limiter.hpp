// SPDX-License-Identifier: Apache-2.0
// Rate limiters: token buckets by key, in this process or shared by many through a Redis server. A bucket holds up to
// `burst` tokens and gains `tokens` per period, evenly; a request takes what it asks for or nothing. Limiters fail
// closed: where the answer is not known in time, it is no, and counted.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "sluice/export.hpp"
#include "sluice/status.hpp"

namespace sluice {

class Telemetry;

inline constexpr uint64_t kMaxLimiterTokens = 1'000'000'000;
inline constexpr int64_t kMaxLimiterPeriodMs = 86'400'000;
inline constexpr size_t kMaxLimiterKeyBytes = 1'024;
inline constexpr size_t kMaxLimiterBatch = 1'000;  // requests in one call
inline constexpr size_t kMaxLimiterNameBytes = 200;

struct LimiterRate {
  uint64_t tokens = 0;        // gained per period: 1 to kMaxLimiterTokens
  int64_t period_ms = 1'000;  // 1 to kMaxLimiterPeriodMs
  uint64_t burst = 0;         // held at most, and at first: 1 to kMaxLimiterTokens
};

struct LimiterRequest {
  std::string_view key;  // whose bucket: 1 to kMaxLimiterKeyBytes bytes
  uint64_t tokens = 1;   // at least 1
};

struct LimiterDecision {
  bool allowed = false;
  int64_t retry_after_ms = 0;  // refused for want of tokens: there are enough then, if nobody else takes them
  Status status;               // ok: decided by the bucket. Otherwise why it was not, and refused: see acquire()
};

struct LimiterCounters {
  uint64_t allowed = 0;
  uint64_t refused = 0;  // for want of tokens
  uint64_t failed = 0;   // refused without knowing: the backend failed, or there was no room for the key
  uint64_t invalid = 0;  // refused because the request makes no sense
};

/// Any thread.
class RateLimiter {
 public:
  virtual ~RateLimiter() = default;
  /// Decides about each of `requests`, in order; `decisions` has as many elements. One trip to the backend for all.
  /// Status of a decision: INVALID (the request), TOO_LARGE (more than a bucket ever holds, or more than
  /// kMaxLimiterBatch requests), UNAVAILABLE (backend), BUSY (no room for another key, or other threads kept the
  /// backend's connection busy), INTERNAL, DENIED (the backend said so). Tokens of a refused request are not taken,
  /// except that after UNAVAILABLE they may have been.
  virtual void acquire(std::span<const LimiterRequest> requests, std::span<LimiterDecision> decisions) = 0;
  virtual LimiterCounters counters() const = 0;

  LimiterDecision acquire(std::string_view key, uint64_t tokens = 1) {
    const LimiterRequest request{key, tokens};
    LimiterDecision decision;
    acquire({&request, 1}, {&decision, 1});
    return decision;
  }
};

struct LocalLimiterSettings {
  LimiterRate rate;
  size_t max_keys = 100'000;          // 1 to 10,000,000; buckets that are full again make room. From 256 on kept in 16
                                      // shares by the key's hash, each of which has room for a sixteenth
  std::function<int64_t()> now_ns{};  // a clock that never goes back, any thread; empty: the machine's
  std::string name = "limiter";       // in telemetry: 1 to kMaxLimiterNameBytes
  /// Asks for the counters when a snapshot is taken (sluice.limiter.*): deciding costs the same without. Null: none.
  std::shared_ptr<Telemetry> telemetry{};
};

/// Buckets in this process. Never blocks beyond short locks. INVALID names the field.
SLUICE_API Result<std::unique_ptr<RateLimiter>> make_local_limiter(LocalLimiterSettings settings);

struct RedisLimiterSettings {
  LimiterRate rate;
  std::string host = "127.0.0.1";
  uint16_t port = 6379;
  std::string username{};                // empty: none; needs a password
  std::string password{};                // empty: no AUTH
  std::string prefix = "sluice:limit:";  // of the keys in Redis, up to 256 bytes
  int64_t timeout_ms = 200;              // for one acquire(), connecting included: 1 to 60,000
  int64_t max_reconnect_ms = 5'000;      // between attempts to connect, which begin at 50 ms: 50 to 600,000
  std::string name = "limiter";          // in telemetry: 1 to kMaxLimiterNameBytes
  /// As that of a local limiter, and hears of every trip to the backend how long it took and why it failed.
  std::shared_ptr<Telemetry> telemetry{};
};

/// Buckets in one Redis (2.8 and later), by its clock, that expire when they would be full again. One command per
/// acquire(), on one connection that is made when first needed; while the server cannot be reached, calls between two
/// attempts are refused at once. Plain TCP, no cluster. INVALID names the field; whether there is a server is not
/// tried.
SLUICE_API Result<std::unique_ptr<RateLimiter>> make_redis_limiter(RedisLimiterSettings settings);

}  // namespace sluice
