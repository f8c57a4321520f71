// SPDX-License-Identifier: Apache-2.0
#include "handlers/configs.hpp"

#include <cstdlib>
#include <set>

#include "cluster/extents.hpp"
#include "cluster/native.hpp"
#include "handlers/gather.hpp"
#include "host/capabilities.hpp"
#include "sluice/storage_abi.h"

namespace sluice::handlers {
namespace {

/// Every storage that the topic's records are in, or are to go to.
std::set<std::string, std::less<>> storages_of(const cluster::TopicInfo& topic) {
  std::set<std::string, std::less<>> names;
  if (topic.migration) names.insert(topic.migration->target);
  for (const auto& partition : topic.partitions) {
    for (const auto& extent : partition.extents) names.insert(extent.storage);
  }
  return names;
}

/// No batch is larger than what the storages take at once, whatever the setting says.
std::string capped(std::string bytes, const Broker& broker, const cluster::TopicInfo& topic) {
  for (const auto& storage : storages_of(topic)) {
    const auto found = broker.cluster.storages().find(storage);
    const uint64_t largest = found ? found->condition().largest_unit : 0;
    if (largest != 0 && std::strtoull(bytes.c_str(), nullptr, 10) > largest) bytes = std::to_string(largest);
  }
  return bytes;
}

/// What is promised of the topic's records now, by the names of the storage ABI: "durable,no_rollback". Of kind LOG,
/// what all storages promise that they are in; of kind NATIVE what the engine says of this topic, whose own settings may
/// promise less than the storage, or more. Empty where a storage is not loaded.
std::string capabilities_text(const Broker& broker, const cluster::TopicInfo& topic, const NativeCapabilities& native) {
  uint64_t held = ~uint64_t{0};
  for (const auto& storage : storages_of(topic)) {
    const auto found = broker.cluster.storages().find(storage);
    held &= found ? found->condition().capabilities : 0;
  }
  const bool is_native = cluster::is_native(topic);
  if (is_native) {
    const auto found = native.find(topic.id);
    held = found != native.end() ? found->second : 0;
  }
  std::string text = is_native ? "native" : "";
  for (const std::string& name : host::capability_names(held)) {
    if (!text.empty()) text += ',';
    text += name;
  }
  return text;
}

}  // namespace

Task<NativeCapabilities> native_capabilities(RequestContext context, std::vector<cluster::TopicPtr> topics) {
  constexpr int64_t kAnswerMs = 2'000;
  std::vector<Task<uint64_t>> tasks;
  std::vector<Uuid> asked;
  std::set<Uuid> seen;
  for (const auto& topic : topics) {
    if (!cluster::is_native(*topic) || !seen.insert(topic->id).second) continue;
    for (int32_t i = 0; i < static_cast<int32_t>(topic->partitions.size()); ++i) {
      const auto partition = context.broker->partitions.find(topic, i);
      tasks.push_back(partition ? partition->native_capabilities(*context.loop) : immediately(uint64_t{0}));
      asked.push_back(topic->id);
    }
  }
  const std::vector<uint64_t> held = co_await gather(std::move(tasks), *context.loop, kAnswerMs, uint64_t{0});
  NativeCapabilities result;
  for (size_t i = 0; i < held.size(); ++i) {
    const auto [entry, first] = result.emplace(asked[i], held[i]);
    if (!first) entry->second &= held[i];
  }
  co_return result;
}

std::vector<ShownSetting> shown_settings(const Broker& broker, const cluster::TopicInfo& topic, const NativeCapabilities& native) {
  std::vector<ShownSetting> result;
  for (const auto& setting : cluster::topic_settings()) {
    auto [value, source] = cluster::effective_setting(setting, topic.configs, broker.cluster.broker_configs());
    bool read_only = false;
    const bool of_native = setting.name == cluster::kNativeNameSetting || setting.name == cluster::kNativeAdoptedSetting;
    if (of_native && !cluster::is_native(topic)) continue;
    if (of_native) read_only = true;
    if (setting.name == cluster::kStorageSetting) {
      value = cluster::home_of(topic);
    } else if (setting.name == cluster::kCapabilitiesSetting) {
      value = capabilities_text(broker, topic, native);
      read_only = true;
    } else if (setting.name == cluster::kMigrationSetting) {
      if (broker.migration) value = broker.migration(topic);
      read_only = true;
    } else if (setting.name == cluster::kMaxMessageBytesSetting) {
      value = capped(std::move(value), broker, topic);
    }
    result.push_back({&setting, std::move(value), source, read_only});
  }
  return result;
}

}  // namespace sluice::handlers
