// SPDX-License-Identifier: Apache-2.0
// DeleteGroups, versions 0 to 2.
#include "handlers/handlers.hpp"
#include "protocol/gen/delete_groups.hpp"

namespace sluice::handlers {
namespace {

Task<protocol::DeleteGroupsResponse> answer(RequestContext context, protocol::DeleteGroupsRequest request) {
  std::vector<std::string> ids;
  for (const auto id : request.groups_names) ids.emplace_back(id);
  auto deleted = co_await suspend_until<std::vector<group::DeletedGroup>>(*context.loop, [&](auto resume) {
    context.broker->groups.delete_groups(std::move(ids), *context.loop, resume);
  });
  protocol::DeleteGroupsResponse response;
  for (auto& group : deleted) {
    auto& out = response.results.emplace_back();
    out.group_id = std::move(group.group_id);
    out.error_code = group.error;
  }
  co_return response;
}

}  // namespace

Task<Reply> delete_groups(RequestContext context) { return serve<protocol::DeleteGroupsRequest, answer>(std::move(context)); }

}  // namespace sluice::handlers
