// SPDX-License-Identifier: Apache-2.0
// LeaveGroup, versions 0 to 5.
#include "handlers/handlers.hpp"
#include "protocol/gen/leave_group.hpp"

namespace sluice::handlers {
namespace {

using Request = protocol::LeaveGroupRequest;
using Response = protocol::LeaveGroupResponse;

Task<Response> answer(RequestContext context, Request request) {
  group::LeaveRequest leave;
  leave.group_id = std::string(request.group_id);
  if (context.version() <= 2) {
    leave.members.push_back({std::string(request.member_id), std::nullopt, ""});
  } else {
    for (const auto& member : request.members) {
      group::LeavingMember& out = leave.members.emplace_back();
      out.member_id = std::string(member.member_id);
      if (member.group_instance_id) out.group_instance_id = std::string(*member.group_instance_id);
      if (member.reason) out.reason = std::string(*member.reason);
    }
  }
  auto left = context.broker->groups.leave_group(leave);
  Response response;
  response.error_code = left.error;
  if (context.version() <= 2) {
    if (left.error == ErrorCode::kNone && !left.members.empty()) response.error_code = left.members[0].error;
    co_return response;
  }
  for (auto& member : left.members) {
    auto& out = response.members.emplace_back();
    out.member_id = std::move(member.member_id);
    out.group_instance_id = std::move(member.group_instance_id);
    out.error_code = member.error;
  }
  co_return response;
}

}  // namespace

Task<Reply> leave_group(RequestContext context) { return serve<Request, answer>(std::move(context)); }

}  // namespace sluice::handlers
