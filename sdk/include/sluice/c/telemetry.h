/* SPDX-License-Identifier: Apache-2.0
 *
 * Telemetry in C: counters, levels, durations and failures, printed for Prometheus or OTLP. What it promises, and the names of
 * OpenTelemetry's conventions, are in <sluice/telemetry.hpp>. Instruments and meters are handles; they keep their telemetry.
 */
#ifndef SLUICE_C_TELEMETRY_H
#define SLUICE_C_TELEMETRY_H

#include "sluice/c/core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Opens a registry of instruments: {"max_instruments": 4000, "max_failures": 256}. */
SLUICE_CALL sluice_status sluice_telemetry_open(const char *config, uint64_t config_size, sluice_handle *telemetry, sluice_failure *failure);

#define SLUICE_INSTRUMENT_COUNTER 0u
#define SLUICE_INSTRUMENT_GAUGE 1u
#define SLUICE_INSTRUMENT_DURATIONS 2u

/* What names an instrument. */
typedef struct sluice_instrument {
  uint32_t size;
  uint32_t kind;     /* SLUICE_INSTRUMENT_... */
  sluice_span name;  /* "messaging.client.sent.messages" */
  sluice_span unit;  /* of UCUM; null: "{message}" of a counter, "1" of a gauge; durations are in seconds */
  const sluice_field *attributes; /* may be NULL where attribute_count is 0; no value is null */
  uint64_t attribute_count;
} sluice_instrument;

/* The instrument of that name and those attributes, made when it is first asked for. A name is of one kind. */
SLUICE_CALL sluice_status sluice_telemetry_instrument(sluice_handle telemetry, const sluice_instrument *described,
                                                      sluice_handle *instrument, sluice_failure *failure);
/* Of an instrument of another kind than the call is for: SLUICE_INVALID. */
SLUICE_CALL sluice_status sluice_counter_add(sluice_handle instrument, uint64_t count, sluice_failure *failure);
SLUICE_CALL sluice_status sluice_gauge_set(sluice_handle instrument, int64_t level, sluice_failure *failure);
SLUICE_CALL sluice_status sluice_gauge_add(sluice_handle instrument, int64_t by, sluice_failure *failure);
SLUICE_CALL sluice_status sluice_durations_record(sluice_handle instrument, int64_t nanos, sluice_failure *failure);
/* What a counter has counted, or where a gauge stands; of durations, how many there were. */
SLUICE_CALL sluice_status sluice_instrument_value(sluice_handle instrument, int64_t *value, sluice_failure *failure);
/* An upper bound of the `quantile` (0 to 1), within 25%; 0 when there is nothing. */
SLUICE_CALL sluice_status sluice_durations_quantile(sluice_handle instrument, double quantile, uint64_t *nanos, sluice_failure *failure);

/* Tells what is counted elsewhere, by sluice_observe(). Called whenever the telemetry is printed, by one thread at a time; it must not
 * print the telemetry or ask for another observer itself. `observations` ends with the call. */
typedef void (*sluice_observer)(void *context, sluice_handle observations);
/* Asks `observer` from now on. With the end of `observing` it is called once more, so that its counts stay, and then never;
 * `gone`, which may be NULL, is the last call. */
SLUICE_CALL sluice_status sluice_telemetry_observe(sluice_handle telemetry, sluice_observer observer, void (*gone)(void *context),
                                                   void *context, sluice_handle *observing, sluice_failure *failure);
/* A counter since the observer is there, which only rises, or where a gauge stands: each once in a call of the observer's. Series of
 * several observers, or of an instrument, are added up. SLUICE_NOT_FOUND: that call is over. */
SLUICE_CALL sluice_status sluice_observe(sluice_handle observations, const sluice_instrument *described, int64_t value,
                                         sluice_failure *failure);

/* Times one kind of operation on one adapter and shard. */
SLUICE_CALL sluice_status sluice_telemetry_meter(sluice_handle telemetry, sluice_span operation, sluice_span adapter, sluice_span shard,
                                                 sluice_handle *meter, sluice_failure *failure);
SLUICE_CALL sluice_status sluice_meter_start(sluice_handle meter, int64_t *started, sluice_failure *failure);
SLUICE_CALL sluice_status sluice_meter_succeed(sluice_handle meter, int64_t started, sluice_failure *failure);
/* `why` is what a call of this library filled in, or what the caller did. */
SLUICE_CALL sluice_status sluice_meter_fail(sluice_handle meter, int64_t started, const sluice_failure *why, sluice_failure *failure);
/* A failure that no meter timed; `elapsed_ns` below 1 becomes 1. */
SLUICE_CALL sluice_status sluice_telemetry_failure(sluice_handle telemetry, sluice_span operation, sluice_span adapter, sluice_span shard,
                                                   int64_t elapsed_ns, const sluice_failure *why, sluice_failure *failure);

#define SLUICE_TELEMETRY_PROMETHEUS 0u /* the text format 0.0.4, without failures */
#define SLUICE_TELEMETRY_OTLP_METRICS 1u
#define SLUICE_TELEMETRY_OTLP_LOGS 2u /* failures */

/* Everything as of now, as text; `resource` (may be NULL where the count is 0) is for OTLP. It may be longer at the next call. */
SLUICE_CALL sluice_status sluice_telemetry_text(sluice_handle telemetry, uint32_t form, const sluice_field *resource,
                                                uint64_t resource_count, char *buffer, uint64_t capacity, uint64_t *needed,
                                                sluice_failure *failure);

#ifdef __cplusplus
}
#endif

#endif
