// SPDX-License-Identifier: Apache-2.0
// A topic's settings as the protocol shows them.
#pragma once

#include <map>
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

/// What holds of topics of kind NATIVE, by their ids: an engine's own topics have settings of their own, so what the
/// storage promises of those that it makes says nothing of one that was there.
using NativeCapabilities = std::map<Uuid, uint64_t>;

/// Asks the engines, all at the same time, what holds of those of `topics` that are of kind NATIVE, in all of their
/// partitions. Of one that does not answer in time, nothing does.
Task<NativeCapabilities> native_capabilities(RequestContext context, std::vector<cluster::TopicPtr> topics);

/// Every setting of a topic, in order of names, with the value in force. `native`: of the topic, if it is of that kind.
std::vector<ShownSetting> shown_settings(const Broker& broker, const cluster::TopicInfo& topic, const NativeCapabilities& native);

}  // namespace sluice::handlers
