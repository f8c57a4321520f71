/* SPDX-License-Identifier: Apache-2.0
 *
 * Composite cursors in C: a place in many shards at once, as text and, to look into it or to change it, behind a handle. What
 * they promise is written in <sluice/cursor.hpp>.
 */
#ifndef SLUICE_C_CURSOR_H
#define SLUICE_C_CURSOR_H

#include "sluice/c/core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* -1 before, 0 equal, 1 after, 2 apart. Malformed text: SLUICE_INVALID, SLUICE_UNSUPPORTED, SLUICE_CORRUPT, SLUICE_TOO_LARGE
 * with the byte in native_code and, in `index`, which of the two it is. */
SLUICE_CALL sluice_status sluice_cursor_compare(const char *left, uint64_t left_size, const char *right, uint64_t right_size,
                                                int32_t *order, sluice_failure *failure);

/* A cursor by its text; of size 0: an empty one. */
SLUICE_CALL sluice_status sluice_cursor_open(const char *text, uint64_t text_size, sluice_handle *cursor, sluice_failure *failure);
SLUICE_CALL sluice_status sluice_cursor_text(sluice_handle cursor, char *buffer, uint64_t capacity, uint64_t *needed, sluice_failure *failure);
SLUICE_CALL sluice_status sluice_cursor_count(sluice_handle cursor, uint64_t *count, sluice_failure *failure);
/* Entry `index` by rising id: the id is written to `buffer`, `next` (may be NULL) is the position of the first record that is still
 * to come. SLUICE_OUT_OF_RANGE: there are fewer. */
SLUICE_CALL sluice_status sluice_cursor_entry(sluice_handle cursor, uint64_t index, int64_t *next, char *buffer, uint64_t capacity,
                                              uint64_t *needed, sluice_failure *failure);
/* The position of a shard. SLUICE_NOT_FOUND: it is not named. */
SLUICE_CALL sluice_status sluice_cursor_get(sluice_handle cursor, const char *id, uint64_t id_size, int64_t *next, sluice_failure *failure);
/* Sets an entry, forwards or back; advance never goes back: SLUICE_INVALID. */
SLUICE_CALL sluice_status sluice_cursor_put(sluice_handle cursor, const char *id, uint64_t id_size, int64_t next, sluice_failure *failure);
SLUICE_CALL sluice_status sluice_cursor_advance(sluice_handle cursor, const char *id, uint64_t id_size, int64_t next, sluice_failure *failure);
/* Takes an entry out. SLUICE_NOT_FOUND: it is not there. */
SLUICE_CALL sluice_status sluice_cursor_forget(sluice_handle cursor, const char *id, uint64_t id_size, sluice_failure *failure);
/* The place from which nothing is skipped that either has still to see, or from which nothing comes again that either has seen. */
SLUICE_CALL sluice_status sluice_cursor_least(sluice_handle left, sluice_handle right, sluice_handle *cursor, sluice_failure *failure);
SLUICE_CALL sluice_status sluice_cursor_greatest(sluice_handle left, sluice_handle right, sluice_handle *cursor, sluice_failure *failure);
/* A position as people write it. SLUICE_INVALID, with the byte in native_code. */
SLUICE_CALL sluice_status sluice_parse_position(const char *text, uint64_t text_size, int64_t *position, sluice_failure *failure);

#ifdef __cplusplus
}
#endif

#endif
