// SPDX-License-Identifier: Apache-2.0
// Load on a broker through librdkafka; one JSON object on standard output.
//
//   load produce   BOOTSTRAP TOPIC PARTITIONS RECORD_BYTES MEGABYTES [BATCH_BYTES]
//   load consume   BOOTSTRAP TOPIC PARTITIONS RECORD_BYTES MEGABYTES
//   load roundtrip BOOTSTRAP TOPIC 1 RECORD_BYTES COUNT [PAUSE_US]
//
// roundtrip sends one record at a time, acknowledged before the next and after a pause; SIGTERM ends it early.
#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "load: %s\n", what.c_str());
  std::exit(1);
}

void set(rd_kafka_conf_t* conf, const char* name, const char* value) {
  char error[256];
  if (rd_kafka_conf_set(conf, name, value, error, sizeof error) != RD_KAFKA_CONF_OK) fail(error);
}

double seconds_since(Clock::time_point began) { return std::chrono::duration<double>(Clock::now() - began).count(); }

struct Delivered {
  int64_t good = 0;
  int64_t failed = 0;
};

void on_delivery(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
  auto* delivered = static_cast<Delivered*>(opaque);
  ++(message->err == RD_KAFKA_RESP_ERR_NO_ERROR ? delivered->good : delivered->failed);
}

rd_kafka_t* make_producer(const char* bootstrap, Delivered& delivered, const char* linger, int64_t batch_bytes = 0) {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  set(conf, "bootstrap.servers", bootstrap);
  set(conf, "acks", "all");
  set(conf, "linger.ms", linger);
  if (batch_bytes > 0) set(conf, "batch.size", std::to_string(batch_bytes).c_str());
  set(conf, "queue.buffering.max.messages", "1000000");
  set(conf, "queue.buffering.max.kbytes", "262144");
  rd_kafka_conf_set_opaque(conf, &delivered);
  rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
  char error[256];
  rd_kafka_t* producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof error);
  if (producer == nullptr) fail(error);
  return producer;
}

int produce(const char* bootstrap, const char* topic_name, int partitions, size_t record_bytes, int64_t megabytes, int64_t batch_bytes) {
  Delivered delivered;
  rd_kafka_t* producer = make_producer(bootstrap, delivered, "5", batch_bytes);
  rd_kafka_topic_t* topic = rd_kafka_topic_new(producer, topic_name, nullptr);
  std::string value(record_bytes, 'x');
  const int64_t count = megabytes * 1'000'000 / static_cast<int64_t>(record_bytes);
  const auto began = Clock::now();
  for (int64_t i = 0; i < count; ++i) {
    // Runs of one partition, as a sticky partitioner makes them.
    const auto partition = static_cast<int32_t>(i / 512 % partitions);
    while (rd_kafka_produce(topic, partition, RD_KAFKA_MSG_F_COPY, value.data(), value.size(), nullptr, 0, nullptr) != 0) {
      if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL) fail(rd_kafka_err2str(rd_kafka_last_error()));
      rd_kafka_poll(producer, 10);
    }
    if (i % 1024 == 0) rd_kafka_poll(producer, 0);
  }
  rd_kafka_flush(producer, 120'000);
  const double seconds = seconds_since(began);
  if (delivered.good != count) fail("not everything was delivered");
  std::printf("{\"megabytes_per_second\": %.1f, \"records_per_second\": %.0f, \"seconds\": %.3f}\n",
              static_cast<double>(count * static_cast<int64_t>(record_bytes)) / 1e6 / seconds, static_cast<double>(count) / seconds, seconds);
  rd_kafka_topic_destroy(topic);
  rd_kafka_destroy(producer);
  return 0;
}

int consume(const char* bootstrap, const char* topic_name, int partitions, size_t record_bytes, int64_t megabytes) {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  set(conf, "bootstrap.servers", bootstrap);
  set(conf, "group.id", "bench");
  set(conf, "enable.auto.commit", "false");
  set(conf, "queued.max.messages.kbytes", "65536");
  set(conf, "fetch.message.max.bytes", "1048576");
  char error[256];
  rd_kafka_t* consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof error);
  if (consumer == nullptr) fail(error);
  rd_kafka_poll_set_consumer(consumer);
  rd_kafka_topic_partition_list_t* list = rd_kafka_topic_partition_list_new(partitions);
  for (int i = 0; i < partitions; ++i) rd_kafka_topic_partition_list_add(list, topic_name, i)->offset = 0;
  rd_kafka_assign(consumer, list);
  rd_kafka_topic_partition_list_destroy(list);
  rd_kafka_queue_t* queue = rd_kafka_queue_get_consumer(consumer);
  const int64_t wanted = megabytes * 1'000'000 / static_cast<int64_t>(record_bytes);
  int64_t count = 0;
  int64_t bytes = 0;
  Clock::time_point began;
  std::vector<rd_kafka_message_t*> messages(10'000);
  auto last = Clock::now();
  while (count < wanted) {
    // The call waits until the array is full or the time is up: a short time, or the last records would wait it out.
    const ssize_t got = rd_kafka_consume_batch_queue(queue, 5, messages.data(), messages.size());
    if (got < 0 || seconds_since(last) > 60) fail("nothing came for a minute");
    if (got == 0) continue;
    last = Clock::now();
    if (count == 0) began = Clock::now();
    for (ssize_t i = 0; i < got; ++i) {
      if (messages[static_cast<size_t>(i)]->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        ++count;
        bytes += static_cast<int64_t>(messages[static_cast<size_t>(i)]->len);
      } else if (messages[static_cast<size_t>(i)]->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        fail(rd_kafka_message_errstr(messages[static_cast<size_t>(i)]));
      }
      rd_kafka_message_destroy(messages[static_cast<size_t>(i)]);
    }
  }
  const double seconds = seconds_since(began);
  std::printf("{\"megabytes_per_second\": %.1f, \"records_per_second\": %.0f, \"seconds\": %.3f}\n", static_cast<double>(bytes) / 1e6 / seconds,
              static_cast<double>(count) / seconds, seconds);
  std::fflush(stdout);
  std::_Exit(0);  // not the time that librdkafka takes to let go of what it fetched ahead
}

std::atomic<bool> ended{false};

int roundtrip(const char* bootstrap, const char* topic_name, size_t record_bytes, int64_t count, int64_t pause_us) {
  Delivered delivered;
  rd_kafka_t* producer = make_producer(bootstrap, delivered, "0");
  rd_kafka_topic_t* topic = rd_kafka_topic_new(producer, topic_name, nullptr);
  std::string value(record_bytes, 'x');
  std::vector<double> micros;
  std::signal(SIGTERM, [](int) { ended = true; });
  for (int64_t i = 0; i < count + 200 && !ended; ++i) {
    const auto began = Clock::now();
    if (rd_kafka_produce(topic, 0, RD_KAFKA_MSG_F_COPY, value.data(), value.size(), nullptr, 0, nullptr) != 0) fail("produce");
    while (delivered.good + delivered.failed <= i) rd_kafka_poll(producer, 100);
    if (i >= 200) micros.push_back(seconds_since(began) * 1e6);  // after a warm-up
    if (pause_us > 0) std::this_thread::sleep_for(std::chrono::microseconds(pause_us));
  }
  if (delivered.failed != 0) fail("not everything was delivered");
  if (micros.empty()) fail("ended before it began");
  std::sort(micros.begin(), micros.end());
  std::printf("{\"count\": %zu, \"p50_us\": %.0f, \"p99_us\": %.0f, \"max_us\": %.0f}\n", micros.size(), micros[micros.size() / 2],
              micros[micros.size() * 99 / 100], micros.back());
  rd_kafka_topic_destroy(topic);
  rd_kafka_destroy(producer);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7 && argc != 8) fail("load produce|consume|roundtrip BOOTSTRAP TOPIC PARTITIONS RECORD_BYTES MEGABYTES|COUNT [BATCH_BYTES|PAUSE_US]");
  const std::string mode = argv[1];
  const int partitions = std::atoi(argv[4]);
  const auto record_bytes = static_cast<size_t>(std::atoll(argv[5]));
  const int64_t amount = std::atoll(argv[6]);
  const int64_t last = argc == 8 ? std::atoll(argv[7]) : 0;
  if (mode == "produce") return produce(argv[2], argv[3], partitions, record_bytes, amount, last);
  if (mode == "consume") return consume(argv[2], argv[3], partitions, record_bytes, amount);
  if (mode == "roundtrip") return roundtrip(argv[2], argv[3], record_bytes, amount, last);
  fail("unknown mode " + mode);
}
