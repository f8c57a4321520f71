// SPDX-License-Identifier: Apache-2.0
#include "corpus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

struct cursor {
  const unsigned char* at;
  const unsigned char* end;
};

static uint64_t take_integer(struct cursor* cursor, int size) {
  if (cursor->end - cursor->at < size) fail("the corpus file is truncated");
  uint64_t value = 0;
  for (int i = 0; i < size; ++i) value = value << 8 | *cursor->at++;
  return value;
}

static struct bytes take_bytes(struct cursor* cursor) {
  struct bytes bytes = {NULL, (int32_t)take_integer(cursor, 4)};
  if (bytes.size < 0) return bytes;
  if (cursor->end - cursor->at < bytes.size) fail("the corpus file is truncated");
  bytes.data = (const char*)cursor->at;
  cursor->at += bytes.size;
  return bytes;
}

struct corpus corpus_read(const char* path) {
  FILE* file = fopen(path, "rb");
  if (file == NULL) fail("%s cannot be opened", path);
  fseek(file, 0, SEEK_END);
  const long size = ftell(file);
  rewind(file);
  unsigned char* data = malloc((size_t)size);
  if (data == NULL || fread(data, 1, (size_t)size, file) != (size_t)size) fail("%s cannot be read", path);
  fclose(file);

  struct cursor cursor = {data, data + size};
  struct corpus corpus = {(int32_t)take_integer(&cursor, 4), NULL};
  corpus.records = calloc((size_t)corpus.count, sizeof *corpus.records);
  for (int32_t i = 0; i < corpus.count; ++i) {
    struct record* record = &corpus.records[i];
    record->timestamp_ms = (int64_t)take_integer(&cursor, 8);
    record->key = take_bytes(&cursor);
    record->value = take_bytes(&cursor);
    record->header_count = (int32_t)take_integer(&cursor, 4);
    record->headers = calloc((size_t)record->header_count + 1, sizeof *record->headers);
    for (int32_t h = 0; h < record->header_count; ++h) {
      record->headers[h].name = take_bytes(&cursor);
      record->headers[h].value = take_bytes(&cursor);
    }
  }
  return corpus;
}

rd_kafka_headers_t* record_headers(const struct record* record) {
  rd_kafka_headers_t* headers = rd_kafka_headers_new((size_t)record->header_count);
  for (int32_t i = 0; i < record->header_count; ++i) {
    const struct header* header = &record->headers[i];
    rd_kafka_header_add(headers, header->name.data, header->name.size, header->value.data, header->value.size);
  }
  return headers;
}

static bool bytes_equal(struct bytes wanted, const void* data, size_t size) {
  if (wanted.size < 0) return data == NULL;
  return data != NULL && size == (size_t)wanted.size && memcmp(wanted.data, data, size) == 0;
}

bool record_equals(const struct record* record, const rd_kafka_message_t* message) {
  if (!bytes_equal(record->key, message->key, message->key_len)) return false;
  if (!bytes_equal(record->value, message->payload, message->len)) return false;
  rd_kafka_timestamp_type_t type;
  if (rd_kafka_message_timestamp(message, &type) != record->timestamp_ms || type != RD_KAFKA_TIMESTAMP_CREATE_TIME)
    return false;

  rd_kafka_headers_t* headers = NULL;
  if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) return record->header_count == 0;
  if (rd_kafka_header_cnt(headers) != (size_t)record->header_count) return false;
  for (int32_t i = 0; i < record->header_count; ++i) {
    const char* name;
    const void* value;
    size_t size;
    rd_kafka_header_get_all(headers, (size_t)i, &name, &value, &size);
    const struct bytes wanted = record->headers[i].name;
    if (strlen(name) != (size_t)wanted.size || memcmp(name, wanted.data, (size_t)wanted.size) != 0) return false;
    if (!bytes_equal(record->headers[i].value, value, size)) return false;
  }
  return true;
}
