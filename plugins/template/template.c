/* SPDX-License-Identifier: Apache-2.0
 *
 * The smallest correct storage adapter, to be copied out of the tree and changed. Logs are lists on the heap under one
 * mutex, every search walks, a read gives one batch, and every call is answered at once on the caller's thread. A real
 * engine must not: what copies more than 64 KiB, or waits, belongs to a thread that ends the call with
 * host->complete(). */
#include <pthread.h>
#include <sluice/adapter.h>
#include <stdatomic.h>
#include <stdlib.h>

struct sluice_storage {
  pthread_mutex_t mutex; /* over logs and all that hangs on them */
  struct log* logs;
  uint64_t max_bytes;
  _Atomic uint64_t bytes; /* of all items, also those that only a lease still holds */
  uint8_t cluster_id[16]; /* zero: not tied; lifecycle calls only */
};

/* A batch or a saved value. Shared with leases, freed with the last reference; its bytes never change. */
struct item {
  struct item* next;
  sluice_storage* storage;
  atomic_uint references;
  uint32_t name_size;
  char name[SLUICE_LONGEST_NAME];
  sluice_batch batch; /* its offsets and timestamp */
  sluice_slice slice;
  uint8_t data[];
};

struct log {
  struct log* next;
  sluice_log_descriptor is; /* with a topic of our own and without settings */
  int64_t start, end;
  uint64_t token;
  struct item *batches, **tail, *values;
  char topic[];
};

struct sluice_log {
  sluice_storage* storage;
  uint8_t id[16];
};

/* NULL when max_bytes is reached. */
static struct item* new_item(sluice_storage* storage, const uint8_t* data, uint64_t size) {
  int fits = atomic_fetch_add(&storage->bytes, size) + size <= storage->max_bytes;
  struct item* item = fits ? calloc(1, sizeof *item + size) : NULL;
  if (item == NULL) return atomic_fetch_sub(&storage->bytes, size), NULL;
  item->storage = storage;
  atomic_init(&item->references, 1);
  memcpy(item->data, data, size);
  item->slice = (sluice_slice){item->data, size, 0, -1, 0};
  return item;
}

static void release_item(void* owner) {
  struct item* item = owner;
  if (atomic_fetch_sub(&item->references, 1) != 1) return;
  atomic_fetch_sub(&item->storage->bytes, item->slice.length);
  free(item);
}

static void pop_item(struct item** list) {
  struct item* item = *list;
  *list = item->next;
  release_item(item);
}

static struct log** find_log(sluice_storage* storage, const uint8_t* id) {
  struct log** at = &storage->logs;
  while (*at != NULL && memcmp((*at)->is.id, id, 16) != 0) at = &(*at)->next;
  return at;
}

static struct item** find_value(struct log* log, const char* name, uint32_t size) {
  struct item** at = &log->values;
  while (*at != NULL && ((*at)->name_size != size || memcmp((*at)->name, name, size) != 0)) at = &(*at)->next;
  return at;
}

static void remove_log(struct log** at) {
  struct log* log = *at;
  *at = log->next;
  while (log->batches != NULL) pop_item(&log->batches);
  while (log->values != NULL) pop_item(&log->values);
  free(log);
}

static sluice_status leave(sluice_storage* storage, sluice_ticket* ticket, sluice_status status, const char* text) {
  pthread_mutex_unlock(&storage->mutex);
  return sluice_explain(ticket->error, status, text);
}

/* Locks the storage and finds the log of the handle `self`; without one the call is answered. */
#define ENTER(log)                                      \
  pthread_mutex_lock(&self->storage->mutex);            \
  struct log* log = *find_log(self->storage, self->id); \
  if (log == NULL) return leave(self->storage, ticket, SLUICE_NOT_FOUND, "no such log")

static sluice_status create(const sluice_create* request, sluice_storage** storage, sluice_error* error) {
  if ((*storage = calloc(1, sizeof **storage)) == NULL) return sluice_explain(error, SLUICE_NO_SPACE, "out of memory");
  (*storage)->max_bytes = (uint64_t)request->values[0].number;
  pthread_mutex_init(&(*storage)->mutex, NULL);
  return SLUICE_OK;
}

static void destroy(sluice_storage* storage) {
  while (storage->logs != NULL) remove_log(&storage->logs);
  pthread_mutex_destroy(&storage->mutex);
  free(storage);
}

/* start and health: the heap is always there, and nothing is ever pending for stop. */
static sluice_status health(sluice_storage* storage, int64_t deadline, sluice_condition* now, sluice_error* error) {
  (void)storage, (void)deadline, (void)error;
  sluice_answer_condition(now, SLUICE_KIND_LOG, 0, 0, "heap");
  return SLUICE_OK;
}

static sluice_status stop(sluice_storage* storage, int64_t deadline, sluice_error* error) {
  (void)storage, (void)deadline, (void)error;
  return SLUICE_OK;
}

static sluice_status tie(sluice_storage* storage, int64_t deadline, sluice_bind* bind, sluice_error* error) {
  (void)deadline;
  if (bind->flags & ~SLUICE_BIND_REPLACE) return sluice_explain(error, SLUICE_INVALID, "unknown flag");
  if (bind->flags && storage->logs != NULL) return sluice_explain(error, SLUICE_EXISTS, "the storage holds logs");
  if (bind->flags || memcmp(storage->cluster_id, (uint8_t[16]){0}, 16) == 0)
    memcpy(storage->cluster_id, bind->cluster_id, 16);
  memcpy(bind->cluster_id, storage->cluster_id, 16);
  return SLUICE_OK;
}

static sluice_status create_log(sluice_storage* storage, sluice_ticket* ticket, const sluice_log_descriptor* wanted) {
  const char* fault = sluice_check_descriptor(wanted);
  if (fault != NULL) return sluice_explain(ticket->error, SLUICE_INVALID, fault);
  pthread_mutex_lock(&storage->mutex);
  struct log **at = find_log(storage, wanted->id), *log = *at;
  if (log != NULL)
    return leave(storage, ticket, sluice_same_log(&log->is, wanted) ? SLUICE_OK : SLUICE_EXISTS, "differs");
  log = calloc(1, sizeof *log + strlen(wanted->topic) + 1);
  if (log == NULL) return leave(storage, ticket, SLUICE_NO_SPACE, "out of memory");
  sluice_keep_log(&log->is, wanted, strcpy(log->topic, wanted->topic));
  log->start = log->end = wanted->start_offset;
  log->tail = &log->batches;
  *at = log;
  return leave(storage, ticket, SLUICE_OK, NULL);
}

static sluice_status delete_log(sluice_storage* storage, sluice_ticket* ticket, const sluice_log_descriptor* wanted) {
  pthread_mutex_lock(&storage->mutex);
  struct log** at = find_log(storage, wanted->id);
  if (*at != NULL) remove_log(at);
  return leave(storage, ticket, SLUICE_OK, NULL);
}

static sluice_status list_logs(sluice_storage* storage, sluice_ticket* ticket, sluice_log_list* list) {
  uint32_t count = 0;
  pthread_mutex_lock(&storage->mutex);
  for (struct log* log = storage->logs; log != NULL; log = log->next) ++count;
  sluice_log_entry *entries = calloc(count + 1, sizeof *entries), *entry = entries;
  if (entries == NULL) return leave(storage, ticket, SLUICE_NO_SPACE, "out of memory");
  for (struct log* log = storage->logs; log != NULL; log = log->next, ++entry) {
    memcpy(entry->id, log->is.id, 16);
    entry->topic = ""; /* ours may be gone before the list is released */
    entry->partition = log->is.partition;
  }
  sluice_answer_list(list, entries, count, entries, free);
  return leave(storage, ticket, SLUICE_OK, NULL);
}

static sluice_status open_log(sluice_storage* storage, const sluice_log_descriptor* is, sluice_log** log,
                              sluice_error* error) {
  if ((*log = malloc(sizeof **log)) == NULL) return sluice_explain(error, SLUICE_NO_SPACE, "out of memory");
  (*log)->storage = storage;
  memcpy((*log)->id, is->id, 16);
  return SLUICE_OK;
}

static void close_log(sluice_log* self) {
  free(self);
}

static sluice_status append(sluice_log* self, sluice_ticket* ticket, const sluice_append* request,
                            sluice_append_result* result) {
  const char* fault = sluice_check_append(request);
  if (fault != NULL) return sluice_explain(ticket->error, SLUICE_INVALID, fault);
  ENTER(log);
  sluice_answer_append(result, log->end, log->token);
  if (request->token != log->token) return leave(self->storage, ticket, SLUICE_FENCED, "another token is in force");
  if (request->at != log->end) return leave(self->storage, ticket, SLUICE_CONFLICT, "the end is not `at`");
  struct item *unit = NULL, **tail = &unit;
  for (const sluice_batch* batch = request->batches; batch < request->batches + request->batch_count; ++batch) {
    if ((*tail = new_item(self->storage, batch->data, batch->size)) == NULL) {
      while (unit != NULL) pop_item(&unit);
      return leave(self->storage, ticket, SLUICE_NO_SPACE, "max_bytes is reached");
    }
    (*tail)->batch = *batch;
    tail = &(*tail)->next;
  }
  *log->tail = unit; /* from here on it has landed, whole */
  log->tail = tail;
  log->end = request->batches[request->batch_count - 1].last_offset + 1;
  sluice_answer_append(result, log->end, log->token);
  return leave(self->storage, ticket, SLUICE_OK, NULL);
}

static sluice_status read_log(sluice_log* self, sluice_ticket* ticket, const sluice_read* request,
                              sluice_read_result* result) {
  if (request->flags != 0) return sluice_explain(ticket->error, SLUICE_INVALID, "unknown flag");
  ENTER(log);
  sluice_answer_read(result, log->start, log->end, request->offset);
  int outside = request->offset < log->start || request->offset > log->end;
  struct item* at = log->batches;
  while (at != NULL && at->batch.last_offset < request->offset) at = at->next;
  if (!outside && at != NULL && at->batch.last_offset < request->limit) {
    atomic_fetch_add(&at->references, 1);
    sluice_answer_read(result, log->start, log->end, at->batch.last_offset + 1);
    sluice_answer_slices(result, &at->slice, 1, at->slice.length, at, release_item);
  }
  return leave(self->storage, ticket, outside ? SLUICE_OUT_OF_RANGE : SLUICE_OK, "not between start and end");
}

static sluice_status bounds(sluice_log* self, sluice_ticket* ticket, sluice_bounds* result) {
  ENTER(log);
  sluice_answer_bounds(result, log->start, log->end, log->token, SLUICE_UNKNOWN_NUMBER, SLUICE_UNKNOWN_NUMBER, 0, 0);
  return leave(self->storage, ticket, SLUICE_OK, NULL);
}

static sluice_status locate(sluice_log* self, sluice_ticket* ticket, int64_t timestamp, sluice_locate_result* result) {
  ENTER(log);
  struct item* at = log->batches;
  while (at != NULL && at->batch.max_timestamp < timestamp) at = at->next;
  sluice_answer_locate(result, at != NULL ? at->batch.base_offset : log->end, log->end);
  return leave(self->storage, ticket, SLUICE_OK, NULL);
}

static sluice_status trim(sluice_log* self, sluice_ticket* ticket, uint64_t token, int64_t offset) {
  ENTER(log);
  if (token != log->token) return leave(self->storage, ticket, SLUICE_FENCED, "another token is in force");
  if (offset > log->start) log->start = offset < log->end ? offset : log->end;
  while (log->batches != NULL && log->batches->batch.last_offset < log->start) pop_item(&log->batches);
  if (log->batches == NULL) log->tail = &log->batches;
  return leave(self->storage, ticket, SLUICE_OK, NULL);
}

static sluice_status fence(sluice_log* self, sluice_ticket* ticket, uint64_t token, sluice_fence_result* result) {
  ENTER(log);
  int several = (log->is.flags & SLUICE_LOG_SEVERAL_WRITERS) != 0, lower = token < log->token;
  if (!several && !lower) log->token = token;
  sluice_answer_fence(result, log->end, log->token);
  return leave(self->storage, ticket, several ? SLUICE_INVALID : lower ? SLUICE_FENCED : SLUICE_OK, "cannot fence");
}

static sluice_status save(sluice_log* self, sluice_ticket* ticket, const sluice_save* request) {
  sluice_status judged = sluice_judge_save(request, ticket->error);
  if (judged != SLUICE_OK) return judged;
  ENTER(log);
  if (log->is.flags & SLUICE_LOG_SEVERAL_WRITERS)
    return leave(self->storage, ticket, SLUICE_INVALID, "several writers");
  if (request->token != log->token) return leave(self->storage, ticket, SLUICE_FENCED, "another token is in force");
  struct item *value = NULL, **old = find_value(log, request->name, request->name_size);
  if (request->value_size > 0 && (value = new_item(self->storage, request->value, request->value_size)) == NULL) {
    return leave(self->storage, ticket, SLUICE_NO_SPACE, "max_bytes is reached");
  }
  if (*old != NULL) pop_item(old);
  if (value != NULL) {
    memcpy(value->name, request->name, value->name_size = request->name_size);
    value->next = *old;
    *old = value;
  }
  return leave(self->storage, ticket, SLUICE_OK, NULL);
}

static sluice_status load(sluice_log* self, sluice_ticket* ticket, const sluice_load* request,
                          sluice_load_result* result) {
  if (sluice_check_name(request->name, request->name_size) != NULL)
    return sluice_explain(ticket->error, SLUICE_INVALID, "bad name");
  ENTER(log);
  struct item* value = *find_value(log, request->name, request->name_size);
  if (value != NULL) {
    atomic_fetch_add(&value->references, 1);
    sluice_answer_load(result, value->data, value->slice.length, value, release_item);
  }
  return leave(self->storage, ticket, SLUICE_OK, NULL);
}

static const sluice_option options[] = {
    {"max_bytes", "Bytes of batches and values kept at most.", "1GiB", NULL, SLUICE_OPTION_SIZE, 0, 65536, INT64_MAX}};

static const sluice_storage_api api = {sizeof api, 0,      create,     destroy,         health,         stop,
                                       health,     tie,    create_log, delete_log,      list_logs,      open_log,
                                       close_log,  append, read_log,   bounds,          locate,         trim,
                                       fence,      save,   load,       sluice_no_watch, sluice_no_flush};

SLUICE_DEFINE_PLUGIN("template", "0.1.0", "The smallest adapter that works: logs on the heap.", 0, SLUICE_KIND_LOG,
                     options, api);
