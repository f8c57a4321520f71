// SPDX-License-Identifier: Apache-2.0
// A bucket is a hash {tokens, at}: how many there were at which microsecond of the server's clock. One script looks at
// all keys of a call, so that a call is one command; it writes only what it takes from, and lets a bucket expire when
// it would be full.
#include <fmt/format.h>
#include <hiredis/hiredis.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <vector>

#include "limiter/bucket.hpp"
#include "limiter/redis_link.hpp"
#include "limiter/tally.hpp"
#include "sluice/limiter.hpp"

namespace sluice {
namespace {

using limiter::check;
using limiter::RedisLink;
using limiter::Reply;
using limiter::steady_now_ns;

constexpr int64_t kMaxTimeoutMs = 60'000;
constexpr int64_t kFirstReconnectMs = 50;
constexpr int64_t kLongestReconnectMs = 600'000;
constexpr size_t kMaxPrefixBytes = 256;
constexpr int64_t kNanosPerMs = 1'000'000;
constexpr int64_t kExpirySlackMs = 1'000;

// ARGV: tokens per period, period in microseconds, burst, milliseconds until full, then what is wanted of each key.
// Answers for each: 0, or the microseconds until there is enough.
constexpr std::string_view kScript = R"(
if redis.replicate_commands then redis.replicate_commands() end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local rate, period, burst = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local answers = {}
for i, key in ipairs(KEYS) do
  local wanted = tonumber(ARGV[4 + i])
  local state = redis.call('HMGET', key, 'tokens', 'at')
  local tokens, at = tonumber(state[1]), tonumber(state[2])
  if not tokens or not at then tokens, at = burst, now end
  if now > at then
    tokens = math.min(burst, tokens + (now - at) * rate / period)
    at = now
  end
  if tokens >= wanted then
    redis.call('HMSET', key, 'tokens', string.format('%.17g', tokens - wanted), 'at', string.format('%.0f', at))
    redis.call('PEXPIRE', key, ARGV[4])
    answers[i] = 0
  else
    answers[i] = math.max(1, math.ceil((wanted - tokens) * period / rate))
  end
end
return answers
)";

class RedisLimiter final : public RateLimiter {
 public:
  explicit RedisLimiter(RedisLimiterSettings settings)
      : settings_(std::move(settings)),
        meter_(settings_.telemetry
                   ? std::optional(settings_.telemetry->meter("acquire", limiter::kTelemetrySystem, settings_.name))
                   : std::nullopt),
        link_(settings_.host, settings_.port),
        tally_(settings_.telemetry, settings_.name) {
    rate_words_ = {std::to_string(settings_.rate.tokens), std::to_string(settings_.rate.period_ms * 1'000),
                   std::to_string(settings_.rate.burst),
                   std::to_string(limiter::fill_ms(settings_.rate) + kExpirySlackMs)};
  }

  void acquire(std::span<const LimiterRequest> requests, std::span<LimiterDecision> decisions) override {
    decisions = decisions.first(std::min(requests.size(), decisions.size()));
    std::vector<size_t> asked;
    for (size_t i = 0; i < decisions.size(); ++i) {
      decisions[i] = LimiterDecision();
      decisions[i].status = requests.size() > kMaxLimiterBatch
                                ? Status(StatusCode::too_large, fmt::format("{} requests in one call", requests.size()))
                                : check(settings_.rate, requests[i]);
      if (decisions[i].status.ok()) asked.push_back(i);
    }
    if (!asked.empty()) {
      const int64_t started = meter_ ? meter_->start() : 0;
      const Status status = ask(requests, asked, decisions);
      if (meter_) status ? meter_->succeed(started) : meter_->fail(started, status);
      if (!status) {
        for (const size_t i : asked) {
          decisions[i] = LimiterDecision();
          decisions[i].status = status;
        }
      }
    }
    for (const LimiterDecision& decision : decisions) tally_.count(decision);
  }
  LimiterCounters counters() const override { return tally_.counters(); }

 private:
  Status ask(std::span<const LimiterRequest> requests, const std::vector<size_t>& asked,
             std::span<LimiterDecision> decisions) {
    const int64_t deadline_ns = steady_now_ns() + settings_.timeout_ms * kNanosPerMs;
    const Turn turn(*this);
    if (!turn.mine()) return Status(StatusCode::busy, "other threads kept the connection busy");
    if (Status status = make_ready(deadline_ns); !status) return status;
    const Result<Reply> reply = run_script(requests, asked, deadline_ns);
    if (!reply) {
      if (!link_.connected()) went_down(reply.error());
      return reply.error();
    }
    reconnect_ms_ = kFirstReconnectMs;
    return read_answers(**reply, asked, decisions);
  }

  // One thread at a time has the connection; others wait as long as a call may take. No lock is held meanwhile.
  class Turn {
   public:
    explicit Turn(RedisLimiter& limiter) : limiter_(limiter) {
      std::unique_lock lock(limiter.mutex_);
      const auto timeout = std::chrono::milliseconds(limiter.settings_.timeout_ms);
      mine_ = limiter.free_.wait_for(lock, timeout, [&] { return !limiter.taken_; });
      if (mine_) limiter.taken_ = true;
    }
    ~Turn() {
      if (!mine_) return;
      {
        const std::lock_guard lock(limiter_.mutex_);
        limiter_.taken_ = false;
      }
      limiter_.free_.notify_one();
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    bool mine() const { return mine_; }

   private:
    RedisLimiter& limiter_;
    bool mine_ = false;
  };

  // Connected and authenticated, or why not. In the caller's turn, as all that follows.
  Status make_ready(int64_t deadline_ns) {
    if (link_.connected() && !link_.stale()) return {};
    link_.drop();
    if (steady_now_ns() < reconnect_at_ns_) return down_;
    Status status = link_.connect(deadline_ns);
    if (status.ok() && !settings_.password.empty()) status = authenticate(deadline_ns);
    if (!status) {
      link_.drop();
      went_down(status);
    }
    return status;
  }

  // A server that takes connections and does not answer costs a time-out for each attempt: they get rarer too.
  void went_down(const Status& why) {
    down_ = why;
    reconnect_at_ns_ = steady_now_ns() + reconnect_ms_ * kNanosPerMs;
    reconnect_ms_ = std::min(2 * reconnect_ms_, settings_.max_reconnect_ms);
  }

  Status authenticate(int64_t deadline_ns) {
    std::vector<std::string_view> words = {"AUTH"};
    if (!settings_.username.empty()) words.emplace_back(settings_.username);
    words.emplace_back(settings_.password);
    const Result<Reply> reply = link_.call(words, deadline_ns);
    if (!reply) return reply.error();
    return error_of(**reply);
  }

  Result<Reply> run_script(std::span<const LimiterRequest> requests, const std::vector<size_t>& asked,
                           int64_t deadline_ns) {
    std::vector<std::string> keys;
    std::vector<std::string> wanted;
    for (const size_t i : asked) {
      keys.push_back(settings_.prefix + std::string(requests[i].key));
      wanted.push_back(std::to_string(requests[i].tokens));
    }
    const std::string count = std::to_string(asked.size());
    // By its hash once the server has told it; a server that has forgotten it gets the text again.
    for (const bool by_hash : {true, false}) {
      if (by_hash && hash_.empty()) {
        if (Status status = load_script(deadline_ns); !status) return fail(std::move(status));
      }
      std::vector<std::string_view> words = {by_hash ? "EVALSHA" : "EVAL", by_hash ? std::string_view(hash_) : kScript,
                                             count};
      words.insert(words.end(), keys.begin(), keys.end());
      words.insert(words.end(), rate_words_.begin(), rate_words_.end());
      words.insert(words.end(), wanted.begin(), wanted.end());
      Result<Reply> reply = link_.call(words, deadline_ns);
      const bool forgotten = reply && by_hash && (*reply)->type == REDIS_REPLY_ERROR &&
                             std::string_view((*reply)->str, (*reply)->len).starts_with("NOSCRIPT");
      if (!forgotten) return reply;
    }
    return fail(StatusCode::internal, "unreachable");
  }

  Status load_script(int64_t deadline_ns) {
    const Result<Reply> reply = link_.call({"SCRIPT", "LOAD", kScript}, deadline_ns);
    if (!reply) return reply.error();
    if (Status status = error_of(**reply); !status) return status;
    if ((*reply)->type != REDIS_REPLY_STRING) return Status(StatusCode::internal, "no hash of the script");
    hash_.assign((*reply)->str, (*reply)->len);
    return {};
  }

  static Status read_answers(const redisReply& reply, const std::vector<size_t>& asked,
                             std::span<LimiterDecision> decisions) {
    if (Status status = error_of(reply); !status) return status;
    if (reply.type != REDIS_REPLY_ARRAY || reply.elements != asked.size()) {
      return Status(StatusCode::internal, "an answer of another shape than the script gives");
    }
    for (size_t i = 0; i < asked.size(); ++i) {
      const redisReply& answer = *reply.element[i];
      if (answer.type != REDIS_REPLY_INTEGER || answer.integer < 0) {
        return Status(StatusCode::internal, "an answer of another shape than the script gives");
      }
      decisions[asked[i]].allowed = answer.integer == 0;
      decisions[asked[i]].retry_after_ms = (answer.integer + 999) / 1'000;
    }
    return {};
  }

  // What the server's own errors mean to who asked.
  static Status error_of(const redisReply& reply) {
    if (reply.type != REDIS_REPLY_ERROR) return {};
    const std::string text(reply.str, reply.len);
    StatusCode code = StatusCode::internal;
    for (const std::string_view word : {"NOAUTH", "WRONGPASS", "NOPERM", "ERR AUTH", "ERR invalid password"}) {
      if (text.starts_with(word)) code = StatusCode::denied;
    }
    for (const std::string_view word : {"LOADING", "BUSY", "READONLY", "MASTERDOWN", "OOM", "MISCONF", "NOREPLICAS"}) {
      if (text.starts_with(word)) code = StatusCode::unavailable;
    }
    return Status(code, "redis: " + text);
  }

  const RedisLimiterSettings settings_;
  const std::optional<OperationMeter> meter_;  // of trips to the server
  std::vector<std::string> rate_words_;
  std::mutex mutex_;
  std::condition_variable free_;
  bool taken_ = false;  // guarded by mutex_
  RedisLink link_;      // of whoever has the turn, as is what follows
  std::string hash_;
  Status down_;
  int64_t reconnect_at_ns_ = 0;
  int64_t reconnect_ms_ = kFirstReconnectMs;
  limiter::Tally tally_;
};

Status check_settings(const RedisLimiterSettings& settings) {
  if (Status status = check(settings.rate); !status) return status;
  if (Status status = limiter::check_name(settings.name); !status) return status;
  const auto invalid = [](std::string text) { return Status(StatusCode::invalid, std::move(text)); };
  if (settings.host.empty()) return invalid("limiter.host: empty");
  if (settings.port == 0) return invalid("limiter.port: 0");
  if (!settings.username.empty() && settings.password.empty())
    return invalid("limiter.password: none for the username");
  if (settings.prefix.size() > kMaxPrefixBytes) {
    return invalid(fmt::format("limiter.prefix: more than {} bytes", kMaxPrefixBytes));
  }
  if (settings.timeout_ms < 1 || settings.timeout_ms > kMaxTimeoutMs) {
    return invalid(fmt::format("limiter.timeout_ms: {} is not from 1 to {}", settings.timeout_ms, kMaxTimeoutMs));
  }
  if (settings.max_reconnect_ms < kFirstReconnectMs || settings.max_reconnect_ms > kLongestReconnectMs) {
    return invalid(fmt::format("limiter.max_reconnect_ms: {} is not from {} to {}", settings.max_reconnect_ms,
                               kFirstReconnectMs, kLongestReconnectMs));
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<RateLimiter>> make_redis_limiter(RedisLimiterSettings settings) {
  if (Status status = check_settings(settings); !status) return fail(std::move(status));
  return std::unique_ptr<RateLimiter>(std::make_unique<RedisLimiter>(std::move(settings)));
}

}  // namespace sluice
