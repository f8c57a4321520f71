/* SPDX-License-Identifier: Apache-2.0
 *
 * Shards of an application's own in C: what a consumer reads, as functions. What a source may and must do is written in
 * <sluice/source.hpp>. A consumer names one by {"kind": "calls", "source": HANDLE}.
 */
#ifndef SLUICE_C_SOURCE_H
#define SLUICE_C_SOURCE_H

#include "sluice/c/record.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A page that is wanted. */
typedef struct sluice_page_wanted {
  uint32_t size;
  uint32_t max_records; /* at least 1 */
  int64_t from;         /* position of the first record */
  uint64_t max_bytes;   /* of keys, values and headers; one record comes whatever its size */
  int64_t wait_ms;      /* how long to wait for the first record when there is none yet */
} sluice_page_wanted;

/* What one read showed: everything at or above `from` and below `next` was looked at, and is in `records`, or is no record, or is
 * counted in `corrupt`. */
typedef struct sluice_page_shown {
  uint32_t size;
  uint32_t finished; /* 1: nothing will ever come at or above `next` */
  int64_t next;      /* where to read on; `from`: there is nothing yet */
  int64_t end;       /* of the shard as far as known; -1: not known */
  uint64_t corrupt;  /* entries passed because they could not be decoded */
  const sluice_record *records; /* by rising position, all of it within [from, next); copied */
  uint64_t count;
} sluice_page_shown;

/* Called by threads of the library, one call at a time but for wake. Each gets the handle of an answer, which is to be given once by
 * the function named here, from any thread, also before the call returns; an answer that is released instead counts as
 * SLUICE_INTERNAL. At most one read waits for its answer.
 * read, bounds and locate must not block: a read that waits returns, and is answered later by another thread. They may be called
 * inside sluice_consumer_poll() and inside sluice_answer_...() of this source, on the thread that called: hold no lock there that they
 * take. */
typedef struct sluice_source_calls {
  uint32_t size;
  uint32_t reserved; /* 0 */
  void *context;
  /* sluice_answer_page(). SLUICE_OUT_OF_RANGE: `from` is below the start or above the end. */
  void (*read)(void *context, const sluice_page_wanted *wanted, sluice_handle answer);
  /* sluice_answer_bounds() */
  void (*bounds)(void *context, sluice_handle answer);
  /* sluice_answer_position(): of the first record whose timestamp is at least `timestamp_ns`, or the end. NULL: SLUICE_UNSUPPORTED. */
  void (*locate)(void *context, int64_t timestamp_ns, sluice_handle answer);
  /* Ends a read that waits, with an empty page. At any time, from any thread. NULL: reads do not wait. */
  void (*wake)(void *context);
  void (*gone)(void *context); /* the last call: nobody has the source any more. May be NULL. */
} sluice_source_calls;

/* A shard of these functions; the struct is copied. `id` names it in cursors. One consumer at a time reads it, and keeps what it
 * needs of it after the handle is released. */
SLUICE_CALL sluice_status sluice_source_open(const char *id, uint64_t id_size, const sluice_source_calls *calls, sluice_handle *source,
                                             sluice_failure *failure);
/* Answer a call; the handle is released. `outcome` NULL: it worked; what is shown is not read otherwise. SLUICE_INVALID: what is
 * shown cannot be, or was not asked for, and the answer is still to be given. SLUICE_NOT_FOUND: answered before, which is harmless. */
SLUICE_CALL sluice_status sluice_answer_page(sluice_handle answer, const sluice_failure *outcome, const sluice_page_shown *shown,
                                             sluice_failure *failure);
/* First position that can still be read, and that which the next record will get, or a smaller bound of it, up to which a shard that
 * is removed is read. */
SLUICE_CALL sluice_status sluice_answer_bounds(sluice_handle answer, const sluice_failure *outcome, int64_t start, int64_t end,
                                               sluice_failure *failure);
SLUICE_CALL sluice_status sluice_answer_position(sluice_handle answer, const sluice_failure *outcome, int64_t position,
                                                 sluice_failure *failure);

#ifdef __cplusplus
}
#endif

#endif
