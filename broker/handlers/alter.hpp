// SPDX-License-Identifier: Apache-2.0
// What the two requests that change settings have in common.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "handlers/context.hpp"
#include "handlers/gather.hpp"

namespace sluice::handlers {

constexpr int8_t kTopicResource = 2;
constexpr int8_t kBrokerResource = 4;

/// Why settings of such a resource cannot be changed, or none.
inline cluster::ClusterError refuse_resource(int8_t type, std::string_view name, bool twice) {
  if (twice) return {ErrorCode::kInvalidRequest, "Each resource must appear at most once."};
  if (type == kBrokerResource) {
    return {ErrorCode::kInvalidRequest, "The broker's own settings are read when it starts; they cannot be changed while it runs."};
  }
  if (type != kTopicResource) return {ErrorCode::kInvalidRequest, "Only topics have settings that can be changed."};
  if (name.empty()) return {ErrorCode::kInvalidRequest, "Default topic resources are not allowed."};
  return {};
}

/// Changes each resource of a request at the same time, and answers in the order of the request. `change` makes the
/// ConfigChange of a resource, or says what is wrong with it.
template <class Response, class Request, class Change>
Task<Response> alter(RequestContext context, const Request& request, Change change) {
  using Altered = cluster::ClusterResult<cluster::TopicPtr>;
  std::map<std::pair<int8_t, std::string_view>, int> seen;
  for (const auto& resource : request.resources) ++seen[{resource.resource_type, resource.resource_name}];
  auto one = [](RequestContext c, const typename Request::Resource& resource, bool twice, bool validate_only, Change make) -> Task<Altered> {
    cluster::ClusterError refusal = refuse_resource(resource.resource_type, resource.resource_name, twice);
    if (refusal.code != ErrorCode::kNone) co_return tl::unexpected(refusal);
    cluster::ClusterResult<cluster::ConfigChange> wanted = make(resource);
    if (!wanted) co_return tl::unexpected(wanted.error());
    co_return co_await c.broker->cluster.alter_topic(std::string(resource.resource_name), std::move(*wanted), validate_only, *c.loop);
  };
  std::vector<Task<Altered>> tasks;
  for (const auto& resource : request.resources) {
    tasks.push_back(one(context, resource, seen[{resource.resource_type, resource.resource_name}] > 1, request.validate_only, change));
  }
  const Altered late = tl::unexpected(cluster::ClusterError{ErrorCode::kRequestTimedOut, "It was not changed in time, and may yet be."});
  const auto results = co_await gather(std::move(tasks), *context.loop, kGatherMs, late);
  Response response;
  for (size_t i = 0; i < request.resources.size(); ++i) {
    auto& out = response.responses.emplace_back();
    out.resource_type = request.resources[i].resource_type;
    out.resource_name = std::string(request.resources[i].resource_name);
    if (results[i]) continue;
    out.error_code = results[i].error().code;
    out.error_message = results[i].error().text;
  }
  co_return response;
}

}  // namespace sluice::handlers
