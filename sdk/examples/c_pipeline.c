/* SPDX-License-Identifier: Apache-2.0
 * A pipeline in C: a log is written with a trace in its headers, read with a filter, and what cannot be handled goes to a dead
 * letter queue whose sink is a function here. A limiter and counters stand beside it. */
#include <sluice/sluice.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(call)                                                                               \
  do {                                                                                            \
    sluice_failure failure = {.size = sizeof failure, .index = -1};                               \
    if ((call) != SLUICE_OK) {                                                                    \
      printf("%s: %s\n", sluice_status_name(failure.code), failure.text);                         \
      exit(1);                                                                                    \
    }                                                                                             \
  } while (0)

static sluice_span text(const char *data) { return (sluice_span){(const uint8_t *)data, strlen(data)}; }

static sluice_handle opened(sluice_status (*open)(const char *, uint64_t, sluice_handle *, sluice_failure *), const char *config) {
  sluice_handle handle = 0;
  CHECK(open(config, strlen(config), &handle, &failure));
  return handle;
}

static void bury(void *context, const sluice_event_batch *batch, sluice_handle answer) {
  *(uint64_t *)context += batch->count;
  for (uint64_t i = 0; i < batch->count; ++i) {
    const sluice_record *record = &batch->records[i];
    printf("buried: %.*s\n", (int)record->value.size, (const char *)record->value.data);
  }
  CHECK(sluice_answer(answer, NULL, NULL, &failure));
}

int main(void) {
  char directory[] = "/tmp/sluice-example-XXXXXX";
  if (mkdtemp(directory) == NULL) return 1;
  char config[512];

  snprintf(config, sizeof config, "{\"name\": \"store\", \"library\": \"disk\", \"data_directory\": \"%s\"}", directory);
  const sluice_handle storage = opened(sluice_storage_open, config);
  snprintf(config, sizeof config, "{\"storage\": {\"name\": \"store\", \"handle\": %llu}, \"log\": \"orders\", \"state_directory\": \"%s\"}",
           (unsigned long long)storage, directory);
  const sluice_handle log = opened(sluice_log_open, config);

  sluice_handle trace = 0;
  sluice_field headers[2];
  uint64_t header_count = 0;
  CHECK(sluice_trace_begin(1, &trace, &failure));
  CHECK(sluice_trace_headers(trace, NULL, 0, headers, 2, &header_count, &failure));
  const char *orders[] = {"{\"total\": 120}", "{\"total\": 20}", "no JSON", "{\"total\": 300}"};
  sluice_record records[4] = {0};
  for (int i = 0; i < 4; ++i) {
    records[i].timestamp_ns = SLUICE_NO_TIMESTAMP;
    records[i].value = text(orders[i]);
    records[i].headers = headers;
    records[i].header_count = (uint32_t)header_count;
  }
  CHECK(sluice_log_write(log, records, 4, 30000, NULL, &failure));
  CHECK(sluice_log_close(log, 10000, &failure));

  uint64_t buried = 0;
  sluice_handle sink = 0;
  const sluice_sink_calls calls = {.size = sizeof calls, .context = &buried, .deliver = bury};
  CHECK(sluice_sink_open(&calls, &sink, &failure));
  snprintf(config, sizeof config, "{\"sink\": {\"kind\": \"calls\", \"sink\": %llu}}", (unsigned long long)sink);
  const sluice_handle dead = opened(sluice_dead_letters_open, config);
  const sluice_handle limiter = opened(sluice_limiter_open, "{\"tokens\": 1, \"period_ms\": 60000, \"burst\": 1}");
  const sluice_handle telemetry = opened(sluice_telemetry_open, "{}");
  const sluice_instrument described = {.size = sizeof described, .kind = SLUICE_INSTRUMENT_COUNTER, .name = text("shop.orders")};
  sluice_handle counter = 0;
  CHECK(sluice_telemetry_instrument(telemetry, &described, &counter, &failure));
  sluice_handle filter = 0;
  CHECK(sluice_filter_parse("value.total >= 0", 16, &filter, &failure));

  snprintf(config, sizeof config,
           "{\"storages\": [{\"name\": \"store\", \"handle\": %llu}],"
           " \"sources\": [{\"kind\": \"log\", \"storage\": \"store\", \"log\": \"orders\", \"state_directory\": \"%s\"}]}",
           (unsigned long long)storage, directory);
  sluice_handle consumer = 0;
  CHECK(sluice_consumer_open(config, strlen(config), NULL, 0, &consumer, &failure));
  const sluice_poll request = {.size = sizeof request, .max_records = 100, .max_bytes = 1 << 20, .min_records = 4, .wait_ms = 30000};
  sluice_handle page = 0;
  CHECK(sluice_consumer_poll(consumer, &request, &page, NULL, &failure));
  const sluice_record *read = NULL;
  uint64_t count = 0;
  CHECK(sluice_page_records(page, &read, &count, &failure));
  for (uint64_t i = 0; i < count; ++i) {
    const sluice_candidate candidate = {.size = sizeof candidate, .value = read[i].value, .timestamp_ns = SLUICE_NO_TIMESTAMP};
    int32_t truth = SLUICE_FILTER_NO;
    CHECK(sluice_filter_judge(filter, &candidate, &truth, &failure));
    if (truth == SLUICE_FILTER_YES) {
      sluice_limiter_decision decision;
      CHECK(sluice_limiter_acquire(limiter, "greetings", 9, 1, &decision, &failure));
      if (decision.allowed) printf("the first order: %.*s\n", (int)read[i].value.size, (const char *)read[i].value.data);
      CHECK(sluice_counter_add(counter, 1, &failure));
    } else {
      const sluice_failure why = {.size = sizeof why, .code = SLUICE_CORRUPT, .text = "no order"};
      const sluice_cause cause = {.size = sizeof cause, .attempts = 1, .why = &why, .source = text("orders")};
      CHECK(sluice_dead_letters_offer(dead, &read[i], &cause, &failure));
    }
  }
  CHECK(sluice_dead_letters_close(dead, 10000, &failure));
  int64_t handled = 0;
  CHECK(sluice_instrument_value(counter, &handled, &failure));
  printf("%lld orders, %llu buried\n", (long long)handled, (unsigned long long)buried);
  CHECK(sluice_storage_stop(storage, 10000, &failure));

  const sluice_handle all[] = {page, consumer, filter, counter, telemetry, limiter, dead, sink, trace, log, storage};
  for (size_t i = 0; i < sizeof all / sizeof *all; ++i) sluice_release(all[i], NULL);
  snprintf(config, sizeof config, "rm -r %s", directory);
  return system(config) == 0 && handled == 3 && buried == 1 && sluice_handles() == 0 ? 0 : 1;
}
