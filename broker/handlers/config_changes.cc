// SPDX-License-Identifier: Apache-2.0
#include "handlers/config_changes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace sluice::handlers {
namespace {

using cluster::ClusterError;

std::vector<std::string> split(std::string_view list) {
  std::vector<std::string> parts;
  while (!list.empty()) {
    const auto comma = list.find(',');
    parts.emplace_back(list.substr(0, comma));
    list.remove_prefix(comma == std::string_view::npos ? list.size() : comma + 1);
  }
  return parts;
}

cluster::ClusterResult<std::string> change_list(const ConfigOperationOn& change, const cluster::Configs& present,
                                                const cluster::Configs& broker_defaults) {
  const cluster::TopicSetting* setting = cluster::find_topic_setting(change.name);
  if (setting == nullptr) return tl::unexpected(ClusterError{ErrorCode::kInvalidConfig, "Unknown topic config name: " + change.name});
  const bool appends = change.operation == ConfigOperation::append;
  if (setting->type != cluster::ConfigType::list) {
    return tl::unexpected(ClusterError{ErrorCode::kInvalidConfig, fmt::format("Can't {} to key {} because its type is not LIST.",
                                                                              appends ? "APPEND" : "SUBTRACT", change.name)});
  }
  std::vector<std::string> list = split(cluster::effective_setting(*setting, present, broker_defaults).first);
  for (const std::string& part : split(change.value)) {
    const auto found = std::find(list.begin(), list.end(), part);
    if (appends && found == list.end()) list.push_back(part);
    if (!appends && found != list.end()) list.erase(found);
  }
  return fmt::format("{}", fmt::join(list, ","));
}

}  // namespace

cluster::ClusterResult<cluster::Configs> apply_changes(const std::vector<ConfigOperationOn>& changes, const cluster::Configs& present,
                                                       const cluster::Configs& broker_defaults) {
  cluster::Configs result = present;
  for (const ConfigOperationOn& change : changes) {
    if (change.operation == ConfigOperation::set) {
      result[change.name] = change.value;
    } else if (change.operation == ConfigOperation::remove) {
      result.erase(change.name);
    } else {
      auto list = change_list(change, result, broker_defaults);
      if (!list) return tl::unexpected(list.error());
      result[change.name] = std::move(*list);
    }
  }
  return result;
}

}  // namespace sluice::handlers
