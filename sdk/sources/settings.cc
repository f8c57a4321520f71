// SPDX-License-Identifier: Apache-2.0
#include "sources/settings.hpp"

#include <fmt/format.h>

#include <cmath>

#include "base/uuid.hpp"
#include "host/library.hpp"
#include "host/options.hpp"
#include "sluice/log_writer.hpp"
#include "sources/kafka_client.hpp"
#include "sources/names.hpp"

namespace sluice::sources {
namespace {

constexpr int64_t kLeastTimeoutMs = 100;
constexpr int64_t kMostTimeoutMs = 600'000;
constexpr uint64_t kLeastBudgetBytes = 1 << 20;
constexpr uint64_t kMostBudgetBytes = uint64_t{1} << 50;
constexpr uint64_t kLeastReadBytes = 4 << 10;
constexpr uint64_t kMostReadBytes = 64 << 20;
constexpr uint64_t kLeastBatchBytes = 64 << 10;
constexpr uint64_t kMostBatchBytes = 1 << 30;
constexpr uint64_t kLeastReadAheadBytes = 64 << 10;
constexpr uint64_t kMostReadAheadBytes = 1 << 30;
constexpr size_t kMaxStreamBytes = 400;
constexpr size_t kMaxTopicBytes = 249;

Status wrong(std::string_view field, std::string_view why) {
  return Status(StatusCode::invalid, fmt::format("{}: {}", field, why));
}

Status check_timeout(std::string_view field, int64_t ms) {
  if (ms >= kLeastTimeoutMs && ms <= kMostTimeoutMs) return {};
  return wrong(field, fmt::format("{} ms; must be from {} to {}", ms, kLeastTimeoutMs, kMostTimeoutMs));
}

Status check_budget(std::string_view field, uint64_t bytes) {
  if (bytes >= kLeastBudgetBytes && bytes <= kMostBudgetBytes) return {};
  return wrong(field, fmt::format("{} bytes; must be from {} to {}", bytes, kLeastBudgetBytes, kMostBudgetBytes));
}

Status check_read(const StorageReadSettings& read) {
  if (read.source_id.size() > kMaxSourceIdBytes) {
    return wrong("read.source_id", fmt::format("{} bytes; at most {}", read.source_id.size(), kMaxSourceIdBytes));
  }
  if (read.read_bytes < kLeastReadBytes || read.read_bytes > kMostReadBytes) {
    return wrong("read.read_bytes", fmt::format("must be from {} to {}", kLeastReadBytes, kMostReadBytes));
  }
  if (read.max_batch_bytes < kLeastBatchBytes || read.max_batch_bytes > kMostBatchBytes) {
    return wrong("read.max_batch_bytes", fmt::format("must be from {} to {}", kLeastBatchBytes, kMostBatchBytes));
  }
  return {};
}

}  // namespace

Status check(const StorageHostSettings& settings) {
  if (!is_plain_name(settings.name, kMaxStorageNameBytes)) {
    return wrong("name", fmt::format("1 to {} letters, digits, dots, underscores, hyphens", kMaxStorageNameBytes));
  }
  if (settings.library.empty()) return wrong("library", "none given");
  if (!settings.data_directory.empty() && settings.data_directory.front() != '/') {
    return wrong("data_directory", "must be absolute");
  }
  for (const auto& [name, value] : settings.options) {
    const auto* number = std::get_if<double>(&value);
    if (number != nullptr && !std::isfinite(*number)) return wrong("options." + name, "must be a finite number");
  }
  if (Status bad = check_timeout("call_timeout_ms", settings.call_timeout_ms); !bad.ok()) return bad;
  if (Status bad = check_timeout("lifecycle_timeout_ms", settings.lifecycle_timeout_ms); !bad.ok()) return bad;
  if (Status bad = check_budget("max_bytes_in_flight", settings.max_bytes_in_flight); !bad.ok()) return bad;
  return check_budget("max_bytes_leased", settings.max_bytes_leased);
}

Result<std::shared_ptr<const host::Library>> load_library(const StorageHostSettings& settings) {
  const Result<std::string> path = host::resolve_library(settings.library, host::default_plugin_directory());
  if (!path) return fail(path.error().in("library"));
  auto library = host::Library::load(*path);
  if (!library) return fail(library.error().in("library"));
  return library;
}

Status check_options(const StorageHostSettings& settings) {
  const auto library = load_library(settings);
  if (!library) return library.error();
  const auto values = host::check_options((*library)->plugin(), settings.options, settings.data_directory);
  if (values) return {};
  return wrong("options." + values.error().option, values.error().text);
}

Status check(const LogSourceSettings& settings) {
  if (!is_plain_name(settings.log, kMaxLogNameBytes)) {
    return wrong("log", fmt::format("1 to {} letters, digits, dots, underscores, hyphens", kMaxLogNameBytes));
  }
  if (settings.log_id.empty() == settings.state_directory.empty()) {
    return wrong("log_id", "either this or state_directory is to be given");
  }
  if (Status bad = check_read(settings.read); !bad.ok()) return bad;
  if (settings.log_id.empty()) {
    return settings.state_directory.front() == '/' ? Status() : wrong("state_directory", "must be absolute");
  }
  const auto id = Uuid::parse(settings.log_id);
  if (id && !id->is_zero()) return {};
  return wrong("log_id", fmt::format("\"{}\" is no id of a log", settings.log_id));
}

Status check(const NativeSourceSettings& settings) {
  if (settings.stream.empty() || settings.stream.size() > kMaxStreamBytes) {
    return wrong("stream", fmt::format("a name of 1 to {} bytes", kMaxStreamBytes));
  }
  if (settings.partition < 0 || settings.partition == INT32_MAX) return wrong("partition", "must be from 0 on");
  return check_read(settings.read);
}

Status check(const KafkaClusterSettings& settings) {
  if (Status bad = check_kafka(settings.name, settings.bootstrap, settings.properties, settings.request_timeout_ms);
      !bad.ok()) {
    return bad;
  }
  if (settings.read_ahead_bytes < kLeastReadAheadBytes || settings.read_ahead_bytes > kMostReadAheadBytes) {
    return wrong("read_ahead_bytes", fmt::format("must be from {} to {}", kLeastReadAheadBytes, kMostReadAheadBytes));
  }
  return check_kafka_together(RD_KAFKA_CONSUMER, pairs_of(settings), settings.properties, settings.request_timeout_ms);
}

Status check_topic(const std::string& topic) {
  if (is_plain_name(topic, kMaxTopicBytes)) return {};
  return wrong("topic", fmt::format("1 to {} letters, digits, dots, underscores, hyphens", kMaxTopicBytes));
}

}  // namespace sluice::sources
