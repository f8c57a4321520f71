// SPDX-License-Identifier: Apache-2.0
// A topic's settings as the protocol shows them.
#pragma once

#include <string>
#include <vector>

#include "handlers/context.hpp"

namespace sluice::handlers {

struct ShownSetting {
  const cluster::TopicSetting* setting;
  std::string value;
  cluster::ConfigSource source;
};

/// Every setting of a topic, in order of names, with the value in force.
inline std::vector<ShownSetting> shown_settings(const Broker& broker, const cluster::Configs& topic) {
  std::vector<ShownSetting> result;
  for (const auto& setting : cluster::topic_settings()) {
    auto [value, source] = cluster::effective_setting(setting, topic, broker.cluster.broker_configs());
    result.push_back({&setting, std::move(value), source});
  }
  return result;
}

}  // namespace sluice::handlers
