// SPDX-License-Identifier: Apache-2.0
#include "sluice/c/limiter.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <vector>

#include "c/boundary.hpp"
#include "c/config.hpp"
#include "c/telemetry.hpp"
#include "sluice/limiter.hpp"

namespace sluice::c {
namespace {

constexpr size_t kCountsBytes = sizeof(sluice_limiter_counts);  // of the first version

struct LimiterObject final : Object {
  static constexpr Kind kKind = Kind::limiter;
  explicit LimiterObject(std::unique_ptr<RateLimiter> made) : Object(kKind), limiter(std::move(made)) {}
  const std::unique_ptr<RateLimiter> limiter;
};

/// Types and names are judged here, ranges by what makes the limiter.
Result<std::unique_ptr<LimiterObject>> open_limiter(std::string_view text) {
  ConfigReader config = ConfigReader::parse(text);
  const size_t kind = config.choice("kind", {"local", "redis"}, 0);
  LimiterRate rate;
  rate.tokens = config.natural("tokens", rate.tokens);
  rate.period_ms = config.integer("period_ms", rate.period_ms);
  rate.burst = config.natural("burst", rate.burst);
  LocalLimiterSettings local{rate};
  RedisLimiterSettings redis{rate};
  if (kind == 0) {
    local.max_keys = config.natural("max_keys", local.max_keys);
  } else {
    redis.host = config.text("host", redis.host);
    redis.port = config.natural("port", redis.port);
    redis.username = config.text("username");
    redis.password = config.text("password");
    redis.prefix = config.text("prefix", redis.prefix);
    redis.timeout_ms = config.integer("timeout_ms", redis.timeout_ms);
    redis.max_reconnect_ms = config.integer("max_reconnect_ms", redis.max_reconnect_ms);
  }
  local.name = redis.name = config.text("name", local.name);
  local.telemetry = redis.telemetry = read_telemetry(config);
  config.finish();
  if (Status verdict = config.verdict(); !verdict.ok()) return fail(std::move(verdict));
  auto made = kind == 0 ? make_local_limiter(std::move(local)) : make_redis_limiter(std::move(redis));
  // The fields of the rate are beside the others here.
  if (!made) return fail(at_path(at_path(made.error(), "", "limiter."), "", "rate."));
  return std::make_unique<LimiterObject>(std::move(*made));
}

/// Until somebody says otherwise, the answer is no.
void refuse_all(sluice_limiter_decision* decisions, uint64_t count) {
  std::fill_n(decisions, count, sluice_limiter_decision{0, SLUICE_INVALID, 0});
}

Verdict acquire_all(RateLimiter& limiter, const sluice_limiter_request* asked, uint64_t count,
                    sluice_limiter_decision* decisions) {
  std::vector<LimiterRequest> requests(count);
  for (uint64_t i = 0; i < count; ++i) {
    const auto key = text_of(asked[i].key, fmt::format("requests[{}].key", i));
    if (!key) return {key.error(), static_cast<int64_t>(i)};
    requests[i] = {*key, asked[i].tokens};
  }
  std::vector<LimiterDecision> made(count);
  limiter.acquire(std::span<const LimiterRequest>(requests), std::span<LimiterDecision>(made));
  Verdict first;
  for (uint64_t i = 0; i < count; ++i) {
    const LimiterDecision& one = made[i];
    decisions[i] = {one.allowed ? 1U : 0U, static_cast<sluice_status>(one.status.code()), one.retry_after_ms};
    if (!one.status.ok() && first.status.ok()) first = {one.status, static_cast<int64_t>(i)};
  }
  return first;
}

}  // namespace
}  // namespace sluice::c

using namespace sluice;     // NOLINT: the functions below are of C
using namespace sluice::c;  // NOLINT

extern "C" {

sluice_status sluice_limiter_open(const char* config, uint64_t config_size, sluice_handle* limiter,
                                  sluice_failure* failure) {
  return open_by({config, config_size, "config"}, limiter, "limiter", failure, &open_limiter);
}

sluice_status sluice_limiter_acquire(sluice_handle limiter, const char* key, uint64_t key_size, uint64_t tokens,
                                     sluice_limiter_decision* decision, sluice_failure* failure) {
  if (decision != nullptr) refuse_all(decision, 1);
  return on<LimiterObject>(limiter, failure, [&](LimiterObject& object) -> Verdict {
    if (Status status = check_out(decision, "decision"); !status.ok()) return status;
    const auto name = text_of(key, key_size, "key");
    if (!name) return name.error();
    const sluice_limiter_request request{span_of(as_bytes(*name)), tokens};
    return acquire_all(*object.limiter, &request, 1, decision);
  });
}

sluice_status sluice_limiter_acquire_batch(sluice_handle limiter, const sluice_limiter_request* requests,
                                           uint64_t count, sluice_limiter_decision* decisions,
                                           sluice_failure* failure) {
  // More than that is not what a caller has room for.
  const bool sensible = count <= kMaxLimiterBatch;
  if (decisions != nullptr && sensible) refuse_all(decisions, count);
  return on<LimiterObject>(limiter, failure, [&](LimiterObject& object) -> Verdict {
    if (count == 0) return {};
    if (!sensible) {
      return Status(StatusCode::too_large, fmt::format("{} requests; at most {}", count, kMaxLimiterBatch));
    }
    if (Status status = check_out(requests, "requests"); !status.ok()) return status;
    if (Status status = check_out(decisions, "decisions"); !status.ok()) return status;
    return acquire_all(*object.limiter, requests, count, decisions);
  });
}

sluice_status sluice_limiter_stats(sluice_handle limiter, sluice_limiter_counts* counts, sluice_failure* failure) {
  return on<LimiterObject>(limiter, failure, [&](LimiterObject& object) -> Verdict {
    if (Status status = check_struct(counts, kCountsBytes, "counts"); !status.ok()) return status;
    const LimiterCounters counters = object.limiter->counters();
    counts->allowed = counters.allowed;
    counts->refused = counters.refused;
    counts->failed = counters.failed;
    counts->invalid = counters.invalid;
    return {};
  });
}

}  // extern "C"
