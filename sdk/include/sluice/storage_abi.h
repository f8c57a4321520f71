/* SPDX-License-Identifier: Apache-2.0
 *
 * The Sluice storage ABI: what a storage adapter implements, and all it needs to know. Major 0.
 *
 * A LOG is a totally ordered sequence of whole Kafka v2 record batches. Offsets strictly rise; gaps between and inside
 * batches are legal; a batch may hold no record. A log has a 128-bit id that the host chose and never uses again, a start
 * and an end (one past the last offset). Nothing is readable, or counted in the end, before it has the configured durability.
 *
 * An adapter is a shared object that exports one constant, `sluice_plugin_entry`. It implements the calls of
 * sluice_storage_api for one of two kinds of storage:
 *   LOG     the engine is Sluice's own place: positional, fenced, byte-exact, atomic appends; save and load.
 *   NATIVE  the engine's own topics: one native entry per record, foreign programs read and write them too. The engine gives
 *           the offsets; there is no fence, save, load or bind (they answer SLUICE_UNSUPPORTED).
 *
 * RULES FOR ALL CALLS
 *  Sizes      A struct passed by pointer starts with its size, is zeroed and sized by whoever allocates it, and grows only at
 *             its end; the other side reads members only within `size`, sets single members, and never assigns or copies the
 *             whole. Such a struct is never embedded in another. ELEMENT types (marked so) have no size and are frozen.
 *  Flags      An unknown flag is refused with SLUICE_INVALID; an unknown hint is ignored.
 *  Memory     What a request points to belongs to the host and stays valid and unchanged until the call is complete. What a
 *             result points to belongs to the adapter and stays valid until the result's `release` is called (any thread,
 *             exactly once, and only if it is not NULL). Nothing else crosses. No C++ type or exception crosses.
 *  Text       UTF-8. `char *` with a size member beside it is not NUL-terminated; without one it is.
 *  Time       deadline_ns is CLOCK_MONOTONIC in nanoseconds. Timestamps of records are milliseconds since the epoch.
 *  Threads    [lifecycle] calls come from host workers, one at a time per storage, may block, and honour their deadline.
 *             [inline] calls come from any thread, do no I/O and do not wait.
 *             [async] calls come from any thread, several at once, and never wait for a device, a socket or another thread's
 *             I/O. Copying up to 64 KiB inline is fine; more goes to a thread of the adapter's own.
 *
 * ASYNCHRONOUS CALLS take a ticket. Any return but SLUICE_PENDING is final. SLUICE_PENDING means exactly one
 * host->complete(), from any thread, possibly before the call returns. After complete() the adapter touches neither ticket,
 * request, result nor anything they point to. complete() only enqueues: it may be called with locks held. There is no cancel:
 * deadlines suffice. A call that is overdue counts as SLUICE_UNKNOWN for the host, its memory stays valid until it completes.
 */
#ifndef SLUICE_STORAGE_ABI_H
#define SLUICE_STORAGE_ABI_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SLUICE_ABI_MAGIC UINT64_C(0x0a1a656369756c73) /* "sluice", 0x1a, newline, little endian */
#define SLUICE_ABI_MAJOR 0u
#define SLUICE_ABI_MINOR 1u

/* ---- Status: classes of a hundred, so that an unknown code still means its class ------------------------------------- */

typedef int32_t sluice_status;

#define SLUICE_OK 0
#define SLUICE_PENDING 1
/* the caller's fault: never retried */
#define SLUICE_INVALID 100
#define SLUICE_NOT_FOUND 101 /* the log is not there; never used for an absent saved value */
#define SLUICE_EXISTS 102
#define SLUICE_OUT_OF_RANGE 103
#define SLUICE_UNSUPPORTED 104
#define SLUICE_TOO_LARGE 105
/* look again */
#define SLUICE_CONFLICT 200 /* the end is not `at` */
#define SLUICE_FENCED 201   /* another token is in force */
/* not applied and never will be: retry */
#define SLUICE_UNAVAILABLE 300
#define SLUICE_BUSY 301 /* see retry_after_ms */
/* applied or not, now or later: the host settles it */
#define SLUICE_UNKNOWN 400
/* the operator must act; authentication is DENIED, quota is NO_SPACE, configuration is INVALID, none is UNAVAILABLE */
#define SLUICE_INTERNAL 500
#define SLUICE_DENIED 501
#define SLUICE_NO_SPACE 502
#define SLUICE_CORRUPT 503

/* ---- Kinds and capabilities ------------------------------------------------------------------------------------------- */

#define SLUICE_KIND_LOG 1u
#define SLUICE_KIND_NATIVE 2u

/* Always something good; absence is the limitation. */
#define SLUICE_CAP_DURABLE UINT64_C(1)      /* an acknowledged append survives kill -9 of broker and storage */
#define SLUICE_CAP_POWER_SAFE UINT64_C(2)   /* ... and loss of power */
#define SLUICE_CAP_NO_ROLLBACK UINT64_C(4)  /* no failover or restart takes back what was acknowledged, fences included */
#define SLUICE_CAP_SHARED UINT64_C(8)       /* several processes may use the storage at once */
#define SLUICE_CAP_ATOMIC UINT64_C(16)      /* NATIVE: a unit is there whole or not at all (LOG always is) */

/* ---- Options: a table, so that an adapter in C needs no parser -------------------------------------------------------- */

#define SLUICE_OPTION_TEXT 1u
#define SLUICE_OPTION_INTEGER 2u
#define SLUICE_OPTION_BOOLEAN 3u     /* value.number is 0 or 1 */
#define SLUICE_OPTION_CHOICE 4u      /* one of `choices`; value.number is its index */
#define SLUICE_OPTION_SIZE 5u        /* bytes; written as a number or "64KiB", "1MiB", "2GiB" */
#define SLUICE_OPTION_DURATION 6u    /* value.number in milliseconds; written as a number or "500ms", "10s", "5min" */
#define SLUICE_OPTION_PATH 7u        /* the host makes it absolute, relative to the broker's data directory */

#define SLUICE_OPTION_REQUIRED 1u
#define SLUICE_OPTION_SECRET 2u /* never printed; may come from the environment or a file */

/* ELEMENT. */
typedef struct sluice_option {
  const char *name;
  const char *help;          /* one sentence */
  const char *default_text;  /* as written in a configuration; NULL: absent unless given */
  const char *choices;       /* CHOICE: names separated by '|'; else NULL */
  uint32_t type;
  uint32_t flags;
  int64_t minimum; /* INTEGER, SIZE, DURATION: inclusive */
  int64_t maximum;
} sluice_option;

/* ELEMENT. The value of the option with the same index. */
typedef struct sluice_value {
  const char *text;  /* TEXT, PATH, CHOICE; NULL when absent; valid during create only */
  int64_t number;
  uint32_t present;  /* 0 when neither given nor defaulted */
  uint32_t reserved;
} sluice_value;

/* ---- Errors, tickets, host services ----------------------------------------------------------------------------------- */

/* Where a call that fails explains itself. The adapter writes at most text_capacity bytes, NUL included. */
typedef struct sluice_error {
  uint32_t size;
  uint32_t text_capacity;
  char *text;
  int64_t native_code;    /* errno, a server's number, or 0 */
  int64_t retry_after_ms; /* 0: no advice */
} sluice_error;

typedef struct sluice_ticket {
  uint32_t size;
  uint32_t reserved;
  int64_t deadline_ns;
  sluice_error *error;
  uint64_t scratch[4]; /* the adapter's, zero at first: so that it need not allocate */
} sluice_ticket;

#define SLUICE_LOG_DEBUG 0
#define SLUICE_LOG_INFO 1
#define SLUICE_LOG_WARNING 2
#define SLUICE_LOG_ERROR 3

/* What the host offers. Any thread; lives as long as the process. */
typedef struct sluice_host {
  uint32_t size;
  uint32_t major;
  uint32_t minor;
  uint32_t reserved;
  /* Ends a pending call; see above. `status` is never SLUICE_PENDING. */
  void (*complete)(const struct sluice_host *host, sluice_ticket *ticket, sluice_status status);
  /* One line for the operator, without newline; never a secret. `storage_name` as given to create. */
  void (*log)(const struct sluice_host *host, const char *storage_name, int32_t level, const char *text);
  /* CRC32C (Castagnoli) of data, continuing from `crc` (0 to begin). */
  uint32_t (*crc32c)(uint32_t crc, const void *data, uint64_t size);
} sluice_host;

/* ---- Lifecycle -------------------------------------------------------------------------------------------------------- */

typedef struct sluice_storage sluice_storage; /* the adapter's own */
typedef struct sluice_log sluice_log;         /* the adapter's own */

typedef struct sluice_create {
  uint32_t size;
  uint32_t value_count; /* as many as the entry's options */
  const sluice_host *host;
  const char *name;           /* the storage's name in the configuration; copy what is kept */
  const char *data_directory; /* absolute; an adapter that keeps files keeps them below it unless an option says where */
  const sluice_value *values;
} sluice_create;

/* What holds now, with this server and these settings. */
typedef struct sluice_condition {
  uint32_t size;
  uint32_t kind;         /* SLUICE_KIND_LOG or SLUICE_KIND_NATIVE */
  uint64_t capabilities; /* at most what the entry says */
  uint64_t largest_unit; /* bytes of one append; 0: no limit of its own */
  char server[64];       /* what it runs on: "redis 7.0.15", "ext4", ... */
  char advice[192];      /* the setting that would raise the capabilities, or empty */
  /* Bytes of one append at which the host stops to gather batches that wait; 0: its own choice, below largest_unit. A
   * hint. Where each append costs a round trip, more is faster. NATIVE: may be above largest_unit, which then bounds
   * each batch. */
  uint64_t preferred_unit;
  /* NATIVE: how many appends of one handle may be in flight; 0 or 1: one. Who says more keeps their order by itself, see
   * append. LOG: one, whatever is said. */
  uint32_t appends_in_flight;
  uint32_t reserved;
} sluice_condition;

#define SLUICE_BIND_REPLACE 1u /* the operator ties an emptied storage again */

typedef struct sluice_bind {
  uint32_t size;
  uint32_t flags;
  uint8_t cluster_id[16]; /* in: the id wanted; out: the id that the storage is tied to */
} sluice_bind;

/* ---- Logs ------------------------------------------------------------------------------------------------------------- */

#define SLUICE_LOG_SYNC 1u            /* every append is as durable as the engine can make it */
#define SLUICE_LOG_SEVERAL_WRITERS 2u /* every broker appends with token 0; `at` decides; fence and save are INVALID */

/* ELEMENT. */
typedef struct sluice_setting {
  const char *name;
  const char *value;
} sluice_setting;

/* Names a log to create_log, delete_log and open. Equal means: all but partition_count and settings. */
typedef struct sluice_log_descriptor {
  uint32_t size;
  uint32_t flags;
  uint8_t id[16];
  int64_t start_offset; /* the start and end of the new, empty log */
  const char *topic;    /* for people and for NATIVE: the topic's name */
  uint8_t topic_id[16];
  int32_t partition;
  int32_t partition_count;
  const sluice_setting *settings; /* the topic's; "sluice.native.name" adopts a native topic of that name */
  uint32_t setting_count;
  uint32_t reserved;
} sluice_log_descriptor;

#define SLUICE_ENTRY_FOREIGN 1u /* a native topic that Sluice did not make; id is zero */

/* ELEMENT. */
typedef struct sluice_log_entry {
  uint8_t id[16];
  const char *topic; /* "" where not kept */
  int32_t partition;
  uint32_t flags;
} sluice_log_entry;

typedef struct sluice_log_list {
  uint32_t size;
  uint32_t count;
  const sluice_log_entry *entries;
  void *owner;
  void (*release)(void *owner);
} sluice_log_list;

/* ---- Append ----------------------------------------------------------------------------------------------------------- */

#define SLUICE_APPEND_SYNC 1u /* OK only when this unit, and all before it, are as durable as the engine can make it */

/* ELEMENT. One whole record batch; its base offset and leader epoch are written into the bytes already. */
typedef struct sluice_batch {
  const uint8_t *data;
  uint64_t size;
  int64_t base_offset; /* >= at for the first, > the last before for others; the difference is a gap that is asked for. NATIVE:
                          the batches of a unit count up from 0, and the bytes hold whatever their producer wrote */
  int64_t last_offset; /* >= base_offset, also where record_count is 0 */
  int64_t max_timestamp;
  uint32_t record_count;
  uint32_t reserved;
} sluice_batch;

/* ELEMENT. NATIVE only: what became of one batch. */
typedef struct sluice_batch_result {
  int64_t first_offset;
  int64_t last_offset;
  uint32_t applied; /* records */
  uint32_t reserved;
} sluice_batch_result;

typedef struct sluice_append {
  uint32_t size;
  uint32_t flags;
  uint64_t token; /* must equal the one in force; 0 on SEVERAL_WRITERS */
  int64_t at;     /* LOG: the end that the unit must find; NATIVE: 0 */
  const sluice_batch *batches;
  uint32_t batch_count; /* >= 1 */
  uint32_t reserved;
  uint64_t bytes; /* of all batches */
  /* Appends of one handle with the same run may be in flight together; see append. Rises. 0: this one is alone. */
  uint64_t run;
} sluice_append;

typedef struct sluice_append_result {
  uint32_t size;
  uint32_t reserved;
  int64_t end;    /* after OK: behind the unit; after CONFLICT and FENCED: the log's end */
  uint64_t token; /* after CONFLICT and FENCED: the token in force */
  sluice_batch_result *batches; /* NATIVE: the host's array of batch_count elements; else NULL */
} sluice_append_result;

/* ---- Read ------------------------------------------------------------------------------------------------------------- */

typedef struct sluice_read {
  uint32_t size;
  uint32_t flags;     /* 0 */
  int64_t offset;
  int64_t limit;      /* exclusive: only batches wholly below it come; INT64_MAX: the end */
  uint64_t max_bytes; /* at least one batch comes, whatever its size */
} sluice_read;

/* ELEMENT. Either memory (data != NULL) or a range of a file (data == NULL, fd >= 0). */
typedef struct sluice_slice {
  const uint8_t *data;
  uint64_t length;
  uint64_t position;
  int32_t fd;
  uint32_t reserved;
} sluice_slice;

typedef struct sluice_read_result {
  uint32_t size;
  uint32_t slice_count; /* together whole batches, in order; a batch may span slices */
  const sluice_slice *slices;
  int64_t next;  /* where to read on */
  int64_t start; /* of the log, at that moment */
  int64_t end;
  uint64_t pinned_bytes; /* what the lease keeps from being freed or reused */
  uint64_t skipped;      /* NATIVE: undecodable entries passed */
  void *owner;
  void (*release)(void *owner); /* ends the lease */
} sluice_read_result;

/* ---- Other calls on a log --------------------------------------------------------------------------------------------- */

#define SLUICE_UNKNOWN_NUMBER INT64_MIN

typedef struct sluice_bounds {
  uint32_t size;
  uint32_t reserved;
  int64_t start;
  int64_t end;
  uint64_t token;           /* in force */
  int64_t bytes;            /* stored, or SLUICE_UNKNOWN_NUMBER where that is not cheap */
  int64_t newest_timestamp; /* greatest of all batches, or SLUICE_UNKNOWN_NUMBER */
  uint64_t largest_unit;    /* 0: no limit of its own */
  uint64_t capabilities;    /* of this log */
} sluice_bounds;

typedef struct sluice_locate_result {
  uint32_t size;
  uint32_t reserved;
  int64_t offset; /* base offset of the first batch whose greatest timestamp is >= the one asked for; none: the end */
  int64_t end;
} sluice_locate_result;

typedef struct sluice_fence_result {
  uint32_t size;
  uint32_t reserved;
  int64_t end;    /* after OK: atomically with the fence */
  uint64_t token; /* in force after the call */
} sluice_fence_result;

#define SLUICE_LARGEST_VALUE (512u * 1024u)
#define SLUICE_LONGEST_NAME 64u

typedef struct sluice_save {
  uint32_t size;
  uint32_t name_size; /* 1 to SLUICE_LONGEST_NAME */
  uint64_t token;
  const char *name;
  const uint8_t *value;
  uint64_t value_size; /* 0 removes; at most SLUICE_LARGEST_VALUE, beyond: TOO_LARGE */
} sluice_save;

typedef struct sluice_load {
  uint32_t size;
  uint32_t name_size;
  const char *name;
} sluice_load;

typedef struct sluice_load_result {
  uint32_t size;
  uint32_t present; /* 0: no such value; the call is OK */
  const uint8_t *value;
  uint64_t value_size;
  void *owner;
  void (*release)(void *owner);
} sluice_load_result;

/* ---- The calls. None is NULL; what a kind does not offer answers SLUICE_UNSUPPORTED. ------------------------------------- */

typedef struct sluice_storage_api {
  uint32_t size;
  uint32_t reserved;

  /* [lifecycle] Checks the options and makes a storage, without connecting. INVALID names the option. */
  sluice_status (*create)(const sluice_create *request, sluice_storage **storage, sluice_error *error);
  /* [lifecycle] Frees it, after a failed start or a stop. No lease is out and no ticket pending. */
  void (*destroy)(sluice_storage *storage);
  /* [lifecycle] Connects, recovers, and reports what holds. May be called again after it failed, or after stop. */
  sluice_status (*start)(sluice_storage *storage, int64_t deadline_ns, sluice_condition *condition, sluice_error *error);
  /* [lifecycle] Completes every ticket, drains, lets go of the engine. OK: everything acknowledged is where it belongs.
   * UNAVAILABLE: the deadline came first; error->text says what is left; may be called again. Leases stay valid. */
  sluice_status (*stop)(sluice_storage *storage, int64_t deadline_ns, sluice_error *error);
  /* [lifecycle] start's report again, as of now; an engine that cannot be reached is UNAVAILABLE. */
  sluice_status (*health)(sluice_storage *storage, int64_t deadline_ns, sluice_condition *condition, sluice_error *error);
  /* [lifecycle] LOG. Ties the storage to a cluster, or, when it is tied already, answers OK with that id. With
   * SLUICE_BIND_REPLACE it is tied anew, if no whole log is in it; else EXISTS. */
  sluice_status (*bind)(sluice_storage *storage, int64_t deadline_ns, sluice_bind *bind, sluice_error *error);

  /* [async] Makes the log and everything it needs; as durable as an append. Idempotent: an equal one that is there is OK and
   * whatever was half done is finished; the same id with another descriptor is EXISTS. */
  sluice_status (*create_log)(sluice_storage *storage, sluice_ticket *ticket, const sluice_log_descriptor *descriptor);
  /* [async] Removes the log, its saved values and its token; an absent one is OK. A log created under an adopted native name is
   * only untied. Handles opened before answer NOT_FOUND. Leases stay valid. */
  sluice_status (*delete_log)(sluice_storage *storage, sluice_ticket *ticket, const sluice_log_descriptor *descriptor);
  /* [async] Every log that is wholly there, in any order; NATIVE: foreign topics too. */
  sluice_status (*list_logs)(sluice_storage *storage, sluice_ticket *ticket, sluice_log_list *list);

  /* [inline] A handle; no I/O, no file descriptor, no thread, under 1 KiB. That the log exists is not checked: if not, every
   * call on it answers NOT_FOUND. Several handles on one log may be open. */
  sluice_status (*open)(sluice_storage *storage, const sluice_log_descriptor *descriptor, sluice_log **log, sluice_error *error);
  /* [inline] No call on it is pending, except watch, which it completes with UNAVAILABLE. */
  void (*close)(sluice_log *log);

  /* [async] Stores a unit at the end, bytes unchanged, all or nothing (LOG). The host has one append in flight per log, or,
   * NATIVE, as many as appends_in_flight says. It makes these calls one after another, and what they bring is stored in that
   * order. When one of them was answered, and not with OK, those of its run that the adapter has not given to the engine yet
   * are refused, nothing of them lands. What the engine has already may land behind it and is answered as what became of it;
   * it never lands before anything that the engine was given earlier. The next run begins when all of this are answered, or
   * overdue.
   *   token another than the one in force, lower or higher   FENCED, judged before `at`
   *   end another than `at`                                   CONFLICT
   *   larger than the largest unit                            TOO_LARGE
   * All answers but OK and UNKNOWN promise that the unit has not landed and never will. An adapter never sends a unit twice by
   * itself, unless the engine said that the first was refused. When an engine that may have lost something came back, appends
   * are UNAVAILABLE until the log is fenced. */
  sluice_status (*append)(sluice_log *log, sluice_ticket *ticket, const sluice_append *request, sluice_append_result *result);
  /* [async] Whole batches from the one that holds `offset` (in a gap: the next). At the end, or nothing below `limit`: OK, no
   * slice, next = offset. Below the start or above the end: OUT_OF_RANGE, with start and end. A damaged batch ends the read
   * before it; when it is the first: CORRUPT, next behind it (LOG). What a lease shows does not change, and outlives trim,
   * delete_log, close and stop, until release. */
  sluice_status (*read)(sluice_log *log, sluice_ticket *ticket, const sluice_read *request, sluice_read_result *result);
  /* [async] */
  sluice_status (*bounds)(sluice_log *log, sluice_ticket *ticket, sluice_bounds *result);
  /* [async] */
  sluice_status (*locate)(sluice_log *log, sluice_ticket *ticket, int64_t timestamp, sluice_locate_result *result);
  /* [async] Permission to drop whole batches below `offset`, at any time; the start moves to at most `offset`, never back, and
   * never past the end. Token as for append (0 on SEVERAL_WRITERS). As durable as an append; nothing is dropped before what
   * remains is at least as durable. */
  sluice_status (*trim)(sluice_log *log, sluice_ticket *ticket, uint64_t token, int64_t offset);
  /* [async] LOG. From now on only this token is in force: nothing with another lands, not even what was sent before. At or above
   * the one in force: OK, so it may be repeated; below: FENCED. As durable as an append. INVALID on SEVERAL_WRITERS. */
  sluice_status (*fence)(sluice_log *log, sluice_ticket *ticket, uint64_t token, sluice_fence_result *result);
  /* [async] LOG. A named value beside the log, replaced atomically, as durable as an append, deleted with the log. Token as for
   * append. INVALID on SEVERAL_WRITERS. */
  sluice_status (*save)(sluice_log *log, sluice_ticket *ticket, const sluice_save *request);
  /* [async] LOG. */
  sluice_status (*load)(sluice_log *log, sluice_ticket *ticket, const sluice_load *request, sluice_load_result *result);
  /* [async] Completes with OK when the end passes `offset`, at once if it has; with UNAVAILABLE on close, delete_log and stop,
   * and at the ticket's deadline, so that a log on which nothing happens holds no forgotten calls. UNSUPPORTED where nobody but
   * this process writes. */
  sluice_status (*watch)(sluice_log *log, sluice_ticket *ticket, int64_t offset);
  /* [inline] A hint: this burst of calls is over. */
  void (*flush)(sluice_storage *storage);
} sluice_storage_api;

/* ---- The one exported symbol ------------------------------------------------------------------------------------------ */

typedef struct sluice_plugin {
  /* These 24 bytes never change. */
  uint64_t magic;             /* SLUICE_ABI_MAGIC */
  uint32_t size;              /* of this struct, as the adapter knows it */
  uint32_t major;             /* SLUICE_ABI_MAJOR that it was built with; the host's must be equal */
  uint32_t minor;             /* SLUICE_ABI_MINOR that it was built with; for information */
  uint32_t lowest_host_minor; /* the host's minor must be at least this */

  const char *name;        /* "disk" */
  const char *version;     /* the adapter's own */
  const char *description; /* one sentence */
  uint64_t capabilities;   /* the most it can offer */
  uint32_t kinds;          /* SLUICE_KIND_ bits */
  uint32_t option_count;
  const sluice_option *options;
  const sluice_storage_api *api;
  /* Extensions are found by a string id; NULL for an unknown one. May itself be NULL. */
  const void *(*extension)(const char *id);
} sluice_plugin;

#if defined(__GNUC__)
#define SLUICE_PLUGIN_EXPORT __attribute__((visibility("default")))
#else
#define SLUICE_PLUGIN_EXPORT
#endif

/* Each adapter defines, in C:    SLUICE_PLUGIN_EXPORT const sluice_plugin sluice_plugin_entry = {...};
 * and in C++:         extern "C" SLUICE_PLUGIN_EXPORT const sluice_plugin sluice_plugin_entry = {...};
 * (without `extern "C"` on the definition itself g++ warns that it ignores the visibility). */
extern SLUICE_PLUGIN_EXPORT const sluice_plugin sluice_plugin_entry;

#ifdef __cplusplus
}
#endif

#endif
