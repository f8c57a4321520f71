// SPDX-License-Identifier: Apache-2.0
// IncrementalAlterConfigs, versions 0 and 1 (KIP-339), of topics: SET, DELETE, APPEND and SUBTRACT of single settings; those that are not
// named stay. The setting "sluice.storage" migrates the topic. Settings of brokers cannot be changed while they run.
#include <fmt/format.h>

#include <set>

#include "handlers/alter.hpp"
#include "handlers/config_changes.hpp"
#include "handlers/handlers.hpp"
#include "protocol/gen/incremental_alter_configs.hpp"

namespace sluice::handlers {
namespace {

using Request = protocol::IncrementalAlterConfigsRequest;
using Response = protocol::IncrementalAlterConfigsResponse;
using cluster::ClusterError;
using Changes = std::vector<ConfigOperationOn>;

cluster::ClusterResult<Changes> check(const Request::Resource& resource) {
  auto refuse = [](std::string text) { return tl::unexpected(ClusterError{ErrorCode::kInvalidRequest, std::move(text)}); };
  Changes changes;
  std::set<std::string_view> names;
  for (const auto& config : resource.configs) {
    if (!names.insert(config.name).second) return refuse(fmt::format("Error due to duplicate config keys: {}", config.name));
    if (config.config_operation < 0 || config.config_operation > static_cast<int8_t>(ConfigOperation::subtract)) {
      return refuse(fmt::format("Unknown operation {} for config {}", config.config_operation, config.name));
    }
    const auto operation = static_cast<ConfigOperation>(config.config_operation);
    if (!config.value && operation != ConfigOperation::remove) return refuse(fmt::format("Null value not supported for : {}", config.name));
    changes.push_back({std::string(config.name), operation, std::string(config.value.value_or(std::string_view()))});
  }
  return changes;
}

Task<Response> answer(RequestContext context, Request request) {
  const cluster::Configs& broker_defaults = context.broker->cluster.broker_configs();
  auto change = [&broker_defaults](const Request::Resource& resource) -> cluster::ClusterResult<cluster::ConfigChange> {
    auto changes = check(resource);
    if (!changes) return tl::unexpected(changes.error());
    return cluster::ConfigChange([changes = std::move(*changes), &broker_defaults](const cluster::Configs& present) {
      return apply_changes(changes, present, broker_defaults);
    });
  };
  co_return co_await alter<Response>(context, request, change);
}

}  // namespace

Task<Reply> incremental_alter_configs(RequestContext context) { return serve<Request, answer>(std::move(context)); }

}  // namespace sluice::handlers
