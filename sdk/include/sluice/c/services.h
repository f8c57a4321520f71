/* SPDX-License-Identifier: Apache-2.0
 *
 * Checkpoints, envelopes and rate limiters in C; what they promise is written in <sluice/checkpoint.hpp>, <sluice/envelope.hpp>
 * and <sluice/limiter.hpp>.
 */
#ifndef SLUICE_C_SERVICES_H
#define SLUICE_C_SERVICES_H

#include "sluice/c/core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Opens a store of checkpoints: {"directory": ..., "keep": 8, "lock_timeout_ms": 10000}. */
SLUICE_CALL sluice_status sluice_checkpoints_open(const char *config, uint64_t config_size, sluice_handle *store, sluice_failure *failure);
/* [waits for files] Commits the checkpoint that follows `after` (0: the first of the group) and gives its id. SLUICE_CONFLICT:
 * the newest is another one. */
SLUICE_CALL sluice_status sluice_checkpoints_commit(sluice_handle store, const char *group, uint64_t group_size, uint64_t after,
                                                    const char *cursor, uint64_t cursor_size, uint64_t *id, sluice_failure *failure);
/* [waits for files] The newest valid one. SLUICE_NOT_FOUND: there is none. `id` and `needed` are filled in also when the buffer
 * is too small. */
SLUICE_CALL sluice_status sluice_checkpoints_newest(sluice_handle store, const char *group, uint64_t group_size, uint64_t *id,
                                                    char *cursor, uint64_t capacity, uint64_t *needed, sluice_failure *failure);

/* One message in a frame of its own. codec: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd. */
SLUICE_CALL sluice_status sluice_envelope_encode(sluice_span message, uint32_t codec, uint32_t max_message_bytes, uint8_t *buffer,
                                                 uint64_t capacity, uint64_t *needed, sluice_failure *failure);
/* The first frame of `input`: its message, and how many bytes of `input` it took. SLUICE_OUT_OF_RANGE: the frame is not whole
 * yet. */
SLUICE_CALL sluice_status sluice_envelope_decode(sluice_span input, uint32_t max_message_bytes, uint8_t *buffer, uint64_t capacity,
                                                 uint64_t *needed, uint64_t *taken, sluice_failure *failure);

#ifdef __cplusplus
}
#endif

#endif
