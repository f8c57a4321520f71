// SPDX-License-Identifier: Apache-2.0
#include "sources/kafka_client.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "rdkafka/errors.hpp"
#include "rdkafka/promises.hpp"
#include "sources/names.hpp"

namespace sluice::sources {
namespace {

constexpr size_t kMaxNameBytes = 64;
constexpr size_t kMaxProperties = 1'000;
/// How long a Fetch may wait for records at the broker. A connection has one at a time, so that a partition that is
/// read anew waits for it, at worst.
constexpr int kFetchWaitMs = 50;
constexpr int kReconnectFirstMs = 20;
constexpr int kReconnectMostMs = 500;
constexpr int kRetryMs = 50;
constexpr int kUnknownTopicMs = 3'000;  // until one that metadata does not name counts as gone

constexpr std::string_view kPromise = "what is promised here depends on it";
constexpr std::string_view kOwn = "it has a setting of its own";
struct Kept {
  std::string_view name;
  std::string_view why;
};
constexpr Kept kKept[] = {
    {"bootstrap.servers", kOwn},
    {"metadata.broker.list", kOwn},
    {"isolation.level", kOwn},
    {"queued.max.messages.kbytes", kOwn},
    {"group.id", "there is no consumer group"},
    {"group.instance.id", "there is no consumer group"},
    {"message.timeout.ms", kOwn},
    {"delivery.timeout.ms", kOwn},
    {"transactional.id", "nothing here is transactional"},
    {"queue.buffering.max.messages", kPromise},
    {"queue.buffering.max.kbytes", kPromise},
    {"plugin.library.paths", "it loads programs"},
};

Status wrong(std::string_view field, std::string_view why) {
  return Status(StatusCode::invalid, fmt::format("{}: {}", field, why));
}

Status set(rd_kafka_conf_t* conf, const std::string& name, const std::string& value) {
  std::array<char, 512> text{};
  if (rd_kafka_conf_set(conf, name.c_str(), value.c_str(), text.data(), text.size()) == RD_KAFKA_CONF_OK) return {};
  return wrong(name, text.data());
}

/// librdkafka says these of one partition, whose name goes before the reason.
bool concerns_partition(rd_kafka_resp_err_t error) {
  return error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || error == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
         error == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION || error == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
         error == RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION;
}

}  // namespace

Status check_kafka(const std::string& name, const std::string& bootstrap,
                   const std::map<std::string, std::string>& properties, int64_t request_timeout_ms) {
  if (!is_plain_name(name, kMaxNameBytes)) {
    return wrong("name", fmt::format("1 to {} letters, digits, dots, underscores, hyphens", kMaxNameBytes));
  }
  if (bootstrap.find_first_not_of(" ,\t") == std::string::npos) return wrong("bootstrap", "no address");
  if (request_timeout_ms < 100 || request_timeout_ms > 600'000) {
    return wrong("request_timeout_ms", fmt::format("{} ms; must be from 100 to 600000", request_timeout_ms));
  }
  if (properties.size() > kMaxProperties) return wrong("properties", fmt::format("more than {}", kMaxProperties));
  for (const auto& [property, value] : properties) {
    const auto* kept = std::find_if(std::begin(kKept), std::end(kKept),
                                    [&property = property](const Kept& each) { return each.name == property; });
    if (kept != std::end(kKept) || kafka::is_promised(property)) {
      const std::string_view why = kept != std::end(kKept) ? kept->why : kPromise;
      return wrong("properties." + property, fmt::format("not to be set here: {}", why));
    }
    const kafka::ConfHandle trial(rd_kafka_conf_new());
    if (Status refused = set(trial.get(), property, value); !refused.ok()) {
      return Status(StatusCode::invalid, "properties." + refused.text());
    }
  }
  return {};
}

Result<kafka::ConfHandle> make_kafka_conf(const std::string& bootstrap, int64_t request_timeout_ms,
                                          const KafkaPairs& more,
                                          const std::map<std::string, std::string>& properties) {
  kafka::ConfHandle conf(rd_kafka_conf_new());
  KafkaPairs pairs = {{"client.id", "sluice-sdk"},
                      {"allow.auto.create.topics", "false"},
                      {"socket.timeout.ms", std::to_string(std::max<int64_t>(request_timeout_ms, 1'000))},
                      {"socket.nagle.disable", "true"},
                      {"reconnect.backoff.ms", std::to_string(kReconnectFirstMs)},
                      {"reconnect.backoff.max.ms", std::to_string(kReconnectMostMs)},
                      {"topic.metadata.propagation.max.ms", std::to_string(kUnknownTopicMs)},
                      // An error with its reason, not a line: else nobody hears that the protocol was wrong.
                      {"log.connection.close", "true"}};
  if (!bootstrap.empty()) pairs.emplace_back("bootstrap.servers", bootstrap);
  pairs.insert(pairs.end(), more.begin(), more.end());
  for (const auto& [name, value] : pairs) {
    if (Status refused = set(conf.get(), name, value); !refused.ok()) return fail(std::move(refused));
  }
  for (const auto& [name, value] : properties) {
    if (Status refused = set(conf.get(), name, value); !refused.ok()) return fail(std::move(refused));
  }
  return conf;
}

Status check_kafka_together(rd_kafka_type_t type, const KafkaPairs& more,
                            const std::map<std::string, std::string>& properties, int64_t request_timeout_ms) {
  if (properties.empty()) return {};
  auto conf = make_kafka_conf({}, request_timeout_ms, more, properties);
  if (!conf) return conf.error();
  rd_kafka_conf_set_log_cb(
      conf->get(), +[](const rd_kafka_t*, int, const char*, const char*) {});
  std::array<char, 512> text{};
  const kafka::ClientHandle trial(rd_kafka_new(type, conf->get(), text.data(), text.size()));
  if (!trial) return wrong("properties", text.data());
  static_cast<void>(conf->release());  // librdkafka's now
  return {};
}

// ---- Trouble

void KafkaTrouble::heard(rd_kafka_resp_err_t error, const char* text) {
  const std::string_view said = text != nullptr ? text : "";
  Status status = kafka::status_of(error, said);
  const std::lock_guard lock(mutex_);
  const size_t place = said.find("]: ");
  if (concerns_partition(error) && place != std::string_view::npos) {
    if (places_.size() < kMaxPlaces) places_[std::string(said.substr(0, place + 1))] = std::move(status);
    return;
  }
  Said& kept = status.code() == StatusCode::denied ? refused_ : other_;
  kept.number = ++count_;
  // The last of a row is "all brokers are down": what was said before is why.
  if (error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN && !kept.status.ok()) return;
  kept.status = std::move(status);
}

uint64_t KafkaTrouble::count() const {
  const std::lock_guard lock(mutex_);
  return count_;
}

void KafkaTrouble::settle(uint64_t heard) {
  const std::lock_guard lock(mutex_);
  settled_ = std::max(settled_, heard);
}

uint64_t KafkaTrouble::settled() const {
  const std::lock_guard lock(mutex_);
  return settled_;
}

Status KafkaTrouble::last(uint64_t settled) const {
  const std::lock_guard lock(mutex_);
  // A refusal is worth more than what follows from it.
  if (refused_.number > settled) return refused_.status;
  return other_.number > settled ? other_.status : Status();
}

bool KafkaTrouble::claim_refusal(uint64_t over) {
  const std::lock_guard lock(mutex_);
  if (refused_.number <= std::max(over, claimed_)) return false;
  claimed_ = refused_.number;
  return true;
}

Status KafkaTrouble::take(const std::string& topic, int32_t partition) {
  const std::lock_guard lock(mutex_);
  if (places_.empty()) return {};
  const auto node = places_.extract(fmt::format("{} [{}]", topic, partition));
  return node.empty() ? Status() : std::move(node.mapped());
}

// ---- A client that reads

KafkaPairs pairs_of(const KafkaClusterSettings& settings) {
  return {{"isolation.level", settings.read_committed ? "read_committed" : "read_uncommitted"},
          {"auto.offset.reset", "error"},
          {"enable.partition.eof", "true"},
          {"enable.auto.commit", "false"},
          {"enable.auto.offset.store", "false"},
          {"fetch.wait.max.ms", std::to_string(kFetchWaitMs)},
          {"fetch.error.backoff.ms", std::to_string(kRetryMs)},
          {"queued.min.messages", "1000000"},
          {"queued.max.messages.kbytes", std::to_string(settings.read_ahead_bytes / 1024)}};
}

Result<std::shared_ptr<KafkaReader>> KafkaReader::make(const KafkaClusterSettings& settings) {
  auto conf = make_kafka_conf(settings.bootstrap, settings.request_timeout_ms, pairs_of(settings), settings.properties);
  if (!conf) return fail(conf.error());
  std::shared_ptr<KafkaReader> reader(new KafkaReader, [](KafkaReader* last) { delete last; });
  rd_kafka_conf_set_opaque(conf->get(), reader.get());
  rd_kafka_conf_set_error_cb(
      conf->get(), +[](rd_kafka_t*, int error, const char* text, void* opaque) {
        static_cast<KafkaReader*>(opaque)->trouble_.heard(static_cast<rd_kafka_resp_err_t>(error), text);
      });
  // What concerns an application comes as an error; librdkafka's own lines go nowhere.
  rd_kafka_conf_set_log_cb(
      conf->get(), +[](const rd_kafka_t*, int, const char*, const char*) {});
  std::array<char, 512> text{};
  reader->client_ = rd_kafka_new(RD_KAFKA_CONSUMER, conf->get(), text.data(), text.size());
  if (reader->client_ == nullptr) return fail(wrong("properties", text.data()));
  static_cast<void>(conf->release());  // librdkafka's now
  return reader;
}

KafkaReader::~KafkaReader() {
  topics_.clear();
  if (client_ != nullptr) rd_kafka_destroy_flags(client_, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}

Result<rd_kafka_topic_t*> KafkaReader::topic(const std::string& name) {
  const std::lock_guard lock(mutex_);
  kafka::TopicHandle& handle = topics_[name];
  if (!handle) handle.reset(rd_kafka_topic_new(client_, name.c_str(), nullptr));
  if (handle) return handle.get();
  topics_.erase(name);
  return fail(kafka::status_of(rd_kafka_last_error()));
}

Result<int32_t> KafkaReader::count_partitions(const std::string& name, int64_t timeout_ms) {
  const auto handle = topic(name);
  if (!handle) return fail(handle.error());
  const rd_kafka_metadata_t* raw = nullptr;
  const uint64_t heard = trouble_.count();
  const rd_kafka_resp_err_t error = rd_kafka_metadata(client_, 0, *handle, &raw, static_cast<int>(timeout_ms));
  const kafka::MetadataHandle metadata(raw);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
    listen();
    const Status trouble = trouble_.last();
    return fail(trouble.ok() ? kafka::status_of(error) : trouble);
  }
  trouble_.settle(heard);
  if (metadata->topic_cnt != 1) return fail(StatusCode::not_found, fmt::format("there is no topic {}", name));
  const rd_kafka_metadata_topic_t& found = metadata->topics[0];
  // A partition may lack a leader for a moment; the topic is there.
  if (found.err != RD_KAFKA_RESP_ERR_NO_ERROR && found.err != RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE) {
    return fail(kafka::status_of(found.err, name));
  }
  return found.partition_cnt;
}

void KafkaReader::listen() {
  rd_kafka_poll(client_, 0);
}

}  // namespace sluice::sources
