/* SPDX-License-Identifier: Apache-2.0
 *
 * Trace context through records in C: the headers traceparent and tracestate of W3C Trace Context. What it promises is written
 * in <sluice/trace.hpp>. A context behind a handle never changes; new ids come from the system's source of randomness.
 */
#ifndef SLUICE_C_TRACE_H
#define SLUICE_C_TRACE_H

#include "sluice/c/core.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SLUICE_TRACE_SAMPLED 0x01u
#define SLUICE_TRACE_RANDOM 0x02u
/* Characters of a traceparent. */
#define SLUICE_TRACEPARENT_BYTES 55u

typedef struct sluice_trace_ids {
  uint32_t size;
  uint32_t flags; /* SLUICE_TRACE_... */
  uint8_t trace_id[16];
  uint8_t span_id[8];
} sluice_trace_ids;

/* A trace begins; `sampled` is 0 or 1. Release what the functions of this header give. */
SLUICE_CALL sluice_status sluice_trace_begin(uint32_t sampled, sluice_handle *trace, sluice_failure *failure);
/* The next span of a trace. */
SLUICE_CALL sluice_status sluice_trace_child(sluice_handle parent, sluice_handle *trace, sluice_failure *failure);
/* A context from its texts; `state_size` may be 0. SLUICE_INVALID names the character; `index` is 0 for the parent, 1 for the
 * state. */
SLUICE_CALL sluice_status sluice_trace_parse(const char *parent, uint64_t parent_size, const char *state, uint64_t state_size,
                                             sluice_handle *trace, sluice_failure *failure);
/* The context that a record's headers carry. SLUICE_NOT_FOUND: none, several, or a malformed one: begin a trace. */
SLUICE_CALL sluice_status sluice_trace_extract(const sluice_field *headers, uint64_t count, sluice_handle *trace, sluice_failure *failure);
/* The same context with a member of the state put first, in place of one of the same key. */
SLUICE_CALL sluice_status sluice_trace_with_state(sluice_handle trace, const char *key, uint64_t key_size, const char *value,
                                                  uint64_t value_size, sluice_handle *changed, sluice_failure *failure);

SLUICE_CALL sluice_status sluice_trace_read(sluice_handle trace, sluice_trace_ids *ids, sluice_failure *failure);
/* The two texts; the state may be empty. */
SLUICE_CALL sluice_status sluice_trace_parent(sluice_handle trace, char *buffer, uint64_t capacity, uint64_t *needed, sluice_failure *failure);
SLUICE_CALL sluice_status sluice_trace_state(sluice_handle trace, char *buffer, uint64_t capacity, uint64_t *needed, sluice_failure *failure);
/* A record's headers with the context's: those that were there, without any traceparent or tracestate, then the context's.
 * `fields` has room for `capacity`, count + 2 being always enough; `needed` (may be NULL) gets how many there are, and
 * SLUICE_TOO_LARGE comes where capacity is less. They lie in `headers` and, the last ones, in the trace until it is released. */
SLUICE_CALL sluice_status sluice_trace_headers(sluice_handle trace, const sluice_field *headers, uint64_t count, sluice_field *fields,
                                               uint64_t capacity, uint64_t *needed, sluice_failure *failure);

#ifdef __cplusplus
}
#endif

#endif
