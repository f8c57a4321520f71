/* SPDX-License-Identifier: Apache-2.0
 *
 * Sinks of an application's own in C: where a bus or a dead letter queue delivers, as functions. What a sink may and must do is
 * written in <sluice/sink.hpp>. A configuration names one by {"sink": {"kind": "calls", "sink": HANDLE}}.
 */
#ifndef SLUICE_C_SINK_H
#define SLUICE_C_SINK_H

#include "sluice/c/record.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Events of one shard by rising sequence, which is their position; it and they live until the answer was given or released. */
typedef struct sluice_event_batch {
  uint32_t size;
  uint32_t attempt; /* 0 for the first at these events, then 1, 2, ... */
  sluice_span bus;  /* its name; with epoch, shard and sequence it names an event for ever */
  uint64_t epoch;
  uint64_t shard;
  uint64_t payload_bytes;
  const sluice_record *records;
  uint64_t count; /* at least 1 */
} sluice_event_batch;

/* What became of a batch: its first `settled` events are delivered, but for `refused` of them, which the target will never
 * take; those behind failed with the status of the answer. */
typedef struct sluice_delivered {
  uint32_t size;
  uint32_t settled; /* read where the answer's status is not SLUICE_OK; all otherwise */
  uint32_t refused; /* <= those that are settled */
  uint32_t reserved;
  const sluice_failure *refusal; /* why the first of them was refused; needed where there are any */
} sluice_delivered;

/* Called by threads of the library, for one shard one at a time; none may block or wait. Each gets the handle of an answer, which
 * is to be given once by sluice_answer(), from any thread, also before the call returns; an answer that is released instead
 * counts as SLUICE_INTERNAL. A call that is NULL, but for deliver, is answered SLUICE_OK. */
typedef struct sluice_sink_calls {
  uint32_t size;
  uint32_t deduplicates;     /* 1: an event given twice is there once, so that SLUICE_UNKNOWN is tried again */
  uint32_t ordered;          /* 1: a shard's batches keep their order although several are under way */
  uint32_t max_batch_events; /* 0: any number */
  uint64_t max_batch_bytes;  /* 0: any size */
  void *context;
  void (*open)(void *context, sluice_handle answer);
  void (*deliver)(void *context, const sluice_event_batch *batch, sluice_handle answer);
  void (*flush)(void *context, int64_t timeout_ms, sluice_handle answer);
  void (*close)(void *context, int64_t timeout_ms, sluice_handle answer);
  void (*gone)(void *context); /* the last call: nobody has the sink any more */
} sluice_sink_calls;

/* A sink of these functions; the struct is copied. One bus or queue takes it, and keeps it after the handle is released; where
 * opening that fails, the sink stays with its handle, and another may take it. */
SLUICE_CALL sluice_status sluice_sink_open(const sluice_sink_calls *calls, sluice_handle *sink, sluice_failure *failure);
/* Answers a call; its handle is released. `outcome` NULL: it worked. `delivered` is read for what deliver asked, and may be
 * NULL: all events settled, or, with an outcome, none. SLUICE_NOT_FOUND: answered before, which is harmless. */
SLUICE_CALL sluice_status sluice_answer(sluice_handle answer, const sluice_failure *outcome, const sluice_delivered *delivered,
                                        sluice_failure *failure);

#ifdef __cplusplus
}
#endif

#endif
