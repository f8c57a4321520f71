// SPDX-License-Identifier: Apache-2.0
// AlterConfigs, versions 0 to 2, of topics: the settings given are all that the topic has from then on. Older clients know only this one;
// who can sends IncrementalAlterConfigs. Where "sluice.storage" is not given, the topic stays in the storage that it is in.
#include <fmt/format.h>

#include "handlers/alter.hpp"
#include "handlers/handlers.hpp"
#include "protocol/gen/alter_configs.hpp"

namespace sluice::handlers {
namespace {

using Request = protocol::AlterConfigsRequest;
using Response = protocol::AlterConfigsResponse;
using cluster::ClusterError;
using cluster::Configs;

cluster::ClusterResult<cluster::ConfigChange> change(const Request::Resource& resource) {
  auto refuse = [](std::string text) { return tl::unexpected(ClusterError{ErrorCode::kInvalidRequest, std::move(text)}); };
  Configs wanted;
  for (const auto& config : resource.configs) {
    if (!config.value) return refuse(fmt::format("Null value not supported for : {}", config.name));
    if (!wanted.emplace(std::string(config.name), std::string(*config.value)).second) {
      return refuse(fmt::format("Error due to duplicate config keys: {}", config.name));
    }
  }
  return cluster::ConfigChange([wanted = std::move(wanted)](const Configs&) -> cluster::ClusterResult<Configs> { return wanted; });
}

Task<Response> answer(RequestContext context, Request request) {
  co_return co_await alter<Response>(context, request, &change);
}

}  // namespace

Task<Reply> alter_configs(RequestContext context) { return serve<Request, answer>(std::move(context)); }

}  // namespace sluice::handlers
