// SPDX-License-Identifier: Apache-2.0
//
// librdkafka with errors that end the case: every function returns only when it succeeded, or with what its comment
// says. A case runs in a process of its own (suite.c), so that nothing needs to be cleaned up after a failure.
#pragma once

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>

#include "corpus.h"

enum { kPartitions = 3, kCallTimeoutMs = 30000, kErrorBytes = 512 };

// Ends the case as failed.
_Noreturn void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));
#define CHECK(condition, ...)            \
  do {                                   \
    if (!(condition)) fail(__VA_ARGS__); \
  } while (0)

void client_init(const char* bootstrap);

// Monotonic, in ms.
int64_t now_ms(void);

// A configuration with the bootstrap address and the NULL-terminated list of names and values.
rd_kafka_conf_t* configuration(const char* name, ...);

rd_kafka_t* producer_new(const char* codec, bool idempotent);

// Sends one record (headers included) and returns; the acknowledgement comes with produce_finish.
void produce(rd_kafka_t* producer, const char* topic, int32_t partition, const struct record* record);

// Waits for every acknowledgement and fails the case unless all `count` records sent were acknowledged; ends the
// producer.
void produce_finish(rd_kafka_t* producer, int count);

// Produces `count` records without key whose values are the numbers from `first`, partition by partition in turn.
void produce_numbers(const char* topic, int partitions, int first, int count);

// A consumer of partitions 0 to partitions-1 from `offset` (RD_KAFKA_OFFSET_BEGINNING, _END or a number) on.
rd_kafka_t* reader_new(const char* topic, int partitions, int64_t offset, int max_wait_ms);

// A group member that commits by hand.
rd_kafka_t* member_new(const char* group, const char* topic);
void consumer_close(rd_kafka_t* consumer);

// The next message, or NULL after timeout_ms; errors end the case.
rd_kafka_message_t* poll(rd_kafka_t* consumer, int timeout_ms);

// The partitions assigned, as a bit set.
unsigned assignment(rd_kafka_t* consumer);

void admin_create_topic(const char* topic, int partitions);
rd_kafka_resp_err_t admin_try_create_topic(const char* topic, int partitions);
void admin_delete_topic(const char* topic);
rd_kafka_resp_err_t admin_grow_topic(const char* topic, int partitions);
rd_kafka_resp_err_t admin_delete_group(const char* group);
void admin_delete_records(const char* topic, int32_t partition, int64_t before);

// The number of partitions, -1 when the topic does not exist. The topic is not created by asking.
int topic_partitions(const char* topic);

// The committed offset, or RD_KAFKA_OFFSET_INVALID.
int64_t committed_offset(const char* group, const char* topic, int32_t partition);

// The first offset whose timestamp is not below timestamp_ms, RD_KAFKA_OFFSET_END past the end.
int64_t offset_at(const char* topic, int32_t partition, int64_t timestamp_ms);
void watermarks(const char* topic, int32_t partition, int64_t* low, int64_t* high);

// True when the group is listed; its state and number of members are stored then.
bool group_described(const char* group, char* state, size_t state_size, int* members);
