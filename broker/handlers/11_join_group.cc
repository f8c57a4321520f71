// SPDX-License-Identifier: Apache-2.0
// JoinGroup, versions 0 to 9.
#include "handlers/handlers.hpp"
#include "protocol/gen/join_group.hpp"

namespace sluice::handlers {
namespace {

using Request = protocol::JoinGroupRequest;
using Response = protocol::JoinGroupResponse;

Task<Response> answer(RequestContext context, Request request) {
  group::JoinRequest join;
  join.group_id = std::string(request.group_id);
  join.member_id = std::string(request.member_id);
  if (request.group_instance_id) join.group_instance_id = std::string(*request.group_instance_id);
  join.client_id = std::string(context.request.client_id.value_or(""));
  const std::string peer = context.connection->peer();
  join.client_host = "/" + peer.substr(0, peer.rfind(':'));
  join.session_timeout_ms = request.session_timeout_ms;
  join.rebalance_timeout_ms = context.version() >= 1 ? request.rebalance_timeout_ms : request.session_timeout_ms;
  join.protocol_type = std::string(request.protocol_type);
  for (const auto& protocol : request.protocols) {
    join.protocols.push_back({std::string(protocol.name), std::string(protocol.metadata.text())});
  }
  if (request.reason) join.reason = std::string(*request.reason);
  join.require_known_member_id = context.version() >= 4;
  join.supports_skip_assignment = context.version() >= 9;
  auto joined = co_await suspend_until<group::JoinResult>(*context.loop, [&](Resumer<group::JoinResult> resume) {
    context.broker->groups.join_group(std::move(join), *context.loop, resume);
  });
  Response response;
  response.error_code = joined.error;
  response.generation_id = joined.generation_id;
  response.protocol_type = std::move(joined.protocol_type);
  response.protocol_name = std::move(joined.protocol_name);
  response.leader = std::move(joined.leader);
  response.skip_assignment = joined.skip_assignment;
  response.member_id = std::move(joined.member_id);
  for (auto& member : joined.members) {
    auto& out = response.members.emplace_back();
    out.member_id = std::move(member.member_id);
    out.group_instance_id = std::move(member.group_instance_id);
    out.metadata = std::move(member.metadata);
  }
  co_return response;
}

}  // namespace

Task<Reply> join_group(RequestContext context) { return serve<Request, answer>(std::move(context)); }

}  // namespace sluice::handlers
