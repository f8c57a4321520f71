/* SPDX-License-Identifier: Apache-2.0
 *
 * Small help for authors of storage adapters in C: what any adapter checks and writes, so that it need not be written
 * again. Convenience only, compiled into the adapter; the contract is storage_abi.h alone. Any thread. */
#ifndef SLUICE_ADAPTER_H
#define SLUICE_ADAPTER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "sluice/storage_abi.h"

/* Sets a member of a struct that the host allocated, if the host's struct is long enough to have it. */
#define SLUICE_SET(target, member, value)                                                 \
  do {                                                                                    \
    if ((const char*)(&(target)->member + 1) <= (const char*)(target) + (target)->size) { \
      (target)->member = (value);                                                         \
    }                                                                                     \
  } while (0)

/* Writes why a call failed, cut to the host's capacity at a whole UTF-8 character, and returns `status`. SLUICE_OK
 * writes nothing; `error` and `text` may be NULL. */
static inline sluice_status sluice_explain(sluice_error* error, sluice_status status, const char* text) {
  size_t size;
  if (status == SLUICE_OK || error == NULL || text == NULL || error->text == NULL || error->text_capacity == 0)
    return status;
  size = strlen(text);
  if (size > error->text_capacity - 1u) {
    size = error->text_capacity - 1u;
    while (size > 0 && ((unsigned char)text[size] & 0xc0u) == 0x80u) --size;
  }
  memcpy(error->text, text, size);
  error->text[size] = '\0';
  return status;
}

/* What is wrong with a descriptor, or NULL: unknown flags, a start offset outside 0 to INT64_MAX - 1, no topic. */
static inline const char* sluice_check_descriptor(const sluice_log_descriptor* log) {
  if ((log->flags & ~(SLUICE_LOG_SYNC | SLUICE_LOG_SEVERAL_WRITERS)) != 0) return "unknown flag";
  if (log->start_offset < 0 || log->start_offset == INT64_MAX) return "start offset out of range";
  if (log->topic == NULL) return "no topic";
  if (log->setting_count > 0 && log->settings == NULL) return "settings are missing";
  return NULL;
}

/* Whether two descriptors are equal for create_log: all but partition_count and settings. */
static inline int sluice_same_log(const sluice_log_descriptor* a, const sluice_log_descriptor* b) {
  return memcmp(a->id, b->id, sizeof a->id) == 0 && memcmp(a->topic_id, b->topic_id, sizeof a->topic_id) == 0 &&
         a->flags == b->flags && a->start_offset == b->start_offset && a->partition == b->partition &&
         strcmp(a->topic, b->topic) == 0;
}

/* What is wrong with a unit for a log of kind LOG, or NULL: unknown flags, no batch, a batch without bytes, offsets
 * that do not rise from `at` on or reach INT64_MAX, `bytes` that is not the sum. */
static inline const char* sluice_check_append(const sluice_append* request) {
  int64_t lowest = request->at;
  uint64_t bytes = 0;
  uint32_t i;
  if ((request->flags & ~SLUICE_APPEND_SYNC) != 0) return "unknown flag";
  if (request->batch_count == 0 || request->batches == NULL) return "a unit holds at least one batch";
  if (request->at < 0) return "`at` is negative";
  for (i = 0; i < request->batch_count; ++i) {
    const sluice_batch* batch = &request->batches[i];
    if (batch->data == NULL || batch->size == 0) return "a batch without bytes";
    if (batch->base_offset < lowest) return "batch offsets do not rise from `at`";
    if (batch->last_offset < batch->base_offset || batch->last_offset == INT64_MAX) return "last offset out of range";
    if (bytes + batch->size < bytes) return "sizes overflow";
    lowest = batch->last_offset + 1;
    bytes += batch->size;
  }
  return bytes == request->bytes ? NULL : "`bytes` is not the sum of the batches";
}

/* Keeps what sluice_same_log compares, but for the topic, which the adapter copies. `to` was zeroed. */
static inline void sluice_keep_log(sluice_log_descriptor* to, const sluice_log_descriptor* from, const char* topic) {
  memcpy(to->id, from->id, sizeof to->id);
  memcpy(to->topic_id, from->topic_id, sizeof to->topic_id);
  to->flags = from->flags;
  to->start_offset = from->start_offset;
  to->partition = from->partition;
  to->topic = topic;
}

/* What is wrong with the name of a saved value, or NULL. */
static inline const char* sluice_check_name(const char* name, uint32_t name_size) {
  return name == NULL || name_size == 0 || name_size > SLUICE_LONGEST_NAME ? "a name has 1 to 64 bytes" : NULL;
}

/* OK, or what a save is refused with before the log is looked at: INVALID or TOO_LARGE, explained. */
static inline sluice_status sluice_judge_save(const sluice_save* request, sluice_error* error) {
  const char* fault = sluice_check_name(request->name, request->name_size);
  if (fault != NULL) return sluice_explain(error, SLUICE_INVALID, fault);
  if (request->value_size > SLUICE_LARGEST_VALUE) {
    return sluice_explain(error, SLUICE_TOO_LARGE, "the value is above 512 KiB");
  }
  if (request->value_size > 0 && request->value == NULL) {
    return sluice_explain(error, SLUICE_INVALID, "the value is missing");
  }
  return SLUICE_OK;
}

/* Results, member by member within their size. */
static inline void sluice_answer_condition(sluice_condition* to, uint32_t kind, uint64_t capabilities,
                                           uint64_t largest_unit, const char* server) {
  SLUICE_SET(to, kind, kind);
  SLUICE_SET(to, capabilities, capabilities);
  SLUICE_SET(to, largest_unit, largest_unit);
  if (to->size >= offsetof(sluice_condition, server) + sizeof to->server) {
    size_t size = strlen(server);
    if (size > sizeof to->server - 1u) size = sizeof to->server - 1u;
    memcpy(to->server, server, size);
    to->server[size] = '\0';
  }
}

static inline void sluice_answer_append(sluice_append_result* to, int64_t end, uint64_t token) {
  SLUICE_SET(to, end, end);
  SLUICE_SET(to, token, token);
}

static inline void sluice_answer_fence(sluice_fence_result* to, int64_t end, uint64_t token) {
  SLUICE_SET(to, end, end);
  SLUICE_SET(to, token, token);
}

static inline void sluice_answer_locate(sluice_locate_result* to, int64_t offset, int64_t end) {
  SLUICE_SET(to, offset, offset);
  SLUICE_SET(to, end, end);
}

/* The log's range and where to read on; sluice_answer_slices adds what is lent. */
static inline void sluice_answer_read(sluice_read_result* to, int64_t start, int64_t end, int64_t next) {
  SLUICE_SET(to, start, start);
  SLUICE_SET(to, end, end);
  SLUICE_SET(to, next, next);
}

static inline void sluice_answer_slices(sluice_read_result* to, const sluice_slice* slices, uint32_t count,
                                        uint64_t pinned_bytes, void* owner, void (*release)(void*)) {
  SLUICE_SET(to, slices, slices);
  SLUICE_SET(to, slice_count, count);
  SLUICE_SET(to, pinned_bytes, pinned_bytes);
  SLUICE_SET(to, owner, owner);
  SLUICE_SET(to, release, release);
}

static inline void sluice_answer_load(sluice_load_result* to, const uint8_t* value, uint64_t value_size, void* owner,
                                      void (*release)(void*)) {
  SLUICE_SET(to, present, 1);
  SLUICE_SET(to, value, value);
  SLUICE_SET(to, value_size, value_size);
  SLUICE_SET(to, owner, owner);
  SLUICE_SET(to, release, release);
}

static inline void sluice_answer_list(sluice_log_list* to, const sluice_log_entry* entries, uint32_t count, void* owner,
                                      void (*release)(void*)) {
  SLUICE_SET(to, entries, entries);
  SLUICE_SET(to, count, count);
  SLUICE_SET(to, owner, owner);
  SLUICE_SET(to, release, release);
}

/* What bounds always says; bytes and newest_timestamp are SLUICE_UNKNOWN_NUMBER where they are not cheap. */
static inline void sluice_answer_bounds(sluice_bounds* to, int64_t start, int64_t end, uint64_t token, int64_t bytes,
                                        int64_t newest_timestamp, uint64_t largest_unit, uint64_t capabilities) {
  SLUICE_SET(to, start, start);
  SLUICE_SET(to, end, end);
  SLUICE_SET(to, token, token);
  SLUICE_SET(to, bytes, bytes);
  SLUICE_SET(to, newest_timestamp, newest_timestamp);
  SLUICE_SET(to, largest_unit, largest_unit);
  SLUICE_SET(to, capabilities, capabilities);
}

/* For the table, where there is nothing to watch and nothing to flush. */
static inline sluice_status sluice_no_watch(sluice_log* log, sluice_ticket* ticket, int64_t offset) {
  (void)log;
  (void)offset;
  return sluice_explain(ticket->error, SLUICE_UNSUPPORTED, "nobody but this process writes to this storage");
}

static inline void sluice_no_flush(sluice_storage* storage) {
  (void)storage;
}

/* Defines the exported symbol, for an adapter without extensions. `options` and `api` are static arrays and tables. */
#define SLUICE_DEFINE_PLUGIN(name, version, description, capabilities, kinds, options, api)               \
  SLUICE_PLUGIN_EXPORT const sluice_plugin sluice_plugin_entry = {SLUICE_ABI_MAGIC,                       \
                                                                  sizeof(sluice_plugin),                  \
                                                                  SLUICE_ABI_MAJOR,                       \
                                                                  SLUICE_ABI_MINOR,                       \
                                                                  SLUICE_ABI_MINOR,                       \
                                                                  (name),                                 \
                                                                  (version),                              \
                                                                  (description),                          \
                                                                  (capabilities),                         \
                                                                  (kinds),                                \
                                                                  sizeof(options) / sizeof((options)[0]), \
                                                                  (options),                              \
                                                                  &(api),                                 \
                                                                  NULL}

#endif
