/* SPDX-License-Identifier: Apache-2.0
 *
 * Checkpoints in C: where a group of readers has got to, in files that processes share. What they promise is written in
 * <sluice/checkpoint.hpp>.
 */
#ifndef SLUICE_C_CHECKPOINT_H
#define SLUICE_C_CHECKPOINT_H

#include "sluice/c/core.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sluice_checkpoint {
  uint32_t size;
  uint32_t damaged_newer; /* files above this one that could not be read and were passed over */
  uint64_t id;            /* from 1, rises with each commit of the group, never given twice */
  int64_t created_ns;     /* since the epoch; for people */
} sluice_checkpoint;

/* Opens a store: {"directory": ..., "keep": 8, "lock_timeout_ms": 10000}. */
SLUICE_CALL sluice_status sluice_checkpoints_open(const char *config, uint64_t config_size, sluice_handle *store, sluice_failure *failure);
/* [waits for files] Commits the checkpoint that follows `after` (0: the first of the group); `id` (may be NULL) gets its number.
 * SLUICE_CONFLICT: the newest is another one. `metadata` may be NULL where the count is 0; no value is null. */
SLUICE_CALL sluice_status sluice_checkpoints_commit(sluice_handle store, const char *group, uint64_t group_size, uint64_t after,
                                                    const char *cursor, uint64_t cursor_size, const sluice_field *metadata,
                                                    uint64_t metadata_count, uint64_t *id, sluice_failure *failure);
/* [waits for files] The newest valid one: its cursor as text, and the rest in `about` (may be NULL), which is filled in also when
 * the buffer is too small. SLUICE_NOT_FOUND: there is none; SLUICE_CORRUPT: none is valid. */
SLUICE_CALL sluice_status sluice_checkpoints_newest(sluice_handle store, const char *group, uint64_t group_size, sluice_checkpoint *about,
                                                    char *cursor, uint64_t capacity, uint64_t *needed, sluice_failure *failure);
/* [waits for files] All that is kept of a group, the newest first, as JSON: {"checkpoints": [{"id", "created_ns", "cursor",
 * "metadata": [[name, value]]}], "damaged": [{"path", "status", "text"}]}. */
SLUICE_CALL sluice_status sluice_checkpoints_list(sluice_handle store, const char *group, uint64_t group_size, char *buffer,
                                                  uint64_t capacity, uint64_t *needed, sluice_failure *failure);
/* [waits for files] The names of all groups, as JSON. */
SLUICE_CALL sluice_status sluice_checkpoints_groups(sluice_handle store, char *buffer, uint64_t capacity, uint64_t *needed,
                                                    sluice_failure *failure);

#ifdef __cplusplus
}
#endif

#endif
