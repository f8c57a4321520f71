/* SPDX-License-Identifier: Apache-2.0
 *
 * Filters in C: <sluice/filter.hpp> has what they mean, sdk/filter/README.md the language.
 */
#ifndef SLUICE_C_FILTER_H
#define SLUICE_C_FILTER_H

#include "sluice/c/core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A record to be judged. */
typedef struct sluice_candidate {
  uint32_t size;
  int32_t partition;
  int64_t position;
  int64_t timestamp_ns;
  sluice_span key;
  sluice_span value;
  const sluice_field *headers; /* may be NULL where header_count is 0 */
  uint64_t header_count;
} sluice_candidate;

#define SLUICE_FILTER_NO 0
#define SLUICE_FILTER_UNKNOWN 1
#define SLUICE_FILTER_YES 2

/* Compiles a filter from its text, or from JSON data. A fault's message points at its place, whose byte is native_code. */
SLUICE_CALL sluice_status sluice_filter_parse(const char *text, uint64_t size, sluice_handle *filter, sluice_failure *failure);
SLUICE_CALL sluice_status sluice_filter_from_json(const char *json, uint64_t size, sluice_handle *filter, sluice_failure *failure);
/* Judges one record: SLUICE_FILTER_... */
SLUICE_CALL sluice_status sluice_filter_judge(sluice_handle filter, const sluice_candidate *record, int32_t *truth, sluice_failure *failure);
/* 1 where some test looks into the JSON of values. */
SLUICE_CALL sluice_status sluice_filter_reads_payload(sluice_handle filter, uint32_t *reads, sluice_failure *failure);
/* The filter in its normal form. */
SLUICE_CALL sluice_status sluice_filter_text(sluice_handle filter, char *buffer, uint64_t capacity, uint64_t *needed, sluice_failure *failure);
SLUICE_CALL sluice_status sluice_filter_json(sluice_handle filter, char *buffer, uint64_t capacity, uint64_t *needed, sluice_failure *failure);

#ifdef __cplusplus
}
#endif

#endif
