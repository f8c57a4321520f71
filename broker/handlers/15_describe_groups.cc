// SPDX-License-Identifier: Apache-2.0
// DescribeGroups, versions 0 to 6.
#include "handlers/handlers.hpp"
#include "handlers/topics.hpp"
#include "protocol/gen/describe_groups.hpp"

namespace sluice::handlers {
namespace {

using Request = protocol::DescribeGroupsRequest;
using Response = protocol::DescribeGroupsResponse;

constexpr int16_t kFirstVersionWithNotFound = 6;

Task<Response> answer(RequestContext context, Request request) {
  Response response;
  for (const auto id : request.groups) {
    auto described = context.broker->groups.describe_group(std::string(id));
    auto& out = response.groups.emplace_back();
    out.group_id = std::string(id);
    out.error_code = described.error;
    if (described.error == ErrorCode::kGroupIdNotFound && context.version() < kFirstVersionWithNotFound) out.error_code = ErrorCode::kNone;
    if (!described.error_message.empty()) out.error_message = std::move(described.error_message);
    out.group_state = std::move(described.state);
    out.protocol_type = std::move(described.protocol_type);
    out.protocol_data = std::move(described.protocol_data);
    for (auto& member : described.members) {
      auto& m = out.members.emplace_back();
      m.member_id = std::move(member.member_id);
      m.group_instance_id = std::move(member.group_instance_id);
      m.client_id = std::move(member.client_id);
      m.client_host = std::move(member.client_host);
      m.member_metadata = std::move(member.metadata);
      m.member_assignment = std::move(member.assignment);
    }
    if (request.include_authorized_operations) out.authorized_operations = kAllGroupOperations;
  }
  co_return response;
}

}  // namespace

Task<Reply> describe_groups(RequestContext context) { return serve<Request, answer>(std::move(context)); }

}  // namespace sluice::handlers
