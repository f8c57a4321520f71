// SPDX-License-Identifier: Apache-2.0
// Somebody else's Kafka client: plain librdkafka, blocking, for what our adapter must see and be seen by.
#pragma once

#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace sluice::test {

struct NativeRecord {
  int64_t offset = -1;
  int64_t timestamp = 1'600'000'000'000;
  std::optional<std::string> key;
  std::optional<std::string> value;
  std::vector<std::pair<std::string, std::optional<std::string>>> headers;
  /// But for the offset.
  bool same_as(const NativeRecord& other) const {
    return timestamp == other.timestamp && key == other.key && value == other.value && headers == other.headers;
  }
};

class NativeClient {
 public:
  explicit NativeClient(std::string bootstrap) : bootstrap_(std::move(bootstrap)) {}

  /// Writes them to the partition, in order; those that were acknowledged have their offsets then. `settings` of
  /// librdkafka. With `transaction` they are one: committed, or aborted.
  enum class Transaction { none, commit, abort };
  std::vector<NativeRecord> produce(const std::string& topic, int32_t partition, std::vector<NativeRecord> records,
                                    std::vector<std::pair<std::string, std::string>> settings = {},
                                    Transaction transaction = Transaction::none) const {
    rd_kafka_conf_t* conf = conf_of(std::move(settings));
    if (transaction != Transaction::none) set(conf, "transactional.id", "native-client");
    set(conf, "message.timeout.ms", "20000");
    rd_kafka_conf_set_dr_msg_cb(
        conf, +[](rd_kafka_t*, const rd_kafka_message_t* message, void*) {
          EXPECT_EQ(message->err, RD_KAFKA_RESP_ERR_NO_ERROR) << rd_kafka_err2str(message->err);
          if (message->err == 0) static_cast<NativeRecord*>(message->_private)->offset = message->offset;
        });
    rd_kafka_t* client = make(RD_KAFKA_PRODUCER, conf);
    if (transaction != Transaction::none) {
      expect(rd_kafka_init_transactions(client, 20'000));
      expect(rd_kafka_begin_transaction(client));
    }
    for (NativeRecord& record : records) {
      rd_kafka_headers_t* headers = rd_kafka_headers_new(4);
      for (const auto& [name, value] : record.headers) {
        rd_kafka_header_add(headers, name.data(), static_cast<ssize_t>(name.size()), value ? value->data() : nullptr,
                            value ? static_cast<ssize_t>(value->size()) : 0);
      }
      const rd_kafka_resp_err_t error = rd_kafka_producev(
          client, RD_KAFKA_V_TOPIC(topic.c_str()), RD_KAFKA_V_PARTITION(partition),
          RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_VALUE(data_of(record.value), size_of(record.value)),
          RD_KAFKA_V_KEY(data_of(record.key), size_of(record.key)), RD_KAFKA_V_TIMESTAMP(record.timestamp),
          RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_OPAQUE(&record), RD_KAFKA_V_END);
      EXPECT_EQ(error, RD_KAFKA_RESP_ERR_NO_ERROR) << rd_kafka_err2str(error);
      if (error != 0) rd_kafka_headers_destroy(headers);
    }
    EXPECT_EQ(rd_kafka_flush(client, 20'000), RD_KAFKA_RESP_ERR_NO_ERROR);
    if (transaction == Transaction::commit) expect(rd_kafka_commit_transaction(client, 20'000));
    if (transaction == Transaction::abort) expect(rd_kafka_abort_transaction(client, 20'000));
    rd_kafka_destroy(client);
    return records;
  }

  /// `count` records from `offset` on, or as many as come in time.
  std::vector<NativeRecord> consume(const std::string& topic, int32_t partition, int64_t offset, size_t count,
                                    int timeout_ms = 20'000) const {
    rd_kafka_t* client = make(RD_KAFKA_CONSUMER, conf_of({{"isolation.level", "read_committed"}}));
    rd_kafka_topic_t* handle = rd_kafka_topic_new(client, topic.c_str(), nullptr);
    EXPECT_EQ(rd_kafka_consume_start(handle, partition, offset), 0);
    std::vector<NativeRecord> records;
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
    while (records.size() < count && std::chrono::steady_clock::now() < until) {
      rd_kafka_message_t* message = rd_kafka_consume(handle, partition, 100);
      if (message == nullptr) continue;
      if (message->err == 0) records.push_back(record_of(*message));
      rd_kafka_message_destroy(message);
    }
    rd_kafka_consume_stop(handle, partition);
    rd_kafka_topic_destroy(handle);
    rd_kafka_destroy(client);
    return records;
  }

  rd_kafka_resp_err_t create_topic(const std::string& topic, int32_t partitions,
                                   std::vector<std::pair<std::string, std::string>> configs = {}) const {
    char text[256];
    rd_kafka_NewTopic_t* wanted = rd_kafka_NewTopic_new(topic.c_str(), partitions, 1, text, sizeof text);
    for (const auto& [name, value] : configs) rd_kafka_NewTopic_set_config(wanted, name.c_str(), value.c_str());
    const auto error = admin([&](rd_kafka_t* client, rd_kafka_queue_t* queue) {
      rd_kafka_CreateTopics(client, &wanted, 1, nullptr, queue);
    });
    rd_kafka_NewTopic_destroy(wanted);
    return error;
  }
  rd_kafka_resp_err_t grow_topic(const std::string& topic, size_t partitions) const {
    char text[256];
    rd_kafka_NewPartitions_t* wanted = rd_kafka_NewPartitions_new(topic.c_str(), partitions, text, sizeof text);
    const auto error = admin([&](rd_kafka_t* client, rd_kafka_queue_t* queue) {
      rd_kafka_CreatePartitions(client, &wanted, 1, nullptr, queue);
    });
    rd_kafka_NewPartitions_destroy(wanted);
    return error;
  }

 private:
  static void* data_of(std::optional<std::string>& text) { return text ? text->data() : nullptr; }
  static size_t size_of(const std::optional<std::string>& text) { return text ? text->size() : 0; }
  static void set(rd_kafka_conf_t* conf, const char* name, const std::string& value) {
    char text[256];
    EXPECT_EQ(rd_kafka_conf_set(conf, name, value.c_str(), text, sizeof text), RD_KAFKA_CONF_OK) << text;
  }
  static void expect(rd_kafka_error_t* error) {
    EXPECT_EQ(error, nullptr) << rd_kafka_error_string(error);
    if (error != nullptr) rd_kafka_error_destroy(error);
  }
  rd_kafka_conf_t* conf_of(std::vector<std::pair<std::string, std::string>> settings) const {
    rd_kafka_conf_t* conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", bootstrap_);
    set(conf, "linger.ms", "5");
    rd_kafka_conf_set_log_cb(
        conf, +[](const rd_kafka_t*, int, const char*, const char*) {});
    for (const auto& [name, value] : settings) set(conf, name.c_str(), value);
    return conf;
  }
  static rd_kafka_t* make(rd_kafka_type_t type, rd_kafka_conf_t* conf) {
    char text[256];
    rd_kafka_t* client = rd_kafka_new(type, conf, text, sizeof text);
    EXPECT_NE(client, nullptr) << text;
    return client;
  }
  template <class Send>
  rd_kafka_resp_err_t admin(Send send) const {
    rd_kafka_t* client = make(RD_KAFKA_PRODUCER, conf_of({}));
    rd_kafka_queue_t* queue = rd_kafka_queue_new(client);
    send(client, queue);
    rd_kafka_event_t* event = rd_kafka_queue_poll(queue, 30'000);
    rd_kafka_resp_err_t error = event == nullptr ? RD_KAFKA_RESP_ERR__TIMED_OUT : rd_kafka_event_error(event);
    size_t count = 0;
    if (error == 0 && rd_kafka_event_type(event) == RD_KAFKA_EVENT_CREATETOPICS_RESULT) {
      error = rd_kafka_topic_result_error(
          rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count)[0]);
    }
    if (event != nullptr) rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(client);
    return error;
  }
  static NativeRecord record_of(const rd_kafka_message_t& message) {
    NativeRecord record;
    record.offset = message.offset;
    rd_kafka_timestamp_type_t type;
    record.timestamp = rd_kafka_message_timestamp(&message, &type);
    if (message.key != nullptr) record.key = std::string(static_cast<const char*>(message.key), message.key_len);
    if (message.payload != nullptr) record.value = std::string(static_cast<const char*>(message.payload), message.len);
    rd_kafka_headers_t* headers = nullptr;
    if (rd_kafka_message_headers(&message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR) {
      const char* name = nullptr;
      const void* value = nullptr;
      size_t size = 0;
      for (size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &size) == 0; ++i) {
        std::optional<std::string> copied;
        if (value != nullptr) copied = std::string(static_cast<const char*>(value), size);
        record.headers.emplace_back(name, std::move(copied));
      }
    }
    return record;
  }

  const std::string bootstrap_;
};

}  // namespace sluice::test
