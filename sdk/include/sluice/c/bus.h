/* SPDX-License-Identifier: Apache-2.0
 *
 * The event bus in C. What it promises is written in <sluice/bus.hpp>; the configuration in sdk/c/README.md.
 */
#ifndef SLUICE_C_BUS_H
#define SLUICE_C_BUS_H

#include "sluice/c/core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An event to be put in; copied before the call returns. */
typedef struct sluice_event {
  uint32_t size;
  uint32_t header_count;
  sluice_span key;             /* data NULL: null */
  sluice_span value;
  const sluice_field *headers; /* may be NULL where header_count is 0 */
} sluice_event;

/* What became of an event as its thread left it. */
#define SLUICE_EVENT_QUEUED 0u /* accepted: it will be delivered, or counted as dropped */
#define SLUICE_EVENT_DROPPED 1u /* accepted, and dropped at once as the configuration says */
#define SLUICE_EVENT_FULL 2u
#define SLUICE_EVENT_TIMED_OUT 3u
#define SLUICE_EVENT_NO_ROUTE 4u
#define SLUICE_EVENT_SHUTTING_DOWN 5u
#define SLUICE_EVENT_INVALID 6u
#define SLUICE_EVENT_TOO_LARGE 7u
#define SLUICE_EVENT_NO_MEMORY 8u
#define SLUICE_EVENT_EXHAUSTED 9u

typedef struct sluice_ingested {
  uint32_t size;
  uint32_t outcome; /* SLUICE_EVENT_... of the first event that was not accepted */
  uint64_t index;   /* which that is; the number of events if none */
  uint64_t queued;
  uint64_t dropped;
} sluice_ingested;

/* accepted = pending + delivered + dropped_..., offered = accepted + refused + unrouted, at any time. */
typedef struct sluice_bus_counts {
  uint32_t size;
  uint32_t shards;
  uint64_t offered;
  uint64_t accepted;
  uint64_t delivered;
  uint64_t pending;
  uint64_t refused;
  uint64_t unrouted;
  uint64_t dropped_newest;
  uint64_t dropped_oldest;
  uint64_t dropped_sampled;
  uint64_t dropped_refused;
  uint64_t dropped_failed;
  uint64_t dropped_abandoned;
  uint64_t epoch;
  uint32_t health; /* 0 ok, 1 degraded, 2 failing, 3 stopped */
  uint32_t reserved;
} sluice_bus_counts;

/* Opens a bus by a JSON configuration. SLUICE_INVALID names the field by its path; nothing was opened then. A bus that is
 * released without sluice_bus_shutdown() delivers for two seconds at most, and says how many events were lost. */
SLUICE_CALL sluice_status sluice_bus_open(const char *config, uint64_t config_size, sluice_handle *bus, sluice_failure *failure);
/* [may wait for room, if so configured] One event. SLUICE_OK: it was accepted (queued, or dropped and counted as the
 * configuration says). SLUICE_BUSY: full or timed out; SLUICE_FENCED: shut down; SLUICE_NOT_FOUND: no shard. */
SLUICE_CALL sluice_status sluice_bus_ingest(sluice_handle bus, const sluice_event *event, sluice_failure *failure);
/* Bytes as an event's value, with a null key. */
SLUICE_CALL sluice_status sluice_bus_ingest_raw(sluice_handle bus, sluice_span value, sluice_failure *failure);
/* A batch. Every element is checked before any is taken: one that is NULL or malformed is SLUICE_INVALID with its index in the
 * failure, and nothing was taken. Otherwise those that find room are, and `ingested` (may be NULL) says what became of them. */
SLUICE_CALL sluice_status sluice_bus_ingest_batch(sluice_handle bus, const sluice_event *const *events, uint64_t count,
                                                  sluice_ingested *ingested, sluice_failure *failure);
/* Another shard; one shard less, which delivers what it has. */
SLUICE_CALL sluice_status sluice_bus_add_shard(sluice_handle bus, uint64_t *shard, sluice_failure *failure);
SLUICE_CALL sluice_status sluice_bus_remove_shard(sluice_handle bus, uint64_t shard, sluice_failure *failure);
/* [waits] Until what was accepted is delivered or dropped; flush also by the sink, and reports failures since the last one.
 * SLUICE_BUSY: not within the time. */
SLUICE_CALL sluice_status sluice_bus_drain(sluice_handle bus, int64_t timeout_ms, sluice_failure *failure);
SLUICE_CALL sluice_status sluice_bus_flush(sluice_handle bus, int64_t timeout_ms, sluice_failure *failure);
/* [waits] Takes nothing more, drains, flushes, closes the sinks. SLUICE_BUSY: not within the time; call again. */
SLUICE_CALL sluice_status sluice_bus_shutdown(sluice_handle bus, int64_t timeout_ms, sluice_failure *failure);
SLUICE_CALL sluice_status sluice_bus_stats(sluice_handle bus, sluice_bus_counts *counts, sluice_failure *failure);
/* Everything the bus knows of itself, as JSON: {"health": {"level", "reasons": [...]}, the counts by their names, "shards": [{"shard",
 * "accepted", ...}]}. */
SLUICE_CALL sluice_status sluice_bus_report(sluice_handle bus, char *buffer, uint64_t capacity, uint64_t *needed, sluice_failure *failure);
/* Ids of the shards that can be subscribed to; `shards` has room for `capacity`, and `needed` (may be NULL) gets how many there are. */
SLUICE_CALL sluice_status sluice_bus_subscribable(sluice_handle bus, uint64_t *shards, uint64_t capacity, uint64_t *needed,
                                                  sluice_failure *failure);
/* Events lost by buses of this process that were released without a shutdown. */
SLUICE_CALL uint64_t sluice_bus_lost(void);

#ifdef __cplusplus
}
#endif

#endif
