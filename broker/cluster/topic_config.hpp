// SPDX-License-Identifier: Apache-2.0
// The settings of topics: Kafka's names, types and defaults; which of them Sluice honours, which it accepts for
// compatibility because its storages decide them, and which values it refuses, with the reason. One table serves
// creation, DescribeConfigs and the documentation. Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/status.hpp"
#include "cluster/types.hpp"

namespace sluice::cluster {

enum class ConfigType : int8_t {
  boolean = 1,
  string = 2,
  int32 = 3,
  int16 = 4,
  int64 = 5,
  floating = 6,
  list = 7,
  class_name = 8,
  password = 9
};

/// The largest batch, which a topic's storage may cap.
inline constexpr std::string_view kMaxMessageBytesSetting = "max.message.bytes";
/// Which storage a topic lives in, and what that promises: settings of Sluice's own.
inline constexpr std::string_view kStorageSetting = "sluice.storage";
inline constexpr std::string_view kCapabilitiesSetting = "sluice.storage.capabilities";
/// Topics on storages of kind NATIVE: the engine's own topic behind it, and whether that was there before ours.
inline constexpr std::string_view kNativeNameSetting = "sluice.native.name";
inline constexpr std::string_view kNativeAdoptedSetting = "sluice.native.adopted";
/// How a migration to another storage goes on, and how fast it may.
inline constexpr std::string_view kMigrationSetting = "sluice.migration";
inline constexpr std::string_view kMigrationPausedSetting = "sluice.migration.paused";
inline constexpr std::string_view kMigrationRateSetting = "sluice.migration.max.bytes.per.second";
/// Whether Produce looks into compressed batches too.
inline constexpr std::string_view kValidateRecordsSetting = "sluice.validate.records";

/// The protocol's numbers for where a value comes from.
enum class ConfigSource : int8_t {
  topic = 1,
  dynamic_broker = 2,
  dynamic_default_broker = 3,
  static_broker = 4,
  defaults = 5
};

struct TopicSetting {
  std::string_view name;
  ConfigType type;
  std::string_view default_value;
  std::string_view broker_name;  // the broker's property that gives the default; "" if none
  std::string_view choices;      // allowed values separated by '|'; "" for any of the type
  int64_t minimum;
  int64_t maximum;
  std::string_view help;  // says why, where a setting is accepted for compatibility and has no effect
};

std::span<const TopicSetting> topic_settings();
const TopicSetting* find_topic_setting(std::string_view name);

/// Is `value` one that a topic may have for `name`? INVALID with a sentence for the client otherwise.
Status check_topic_setting(std::string_view name, std::string_view value);

/// What partitions need of a topic's settings, parsed; defaults from the broker's own properties where set there.
struct TopicSettings {
  int32_t max_message_bytes = 1'048'588;
  bool log_append_time = false;
  int64_t timestamp_before_max_ms = INT64_MAX;
  int64_t timestamp_after_max_ms = INT64_MAX;
  int64_t retention_ms = 604'800'000;  // -1: for ever
  int64_t retention_bytes = -1;        // per partition; -1: no limit
  int64_t segment_bytes = 1'073'741'824;
  int64_t segment_ms = 604'800'000;
  bool migration_paused = false;
  int64_t migration_max_bytes_per_second = -1;  // of all its partitions together; -1: no limit
  bool validate_records = false;
};

/// `broker_defaults`: the broker's properties by their own names ("log.retention.ms").
TopicSettings parse_topic_settings(const Configs& topic, const Configs& broker_defaults);

/// The value in force of one setting, and where it comes from.
std::pair<std::string, ConfigSource> effective_setting(const TopicSetting& setting, const Configs& topic,
                                                       const Configs& broker_defaults);

/// Kafka's rules for topic names: 1 to 249 of [a-zA-Z0-9._-], not "." or "..". INVALID with the reason.
Status check_topic_name(std::string_view name);

}  // namespace sluice::cluster
