// SPDX-License-Identifier: Apache-2.0
// Heartbeat, versions 0 to 4.
#include "handlers/handlers.hpp"
#include "protocol/gen/heartbeat.hpp"

namespace sluice::handlers {
namespace {

Task<protocol::HeartbeatResponse> answer(RequestContext context, protocol::HeartbeatRequest request) {
  group::HeartbeatRequest heartbeat;
  heartbeat.group_id = std::string(request.group_id);
  heartbeat.generation_id = request.generation_id;
  heartbeat.member_id = std::string(request.member_id);
  if (request.group_instance_id) heartbeat.group_instance_id = std::string(*request.group_instance_id);
  protocol::HeartbeatResponse response;
  response.error_code = context.broker->groups.heartbeat(heartbeat);
  co_return response;
}

}  // namespace

Task<Reply> heartbeat(RequestContext context) { return serve<protocol::HeartbeatRequest, answer>(std::move(context)); }

}  // namespace sluice::handlers
