/* SPDX-License-Identifier: Apache-2.0
 *
 * The merging consumer in C: many shards, of different engines too, as one stream that can be left and taken up again. What
 * it promises is written in <sluice/consumer.hpp>; the configuration in sdk/c/README.md.
 */
#ifndef SLUICE_C_CONSUMER_H
#define SLUICE_C_CONSUMER_H

#include "sluice/c/page.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sluice_poll {
  uint32_t size;
  uint32_t max_records; /* at least 1 */
  uint64_t max_bytes;   /* one record comes whatever its size */
  int64_t wait_ms;      /* for min_records; 0: what is there now */
  uint32_t min_records; /* at least 1 */
  uint32_t reserved;    /* 0 */
} sluice_poll;

/* Opens a consumer by a JSON configuration, from the place that `cursor` (a text of sluice_page_cursor, or of size 0) names.
 * SLUICE_INVALID names the field by its path; nothing was opened then. [waits for connections of the storages it names] */
SLUICE_CALL sluice_status sluice_consumer_open(const char *config, uint64_t config_size, const char *cursor, uint64_t cursor_size,
                                               sluice_handle *consumer, sluice_failure *failure);
/* Judges a record: 1 to have it, 0 not to. Anything else: it cannot tell; the shard fails then, before the records that were read with
 * this one, and sluice_consumer_resume() tries them again. On the thread that polls, without locks, once for each record that is read. */
typedef uint32_t (*sluice_predicate)(void *context, const sluice_record *record);
/* The same with a function in place of the configuration's filter. Nobody calls it once the consumer has ended and no poll is
 * under way. */
SLUICE_CALL sluice_status sluice_consumer_open_with(const char *config, uint64_t config_size, const char *cursor, uint64_t cursor_size,
                                                    sluice_predicate passes, void *context, sluice_handle *consumer,
                                                    sluice_failure *failure);
/* [waits up to wait_ms] One page. SLUICE_BUSY: another poll is under way, or there are too many handles; SLUICE_FENCED: closed. Release
 * the page. `polled` may be NULL. Where the page cannot be shown, its records come with the next poll. */
SLUICE_CALL sluice_status sluice_consumer_poll(sluice_handle consumer, const sluice_poll *request, sluice_handle *page,
                                               sluice_polled *polled, sluice_failure *failure);
/* Goes back to where the page of the last poll began: for who cannot use it. Its records come again; what was refused or lost before
 * them does not. */
SLUICE_CALL sluice_status sluice_consumer_give_back(sluice_handle consumer, sluice_handle page, sluice_failure *failure);
/* Ends a poll that waits, with what it has. */
SLUICE_CALL sluice_status sluice_consumer_wake(sluice_handle consumer, sluice_failure *failure);
/* The place after the last page, or where it was sought since, as text. */
SLUICE_CALL sluice_status sluice_consumer_cursor(sluice_handle consumer, char *buffer, uint64_t capacity, uint64_t *needed,
                                                 sluice_failure *failure);

/* Adds a shard: one element of the configuration's `sources`, as JSON; its "start" says where it begins if the cursor does not
 * name it. `shard` may be NULL. */
SLUICE_CALL sluice_status sluice_consumer_add(sluice_handle consumer, const char *source, uint64_t source_size, uint32_t *shard,
                                              sluice_failure *failure);
/* The shard is read to the end that it has now, and then said to be finished; drop lets it go at once. Its place stays. */
SLUICE_CALL sluice_status sluice_consumer_remove(sluice_handle consumer, const char *id, uint64_t id_size, sluice_failure *failure);
SLUICE_CALL sluice_status sluice_consumer_drop(sluice_handle consumer, const char *id, uint64_t id_size, sluice_failure *failure);
/* Takes the place of a shard that is gone out of the cursor. SLUICE_EXISTS: it is here. */
SLUICE_CALL sluice_status sluice_consumer_forget(sluice_handle consumer, const char *id, uint64_t id_size, sluice_failure *failure);

/* Goes to the place that a cursor names; shards that it does not name stay. */
SLUICE_CALL sluice_status sluice_consumer_seek(sluice_handle consumer, const char *cursor, uint64_t cursor_size, sluice_failure *failure);
#define SLUICE_PLACE_START 0u
#define SLUICE_PLACE_END 1u
#define SLUICE_PLACE_TIME 2u     /* `value` in nanoseconds since the epoch: the first record at or after it */
#define SLUICE_PLACE_POSITION 3u /* `value` itself */
/* One shard, or all where `id_size` is 0, to a place; `value` is 0 where the kind needs none. */
SLUICE_CALL sluice_status sluice_consumer_seek_to(sluice_handle consumer, const char *id, uint64_t id_size, uint32_t kind, int64_t value,
                                                  sluice_failure *failure);
/* One shard, or all where `id_size` is 0: nothing of it comes until resumed, which also tries again what has failed. */
SLUICE_CALL sluice_status sluice_consumer_pause(sluice_handle consumer, const char *id, uint64_t id_size, sluice_failure *failure);
SLUICE_CALL sluice_status sluice_consumer_resume(sluice_handle consumer, const char *id, uint64_t id_size, sluice_failure *failure);
/* Bytes of pages that are read and not delivered, and whether it was closed (1); each may be NULL. */
SLUICE_CALL sluice_status sluice_consumer_state(sluice_handle consumer, uint64_t *buffered_bytes, uint32_t *closed, sluice_failure *failure);
/* [waits up to deadline_ms] Ends polls and waits for reads under way. SLUICE_UNAVAILABLE names what is left; call again. */
SLUICE_CALL sluice_status sluice_consumer_close(sluice_handle consumer, int64_t deadline_ms, sluice_failure *failure);

#ifdef __cplusplus
}
#endif

#endif
