// SPDX-License-Identifier: Apache-2.0
#include "cluster/native.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "cluster/topic_config.hpp"

namespace sluice::cluster {
namespace {

constexpr size_t kMaxNamesTold = 10;

// Sluice offers these where it keeps the log itself.
constexpr std::array<std::string_view, 7> kTheEnginesOwn = {
    "cleanup.policy", "message.timestamp.type", "retention.bytes", "retention.ms", "segment.bytes",
    "segment.ms",     "delete.retention.ms"};

}  // namespace

bool is_native(const TopicInfo& topic) {
  return topic.configs.contains(kNativeNameSetting);
}

bool is_adopted(const TopicInfo& topic) {
  const auto found = topic.configs.find(kNativeAdoptedSetting);
  return found != topic.configs.end() && found->second == "true";
}

Status check_native_settings(const Configs& settings, std::string_view storage) {
  for (const std::string_view name : kTheEnginesOwn) {
    const auto given = settings.find(name);
    if (given == settings.end()) continue;
    return Status(StatusCode::invalid,
                  fmt::format("Invalid value {} for configuration {}: Storage \"{}\" keeps topics in its engine's own "
                              "form, and what becomes of old records is decided there",
                              given->second, name, storage));
  }
  return Status();
}

int32_t native_partitions(const std::vector<host::LogEntry>& listed, std::string_view name) {
  int32_t count = 0;
  for (const host::LogEntry& entry : listed) {
    if (entry.topic == name) count = std::max(count, entry.partition + 1);
  }
  return count;
}

std::string native_names(const std::vector<host::LogEntry>& listed) {
  std::set<std::string_view> names;
  for (const host::LogEntry& entry : listed) names.insert(entry.topic);
  if (names.empty()) return "none";
  std::string text;
  size_t told = 0;
  for (const std::string_view name : names) {
    if (told == kMaxNamesTold) break;
    text += fmt::format("{}{}", told++ == 0 ? "" : ", ", name);
  }
  return names.size() > told ? fmt::format("{} and {} more", text, names.size() - told) : text;
}

}  // namespace sluice::cluster
