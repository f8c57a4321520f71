// SPDX-License-Identifier: Apache-2.0
#include "engines.hpp"

#include <map>
#include <utility>

#include "reading.hpp"
#include "sluice/kafka_sink.hpp"
#include "sluice/kafka_source.hpp"
#include "sluice/storage_sink.hpp"
#include "sluice/storage_source.hpp"
#include "support/kafka_server.hpp"
#include "support/nats_server.hpp"
#include "support/redis_server.hpp"

namespace sluice::soak {
namespace {

Status take_down_server(test::LoopbackServer& server, Random& random, Figures& figures) {
  if (random.one_in(2)) {
    ++figures.kills;
    server.kill();
  } else {
    ++figures.stops;
    server.pause();
  }
  return {};
}

Status bring_up_server(test::LoopbackServer& server) {
  server.resume();
  return server.start();
}

/// A log of the SDK's own on a storage.
class LogEngine : public Engine {
 public:
  LogEngine(std::string name, std::string directory) : name_(std::move(name)), directory_(std::move(directory)) {}

  const std::string& name() const override { return name_; }

  Result<std::shared_ptr<Sink>> make_sink(Random& random) override {
    LogWriterSettings writing = settings();
    writing.delivery_timeout_ms = random.of({500, 5'000, 30'000});
    writing.compression = random.of<const char*>({"none", "none", "lz4", "zstd"});
    writing.max_batch_bytes = random.of({16ull << 10, 1ull << 20});
    writing.sync = random.one_in(4);
    auto made = StorageSink::make(host_, writing);
    if (!made) return fail(made.error());
    return std::shared_ptr<Sink>(std::move(*made));
  }

  Status read_back(const Visit& visit) override {
    // Another writer's fence settles what the last one left open.
    std::unique_ptr<LogWriter> writer;
    Status status = patiently([&] {
      auto opened = LogWriter::open(host_, settings());
      if (opened) writer = std::move(*opened);
      return opened ? Status() : opened.error();
    });
    if (!status.ok()) return status.in("open");
    if (writer->epoch() <= epoch_) return Status(StatusCode::internal, "the epoch does not rise");
    epoch_ = writer->epoch();
    LogSourceSettings reading;
    reading.log = writer->log();
    reading.log_id = writer->log_id();
    const auto source = make_log_source(host_, reading);
    if (!source) return source.error().in("make_log_source");
    const auto end = read_to_end(**source, next_, visit);
    if (!end) return end.error();
    next_ = *end;
    status = patiently([&] { return writer->trim(next_); });
    if (!status.ok()) return status.in("trim");
    return writer->close(LogWriter::kCloseMs).in("close");
  }

 protected:
  Status open(StorageHostSettings settings) {
    settings.name = name_;
    settings.library = name_;
    settings.call_timeout_ms = 5'000;
    settings.log = [](int, const std::string&) {};  // outages are what this is for
    auto made = StorageHost::make(std::move(settings));
    if (!made) return made.error();
    host_ = std::move(*made);
    return patiently([this] {
      const auto started = host_->start();
      return started ? Status() : started.error();
    });
  }
  const std::string& directory() const { return directory_; }
  StorageHost& host() { return *host_; }

 private:
  LogWriterSettings settings() const {
    LogWriterSettings made;
    made.log = "soak";
    made.state_directory = directory_ + "/state";
    return made;
  }

  const std::string name_, directory_;
  std::shared_ptr<StorageHost> host_;
  int64_t next_ = -1;
  int32_t epoch_ = -1;
};

class DiskEngine final : public LogEngine {
 public:
  explicit DiskEngine(std::string directory) : LogEngine("disk", std::move(directory)) {}

  Status start() override {
    StorageHostSettings settings;
    settings.data_directory = directory() + "/data";
    return open(std::move(settings));
  }
  /// It is in this process: the storage is stopped and started.
  Status take_down(Random&, Figures& figures) override {
    ++figures.restarts;
    return patiently([this] { return host().stop(StorageHost::kStopMs); }).in("stop");
  }
  Status bring_up() override {
    return patiently([this] {
      const auto started = host().start();
      return started ? Status() : started.error();
    });
  }
};

/// `Server`: one of LoopbackServer's, with what the adapter calls it in `option`.
template <class Server>
class ServerEngine final : public LogEngine {
 public:
  ServerEngine(std::string name, std::string directory, std::string option,
               std::function<std::string(const Server&)> address)
      : LogEngine(std::move(name), std::move(directory)), option_(std::move(option)), address_(std::move(address)) {}

  Status start() override {
    if (Status started = server_.start(); !started.ok()) return started;
    StorageHostSettings settings;
    settings.options[option_] = address_(server_);
    return open(std::move(settings));
  }
  Status take_down(Random& random, Figures& figures) override { return take_down_server(server_, random, figures); }
  Status bring_up() override { return bring_up_server(server_); }

 private:
  Server server_;
  const std::string option_;
  const std::function<std::string(const Server&)> address_;
};

class KafkaEngine final : public Engine {
 public:
  static constexpr int32_t kPartitions = 4;

  explicit KafkaEngine(const std::string& broker) : server_(settings_of(broker)) {}

  const std::string& name() const override { return name_; }

  Status start() override {
    if (Status started = server_.start(); !started.ok()) return started;
    KafkaClusterSettings reading;
    reading.bootstrap = server_.address();
    auto made = KafkaCluster::make(reading);
    if (!made) return made.error();
    cluster_ = std::move(*made);
    return {};
  }
  Status take_down(Random& random, Figures& figures) override { return take_down_server(server_, random, figures); }
  Status bring_up() override { return bring_up_server(server_); }
  Result<std::shared_ptr<Sink>> make_sink(Random& random) override {
    KafkaSinkSettings settings;
    settings.bootstrap = server_.address();
    settings.topic = "soak";
    settings.partition = KafkaSinkSettings::Partition::by_shard;
    settings.create_partitions = kPartitions;
    settings.delivery_timeout_ms = random.of({1'000, 10'000, 30'000});
    settings.request_timeout_ms = random.of({1'000, 5'000});
    settings.properties["compression.type"] = random.of<const char*>({"none", "lz4"});
    auto made = KafkaSink::make(settings);
    if (!made) return fail(made.error());
    return std::shared_ptr<Sink>(std::move(*made));
  }
  /// The topic's retention drops what is old.
  Status read_back(const Visit& visit) override {
    std::vector<std::unique_ptr<Source>> sources;
    bool none = false;
    const Status status = patiently([&] {
      auto got = cluster_->sources("soak");
      none = !got && got.error().code() == StatusCode::not_found;
      if (got) sources = std::move(*got);
      return got || none ? Status() : got.error();
    });
    if (!status.ok()) return status.in("sources");
    for (const auto& source : sources) {
      const auto at = next_.try_emplace(source->id(), -1).first;
      const auto end = read_to_end(*source, at->second, visit);
      if (!end) return end.error().in(source->id());
      at->second = *end;
    }
    return {};
  }

 private:
  static test::KafkaSettings settings_of(const std::string& broker) {
    test::KafkaSettings settings;
    settings.program = broker;
    settings.arguments = {"--override", "auto.create.topics.enable=false", "--override", "log.segment.bytes=16777216",
                          "--override", "log.retention.bytes=268435456"};
    return settings;
  }

  const std::string name_ = "kafka";
  test::KafkaServer server_;
  std::shared_ptr<KafkaCluster> cluster_;
  std::map<std::string, int64_t> next_;
};

}  // namespace

std::unique_ptr<Engine> make_redis(const std::string& directory) {
  return std::make_unique<ServerEngine<test::RedisServer>>("redis", directory, "address",
                                                           [](const auto& server) { return server.address(); });
}

std::unique_ptr<Engine> make_jetstream(const std::string& directory) {
  return std::make_unique<ServerEngine<test::NatsServer>>("jetstream", directory, "servers",
                                                          [](const auto& server) { return server.url(); });
}

std::unique_ptr<Engine> make_disk(const std::string& directory) {
  return std::make_unique<DiskEngine>(directory);
}

std::unique_ptr<Engine> make_kafka(const std::string& broker) {
  return std::make_unique<KafkaEngine>(broker);
}

}  // namespace sluice::soak
