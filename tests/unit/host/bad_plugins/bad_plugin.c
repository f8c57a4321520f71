/* SPDX-License-Identifier: Apache-2.0
 *
 * Adapters that are wrong in one way each. FAULT says which; the rest would do. */
#include <stddef.h>

#include "sluice/storage_abi.h"

#define FAULT_MAGIC 1
#define FAULT_MAJOR 2
#define FAULT_MINOR 3
#define FAULT_SMALL 4
#define FAULT_SIZE 5
#define FAULT_NAME 6
#define FAULT_KIND 7
#define FAULT_OPTIONS 8
#define FAULT_OPTION_NAME 9
#define FAULT_OPTION_TWICE 10
#define FAULT_NO_API 11
#define FAULT_SMALL_API 12
#define FAULT_NO_FUNCTION 13
#define FAULT_UNDEFINED 14
#define FAULT_CHOICE 15
#define FAULT_OPTION_TYPE 16

#if FAULT == FAULT_UNDEFINED
void nobody_defines_this(void);
#endif

static sluice_status create(const sluice_create* request, sluice_storage** storage, sluice_error* error) {
  (void)request;
  (void)storage;
  (void)error;
#if FAULT == FAULT_UNDEFINED
  nobody_defines_this();
#endif
  return SLUICE_UNSUPPORTED;
}
static void destroy(sluice_storage* storage) {
  (void)storage;
}
static sluice_status start(sluice_storage* s, int64_t d, sluice_condition* c, sluice_error* e) {
  (void)s, (void)d, (void)c, (void)e;
  return SLUICE_UNSUPPORTED;
}
static sluice_status stop(sluice_storage* s, int64_t d, sluice_error* e) {
  (void)s, (void)d, (void)e;
  return SLUICE_UNSUPPORTED;
}
static sluice_status bind(sluice_storage* s, int64_t d, sluice_bind* b, sluice_error* e) {
  (void)s, (void)d, (void)b, (void)e;
  return SLUICE_UNSUPPORTED;
}
static sluice_status on_log(sluice_storage* s, sluice_ticket* t, const sluice_log_descriptor* d) {
  (void)s, (void)t, (void)d;
  return SLUICE_UNSUPPORTED;
}
static sluice_status list_logs(sluice_storage* s, sluice_ticket* t, sluice_log_list* l) {
  (void)s, (void)t, (void)l;
  return SLUICE_UNSUPPORTED;
}
static sluice_status open_log(sluice_storage* s, const sluice_log_descriptor* d, sluice_log** l, sluice_error* e) {
  (void)s, (void)d, (void)l, (void)e;
  return SLUICE_UNSUPPORTED;
}
static void close_log(sluice_log* l) {
  (void)l;
}
static sluice_status append(sluice_log* l, sluice_ticket* t, const sluice_append* r, sluice_append_result* x) {
  (void)l, (void)t, (void)r, (void)x;
  return SLUICE_UNSUPPORTED;
}
static sluice_status read_log(sluice_log* l, sluice_ticket* t, const sluice_read* r, sluice_read_result* x) {
  (void)l, (void)t, (void)r, (void)x;
  return SLUICE_UNSUPPORTED;
}
static sluice_status bounds(sluice_log* l, sluice_ticket* t, sluice_bounds* x) {
  (void)l, (void)t, (void)x;
  return SLUICE_UNSUPPORTED;
}
static sluice_status locate(sluice_log* l, sluice_ticket* t, int64_t at, sluice_locate_result* x) {
  (void)l, (void)t, (void)at, (void)x;
  return SLUICE_UNSUPPORTED;
}
static sluice_status trim(sluice_log* l, sluice_ticket* t, uint64_t token, int64_t offset) {
  (void)l, (void)t, (void)token, (void)offset;
  return SLUICE_UNSUPPORTED;
}
static sluice_status fence(sluice_log* l, sluice_ticket* t, uint64_t token, sluice_fence_result* x) {
  (void)l, (void)t, (void)token, (void)x;
  return SLUICE_UNSUPPORTED;
}
static sluice_status save(sluice_log* l, sluice_ticket* t, const sluice_save* r) {
  (void)l, (void)t, (void)r;
  return SLUICE_UNSUPPORTED;
}
static sluice_status load(sluice_log* l, sluice_ticket* t, const sluice_load* r, sluice_load_result* x) {
  (void)l, (void)t, (void)r, (void)x;
  return SLUICE_UNSUPPORTED;
}
static sluice_status watch(sluice_log* l, sluice_ticket* t, int64_t offset) {
  (void)l, (void)t, (void)offset;
  return SLUICE_UNSUPPORTED;
}
static void flush(sluice_storage* s) {
  (void)s;
}

static const sluice_storage_api api = {
    .size = FAULT == FAULT_SMALL_API ? offsetof(sluice_storage_api, flush) : sizeof(sluice_storage_api),
    .create = create,
    .destroy = destroy,
    .start = start,
    .stop = stop,
    .health = start,
    .bind = bind,
    .create_log = on_log,
    .delete_log = on_log,
    .list_logs = list_logs,
    .open = open_log,
    .close = close_log,
    .append = append,
    .read = read_log,
    .bounds = bounds,
    .locate = locate,
    .trim = trim,
#if FAULT != FAULT_NO_FUNCTION
    .fence = fence,
#endif
    .save = save,
    .load = load,
    .watch = watch,
    .flush = flush,
};
#if FAULT == FAULT_NO_FUNCTION
/* Keeps the function used. */
sluice_status (*const unused_fence)(sluice_log*, sluice_ticket*, uint64_t, sluice_fence_result*) = fence;
#endif

static const sluice_option options[] = {
    {.name = "first",
     .help = "One.",
     .type = FAULT == FAULT_OPTION_TYPE ? 99
             : FAULT == FAULT_CHOICE    ? SLUICE_OPTION_CHOICE
                                        : SLUICE_OPTION_TEXT},
    {.name = FAULT == FAULT_OPTION_NAME    ? NULL
             : FAULT == FAULT_OPTION_TWICE ? "first"
                                           : "second",
     .help = "Two.",
     .type = SLUICE_OPTION_TEXT},
};

#ifndef NO_ENTRY
const sluice_plugin sluice_plugin_entry = {
    .magic = FAULT == FAULT_MAGIC ? 42 : SLUICE_ABI_MAGIC,
    .size = FAULT == FAULT_SMALL  ? 16
            : FAULT == FAULT_SIZE ? offsetof(sluice_plugin, api)
                                  : sizeof(sluice_plugin),
    .major = FAULT == FAULT_MAJOR ? SLUICE_ABI_MAJOR + 7 : SLUICE_ABI_MAJOR,
    .minor = FAULT == FAULT_MINOR ? SLUICE_ABI_MINOR + 5 : SLUICE_ABI_MINOR,
    .lowest_host_minor = FAULT == FAULT_MINOR ? SLUICE_ABI_MINOR + 4 : 0,
    .name = FAULT == FAULT_NAME ? NULL : "bad",
    .version = "0.1",
    .description = "An adapter with a fault.",
    .kinds = FAULT == FAULT_KIND ? 0 : SLUICE_KIND_LOG,
    .option_count = 2,
    .options = FAULT == FAULT_OPTIONS ? NULL : options,
    .api = FAULT == FAULT_NO_API ? NULL : &api,
};
#else
const void* const not_an_entry[] = {&api, options};
#endif
