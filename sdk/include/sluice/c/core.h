/* SPDX-License-Identifier: Apache-2.0
 *
 * The C face of the SDK: what all its parts share. Include <sluice/sluice.h>.
 *
 * HANDLES   Objects are named by numbers, never by pointers. 0 names nothing. A number is never used again in a process,
 *           and a call with one that was released answers SLUICE_NOT_FOUND: it cannot reach memory that is gone.
 *           sluice_release() gives a handle up; the object ends when the last call on it has returned. Releasing twice is
 *           harmless, and what a caller does to structs that it was given does not matter to it.
 * THREADS   Every function may be called from any thread, also while another one releases or shuts down the same object.
 *           Calls that wait say so and have a time-out in milliseconds (0: do not wait).
 * SIZES     Every struct starts with `size`, which whoever allocates it sets to sizeof; it grows only at its end. A size
 *           that is smaller than the first version of the struct is SLUICE_INVALID. sluice_span and sluice_field are
 *           ELEMENTS: they have no size and are frozen.
 * ERRORS    Functions return a sluice_status; where it is not SLUICE_OK, the failure (if not NULL) is filled in.
 * MEMORY    What a call is given belongs to the caller and is not kept after the return. What a call shows (records of a
 *           page) belongs to the handle it came from and lives until that is released. Text is written to a buffer of the
 *           caller's: `needed` gets its length, and SLUICE_TOO_LARGE comes where `capacity` is less; nothing is written then.
 * CALLBACKS Functions of the application's come with a `context` that is handed back to them. They are called without locks, may
 *           call everything but what waits for themselves, and must not throw. An object that is released inside one ends on
 *           another thread.
 * BYTES     A span with data NULL is null, not empty; its size is then 0. Every other byte string is opaque. Text is UTF-8.
 */
#ifndef SLUICE_C_CORE_H
#define SLUICE_C_CORE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SLUICE_CALL __attribute__((visibility("default")))

/* Statuses, in classes of a hundred; the same numbers as in storage_abi.h. */
typedef int32_t sluice_status;

#define SLUICE_OK 0
/* the caller's fault */
#define SLUICE_INVALID 100
#define SLUICE_NOT_FOUND 101
#define SLUICE_EXISTS 102
#define SLUICE_OUT_OF_RANGE 103
#define SLUICE_UNSUPPORTED 104
#define SLUICE_TOO_LARGE 105
/* look again */
#define SLUICE_CONFLICT 200
#define SLUICE_FENCED 201 /* this object takes nothing more: it was closed, or another one took its place */
/* not done: again later */
#define SLUICE_UNAVAILABLE 300
#define SLUICE_BUSY 301
/* done or not: nobody knows */
#define SLUICE_UNKNOWN 400
/* somebody must act */
#define SLUICE_INTERNAL 500
#define SLUICE_DENIED 501
#define SLUICE_NO_SPACE 502
#define SLUICE_CORRUPT 503

typedef uint64_t sluice_handle;

/* What went wrong. */
typedef struct sluice_failure {
  uint32_t size;
  sluice_status code;
  int64_t native_code;    /* errno, a server's number, the byte that is at fault in a text; or 0 */
  int64_t retry_after_ms; /* 0: no advice */
  int64_t index;          /* element of the array that is at fault; -1: none */
  char text[512];         /* NUL-terminated; cut where it is longer */
} sluice_failure;

/* ELEMENT: bytes that somebody else owns. */
typedef struct sluice_span {
  const uint8_t *data; /* NULL: null */
  uint64_t size;
} sluice_span;

/* ELEMENT: a header of a record. */
typedef struct sluice_field {
  sluice_span name;
  sluice_span value;
} sluice_field;

/* No time. */
#define SLUICE_NO_TIMESTAMP INT64_MIN

/* "0.1.0"; lives for ever. */
SLUICE_CALL const char *sluice_version(void);
/* "no_space"; for an unknown code the name of its class. Lives for ever. */
SLUICE_CALL const char *sluice_status_name(sluice_status status);
/* Gives a handle up, of whatever kind, and wakes calls that wait on it. A bus, a log or a consumer that was not closed before is
 * ended as its own header says, and that may wait. */
SLUICE_CALL sluice_status sluice_release(sluice_handle handle, sluice_failure *failure);
/* Objects that exist in this process. */
SLUICE_CALL uint64_t sluice_handles(void);

#ifdef __cplusplus
}
#endif

#endif
