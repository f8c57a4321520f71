/* SPDX-License-Identifier: Apache-2.0
 *
 * What a consumer answers, in C: a page of records, what there is to say of its shards, and the place after exactly these.
 * What it promises is written in <sluice/consumer.hpp>.
 */
#ifndef SLUICE_C_PAGE_H
#define SLUICE_C_PAGE_H

#include "sluice/c/record.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SLUICE_SHARD_FAILED 0u
#define SLUICE_SHARD_RETRYING 1u
#define SLUICE_SHARD_STALLED 2u
#define SLUICE_SHARD_PASSED_OVER 3u
#define SLUICE_SHARD_HOLDING 4u
#define SLUICE_SHARD_CAPPED 5u
#define SLUICE_SHARD_FINISHED 6u

/* ELEMENT: what there is to say of a shard. Lives as long as the page. */
typedef struct sluice_note {
  sluice_span shard_id;
  uint32_t shard;
  uint32_t condition;   /* SLUICE_SHARD_... */
  sluice_status cause;  /* failed, retrying: why */
  uint32_t attempts;    /* failed, retrying: reads tried without success */
  sluice_span text;     /* of the cause */
  int64_t position;     /* where the shard stands */
  int64_t elapsed_ns;
} sluice_note;

typedef struct sluice_polled {
  uint32_t size;
  uint32_t has_more; /* this poll made progress, and shards have more */
  uint32_t done;     /* every shard is finished or failed */
  uint32_t notes;
  uint64_t records;
  uint64_t rejected; /* by the filter */
  uint64_t corrupt;  /* could not be decoded */
  uint64_t late;
  uint64_t lost; /* taken by retention before they were read */
  int64_t elapsed_ns;
} sluice_polled;

/* The records and notes of a page; they live until it is released. */
SLUICE_CALL sluice_status sluice_page_records(sluice_handle page, const sluice_record **records, uint64_t *count, sluice_failure *failure);
SLUICE_CALL sluice_status sluice_page_notes(sluice_handle page, const sluice_note **notes, uint64_t *count, sluice_failure *failure);
/* The place after exactly this page, as text. */
SLUICE_CALL sluice_status sluice_page_cursor(sluice_handle page, char *buffer, uint64_t capacity, uint64_t *needed, sluice_failure *failure);
/* "passed_over", of a SLUICE_SHARD_...; "unknown" for another number. Lives for ever. */
SLUICE_CALL const char *sluice_condition_name(uint32_t condition);

#ifdef __cplusplus
}
#endif

#endif
