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
  bool read_only = false;
};

/// What all storages that the topic's records are in promise now, by the names of the storage ABI:
/// "durable,no_rollback". Empty where one is not loaded.
std::string capabilities_text(const Broker& broker, const cluster::TopicInfo& topic);

/// Every setting of a topic, in order of names, with the value in force.
std::vector<ShownSetting> shown_settings(const Broker& broker, const cluster::TopicInfo& topic);

}  // namespace sluice::handlers
