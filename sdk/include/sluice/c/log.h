/* SPDX-License-Identifier: Apache-2.0
 *
 * Logs of one's own in C: the one writer of a log on a storage, and shards in memory. What they promise is written in
 * <sluice/log_writer.hpp> and <sluice/memory_source.hpp>; the configuration in sdk/c/README.md. A consumer reads a log by a
 * source of the kind "log", a shard in memory by {"kind": "memory", "memory": HANDLE}.
 */
#ifndef SLUICE_C_LOG_H
#define SLUICE_C_LOG_H

#include "sluice/c/record.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Where the records of one append are. */
typedef struct sluice_written {
  uint32_t size;
  int32_t epoch;
  int64_t first; /* positions, one after the other */
  int64_t last;
} sluice_written;

/* appended = written + failed + pending, in records, always. */
typedef struct sluice_log_counts {
  uint32_t size;
  int32_t epoch; /* of this opening */
  uint64_t appended;
  uint64_t written;
  uint64_t failed;
  uint64_t pending;
  uint64_t refused; /* records of appends that were not accepted */
  uint64_t retries; /* batches sent again */
  uint64_t pending_bytes;
} sluice_log_counts;

/* What became of an append: `written`, or `failure` and NULL. Called once, in order of append, from any thread, possibly inside
 * the append, without locks held; may call everything that does not wait for this log. */
typedef void (*sluice_log_done)(void *context, const sluice_written *written, const sluice_failure *failure);

/* [waits for the storage] Takes the lock of a log, raises its epoch, and makes it if it is new. SLUICE_CONFLICT: somebody else
 * writes it. A writer that is released without sluice_log_close() waits for what is under way, ten seconds at most. */
SLUICE_CALL sluice_status sluice_log_open(const char *config, uint64_t config_size, sluice_handle *log, sluice_failure *failure);
/* Accepts records, which are copied: all of them land together, or none. Otherwise `done` is never called: SLUICE_BUSY,
 * too much is pending; SLUICE_TOO_LARGE for one batch; SLUICE_FENCED, closed, or somebody took over. An element
 * that is malformed is SLUICE_INVALID with its index. `done` may be NULL: sluice_log_flush() tells. */
SLUICE_CALL sluice_status sluice_log_append(sluice_handle log, const sluice_record *records, uint64_t count, sluice_log_done done,
                                            void *context, sluice_failure *failure);
/* [waits] The same, and until it is settled. SLUICE_UNKNOWN: not within the time, or the log was released meanwhile: the records
 * may be there or not. Not inside a `done`. */
SLUICE_CALL sluice_status sluice_log_write(sluice_handle log, const sluice_record *records, uint64_t count, int64_t timeout_ms,
                                           sluice_written *written, sluice_failure *failure);
/* [waits] Until all that was accepted is settled; then the first failure since the last flush. SLUICE_UNAVAILABLE: not within the
 * time. close also gives the lock back; what is not settled in time fails. Not inside a `done`. */
SLUICE_CALL sluice_status sluice_log_flush(sluice_handle log, int64_t deadline_ms, sluice_failure *failure);
SLUICE_CALL sluice_status sluice_log_close(sluice_handle log, int64_t deadline_ms, sluice_failure *failure);
/* [waits for the storage] Permission to drop what is below `position`. */
SLUICE_CALL sluice_status sluice_log_trim(sluice_handle log, int64_t position, sluice_failure *failure);
SLUICE_CALL sluice_status sluice_log_stats(sluice_handle log, sluice_log_counts *counts, sluice_failure *failure);
/* The log's id, 22 characters: what a source on another storage handle may name as `log_id`. */
SLUICE_CALL sluice_status sluice_log_id(sluice_handle log, char *buffer, uint64_t capacity, uint64_t *needed, sluice_failure *failure);

/* A shard in memory: {"id": ..., "max_bytes": 1073741824, "first": 0}. One consumer at a time may read it. */
SLUICE_CALL sluice_status sluice_memory_open(const char *config, uint64_t config_size, sluice_handle *memory, sluice_failure *failure);
/* Copies records to the end; `position` (may be NULL) gets that of the last. Every element is checked before any is taken.
 * SLUICE_BUSY: max_bytes are kept, trim first; SLUICE_INVALID: sealed; then `index` is the first that was not taken. */
SLUICE_CALL sluice_status sluice_memory_append(sluice_handle memory, const sluice_record *records, uint64_t count, int64_t *position,
                                               sluice_failure *failure);
/* Nothing comes after this: readers learn that the shard ends. */
SLUICE_CALL sluice_status sluice_memory_seal(sluice_handle memory, sluice_failure *failure);
/* Gives up what is below `before`. */
SLUICE_CALL sluice_status sluice_memory_trim(sluice_handle memory, int64_t before, sluice_failure *failure);

#ifdef __cplusplus
}
#endif

#endif
