/* SPDX-License-Identifier: Apache-2.0
 *
 * Rate limiters in C: token buckets by key, in this process or shared through a Redis server. What they promise is written in
 * <sluice/limiter.hpp>. They fail closed: whatever a call returns, only `allowed` = 1 is a yes.
 */
#ifndef SLUICE_C_LIMITER_H
#define SLUICE_C_LIMITER_H

#include "sluice/c/core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ELEMENT: whose bucket, and how many tokens of it. */
typedef struct sluice_limiter_request {
  sluice_span key;
  uint64_t tokens; /* at least 1 */
} sluice_limiter_request;

/* ELEMENT: the answer to a request. */
typedef struct sluice_limiter_decision {
  uint32_t allowed;       /* 1: the tokens were taken */
  sluice_status status;   /* SLUICE_OK: decided by the bucket; else why nobody could decide, and refused */
  int64_t retry_after_ms; /* refused for want of tokens: there are enough then, if nobody else takes them */
} sluice_limiter_decision;

typedef struct sluice_limiter_counts {
  uint32_t size;
  uint32_t reserved;
  uint64_t allowed;
  uint64_t refused; /* for want of tokens */
  uint64_t failed;  /* refused without knowing */
  uint64_t invalid; /* refused because the request makes no sense */
} sluice_limiter_counts;

/* Opens a limiter: {"kind": "local", "tokens": 10, "period_ms": 1000, "burst": 5, "max_keys": 100000}, or {"kind": "redis",
 * "tokens", "period_ms", "burst", "host", "port", "username", "password", "prefix", "timeout_ms", "max_reconnect_ms"}. */
SLUICE_CALL sluice_status sluice_limiter_open(const char *config, uint64_t config_size, sluice_handle *limiter, sluice_failure *failure);
/* [waits up to timeout_ms where it is of Redis] One request. SLUICE_OK: decided, one way or the other. */
SLUICE_CALL sluice_status sluice_limiter_acquire(sluice_handle limiter, const char *key, uint64_t key_size, uint64_t tokens,
                                                 sluice_limiter_decision *decision, sluice_failure *failure);
/* Several, in one trip to the backend; `decisions` has `count` elements, all filled in whatever is returned, unless it is NULL.
 * The status is that of the first that could not be decided, its index in the failure. A request that is malformed is
 * SLUICE_INVALID, and nobody was asked. */
SLUICE_CALL sluice_status sluice_limiter_acquire_batch(sluice_handle limiter, const sluice_limiter_request *requests, uint64_t count,
                                                       sluice_limiter_decision *decisions, sluice_failure *failure);
SLUICE_CALL sluice_status sluice_limiter_stats(sluice_handle limiter, sluice_limiter_counts *counts, sluice_failure *failure);

#ifdef __cplusplus
}
#endif

#endif
