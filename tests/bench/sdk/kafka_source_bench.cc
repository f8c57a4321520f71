// SPDX-License-Identifier: Apache-2.0
// kafka_source_bench START [--jars DIR] [--rounds N] [--megabytes N]
//
// A topic read through KafkaCluster's sources beside the same topic read by plain librdkafka, one after the other in
// one run, on a broker that this starts: START is sluiced, or with --jars the script that starts Apache Kafka. The
// plain program looks at every key's and value's length as the other does; medians, and the ratio. Then the same
// through the merging consumer, and with a sluice::Filter on the JSON of every value on both sides.
#include <fmt/format.h>
#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <future>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/consumer.hpp"
#include "sluice/filter.hpp"
#include "sluice/kafka_source.hpp"
#include "support/kafka_server.hpp"

using namespace sluice;  // NOLINT(google-build-using-namespace): a program of one file

namespace {

using Clock = std::chrono::steady_clock;

void need(bool holds, std::string_view what) {
  if (holds) return;
  fmt::print(stderr, "{}\n", what);
  std::exit(1);
}

rd_kafka_t* client(rd_kafka_type_t type, const std::string& bootstrap,
                   const std::vector<std::pair<const char*, const char*>>& settings) {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  char text[256];
  rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap.c_str(), text, sizeof text);
  for (const auto& [name, value] : settings) {
    need(rd_kafka_conf_set(conf, name, value, text, sizeof text) == RD_KAFKA_CONF_OK, text);
  }
  rd_kafka_t* made = rd_kafka_new(type, conf, text, sizeof text);
  need(made != nullptr, text);
  return made;
}

void fill(const std::string& bootstrap, const std::string& topic, int32_t partitions, size_t records, size_t size) {
  rd_kafka_t* producer = client(RD_KAFKA_PRODUCER, bootstrap, {{"enable.idempotence", "true"}});
  char text[256];
  rd_kafka_NewTopic_t* wanted = rd_kafka_NewTopic_new(topic.c_str(), partitions, 1, text, sizeof text);
  rd_kafka_queue_t* queue = rd_kafka_queue_new(producer);
  rd_kafka_CreateTopics(producer, &wanted, 1, nullptr, queue);
  rd_kafka_event_destroy(rd_kafka_queue_poll(queue, 30'000));
  rd_kafka_queue_destroy(queue);
  rd_kafka_NewTopic_destroy(wanted);
  std::string letters(size, ' ');
  for (size_t i = 0; i < size; ++i) letters[i] = static_cast<char>('a' + (i * i + i / 7) % 26);
  const auto value_of = [&](const char* level) {
    const std::string value = fmt::format(R"({{"text":"","level":"{}"}})", level);
    return fmt::format(R"({{"text":"{}","level":"{}"}})", letters.substr(0, size - value.size()), level);
  };
  const std::string values[] = {value_of("info"), value_of("error")};
  for (size_t i = 0; i < records; ++i) {
    const std::string& value = values[i % 100 == 0 ? 1 : 0];
    while (rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(topic.c_str()),
                             RD_KAFKA_V_PARTITION(static_cast<int32_t>(i % static_cast<size_t>(partitions))),
                             RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                             RD_KAFKA_V_VALUE(const_cast<char*>(value.data()), value.size()),
                             RD_KAFKA_V_END) != RD_KAFKA_RESP_ERR_NO_ERROR) {
      rd_kafka_poll(producer, 10);
    }
  }
  need(rd_kafka_flush(producer, 120'000) == RD_KAFKA_RESP_ERR_NO_ERROR, "the topic cannot be filled");
  rd_kafka_destroy(producer);
}

/// About one in a hundred.
Filter wanted() {
  auto filter = Filter::parse(R"(value.level = "error")");
  need(filter.has_value(), filter ? "" : filter.error().describe());
  return std::move(*filter);
}

Record record_of(const rd_kafka_message_t& message) {
  Record record;
  record.position = message.offset;
  record.value = Bytes(static_cast<const uint8_t*>(message.payload), message.len);
  return record;
}

double plain(const std::string& bootstrap, const std::string& topic, int32_t partitions, size_t records,
             bool filtering) {
  FilterEvaluator filter(wanted());
  size_t passed = 0;
  rd_kafka_t* consumer = client(RD_KAFKA_CONSUMER, bootstrap, {{"isolation.level", "read_committed"}});
  rd_kafka_topic_t* handle = rd_kafka_topic_new(consumer, topic.c_str(), nullptr);
  rd_kafka_queue_t* queue = rd_kafka_queue_new(consumer);
  const auto begin = Clock::now();
  for (int32_t i = 0; i < partitions; ++i) rd_kafka_consume_start_queue(handle, i, 0, queue);
  std::vector<rd_kafka_message_t*> messages(1'000);
  uint64_t bytes = 0;
  for (size_t got = 0; got < records;) {
    const ssize_t count = rd_kafka_consume_batch_queue(queue, 100, messages.data(), messages.size());
    for (ssize_t i = 0; i < count; ++i) {
      rd_kafka_message_t* message = messages[static_cast<size_t>(i)];
      got += message->err == RD_KAFKA_RESP_ERR_NO_ERROR ? 1 : 0;
      bytes += message->len + message->key_len;
      if (filtering && message->err == RD_KAFKA_RESP_ERR_NO_ERROR) passed += filter.passes(record_of(*message));
      rd_kafka_message_destroy(message);
    }
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  need(bytes > 0, "nothing was read");
  need(!filtering || passed == (records + 99) / 100, "the filter passed other records");
  for (int32_t i = 0; i < partitions; ++i) rd_kafka_consume_stop(handle, i);
  rd_kafka_queue_destroy(queue);
  rd_kafka_topic_destroy(handle);
  rd_kafka_destroy(consumer);
  return static_cast<double>(records) / seconds;
}

/// Reads on until all is there, page after page, on whatever thread a page comes. Kept until the program ends, since
/// its last callback may still be on its way out.
struct Round {
  std::atomic<size_t> left{0};
  std::promise<void> over;
};
struct Reader {
  Source& source;
  Round& round;
  uint64_t bytes = 0;
  int64_t next = 0;
  std::atomic<int> turns{0};  // calls that are to be made, the one under way included

  void go_on() {
    if (turns.fetch_add(1) != 0) return;
    do {
      PageRequest request;
      request.from = next;
      request.wait_ms = 1'000;
      source.read(request, [this](Result<Page> page) { take(std::move(page)); });
    } while (turns.fetch_sub(1) != 1);
  }
  void take(Result<Page> page) {
    if (!page && round.left == 0) return;  // closed, since all is read
    need(page.has_value(), page ? "" : page.error().describe());
    for (const Record& record : page->records) {
      bytes += (record.key ? record.key->size() : 0) + (record.value ? record.value->size() : 0);
    }
    next = page->next;
    const size_t count = page->records.size();
    page->lease.reset();
    const size_t before = round.left.fetch_sub(count);
    if (count > 0 && before == count) round.over.set_value();
    if (before > count) go_on();
  }
};

double ours(const std::string& bootstrap, const std::string& topic, size_t records) {
  KafkaClusterSettings settings;
  settings.bootstrap = bootstrap;
  const auto cluster = KafkaCluster::make(settings);
  need(cluster.has_value(), "no cluster");
  auto sources = (*cluster)->sources(topic);
  need(sources.has_value(), sources ? "" : sources.error().describe());
  static std::vector<std::unique_ptr<Round>> rounds;
  static std::vector<std::unique_ptr<Reader>> readers;
  Round& round = *rounds.emplace_back(std::make_unique<Round>());
  round.left = records;
  const auto begin = Clock::now();
  for (auto& source : *sources) {
    readers.push_back(std::unique_ptr<Reader>(new Reader{*source, round}));
    readers.back()->go_on();
  }
  round.over.get_future().wait();
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  sources->clear();
  return static_cast<double>(records) / seconds;
}

/// Through the consumer to an application that polls and looks at what comes.
double consumed(const std::string& bootstrap, const std::string& topic, size_t records, bool filtering) {
  KafkaClusterSettings settings;
  settings.bootstrap = bootstrap;
  const auto cluster = KafkaCluster::make(settings);
  need(cluster.has_value(), "no cluster");
  auto made = (*cluster)->sources(topic);
  need(made.has_value(), made ? "" : made.error().describe());
  std::vector<std::shared_ptr<Source>> sources;
  for (auto& source : *made) sources.push_back(std::move(source));
  const auto begin = Clock::now();
  auto consumer =
      MergingConsumer::create({}, std::move(sources), {}, filtering ? predicate_of(wanted()) : RecordPredicate());
  need(consumer.has_value(), consumer ? "" : consumer.error().describe());
  uint64_t bytes = 0;
  size_t came = 0;
  for (size_t passed = 0; passed < records;) {
    const auto response = (*consumer)->poll();
    need(response.has_value(), response ? "" : response.error().describe());
    for (const MergedRecord& record : response->records) bytes += record->value->size();
    came += response->records.size();
    passed += response->records.size() + response->rejected;
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  need(bytes > 0, "nothing was read");
  need(came == (filtering ? (records + 99) / 100 : records), "the consumer brought other records");
  return static_cast<double>(records) / seconds;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  need(argc >= 2, "kafka_source_bench START [--jars DIR] [--rounds N] [--megabytes N]");
  int rounds = 5;
  size_t megabytes = 128;
  test::KafkaSettings settings;
  settings.program = argv[1];
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::string_view option = argv[i];
    if (option == "--rounds") rounds = std::atoi(argv[i + 1]);
    if (option == "--megabytes") megabytes = static_cast<size_t>(std::atoll(argv[i + 1]));
    if (option == "--jars") settings.jars = argv[i + 1];
  }
  test::KafkaServer server(settings);
  const Status started = server.start();
  need(started.ok(), started.describe());
  fmt::print("{:>10} {:>6}  {:>9} {:>9} {:>5}  {:>9} {:>5}  {:>9} {:>9} {:>5}   records/s, medians of {}\n",
             "partitions", "bytes", "source", "plain", "ratio", "consumer", "ratio", "filtered", "plain", "ratio",
             rounds);
  for (const int32_t partitions : {1, 4}) {
    for (const size_t size : {size_t{100}, size_t{1'024}}) {
      const std::string topic = fmt::format("bench-{}-{}", partitions, size);
      const size_t records = (megabytes << 20) / size / (size < 1'000 ? 4 : 1);
      fill(server.address(), topic, partitions, records, size);
      std::vector<double> by_source, by_plain, by_consumer, filtered, plain_filtered;
      for (int round = 0; round < rounds; ++round) {
        by_plain.push_back(plain(server.address(), topic, partitions, records, false));
        by_source.push_back(ours(server.address(), topic, records));
        by_consumer.push_back(consumed(server.address(), topic, records, false));
        plain_filtered.push_back(plain(server.address(), topic, partitions, records, true));
        filtered.push_back(consumed(server.address(), topic, records, true));
      }
      const double beside = median(by_plain);
      fmt::print("{:>10} {:>6}  {:>9.0f} {:>9.0f} {:>5.2f}  {:>9.0f} {:>5.2f}  {:>9.0f} {:>9.0f} {:>5.2f}\n",
                 partitions, size, median(by_source), beside, median(by_source) / beside, median(by_consumer),
                 median(by_consumer) / beside, median(filtered), median(plain_filtered),
                 median(filtered) / median(plain_filtered));
    }
  }
  return 0;
}
