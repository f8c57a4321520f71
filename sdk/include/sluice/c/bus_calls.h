/* SPDX-License-Identifier: Apache-2.0
 *
 * An event bus that calls functions of the application, in C. What they may do is written in <sluice/bus_options.hpp>; where it
 * delivers to functions is in c/sink.h.
 */
#ifndef SLUICE_C_BUS_CALLS_H
#define SLUICE_C_BUS_CALLS_H

#include "sluice/c/bus.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SLUICE_SHARD_ADDED 0u
#define SLUICE_SHARD_DRAINING 1u
#define SLUICE_SHARD_ENDED 2u

/* Any of them may be NULL. From any thread, several at once, without locks; they may call the bus, but for clock and log. */
typedef struct sluice_bus_calls {
  uint32_t size;
  uint32_t reserved; /* 0 */
  void *context;
  /* With "routing": "custom": a number below `shards`, which is above 0; anything else: there is no route. */
  uint32_t (*route)(void *context, const sluice_event *event, uint32_t shards);
  /* A sink for a shard, in place of the configuration's: a handle of sluice_sink_open(), which the bus takes and releases; 0:
   * there is none, and the shard is not made. */
  sluice_handle (*sink_for_shard)(void *context, uint64_t shard);
  /* After a shard was added, began to drain, or delivered its last event: SLUICE_SHARD_... */
  void (*on_change)(void *context, uint64_t shard, uint32_t what);
  /* A warning, one line; not NUL-terminated. NULL: standard error. */
  void (*log)(void *context, const char *text, uint64_t size);
  /* Nanoseconds since the epoch; negative when the clock fails. NULL: the system's. */
  int64_t (*clock)(void *context);
  /* The last call: the bus is gone. Where opening fails, it does not come. */
  void (*gone)(void *context);
} sluice_bus_calls;

/* sluice_bus_open() with functions; the struct is copied. */
SLUICE_CALL sluice_status sluice_bus_open_with(const char *config, uint64_t config_size, const sluice_bus_calls *calls, sluice_handle *bus,
                                               sluice_failure *failure);

#ifdef __cplusplus
}
#endif

#endif
