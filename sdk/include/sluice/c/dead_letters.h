/* SPDX-License-Identifier: Apache-2.0
 *
 * The dead letter queue in C: records that could not be handled go to a sink, as they were, with the cause in headers. What it
 * promises, and the names of the headers, are in <sluice/dlq.hpp>; the configuration in sdk/c/README.md.
 */
#ifndef SLUICE_C_DEAD_LETTERS_H
#define SLUICE_C_DEAD_LETTERS_H

#include "sluice/c/record.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Why a record could not be handled. */
typedef struct sluice_cause {
  uint32_t size;
  uint32_t attempts;         /* at handling it */
  const sluice_failure *why; /* as a call of this library, or the caller, filled it in */
  sluice_span source;        /* where the record is from: a shard's id */
} sluice_cause;

/* offered = dropped + sent + failed + waiting + in_flight, at any time. */
typedef struct sluice_dead_letters_counts {
  uint32_t size;
  sluice_status last_failure; /* why the last of `failed` did */
  uint64_t offered;
  uint64_t dropped; /* refused by offer */
  uint64_t sent;
  uint64_t failed; /* the sink will never have them */
  uint64_t retries; /* deliveries and openings that were tried again */
  uint64_t waiting;
  uint64_t in_flight;
  uint64_t held_bytes;
  sluice_status opening; /* why the sink is not open; SLUICE_OK: it is, or nobody has tried */
  uint32_t reserved;     /* 0 */
} sluice_dead_letters_counts;

/* Opens a queue: {"sink": {...}, "max_records": 10000, "max_bytes", "max_in_flight", "retry": {...}, "own_thread": true}. What one
 * holds that is released without sluice_dead_letters_close() is given up, and a line says how many. */
SLUICE_CALL sluice_status sluice_dead_letters_open(const char *config, uint64_t config_size, sluice_handle *queue, sluice_failure *failure);
/* Copies the record. It is dropped, and counted, where this fails: SLUICE_BUSY, no room; SLUICE_TOO_LARGE, never will be;
 * SLUICE_FENCED, closed. What is malformed is SLUICE_INVALID, and not counted. */
SLUICE_CALL sluice_status sluice_dead_letters_offer(sluice_handle queue, const sluice_record *record, const sluice_cause *cause,
                                                    sluice_failure *failure);
/* With "own_thread": false: does what is due, and says in how many milliseconds more will be. */
SLUICE_CALL sluice_status sluice_dead_letters_run(sluice_handle queue, int64_t *wait_ms, sluice_failure *failure);
/* [waits] Takes nothing more, waits until nothing is held, and closes the sink. SLUICE_BUSY: not within the time; call again. */
SLUICE_CALL sluice_status sluice_dead_letters_close(sluice_handle queue, int64_t timeout_ms, sluice_failure *failure);
SLUICE_CALL sluice_status sluice_dead_letters_stats(sluice_handle queue, sluice_dead_letters_counts *counts, sluice_failure *failure);

#ifdef __cplusplus
}
#endif

#endif
