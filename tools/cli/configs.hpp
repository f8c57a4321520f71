// SPDX-License-Identifier: Apache-2.0
// Settings of topics, read and written through a Client.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "base/status.hpp"
#include "cli/kafka.hpp"

namespace sluice::cli {

struct Config {
  std::string value;
  bool is_default = false;
  bool is_read_only = false;
};
using Configs = std::map<std::string, Config>;

/// All settings of a topic, with the values in force. NOT_FOUND if there is no such topic.
Result<Configs> describe_configs(const Client& client, const std::string& topic);

/// Sets those settings of a topic whose value is given, and removes the others; what is not named stays. The request
/// replaces all settings, so that a change which somebody else makes at the same moment is lost.
Status change_configs(const Client& client, const std::string& topic,
                      const std::map<std::string, std::optional<std::string>>& changes);

}  // namespace sluice::cli
