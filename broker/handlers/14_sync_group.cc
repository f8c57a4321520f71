// SPDX-License-Identifier: Apache-2.0
// SyncGroup, versions 0 to 5.
#include "handlers/handlers.hpp"
#include "protocol/gen/sync_group.hpp"

namespace sluice::handlers {
namespace {

using Request = protocol::SyncGroupRequest;
using Response = protocol::SyncGroupResponse;

Task<Response> answer(RequestContext context, Request request) {
  Response response;
  if (context.version() >= 5 && (!request.protocol_type || !request.protocol_name)) {
    response.error_code = ErrorCode::kInconsistentGroupProtocol;  // KIP-559
    co_return response;
  }
  group::SyncRequest sync;
  sync.group_id = std::string(request.group_id);
  sync.generation_id = request.generation_id;
  sync.member_id = std::string(request.member_id);
  if (request.group_instance_id) sync.group_instance_id = std::string(*request.group_instance_id);
  if (request.protocol_type) sync.protocol_type = std::string(*request.protocol_type);
  if (request.protocol_name) sync.protocol_name = std::string(*request.protocol_name);
  for (const auto& assignment : request.assignments) {
    sync.assignments.push_back({std::string(assignment.member_id), std::string(assignment.assignment.text())});
  }
  auto synced = co_await suspend_until<group::SyncResult>(*context.loop, [&](Resumer<group::SyncResult> resume) {
    context.broker->groups.sync_group(std::move(sync), *context.loop, resume);
  });
  response.error_code = synced.error;
  response.protocol_type = std::move(synced.protocol_type);
  response.protocol_name = std::move(synced.protocol_name);
  response.assignment = std::move(synced.assignment);
  co_return response;
}

}  // namespace

Task<Reply> sync_group(RequestContext context) { return serve<Request, answer>(std::move(context)); }

}  // namespace sluice::handlers
