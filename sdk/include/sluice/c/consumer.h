/* SPDX-License-Identifier: Apache-2.0
 *
 * The merging consumer in C: many shards, of different engines too, as one stream that can be left and taken up again. What
 * it promises is written in <sluice/consumer.hpp> and <sluice/cursor.hpp>; the configuration in sdk/c/README.md.
 */
#ifndef SLUICE_C_CONSUMER_H
#define SLUICE_C_CONSUMER_H

#include "sluice/c/core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ELEMENT: one record of a page. Lives as long as the page. */
typedef struct sluice_record {
  int64_t position;
  int64_t timestamp_ns; /* since the epoch; SLUICE_NO_TIMESTAMP: none */
  sluice_span key;      /* data NULL: null */
  sluice_span value;
  const sluice_field *headers;
  uint32_t header_count;
  uint32_t shard; /* its number in this consumer */
  int32_t partition;
  uint32_t late; /* 1: it came too late to keep the order */
} sluice_record;

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

typedef struct sluice_poll {
  uint32_t size;
  uint32_t max_records; /* at least 1 */
  uint64_t max_bytes;   /* one record comes whatever its size */
  int64_t wait_ms;      /* for min_records; 0: what is there now */
  uint32_t min_records; /* at least 1 */
  uint32_t reserved;    /* 0 */
} sluice_poll;

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

/* Opens a consumer by a JSON configuration, from the place that `cursor` (a text of sluice_page_cursor, or of size 0) names.
 * SLUICE_INVALID names the field by its path; nothing was opened then. [waits for connections of the storages it names] */
SLUICE_CALL sluice_status sluice_consumer_open(const char *config, uint64_t config_size, const char *cursor, uint64_t cursor_size,
                                               sluice_handle *consumer, sluice_failure *failure);
/* [waits up to wait_ms] One page. SLUICE_BUSY: another poll is under way; SLUICE_INVALID: closed. Release the page. */
SLUICE_CALL sluice_status sluice_consumer_poll(sluice_handle consumer, const sluice_poll *request, sluice_handle *page,
                                               sluice_polled *polled, sluice_failure *failure);
/* Ends a poll that waits, with what it has. */
SLUICE_CALL sluice_status sluice_consumer_wake(sluice_handle consumer, sluice_failure *failure);
/* Adds a shard: one element of the configuration's `sources`, as JSON. */
SLUICE_CALL sluice_status sluice_consumer_add(sluice_handle consumer, const char *source, uint64_t source_size, uint32_t *shard,
                                              sluice_failure *failure);
/* The shard is read to the end that it has now, and then said to be finished. */
SLUICE_CALL sluice_status sluice_consumer_remove(sluice_handle consumer, const char *id, uint64_t id_size, sluice_failure *failure);
/* Goes to the place that a cursor names; shards that it does not name stay. */
SLUICE_CALL sluice_status sluice_consumer_seek(sluice_handle consumer, const char *cursor, uint64_t cursor_size, sluice_failure *failure);
/* One shard, or all where `id_size` is 0. */
SLUICE_CALL sluice_status sluice_consumer_pause(sluice_handle consumer, const char *id, uint64_t id_size, sluice_failure *failure);
SLUICE_CALL sluice_status sluice_consumer_resume(sluice_handle consumer, const char *id, uint64_t id_size, sluice_failure *failure);
/* [waits up to deadline_ms] Ends polls and waits for reads under way. SLUICE_UNAVAILABLE names what is left; call again. */
SLUICE_CALL sluice_status sluice_consumer_close(sluice_handle consumer, int64_t deadline_ms, sluice_failure *failure);

/* The records and notes of a page; they live until it is released. */
SLUICE_CALL sluice_status sluice_page_records(sluice_handle page, const sluice_record **records, uint64_t *count, sluice_failure *failure);
SLUICE_CALL sluice_status sluice_page_notes(sluice_handle page, const sluice_note **notes, uint64_t *count, sluice_failure *failure);
/* The place after exactly this page, as text. */
SLUICE_CALL sluice_status sluice_page_cursor(sluice_handle page, char *buffer, uint64_t capacity, uint64_t *needed, sluice_failure *failure);

/* -1 before, 0 equal, 1 after, 2 apart. Malformed text: SLUICE_INVALID, SLUICE_UNSUPPORTED, SLUICE_CORRUPT, SLUICE_TOO_LARGE
 * with the byte in native_code and, in `index`, which of the two it is. */
SLUICE_CALL sluice_status sluice_cursor_compare(const char *left, uint64_t left_size, const char *right, uint64_t right_size,
                                                int32_t *order, sluice_failure *failure);

#ifdef __cplusplus
}
#endif

#endif
