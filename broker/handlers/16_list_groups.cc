// SPDX-License-Identifier: Apache-2.0
// ListGroups, versions 0 to 5.
#include "handlers/handlers.hpp"
#include "protocol/gen/list_groups.hpp"

namespace sluice::handlers {
namespace {

Task<protocol::ListGroupsResponse> answer(RequestContext context, protocol::ListGroupsRequest request) {
  group::ListRequest list;
  for (const auto state : request.states_filter) list.states.emplace_back(state);
  for (const auto type : request.types_filter) list.types.emplace_back(type);
  auto listed = context.broker->groups.list_groups(list);
  protocol::ListGroupsResponse response;
  response.error_code = listed.error;
  for (auto& group : listed.groups) {
    auto& out = response.groups.emplace_back();
    out.group_id = std::move(group.group_id);
    out.protocol_type = std::move(group.protocol_type);
    out.group_state = std::move(group.state);
    out.group_type = std::move(group.type);
  }
  co_return response;
}

}  // namespace

Task<Reply> list_groups(RequestContext context) { return serve<protocol::ListGroupsRequest, answer>(std::move(context)); }

}  // namespace sluice::handlers
