// SPDX-License-Identifier: Apache-2.0
// kafka_bench PLUGIN START [--jars DIR] [--rounds N] [--megabytes N] [--partitions N] [--record BYTES]
//             [--option NAME=VALUE]...
//
// The Kafka adapter beside a plain librdkafka program, on one Kafka broker that it starts: START is the program
// sluiced, or, with the jars of Apache Kafka, the script that starts it. Records of 100 bytes and of 1 KiB, on 1 and on
// 4 partitions, are written and read; what is compared is records per second, and CPU of this process for each.
//
// The adapter is given batches of 64 KiB, as the broker gets them from clients, with several under way for each
// partition, and is read as a fetch does. The plain program produces the same records one by one, idempotent and with
// acks=all as well, and consumes in batches of records. Both have as many records under way. Rounds alternate; medians
// are printed.
#include <librdkafka/rdkafka.h>

#include <string_view>

#include "adapter_bench.hpp"
#include "records/builder.hpp"
#include "support/kafka_server.hpp"

namespace {

using namespace sluice;
using namespace sluice::bench;

constexpr size_t kBatchBytes = 64 << 10;

struct Work {
  size_t partitions;
  size_t size;      // of a record's value
  size_t batches;   // to a partition
  size_t in_batch;  // records
  size_t records() const { return partitions * batches * in_batch; }
  size_t batches_in_flight() const { return window(kBatchBytes, partitions); }  // of one partition
  size_t records_in_flight() const { return partitions * batches_in_flight() * in_batch; }
};

/// Records per second, and microseconds of this process's CPU for each: a busy machine disturbs these less.
struct Pace {
  std::vector<double> per_second;
  std::vector<double> cpu_us;
};
struct Paces {
  Pace append;
  Pace read;
};

class Stopwatch {
 public:
  void stop(const Work& work, Pace& pace) const {
    const auto records = static_cast<double>(work.records());
    pace.per_second.push_back(records / std::chrono::duration<double>(Clock::now() - begin_).count());
    pace.cpu_us.push_back((cpu_us() - cpu_us_) / records);
  }

 private:
  static double cpu_us() {
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
  }
  const Clock::time_point begin_ = Clock::now();
  const double cpu_us_ = cpu_us();
};

/// With a value that no compression, and no memory that was never written, makes cheap.
std::string payload(size_t size) {
  std::string text(size, ' ');
  for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + (i * i + i / 7) % 26);
  return text;
}

class Plain {
 public:
  explicit Plain(std::string bootstrap) : bootstrap_(std::move(bootstrap)) {}

  void run(const Work& work, const std::string& topic, Paces& paces) {
    produce(work, topic, paces);
    consume(work, topic, paces);
  }

  void make_topic(const std::string& topic, size_t partitions) {
    rd_kafka_t* client = make(RD_KAFKA_PRODUCER, {});
    char text[256];
    rd_kafka_NewTopic_t* wanted =
        rd_kafka_NewTopic_new(topic.c_str(), static_cast<int>(partitions), 1, text, sizeof text);
    rd_kafka_queue_t* queue = rd_kafka_queue_new(client);
    rd_kafka_CreateTopics(client, &wanted, 1, nullptr, queue);
    rd_kafka_event_t* event = rd_kafka_queue_poll(queue, 30'000);
    need(event != nullptr && rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR_NO_ERROR, "the topic cannot be made");
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_NewTopic_destroy(wanted);
    rd_kafka_destroy(client);
  }

 private:
  using Pairs = std::vector<std::pair<const char*, const char*>>;

  rd_kafka_t* make(rd_kafka_type_t type, const Pairs& settings) {
    rd_kafka_conf_t* conf = rd_kafka_conf_new();
    char text[256];
    rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap_.c_str(), text, sizeof text);
    for (const auto& [name, value] : settings)
      need(rd_kafka_conf_set(conf, name, value, text, sizeof text) == RD_KAFKA_CONF_OK, text);
    if (type == RD_KAFKA_PRODUCER) {
      rd_kafka_conf_set_opaque(conf, &delivered_);
      rd_kafka_conf_set_dr_msg_cb(
          conf, +[](rd_kafka_t*, const rd_kafka_message_t* message, void* delivered) {
            need(message->err == RD_KAFKA_RESP_ERR_NO_ERROR, rd_kafka_err2str(message->err));
            ++*static_cast<size_t*>(delivered);
          });
    }
    rd_kafka_t* client = rd_kafka_new(type, conf, text, sizeof text);
    need(client != nullptr, text);
    return client;
  }

  void produce(const Work& work, const std::string& topic, Paces& paces) {
    rd_kafka_t* client = make(RD_KAFKA_PRODUCER, {{"enable.idempotence", "true"},
                                                  {"queue.buffering.max.messages", "1000000"},
                                                  {"queue.buffering.max.kbytes", "262144"}});
    rd_kafka_topic_t* handle = rd_kafka_topic_new(client, topic.c_str(), nullptr);
    const rd_kafka_metadata_t* metadata = nullptr;
    need(rd_kafka_metadata(client, 0, handle, &metadata, 30'000) == RD_KAFKA_RESP_ERR_NO_ERROR, "no metadata");
    rd_kafka_metadata_destroy(metadata);
    const std::string value = payload(work.size);
    delivered_ = 0;
    const Stopwatch watch;
    for (size_t i = 0; i < work.records(); ++i) {
      while (rd_kafka_produce(handle, static_cast<int32_t>(i / work.in_batch % work.partitions), RD_KAFKA_MSG_F_COPY,
                              const_cast<char*>(value.data()), value.size(), nullptr, 0, nullptr) != 0) {
        need(rd_kafka_last_error() == RD_KAFKA_RESP_ERR__QUEUE_FULL, rd_kafka_err2str(rd_kafka_last_error()));
        rd_kafka_poll(client, 10);
      }
      if (i % 1'000 == 0) rd_kafka_poll(client, 0);
      while (i + 1 - delivered_ >= work.records_in_flight()) rd_kafka_poll(client, 10);
    }
    while (delivered_ < work.records()) rd_kafka_poll(client, 100);
    watch.stop(work, paces.append);
    rd_kafka_topic_destroy(handle);
    rd_kafka_destroy(client);
  }

  void consume(const Work& work, const std::string& topic, Paces& paces) {
    rd_kafka_t* client = make(RD_KAFKA_CONSUMER, {{"isolation.level", "read_committed"}});
    rd_kafka_topic_t* handle = rd_kafka_topic_new(client, topic.c_str(), nullptr);
    const rd_kafka_metadata_t* metadata = nullptr;
    need(rd_kafka_metadata(client, 0, handle, &metadata, 30'000) == RD_KAFKA_RESP_ERR_NO_ERROR, "no metadata");
    rd_kafka_metadata_destroy(metadata);
    rd_kafka_queue_t* queue = rd_kafka_queue_new(client);
    const Stopwatch watch;
    for (size_t i = 0; i < work.partitions; ++i)
      rd_kafka_consume_start_queue(handle, static_cast<int32_t>(i), 0, queue);
    std::vector<rd_kafka_message_t*> messages(1'000);
    for (size_t got = 0; got < work.records();) {
      const ssize_t count = rd_kafka_consume_batch_queue(queue, 100, messages.data(), messages.size());
      for (ssize_t i = 0; i < count; ++i) {
        got += messages[static_cast<size_t>(i)]->err == RD_KAFKA_RESP_ERR_NO_ERROR ? 1 : 0;
        rd_kafka_message_destroy(messages[static_cast<size_t>(i)]);
      }
    }
    watch.stop(work, paces.read);
    for (size_t i = 0; i < work.partitions; ++i) rd_kafka_consume_stop(handle, static_cast<int32_t>(i));
    rd_kafka_queue_destroy(queue);
    rd_kafka_topic_destroy(handle);
    rd_kafka_destroy(client);
  }

  const std::string bootstrap_;
  size_t delivered_ = 0;
};

class Native {
 public:
  Native(const std::string& plugin, host::OptionInputs inputs)
      : storage_(open_storage(plugin, std::move(inputs))), loop_("bench") {}
  ~Native() { static_cast<void>(storage_->stop(10'000)); }

  void run(const Work& work, const std::string& topic, Paces& paces) {
    std::vector<std::shared_ptr<host::Log>> logs;
    for (size_t i = 0; i < work.partitions; ++i) logs.push_back(make_log(topic, i, work.partitions));
    const auto batch = make_batch_of(work);
    const Stopwatch appending;
    std::vector<Appender> appenders;
    for (auto& log : logs) appenders.push_back({*this, *log, work, batch, work.batches, work.batches});
    for (Appender& appender : appenders) {
      loop_.post([&appender] { appender.begin(); });
    }
    wait([&] { return std::all_of(appenders.begin(), appenders.end(), [](auto& each) { return each.open == 0; }); });
    appending.stop(work, paces.append);

    const Stopwatch reading;
    size_t left = logs.size();
    for (auto& log : logs) {
      loop_.post([&, log] {
        start(read_all(log, static_cast<int64_t>(work.batches * work.in_batch)), [&] {
          const std::lock_guard lock(mutex_);
          --left;
          changed_.notify_all();
        });
      });
    }
    wait([&] { return left == 0; });
    reading.stop(work, paces.read);
  }

 private:
  // Keeps batches under way: each that is acknowledged is followed by another. On the loop's thread.
  struct Appender {
    Native& native;
    host::Log& log;
    const Work& work;
    std::shared_ptr<const std::string> batch;
    size_t left;  // to be sent
    size_t open;  // to be acknowledged; guarded by native.mutex_
    bool sending = false;

    void begin() {
      for (size_t i = work.batches_in_flight(); i > 0 && left > 0; --i) next();
      log.send();
    }
    void next() {
      --left;
      host::AppendEntry entry;
      entry.bytes = {reinterpret_cast<const uint8_t*>(batch->data()), batch->size()};
      entry.owner = std::const_pointer_cast<std::string>(batch);
      entry.base_offset = 0;
      entry.last_offset = static_cast<int64_t>(work.in_batch) - 1;
      entry.record_count = static_cast<uint32_t>(work.in_batch);
      entry.done = [this](host::AppendOutcome outcome) {
        need(outcome.status.ok(), outcome.status.describe());
        if (left > 0) {
          next();
          if (!std::exchange(sending, true)) {  // once for all that are answered together
            native.loop_.post([this] {
              sending = false;
              log.send();
            });
          }
        }
        const std::lock_guard lock(native.mutex_);
        if (--open == 0) native.changed_.notify_all();
      };
      const Status queued = log.enqueue(std::move(entry), log.position().generation, native.loop_);
      need(queued.ok(), queued.describe());
    }
  };

  static std::shared_ptr<const std::string> make_batch_of(const Work& work) {
    records::BatchBuilder builder{records::BatchOptions{}};
    const std::string value = payload(work.size);
    records::NewRecord record;
    record.timestamp =
        std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
            .count();
    record.value = as_bytes(value);
    for (size_t i = 0; i < work.in_batch; ++i) need(builder.add(record).ok(), "the batch cannot be built");
    const auto built = builder.build();
    return std::make_shared<const std::string>(as_text(*built));
  }

  std::shared_ptr<host::Log> make_log(const std::string& topic, size_t partition, size_t partitions) {
    host::LogDescriptor descriptor;
    store_be<uint64_t>(descriptor.id.data(), ++last_id_);
    descriptor.topic = topic;
    descriptor.partition = static_cast<int32_t>(partition);
    descriptor.partition_count = static_cast<int32_t>(partitions);
    std::optional<Status> made;
    loop_.post([&] {
      start(storage_->create_log(descriptor, loop_), [&](Status status) {
        const std::lock_guard lock(mutex_);
        made = std::move(status);
        changed_.notify_all();
      });
    });
    wait([&] { return made.has_value(); });
    need(made->ok(), made->describe());
    auto log = *storage_->open(descriptor);
    std::optional<bool> acquired;
    loop_.post([&] {
      start(log->acquire(1, loop_), [&](Result<host::WritePosition> position) {
        const std::lock_guard lock(mutex_);
        acquired = position.has_value();
        changed_.notify_all();
      });
    });
    wait([&] { return acquired.has_value(); });
    need(*acquired, "the log cannot be acquired");
    return log;
  }

  Task<void> read_all(std::shared_ptr<host::Log> log, int64_t end) {
    for (int64_t offset = 0; offset < end;) {
      auto read = co_await log->read(offset, INT64_MAX, kReadBytes, loop_);
      need(read.has_value() && read->next > offset, read ? "a read does not get on" : read.error().status.describe());
      offset = read->next;
    }
  }

  template <class Condition>
  void wait(Condition holds) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, holds);
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t last_id_ = 0;
  std::shared_ptr<host::Storage> storage_;
  ThreadLoop loop_;
};

void print(const char* what, const Work& work, const Pace& native, const Pace& plain) {
  const double pace[2] = {median(native.per_second), median(plain.per_second)};
  const double cpu[2] = {median(native.cpu_us), median(plain.cpu_us)};
  fmt::print("{:<6} {:>10} {:>6}  {:>9.0f} {:>9.0f} {:>5.2f}  {:>6.2f} {:>6.2f} {:>5.2f}\n", what, work.partitions,
             work.size, pace[0], pace[1], pace[0] / pace[1], cpu[0], cpu[1], cpu[1] / cpu[0]);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  int rounds = 3;
  size_t megabytes = 128;
  size_t only_partitions = 0;
  size_t only_size = 0;
  test::KafkaSettings settings;
  host::OptionInputs inputs;
  need(argc >= 3,
       "kafka_bench PLUGIN START [--jars DIR] [--rounds N] [--megabytes N] [--partitions N] [--record BYTES] "
       "[--option NAME=VALUE]...");
  settings.program = argv[2];
  for (int i = 3; i + 1 < argc; i += 2) {
    const std::string_view option = argv[i];
    const std::string value = argv[i + 1];
    if (option == "--rounds") rounds = std::stoi(value);
    if (option == "--megabytes") megabytes = std::stoull(value);
    if (option == "--partitions") only_partitions = std::stoull(value);
    if (option == "--record") only_size = std::stoull(value);
    if (option == "--jars") settings.jars = value;
    if (option == "--option") inputs[value.substr(0, value.find('='))] = value.substr(value.find('=') + 1);
  }
  test::KafkaServer server(settings);
  const Status started = server.start();
  need(started.ok(), started.describe());
  inputs["bootstrap"] = server.address();
  Plain plain(server.address());
  Native native(argv[1], std::move(inputs));
  fmt::print("{:<6} {:>10} {:>6}  {:^25}  {:^19}\n", "", "", "", "records/s", "CPU us/record");
  fmt::print("{:<6} {:>10} {:>6}  {:>9} {:>9} {:>5}  {:>6} {:>6} {:>5}\n", "", "partitions", "bytes", "adapter",
             "plain", "ratio", "", "", "");
  for (const size_t partitions : {size_t{1}, size_t{4}}) {
    for (const size_t size : {size_t{100}, size_t{1} << 10}) {
      if (only_partitions != 0 && partitions != only_partitions) continue;
      if (only_size != 0 && size != only_size) continue;
      Work work{partitions, size, 0, kBatchBytes / (size + 10)};
      // Small records are slow: fewer bytes of them.
      const size_t bytes = (megabytes << 20) / (size < 1'000 ? 4 : 1);
      work.batches = std::max<size_t>(1, bytes / (work.in_batch * size) / partitions);
      Paces of_plain;
      Paces of_native;
      for (int round = 0; round < rounds; ++round) {
        const std::string name = fmt::format("{}-{}-{}", partitions, size, round);
        plain.make_topic("plain-" + name, partitions);
        plain.run(work, "plain-" + name, of_plain);
        native.run(work, "native-" + name, of_native);
      }
      print("append", work, of_native.append, of_plain.append);
      print("read", work, of_native.read, of_plain.read);
    }
  }
  return 0;
}
