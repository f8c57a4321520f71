// SPDX-License-Identifier: Apache-2.0
//
// Reads the corpus file of a run (../common/corpus.py describes the format) and compares consumed messages with it.
#pragma once

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A length of -1 is null, which is not the empty string.
struct bytes {
  const char* data;
  int32_t size;
};

struct header {
  struct bytes name;
  struct bytes value;
};

struct record {
  int64_t timestamp_ms;
  struct bytes key;
  struct bytes value;
  int32_t header_count;
  struct header* headers;
};

struct corpus {
  int32_t count;
  struct record* records;
};

// Reads the whole file; what it returns points into memory that lives as long as the program. Fails the case otherwise.
struct corpus corpus_read(const char* path);

// The record's headers as librdkafka wants them; the caller gives them to a message or destroys them.
rd_kafka_headers_t* record_headers(const struct record* record);

// True when key, value, headers and create time of the message are those of the record, nulls told from empty ones.
bool record_equals(const struct record* record, const rd_kafka_message_t* message);
