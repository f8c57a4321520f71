/* SPDX-License-Identifier: Apache-2.0
 *
 * State diffs in C: what changed between two JSON states, as a patch (RFC 6902) with hashes of both. What it promises is
 * written in <sluice/diff.hpp>. For text that is no JSON, native_code is the byte, counted from 1.
 */
#ifndef SLUICE_C_DIFF_H
#define SLUICE_C_DIFF_H

#include "sluice/c/core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Characters of a state's hash. */
#define SLUICE_DIFF_HASH_BYTES 64u

/* How much a call takes; 0 in a field: its default. */
typedef struct sluice_diff_limits {
  uint32_t size;
  uint32_t max_depth;       /* 128; at most 512 */
  uint64_t max_state_bytes; /* 16 MiB */
  uint64_t max_patch_bytes; /* 16 MiB */
  uint64_t max_operations;  /* 100,000 */
} sluice_diff_limits;

/* All below: `limits` may be NULL. SLUICE_INVALID: no JSON, no diff; SLUICE_TOO_LARGE: beyond a limit, or `capacity` is less
 * than `needed`; SLUICE_UNSUPPORTED: a diff of a later version. */

/* The diff that turns `before` into `after`. */
SLUICE_CALL sluice_status sluice_diff_make(const char *before, uint64_t before_size, const char *after, uint64_t after_size,
                                           const sluice_diff_limits *limits, char *buffer, uint64_t capacity, uint64_t *needed,
                                           sluice_failure *failure);
/* `state` with the diff applied, in its canonical form. SLUICE_CONFLICT: the diff is for another state; SLUICE_CORRUPT: it does
 * not give what it promises. */
SLUICE_CALL sluice_status sluice_diff_apply(const char *state, uint64_t state_size, const char *diff, uint64_t diff_size,
                                            const sluice_diff_limits *limits, char *buffer, uint64_t capacity, uint64_t *needed,
                                            sluice_failure *failure);
/* SLUICE_OK where sluice_diff_apply() would give a state; else what it would say. */
SLUICE_CALL sluice_status sluice_diff_verify(const char *state, uint64_t state_size, const char *diff, uint64_t diff_size,
                                             const sluice_diff_limits *limits, sluice_failure *failure);
/* The hash of a state as diffs have it, SLUICE_DIFF_HASH_BYTES hexadecimal digits. */
SLUICE_CALL sluice_status sluice_diff_hash(const char *state, uint64_t state_size, const sluice_diff_limits *limits, char *buffer,
                                           uint64_t capacity, uint64_t *needed, sluice_failure *failure);

#ifdef __cplusplus
}
#endif

#endif
