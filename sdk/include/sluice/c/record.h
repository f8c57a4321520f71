/* SPDX-License-Identifier: Apache-2.0
 *
 * One record, as pages show it and as logs, queues and shards in memory take it: what a page shows can be handed on as it
 * is. Null and empty are different, headers keep order and duplicates, and no byte of key, value or header is interpreted.
 */
#ifndef SLUICE_C_RECORD_H
#define SLUICE_C_RECORD_H

#include "sluice/c/core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ELEMENT: a record. What a page shows lives as long as the page; what is given is copied before the call returns. */
typedef struct sluice_record {
  int64_t position;     /* in its shard */
  int64_t timestamp_ns; /* since the epoch; SLUICE_NO_TIMESTAMP: none */
  sluice_span key;      /* data NULL: null */
  sluice_span value;
  const sluice_field *headers; /* may be NULL where header_count is 0 */
  uint32_t header_count;
  uint32_t shard; /* its number in the consumer that polled it; not looked at where a record is given */
  int32_t partition;
  uint32_t late; /* 1: it came too late to keep the order; not looked at where a record is given */
} sluice_record;

#ifdef __cplusplus
}
#endif

#endif
