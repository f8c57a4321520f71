// SPDX-License-Identifier: Apache-2.0
#include "handlers/configs.hpp"

#include <cstdlib>

#include "cluster/native.hpp"
#include "host/capabilities.hpp"
#include "sluice/storage_abi.h"

namespace sluice::handlers {
namespace {

/// Where the topic's new records go.
std::string_view storage_of(const cluster::TopicInfo& topic) {
  return topic.partitions.empty() ? std::string_view()
                                  : std::string_view(topic.partitions.front().extents.back().storage);
}

/// No batch is larger than what the storage takes at once, whatever the setting says.
std::string capped(std::string bytes, const Broker& broker, std::string_view storage) {
  const auto found = broker.cluster.storages().find(storage);
  const uint64_t largest = found ? found->condition().largest_unit : 0;
  if (largest == 0 || std::strtoull(bytes.c_str(), nullptr, 10) <= largest) return bytes;
  return std::to_string(largest);
}

}  // namespace

std::string capabilities_text(const Broker& broker, std::string_view storage) {
  const auto found = broker.cluster.storages().find(storage);
  if (!found) return {};
  const host::Condition condition = found->condition();
  std::string text = condition.kind == SLUICE_KIND_NATIVE ? "native" : "";
  for (const std::string& name : host::capability_names(condition.capabilities)) {
    if (!text.empty()) text += ',';
    text += name;
  }
  return text;
}

std::vector<ShownSetting> shown_settings(const Broker& broker, const cluster::TopicInfo& topic) {
  std::vector<ShownSetting> result;
  for (const auto& setting : cluster::topic_settings()) {
    auto [value, source] = cluster::effective_setting(setting, topic.configs, broker.cluster.broker_configs());
    bool read_only = false;
    const bool of_native = setting.name == cluster::kNativeNameSetting || setting.name == cluster::kNativeAdoptedSetting;
    if (of_native && !cluster::is_native(topic)) continue;
    if (of_native) read_only = true;
    if (setting.name == cluster::kStorageSetting) {
      value = storage_of(topic);
    } else if (setting.name == cluster::kCapabilitiesSetting) {
      value = capabilities_text(broker, storage_of(topic));
      read_only = true;
    } else if (setting.name == "max.message.bytes") {
      value = capped(std::move(value), broker, storage_of(topic));
    }
    result.push_back({&setting, std::move(value), source, read_only});
  }
  return result;
}

}  // namespace sluice::handlers
