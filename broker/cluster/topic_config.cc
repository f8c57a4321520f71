// SPDX-License-Identifier: Apache-2.0
#include "cluster/topic_config.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

namespace sluice::cluster {
namespace {

constexpr int64_t kMax64 = std::numeric_limits<int64_t>::max();
constexpr int64_t kMax32 = std::numeric_limits<int32_t>::max();
constexpr size_t kLongestTopicName = 249;

constexpr std::string_view kStorageDecides = "Accepted for compatibility: the topic's storage decides this.";
constexpr std::string_view kNoCompaction = "Accepted for compatibility: has no effect while no topic is compacted.";
constexpr std::string_view kNoReplicas = "Accepted for compatibility: replication is the storage's own.";

// Sorted by name.
constexpr std::array kSettings = {
    TopicSetting{"cleanup.policy", ConfigType::list, "delete", "log.cleanup.policy", "delete", 0, 0,
                 "What happens to old records. Only \"delete\" is offered: compaction is not."},
    TopicSetting{"compression.gzip.level", ConfigType::int32, "-1", "compression.gzip.level", "", -1, 9,
                 "Accepted for compatibility: batches are stored as their producers compressed them."},
    TopicSetting{"compression.lz4.level", ConfigType::int32, "9", "compression.lz4.level", "", 1, 17,
                 "Accepted for compatibility: batches are stored as their producers compressed them."},
    TopicSetting{"compression.type", ConfigType::string, "producer", "compression.type", "producer", 0, 0,
                 "Only \"producer\" is offered: batches are stored as their producers compressed them."},
    TopicSetting{"compression.zstd.level", ConfigType::int32, "3", "compression.zstd.level", "", -131'072, 22,
                 "Accepted for compatibility: batches are stored as their producers compressed them."},
    TopicSetting{"delete.retention.ms", ConfigType::int64, "86400000", "log.cleaner.delete.retention.ms", "", 0, kMax64,
                 kNoCompaction},
    TopicSetting{"file.delete.delay.ms", ConfigType::int64, "60000", "log.segment.delete.delay.ms", "", 0, kMax64,
                 kStorageDecides},
    TopicSetting{"flush.messages", ConfigType::int64, "9223372036854775807", "log.flush.interval.messages", "", 1,
                 kMax64, kStorageDecides},
    TopicSetting{"flush.ms", ConfigType::int64, "9223372036854775807", "log.flush.interval.ms", "", 0, kMax64,
                 kStorageDecides},
    TopicSetting{"follower.replication.throttled.replicas", ConfigType::list, "", "", "", 0, 0, kNoReplicas},
    TopicSetting{"index.interval.bytes", ConfigType::int32, "4096", "log.index.interval.bytes", "", 0, kMax32,
                 kStorageDecides},
    TopicSetting{"leader.replication.throttled.replicas", ConfigType::list, "", "", "", 0, 0, kNoReplicas},
    TopicSetting{"local.retention.bytes", ConfigType::int64, "-2", "log.local.retention.bytes", "", -2, kMax64,
                 "Accepted for compatibility: there is no remote storage."},
    TopicSetting{"local.retention.ms", ConfigType::int64, "-2", "log.local.retention.ms", "", -2, kMax64,
                 "Accepted for compatibility: there is no remote storage."},
    TopicSetting{"max.compaction.lag.ms", ConfigType::int64, "9223372036854775807", "log.cleaner.max.compaction.lag.ms",
                 "", 1, kMax64, kNoCompaction},
    TopicSetting{kMaxMessageBytesSetting, ConfigType::int32, "1048588", "message.max.bytes", "", 0, kMax32,
                 "The largest record batch, in bytes as sent."},
    TopicSetting{"message.timestamp.after.max.ms", ConfigType::int64, "3600000", "log.message.timestamp.after.max.ms",
                 "", 0, kMax64, "How far in the future a record's timestamp may be."},
    TopicSetting{"message.timestamp.before.max.ms", ConfigType::int64, "9223372036854775807",
                 "log.message.timestamp.before.max.ms", "", 0, kMax64,
                 "How far in the past a record's timestamp may be."},
    TopicSetting{"message.timestamp.type", ConfigType::string, "CreateTime", "log.message.timestamp.type",
                 "CreateTime|LogAppendTime", 0, 0, "Whose clock records carry: the producer's or the broker's."},
    TopicSetting{"min.cleanable.dirty.ratio", ConfigType::floating, "0.5", "log.cleaner.min.cleanable.ratio", "", 0, 1,
                 kNoCompaction},
    TopicSetting{"min.compaction.lag.ms", ConfigType::int64, "0", "log.cleaner.min.compaction.lag.ms", "", 0, kMax64,
                 kNoCompaction},
    TopicSetting{"min.insync.replicas", ConfigType::int32, "1", "min.insync.replicas", "", 1, kMax32, kNoReplicas},
    TopicSetting{"preallocate", ConfigType::boolean, "false", "log.preallocate", "true|false", 0, 0, kStorageDecides},
    TopicSetting{"remote.log.copy.disable", ConfigType::boolean, "false", "", "true|false", 0, 0,
                 "Accepted for compatibility: there is no remote storage."},
    TopicSetting{"remote.log.delete.on.disable", ConfigType::boolean, "false", "", "true|false", 0, 0,
                 "Accepted for compatibility: there is no remote storage."},
    TopicSetting{"remote.storage.enable", ConfigType::boolean, "false", "", "false", 0, 0,
                 "Only \"false\" is offered: a topic lives in the one storage that it is routed to."},
    TopicSetting{"retention.bytes", ConfigType::int64, "-1", "log.retention.bytes", "", -1, kMax64,
                 "The size of a partition beyond which whole old segments are dropped; -1: no limit."},
    TopicSetting{"retention.ms", ConfigType::int64, "604800000", "log.retention.ms", "", -1, kMax64,
                 "The age beyond which whole old segments are dropped; -1: never."},
    TopicSetting{"segment.bytes", ConfigType::int32, "1073741824", "log.segment.bytes", "", 14, kMax32,
                 "The unit of retention, in bytes."},
    TopicSetting{"segment.index.bytes", ConfigType::int32, "10485760", "log.index.size.max.bytes", "", 4, kMax32,
                 kStorageDecides},
    TopicSetting{"segment.jitter.ms", ConfigType::int64, "0", "log.roll.jitter.ms", "", 0, kMax64,
                 "Accepted for compatibility: segments of different partitions are not rolled together anyway."},
    TopicSetting{"segment.ms", ConfigType::int64, "604800000", "log.roll.ms", "", 1, kMax64,
                 "The unit of retention, in time."},
    TopicSetting{kMigrationSetting, ConfigType::string, "", "", "", 0, 0,
                 "How far the topic is on its way to another storage: an object in JSON; empty when it stays where it is. Shown only."},
    TopicSetting{kMigrationRateSetting, ConfigType::int64, "-1", "", "", -1, kMax64,
                 "How much a migration copies at most, of all partitions together; -1: no limit."},
    TopicSetting{kMigrationPausedSetting, ConfigType::boolean, "false", "", "true|false", 0, 0,
                 "Whether a migration rests: nothing is copied, and no partition changes its storage."},
    TopicSetting{kNativeAdoptedSetting, ConfigType::boolean, "false", "", "", 0, 0,
                 "Whether the engine's topic was there before this one: then deleting this one leaves it. Shown only."},
    TopicSetting{kNativeNameSetting, ConfigType::string, "", "", "", 0, 0,
                 "The engine's own topic that this one stands for, on storages of kind NATIVE; set at creation to adopt one."},
    TopicSetting{kStorageSetting, ConfigType::string, "", "", "", 0, 0,
                 "The storage that the topic lives in, by its name in plugins.json; where it is not set at creation the routes there decide. "
                 "Set to another storage it migrates the topic; set back before that is finished it cancels."},
    TopicSetting{kCapabilitiesSetting, ConfigType::list, "", "", "", 0, 0,
                 "What the topic's storage promises now. Shown only. \"native\": records are the engine's own entries; a producer's retry "
                 "is recognised as long as this process remembers the first try, so that idempotence is best effort; there are "
                 "no transactions, no compaction and no migration."},
    TopicSetting{kValidateRecordsSetting, ConfigType::boolean, "false", "", "true|false", 0, 0,
                 "Whether every record of a batch is looked at before it is taken, compressed ones unpacked for it. Otherwise a batch's "
                 "checksum, header and, where it is not compressed, the number of its records."},
    TopicSetting{"unclean.leader.election.enable", ConfigType::boolean, "false", "unclean.leader.election.enable",
                 "true|false", 0, 0, kNoReplicas},
};

std::optional<int64_t> parse_int(std::string_view text) {
  int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool is_choice(std::string_view choices, std::string_view value) {
  while (!choices.empty()) {
    const auto bar = choices.find('|');
    if (choices.substr(0, bar) == value) return true;
    if (bar == std::string_view::npos) break;
    choices.remove_prefix(bar + 1);
  }
  return false;
}

Status invalid(std::string_view name, std::string_view value, std::string_view why) {
  return Status(StatusCode::invalid, fmt::format("Invalid value {} for configuration {}: {}", value, name, why));
}

}  // namespace

std::span<const TopicSetting> topic_settings() {
  return kSettings;
}

const TopicSetting* find_topic_setting(std::string_view name) {
  auto found =
      std::lower_bound(kSettings.begin(), kSettings.end(), name, [](const auto& s, auto n) { return s.name < n; });
  return found != kSettings.end() && found->name == name ? &*found : nullptr;
}

Status check_topic_setting(std::string_view name, std::string_view value) {
  const TopicSetting* setting = find_topic_setting(name);
  if (setting == nullptr) return Status(StatusCode::invalid, fmt::format("Unknown topic config name: {}", name));
  if (name == kCapabilitiesSetting) return invalid(name, value, "The storage decides what it promises; this is only shown");
  if (name == kMigrationSetting) return invalid(name, value, "This is only shown; sluice.storage starts and cancels migrations");
  if (name == kMigrationRateSetting && value == "0") return invalid(name, value, "Nothing would be copied; sluice.migration.paused says so");
  if (name == kNativeAdoptedSetting) return invalid(name, value, "Naming an engine's topic adopts it; this is only shown");
  if (name == kNativeNameSetting && value.empty()) return invalid(name, value, "Empty");
  if (!setting->choices.empty()) {
    return is_choice(setting->choices, value) ? Status() : invalid(name, value, setting->help);
  }
  switch (setting->type) {
    case ConfigType::int16:
    case ConfigType::int32:
    case ConfigType::int64: {
      auto number = parse_int(value);
      if (!number) return invalid(name, value, "Not a number");
      if (*number < setting->minimum || *number > setting->maximum) {
        return invalid(name, value, fmt::format("Value must be between {} and {}", setting->minimum, setting->maximum));
      }
      return Status();
    }
    case ConfigType::floating: {
      double number = -1;
      auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
      if (error != std::errc() || end != value.data() + value.size()) return invalid(name, value, "Not a number");
      if (!(number >= static_cast<double>(setting->minimum) && number <= static_cast<double>(setting->maximum))) {
        return invalid(name, value, fmt::format("Value must be between {} and {}", setting->minimum, setting->maximum));
      }
      return Status();
    }
    default:
      return Status();
  }
}

std::pair<std::string, ConfigSource> effective_setting(const TopicSetting& setting, const Configs& topic,
                                                       const Configs& broker_defaults) {
  if (auto found = topic.find(setting.name); found != topic.end()) return {found->second, ConfigSource::topic};
  if (!setting.broker_name.empty()) {
    if (auto found = broker_defaults.find(setting.broker_name); found != broker_defaults.end()) {
      return {found->second, ConfigSource::static_broker};
    }
  }
  return {std::string(setting.default_value), ConfigSource::defaults};
}

TopicSettings parse_topic_settings(const Configs& topic, const Configs& broker_defaults) {
  auto text = [&](std::string_view name) {
    return effective_setting(*find_topic_setting(name), topic, broker_defaults).first;
  };
  auto number = [&](std::string_view name) {
    return parse_int(text(name)).value_or(parse_int(find_topic_setting(name)->default_value).value_or(0));
  };
  TopicSettings s;
  s.max_message_bytes = static_cast<int32_t>(number(kMaxMessageBytesSetting));
  s.log_append_time = text("message.timestamp.type") == "LogAppendTime";
  s.timestamp_before_max_ms = number("message.timestamp.before.max.ms");
  s.timestamp_after_max_ms = number("message.timestamp.after.max.ms");
  s.retention_ms = number("retention.ms");
  s.retention_bytes = number("retention.bytes");
  s.segment_bytes = number("segment.bytes");
  s.segment_ms = number("segment.ms");
  s.migration_paused = text(kMigrationPausedSetting) == "true";
  s.migration_max_bytes_per_second = number(kMigrationRateSetting);
  s.validate_records = text(kValidateRecordsSetting) == "true";
  return s;
}

Status check_topic_name(std::string_view name) {
  if (name.empty()) return Status(StatusCode::invalid, "Topic name is invalid: the empty string is not allowed");
  if (name == "." || name == "..") {
    return Status(StatusCode::invalid, fmt::format("Topic name is invalid: '{}' is not allowed", name));
  }
  if (name.size() > kLongestTopicName) {
    return Status(StatusCode::invalid,
                  fmt::format("Topic name is invalid: the length of '{}' is longer than the max allowed length {}",
                              name.substr(0, kLongestTopicName), kLongestTopicName));
  }
  const bool legal = std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
  });
  if (!legal) {
    return Status(StatusCode::invalid, fmt::format("Topic name is invalid: '{}' contains one or more characters other "
                                                   "than ASCII alphanumerics, '.', '_' and '-'",
                                                   name));
  }
  return Status();
}

}  // namespace sluice::cluster
