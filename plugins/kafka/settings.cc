// SPDX-License-Identifier: Apache-2.0
#include "kafka/settings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "rdkafka/promises.hpp"

namespace sluice::kafka {
namespace {

/// Longest `properties` and `topic_configs`, in bytes.
constexpr size_t kMaxPairsBytes = 16'384;
/// How long a Fetch may wait for records at the other side. A connection has one at a time, so a partition that is read
/// anew waits for it, at worst; where all readers stand at their ends, so many requests are made for nothing.
constexpr int kFetchWaitMs = 25;
constexpr int kReconnectFirstMs = 20;
constexpr int kReconnectMostMs = 500;
constexpr int kRetryMs = 50;
constexpr int kMetadataAgeMs = 30'000;
constexpr int kMetadataRetryMs = 100;
constexpr int kUnknownTopicMs = 3'000;  // until one that metadata does not name counts as gone
/// librdkafka's own limits on a batch, and what a request has beside its batch.
constexpr uint64_t kMostBatchBytes = 1'000'000'000;
constexpr uint64_t kLeastBatchBytes = 1'048'588;
constexpr uint64_t kRequestBytes = 65'536;

Status wrong(std::string_view option, std::string_view why) {
  return Status(StatusCode::invalid, fmt::format("{}: {}", option, why));
}

// What `properties` may not touch: promises of ours hang on them, or an option of its own is there.
struct Kept {
  std::string_view name;
  std::string_view why;
};
constexpr std::string_view kPromise = "what this adapter promises depends on it";
constexpr std::string_view kOwnOption = "it has an option of its own";
constexpr std::string_view kBudget = "the adapter counts what is in flight itself";
constexpr Kept kKept[] = {
    {"transactional.id", kPromise},
    {"isolation.level", kPromise},
    {"group.id", kPromise},
    {"group.instance.id", kPromise},
    {"sticky.partitioning.linger.ms", kPromise},
    {"plugin.library.paths", "it loads programs"},
    {"bootstrap.servers", kOwnOption},
    {"metadata.broker.list", kOwnOption},
    {"client.id", kOwnOption},
    {"delivery.timeout.ms", kOwnOption},
    {"message.timeout.ms", kOwnOption},
    {"request.timeout.ms", kOwnOption},
    {"compression.type", kOwnOption},
    {"compression.codec", kOwnOption},
    {"linger.ms", kOwnOption},
    {"queue.buffering.max.ms", kOwnOption},
    {"security.protocol", kOwnOption},
    {"sasl.mechanism", kOwnOption},
    {"sasl.mechanisms", kOwnOption},
    {"sasl.username", kOwnOption},
    {"sasl.password", "it is a secret and has an option of its own"},
    {"ssl.key.password", "it is a secret and has an option of its own"},
    {"queued.max.messages.kbytes", kOwnOption},
    {"queued.min.messages", kOwnOption},
    {"queue.buffering.max.messages", kBudget},
    {"queue.buffering.max.kbytes", kBudget},
};

// Options that are librdkafka's own properties, passed through.
constexpr const char* kPassed[] = {
    "security.protocol", "sasl.mechanism",           "sasl.username",
    "sasl.password",     "ssl.ca.location",          "ssl.key.location",
    "ssl.key.password",  "ssl.certificate.location", "ssl.endpoint.identification.algorithm"};

Status set(rd_kafka_conf_t* conf, const std::string& name, const std::string& value) {
  std::array<char, 512> text{};
  if (rd_kafka_conf_set(conf, name.c_str(), value.c_str(), text.data(), text.size()) == RD_KAFKA_CONF_OK) return {};
  return wrong(name, text.data());
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

}  // namespace

const sluice_option kOptionTable[kOptionCount] = {
    {"bootstrap", "Where the cluster is: host:port, several with commas between.", nullptr, nullptr, SLUICE_OPTION_TEXT,
     SLUICE_OPTION_REQUIRED, 0, 0},
    {"client_id", "What the cluster knows the broker's clients by.", "sluice", nullptr, SLUICE_OPTION_TEXT, 0, 0, 0},
    {"security.protocol", "How to speak to the cluster.", "plaintext", "plaintext|ssl|sasl_plaintext|sasl_ssl",
     SLUICE_OPTION_CHOICE, 0, 0, 0},
    {"sasl.mechanism", "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, GSSAPI or OAUTHBEARER.", nullptr, nullptr,
     SLUICE_OPTION_TEXT, 0, 0, 0},
    {"sasl.username", "The user.", nullptr, nullptr, SLUICE_OPTION_TEXT, 0, 0, 0},
    {"sasl.password", "The user's password.", nullptr, nullptr, SLUICE_OPTION_TEXT, SLUICE_OPTION_SECRET, 0, 0},
    {"ssl.ca.location", "Certificates of the authorities that the cluster's are signed by; default: the system's.",
     nullptr, nullptr, SLUICE_OPTION_PATH, 0, 0, 0},
    {"ssl.certificate.location", "The broker's own certificate.", nullptr, nullptr, SLUICE_OPTION_PATH, 0, 0, 0},
    {"ssl.key.location", "The key of that certificate.", nullptr, nullptr, SLUICE_OPTION_PATH, 0, 0, 0},
    {"ssl.key.password", "What that key is encrypted with.", nullptr, nullptr, SLUICE_OPTION_TEXT, SLUICE_OPTION_SECRET,
     0, 0},
    {"ssl.endpoint.identification.algorithm", "Whether a server's name must be that of its certificate.", "https",
     "none|https", SLUICE_OPTION_CHOICE, 0, 0, 0},
    {"compression", "Of what is written.", "none", "none|gzip|snappy|lz4|zstd", SLUICE_OPTION_CHOICE, 0, 0, 0},
    {"linger", "How long a record waits for others to make a larger batch.", "0ms", nullptr, SLUICE_OPTION_DURATION, 0,
     0, 1'000},
    {"delivery_timeout", "When records that were not acknowledged are given up.", "20s", nullptr,
     SLUICE_OPTION_DURATION, 0, 100, 900'000},
    {"request_timeout", "How long the cluster may take to answer anything else.", "5s", nullptr, SLUICE_OPTION_DURATION,
     0, 100, 300'000},
    {"read_ahead", "What is fetched before it is asked for, for each partition that is being read.", "8MiB", nullptr,
     SLUICE_OPTION_SIZE, 0, 65'536, int64_t{1} << 30},
    {"replication_factor", "Of topics that are made; -1: the cluster's default.", "-1", nullptr, SLUICE_OPTION_INTEGER,
     0, -1, 32'767},
    {"topic_configs", "Of topics that are made: name=value, with semicolons between.", nullptr, nullptr,
     SLUICE_OPTION_TEXT, 0, 0, 0},
    {"properties", "Other settings of librdkafka: name=value, with semicolons between.", nullptr, nullptr,
     SLUICE_OPTION_TEXT, 0, 0, 0},
    {"max_in_flight", "What may be on its way to the cluster at once; beyond, appends are BUSY.", "128MiB", nullptr,
     SLUICE_OPTION_SIZE, 0, 2'097'152, int64_t{2} << 30},
};

Result<Pairs> parse_pairs(std::string_view text) {
  if (text.size() > kMaxPairsBytes) return fail(StatusCode::invalid, fmt::format("above {} bytes", kMaxPairsBytes));
  Pairs pairs;
  while (!text.empty()) {
    const size_t end = std::min(text.find_first_of(";\n"), text.size());
    const std::string_view pair = trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (pair.empty()) continue;
    const size_t equals = pair.find('=');
    if (equals == std::string_view::npos || trimmed(pair.substr(0, equals)).empty()) {
      return fail(StatusCode::invalid, fmt::format("\"{}\" is not name=value", pair));
    }
    pairs.emplace_back(trimmed(pair.substr(0, equals)), trimmed(pair.substr(equals + 1)));
  }
  return pairs;
}

Result<Settings> read_settings(const plugin::Options& options) {
  Settings settings;
  const std::string bootstrap = options.text("bootstrap");
  if (trimmed(bootstrap).empty()) return fail(wrong("bootstrap", "no address"));
  settings.delivery_timeout_ms = options.number("delivery_timeout");
  settings.request_timeout_ms = options.number("request_timeout");
  if (options.number("linger") >= settings.delivery_timeout_ms) {
    return fail(wrong("linger", "records would be given up before they are sent: delivery_timeout is shorter"));
  }
  settings.read_ahead = static_cast<uint64_t>(options.number("read_ahead"));
  settings.max_in_flight = static_cast<uint64_t>(options.number("max_in_flight"));
  settings.replication_factor = static_cast<int32_t>(options.number("replication_factor"));
  if (settings.replication_factor == 0) return fail(wrong("replication_factor", "-1, or 1 and more"));

  const std::string request_timeout = std::to_string(settings.request_timeout_ms);
  settings.common = {
      {"bootstrap.servers", bootstrap},
      {"client.id", options.text("client_id")},
      {"allow.auto.create.topics", "false"},
      {"socket.timeout.ms", std::to_string(std::max<int64_t>(settings.request_timeout_ms, 1'000))},
      {"socket.connection.setup.timeout.ms", std::to_string(std::max<int64_t>(settings.request_timeout_ms, 1'000))},
      {"socket.nagle.disable", "true"},
      {"reconnect.backoff.ms", std::to_string(kReconnectFirstMs)},
      {"reconnect.backoff.max.ms", std::to_string(kReconnectMostMs)},
      {"topic.metadata.refresh.interval.ms", std::to_string(kMetadataAgeMs)},
      {"topic.metadata.refresh.fast.interval.ms", std::to_string(kMetadataRetryMs)},
      {"topic.metadata.propagation.max.ms", std::to_string(kUnknownTopicMs)},
      // An error with its reason, not a line: else nobody hears that the protocol was wrong.
      {"log.connection.close", "true"}};
  settings.producer = {{"enable.idempotence", "true"},
                       {"acks", "all"},
                       // Writer keeps this deadline: where librdkafka gives up one record, it sends those behind it
                       // once more as if they were new, also those that were written.
                       {"message.timeout.ms", "0"},
                       {"request.timeout.ms", request_timeout},
                       {"retry.backoff.ms", std::to_string(kRetryMs)},
                       {"compression.codec", options.text("compression")},
                       {"linger.ms", std::to_string(options.number("linger"))},
                       // The budget is Writer's, so that a unit is refused whole and before anything of it is sent.
                       {"queue.buffering.max.messages", "10000000"},
                       {"queue.buffering.max.kbytes", "2147483647"}};
  settings.consumer = {{"isolation.level", "read_committed"},
                       {"auto.offset.reset", "error"},
                       {"enable.partition.eof", "true"},
                       {"enable.auto.commit", "false"},
                       {"enable.auto.offset.store", "false"},
                       {"fetch.wait.max.ms", std::to_string(kFetchWaitMs)},
                       {"fetch.error.backoff.ms", std::to_string(kRetryMs)},
                       {"queued.min.messages", std::to_string(settings.queue_records())},
                       {"queued.max.messages.kbytes", std::to_string(settings.queue_bytes() / 1024)}};
  for (const char* name : kPassed) {
    const std::string value = options.text(name);
    if (!value.empty()) settings.common.emplace_back(name, value);
  }

  auto configs = parse_pairs(options.text("topic_configs"));
  if (!configs) return fail(configs.error().in("topic_configs"));
  settings.topic_configs = std::move(*configs);
  auto given = parse_pairs(options.text("properties"));
  if (!given) return fail(given.error().in("properties"));
  for (const auto& [name, value] : *given) {
    const auto* kept =
        std::find_if(std::begin(kKept), std::end(kKept), [&](const Kept& each) { return each.name == name; });
    if (kept != std::end(kKept) || is_promised(name)) {
      const std::string_view why = kept != std::end(kKept) ? kept->why : kPromise;
      return fail(wrong("properties", fmt::format("{} is not to be set here: {}", name, why)));
    }
    const ConfHandle trial(rd_kafka_conf_new());
    if (Status refused = set(trial.get(), name, value); !refused.ok()) return fail(refused.in("properties"));
  }
  settings.given = std::move(*given);

  for (const Role role : {Role::asks, Role::writes, Role::reads}) {
    if (auto conf = make_conf(settings, role, kLeastBatchBytes); !conf) return fail(conf.error());
  }
  return settings;
}

Result<ConfHandle> make_conf(const Settings& settings, Role role, uint64_t largest_message) {
  ConfHandle conf(rd_kafka_conf_new());
  Pairs pairs = settings.common;
  const uint64_t batch = std::clamp(largest_message, kLeastBatchBytes, kMostBatchBytes - kRequestBytes);
  if (role == Role::writes) {
    pairs.insert(pairs.end(), settings.producer.begin(), settings.producer.end());
    pairs.emplace_back("message.max.bytes", std::to_string(batch + kRequestBytes));
    // Records are gathered to batches that the other side takes, with room for what the format adds.
    const uint64_t gathered = std::min<uint64_t>(largest_message, 1'000'000);
    pairs.emplace_back("batch.size", std::to_string(std::max<uint64_t>(gathered - gathered / 64, 1)));
  }
  if (role == Role::reads) {
    pairs.insert(pairs.end(), settings.consumer.begin(), settings.consumer.end());
    const uint64_t fetched = std::min<uint64_t>(settings.queue_bytes(), 1'048'576);
    pairs.emplace_back("fetch.message.max.bytes", std::to_string(fetched));
    pairs.emplace_back("fetch.max.bytes", std::to_string(std::max<uint64_t>(batch, 16'777'216)));
    pairs.emplace_back("receive.message.max.bytes", std::to_string(std::min<uint64_t>(
                                                        std::max<uint64_t>(batch, 16'777'216) + 2 * batch, INT32_MAX)));
  }
  pairs.insert(pairs.end(), settings.given.begin(), settings.given.end());
  for (const auto& [name, value] : pairs) {
    if (Status refused = set(conf.get(), name, value); !refused.ok()) return fail(std::move(refused));
  }
  return conf;
}

}  // namespace sluice::kafka
