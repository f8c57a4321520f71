// SPDX-License-Identifier: Apache-2.0
#include "client.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char* bootstrap_;
static int delivered_;
static rd_kafka_t* admin_;

void client_init(const char* bootstrap) {
  bootstrap_ = bootstrap;
}

int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static void set(rd_kafka_conf_t* conf, const char* name, const char* value) {
  char error[kErrorBytes];
  if (rd_kafka_conf_set(conf, name, value, error, sizeof error) != RD_KAFKA_CONF_OK) fail("%s", error);
}

rd_kafka_conf_t* configuration(const char* name, ...) {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  set(conf, "bootstrap.servers", bootstrap_);
  va_list arguments;
  va_start(arguments, name);
  for (; name != NULL; name = va_arg(arguments, const char*)) set(conf, name, va_arg(arguments, const char*));
  va_end(arguments);
  return conf;
}

static rd_kafka_t* client_new(rd_kafka_type_t type, rd_kafka_conf_t* conf) {
  char error[kErrorBytes];
  rd_kafka_t* client = rd_kafka_new(type, conf, error, sizeof error);
  if (client == NULL) fail("rd_kafka_new: %s", error);
  return client;
}

static void on_delivery(rd_kafka_t* producer, const rd_kafka_message_t* message, void* opaque) {
  (void)producer;
  (void)opaque;
  if (message->err) fail("a record was not delivered: %s", rd_kafka_err2str(message->err));
  ++delivered_;
}

rd_kafka_t* producer_new(const char* codec, bool idempotent) {
  rd_kafka_conf_t* conf = configuration("compression.codec", codec, "enable.idempotence", idempotent ? "true" : "false",
                                        "acks", "all", "linger.ms", "20", NULL);
  rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
  delivered_ = 0;
  return client_new(RD_KAFKA_PRODUCER, conf);
}

void produce(rd_kafka_t* producer, const char* topic, int32_t partition, const struct record* record) {
  // A size without a pointer is how librdkafka is told null; an empty value needs a pointer.
  const rd_kafka_vu_t arguments[] = {
      {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = topic},
      {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = partition},
      {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
      {.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = record->timestamp_ms},
      {.vtype = RD_KAFKA_VTYPE_KEY,
       .u.mem = {(void*)record->key.data, record->key.size < 0 ? 0 : (size_t)record->key.size}},
      {.vtype = RD_KAFKA_VTYPE_VALUE,
       .u.mem = {(void*)record->value.data, record->value.size < 0 ? 0 : (size_t)record->value.size}},
      {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = record_headers(record)},
  };
  rd_kafka_error_t* error = rd_kafka_produceva(producer, arguments, sizeof arguments / sizeof arguments[0]);
  if (error != NULL) fail("produce: %s", rd_kafka_error_string(error));
  rd_kafka_poll(producer, 0);
}

void produce_finish(rd_kafka_t* producer, int count) {
  const rd_kafka_resp_err_t error = rd_kafka_flush(producer, kCallTimeoutMs);
  CHECK(error == RD_KAFKA_RESP_ERR_NO_ERROR, "flush: %s", rd_kafka_err2str(error));
  CHECK(delivered_ == count, "%d of %d records were acknowledged", delivered_, count);
  rd_kafka_destroy(producer);
}

void produce_numbers(const char* topic, int partitions, int first, int count) {
  rd_kafka_t* producer = producer_new("none", false);
  for (int i = first; i < first + count; ++i) {
    char value[32];
    const int size = snprintf(value, sizeof value, "%d", i);
    const struct record record = {.key = {NULL, -1}, .value = {value, size}};
    produce(producer, topic, i % partitions, &record);
  }
  produce_finish(producer, count);
}

rd_kafka_t* reader_new(const char* topic, int partitions, int64_t offset, int max_wait_ms) {
  char wait[16];
  snprintf(wait, sizeof wait, "%d", max_wait_ms);
  rd_kafka_t* consumer = client_new(RD_KAFKA_CONSUMER, configuration("group.id", "unused", "enable.auto.commit",
                                                                     "false", "fetch.wait.max.ms", wait, NULL));
  rd_kafka_poll_set_consumer(consumer);
  rd_kafka_topic_partition_list_t* list = rd_kafka_topic_partition_list_new(partitions);
  for (int32_t p = 0; p < partitions; ++p) rd_kafka_topic_partition_list_add(list, topic, p)->offset = offset;
  const rd_kafka_resp_err_t error = rd_kafka_assign(consumer, list);
  CHECK(!error, "assign: %s", rd_kafka_err2str(error));
  rd_kafka_topic_partition_list_destroy(list);
  return consumer;
}

rd_kafka_t* member_new(const char* group, const char* topic) {
  rd_kafka_t* consumer =
      client_new(RD_KAFKA_CONSUMER,
                 configuration("group.id", group, "enable.auto.commit", "false", "auto.offset.reset", "earliest",
                               "session.timeout.ms", "10000", "heartbeat.interval.ms", "500", NULL));
  rd_kafka_poll_set_consumer(consumer);
  rd_kafka_topic_partition_list_t* list = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_list_add(list, topic, RD_KAFKA_PARTITION_UA);
  const rd_kafka_resp_err_t error = rd_kafka_subscribe(consumer, list);
  CHECK(!error, "subscribe: %s", rd_kafka_err2str(error));
  rd_kafka_topic_partition_list_destroy(list);
  return consumer;
}

void consumer_close(rd_kafka_t* consumer) {
  const rd_kafka_resp_err_t error = rd_kafka_consumer_close(consumer);
  CHECK(!error, "close: %s", rd_kafka_err2str(error));
  rd_kafka_destroy(consumer);
}

rd_kafka_message_t* poll(rd_kafka_t* consumer, int timeout_ms) {
  rd_kafka_message_t* message = rd_kafka_consumer_poll(consumer, timeout_ms);
  if (message != NULL && message->err) fail("consumer: %s", rd_kafka_message_errstr(message));
  return message;
}

unsigned assignment(rd_kafka_t* consumer) {
  rd_kafka_topic_partition_list_t* list;
  unsigned set_of = 0;
  if (rd_kafka_assignment(consumer, &list)) fail("assignment");
  for (int i = 0; i < list->cnt; ++i) set_of |= 1U << list->elems[i].partition;
  rd_kafka_topic_partition_list_destroy(list);
  return set_of;
}

static rd_kafka_t* admin(void) {
  if (admin_ == NULL) {
    admin_ =
        client_new(RD_KAFKA_CONSUMER, configuration("group.id", "unused", "allow.auto.create.topics", "false", NULL));
    rd_kafka_poll_set_consumer(admin_);
  }
  return admin_;
}

static rd_kafka_event_t* admin_answer(rd_kafka_queue_t* queue) {
  rd_kafka_event_t* event = rd_kafka_queue_poll(queue, kCallTimeoutMs);
  if (event == NULL) fail("no answer to an admin request");
  if (rd_kafka_event_error(event)) fail("admin request: %s", rd_kafka_event_error_string(event));
  rd_kafka_queue_destroy(queue);
  return event;
}

rd_kafka_resp_err_t admin_try_create_topic(const char* topic, int partitions) {
  char text[kErrorBytes];
  rd_kafka_queue_t* queue = rd_kafka_queue_new(admin());
  rd_kafka_NewTopic_t* wanted = rd_kafka_NewTopic_new(topic, partitions, 1, text, sizeof text);
  rd_kafka_CreateTopics(admin(), &wanted, 1, NULL, queue);
  rd_kafka_event_t* event = admin_answer(queue);
  size_t count;
  const rd_kafka_topic_result_t** results =
      rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
  CHECK(count == 1, "CreateTopics answered for %zu topics", count);
  const rd_kafka_resp_err_t error = rd_kafka_topic_result_error(results[0]);
  rd_kafka_NewTopic_destroy(wanted);
  rd_kafka_event_destroy(event);
  return error;
}

void admin_create_topic(const char* topic, int partitions) {
  const rd_kafka_resp_err_t error = admin_try_create_topic(topic, partitions);
  CHECK(!error, "CreateTopics: %s", rd_kafka_err2str(error));
  const int64_t deadline = now_ms() + kCallTimeoutMs;
  while (topic_partitions(topic) != partitions) CHECK(now_ms() < deadline, "%s does not appear in the metadata", topic);
}

void admin_delete_topic(const char* topic) {
  rd_kafka_queue_t* queue = rd_kafka_queue_new(admin());
  rd_kafka_DeleteTopic_t* wanted = rd_kafka_DeleteTopic_new(topic);
  rd_kafka_DeleteTopics(admin(), &wanted, 1, NULL, queue);
  rd_kafka_event_t* event = admin_answer(queue);
  size_t count;
  const rd_kafka_topic_result_t** results =
      rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event), &count);
  CHECK(count == 1 && !rd_kafka_topic_result_error(results[0]), "DeleteTopics failed");
  rd_kafka_DeleteTopic_destroy(wanted);
  rd_kafka_event_destroy(event);
}

rd_kafka_resp_err_t admin_grow_topic(const char* topic, int partitions) {
  char text[kErrorBytes];
  rd_kafka_queue_t* queue = rd_kafka_queue_new(admin());
  rd_kafka_NewPartitions_t* wanted = rd_kafka_NewPartitions_new(topic, (size_t)partitions, text, sizeof text);
  rd_kafka_CreatePartitions(admin(), &wanted, 1, NULL, queue);
  rd_kafka_event_t* event = admin_answer(queue);
  size_t count;
  const rd_kafka_topic_result_t** results =
      rd_kafka_CreatePartitions_result_topics(rd_kafka_event_CreatePartitions_result(event), &count);
  CHECK(count == 1, "CreatePartitions answered for %zu topics", count);
  const rd_kafka_resp_err_t error = rd_kafka_topic_result_error(results[0]);
  rd_kafka_NewPartitions_destroy(wanted);
  rd_kafka_event_destroy(event);
  return error;
}

rd_kafka_resp_err_t admin_delete_group(const char* group) {
  rd_kafka_queue_t* queue = rd_kafka_queue_new(admin());
  rd_kafka_DeleteGroup_t* wanted = rd_kafka_DeleteGroup_new(group);
  rd_kafka_DeleteGroups(admin(), &wanted, 1, NULL, queue);
  rd_kafka_event_t* event = admin_answer(queue);
  size_t count;
  const rd_kafka_group_result_t** results =
      rd_kafka_DeleteGroups_result_groups(rd_kafka_event_DeleteGroups_result(event), &count);
  CHECK(count == 1, "DeleteGroups answered for %zu groups", count);
  const rd_kafka_error_t* error = rd_kafka_group_result_error(results[0]);
  const rd_kafka_resp_err_t code = error == NULL ? RD_KAFKA_RESP_ERR_NO_ERROR : rd_kafka_error_code(error);
  rd_kafka_DeleteGroup_destroy(wanted);
  rd_kafka_event_destroy(event);
  return code;
}

void admin_delete_records(const char* topic, int32_t partition, int64_t before) {
  rd_kafka_queue_t* queue = rd_kafka_queue_new(admin());
  rd_kafka_topic_partition_list_t* list = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_list_add(list, topic, partition)->offset = before;
  rd_kafka_DeleteRecords_t* wanted = rd_kafka_DeleteRecords_new(list);
  rd_kafka_DeleteRecords(admin(), &wanted, 1, NULL, queue);
  rd_kafka_event_t* event = admin_answer(queue);
  const rd_kafka_topic_partition_list_t* result =
      rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(event));
  CHECK(result->cnt == 1 && !result->elems[0].err, "DeleteRecords: %s", rd_kafka_err2str(result->elems[0].err));
  CHECK(result->elems[0].offset == before, "DeleteRecords answered low watermark %ld", (long)result->elems[0].offset);
  rd_kafka_DeleteRecords_destroy(wanted);
  rd_kafka_topic_partition_list_destroy(list);
  rd_kafka_event_destroy(event);
}

int topic_partitions(const char* topic) {
  const rd_kafka_metadata_t* metadata;
  const rd_kafka_resp_err_t error = rd_kafka_metadata(admin(), 1, NULL, &metadata, kCallTimeoutMs);
  CHECK(!error, "metadata: %s", rd_kafka_err2str(error));
  int partitions = -1;
  for (int i = 0; i < metadata->topic_cnt; ++i)
    if (strcmp(metadata->topics[i].topic, topic) == 0 && !metadata->topics[i].err)
      partitions = metadata->topics[i].partition_cnt;
  rd_kafka_metadata_destroy(metadata);
  return partitions;
}

int64_t committed_offset(const char* group, const char* topic, int32_t partition) {
  rd_kafka_t* consumer = client_new(RD_KAFKA_CONSUMER, configuration("group.id", group, NULL));
  rd_kafka_topic_partition_list_t* list = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_list_add(list, topic, partition);
  const rd_kafka_resp_err_t error = rd_kafka_committed(consumer, list, kCallTimeoutMs);
  CHECK(!error && !list->elems[0].err, "OffsetFetch: %s", rd_kafka_err2str(error));
  const int64_t offset = list->elems[0].offset;
  rd_kafka_topic_partition_list_destroy(list);
  rd_kafka_destroy(consumer);
  return offset;
}

int64_t offset_at(const char* topic, int32_t partition, int64_t timestamp_ms) {
  rd_kafka_topic_partition_list_t* list = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_list_add(list, topic, partition)->offset = timestamp_ms;
  const rd_kafka_resp_err_t error = rd_kafka_offsets_for_times(admin(), list, kCallTimeoutMs);
  CHECK(!error && !list->elems[0].err, "ListOffsets: %s", rd_kafka_err2str(error));
  const int64_t offset = list->elems[0].offset;
  rd_kafka_topic_partition_list_destroy(list);
  return offset;
}

void watermarks(const char* topic, int32_t partition, int64_t* low, int64_t* high) {
  const rd_kafka_resp_err_t error =
      rd_kafka_query_watermark_offsets(admin(), topic, partition, low, high, kCallTimeoutMs);
  CHECK(!error, "ListOffsets: %s", rd_kafka_err2str(error));
}

bool group_described(const char* group, char* state, size_t state_size, int* members) {
  const struct rd_kafka_group_list* list;
  const rd_kafka_resp_err_t error = rd_kafka_list_groups(admin(), NULL, &list, kCallTimeoutMs);
  CHECK(!error, "ListGroups: %s", rd_kafka_err2str(error));
  bool found = false;
  for (int i = 0; i < list->group_cnt; ++i) {
    if (strcmp(list->groups[i].group, group) != 0) continue;
    found = true;
    snprintf(state, state_size, "%s", list->groups[i].state);
    *members = list->groups[i].member_cnt;
  }
  rd_kafka_group_list_destroy(list);
  return found;
}
