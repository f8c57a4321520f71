// SPDX-License-Identifier: Apache-2.0
// FindCoordinator, versions 0 to 6. This broker coordinates every group. Transactions and share groups are not offered: their
// coordinators are refused with INVALID_REQUEST, so that a client fails with the reason instead of asking for ever.
#include "handlers/handlers.hpp"
#include "protocol/gen/find_coordinator.hpp"

namespace sluice::handlers {
namespace {

using Request = protocol::FindCoordinatorRequest;
using Response = protocol::FindCoordinatorResponse;

constexpr int8_t kGroup = 0;

struct Found {
  ErrorCode error = ErrorCode::kNone;
  std::optional<std::string> message;
};

Found find(int8_t key_type) {
  if (key_type != kGroup) return {ErrorCode::kInvalidRequest, "Only consumer groups have a coordinator here: transactions are not offered."};
  return {};
}

Task<Response> answer(RequestContext context, Request request) {
  const auto& connection = *context.connection;
  const int32_t self = context.broker->cluster.broker_id();
  Response response;
  if (context.version() <= 3) {
    Found found = find(request.key_type);
    response.error_code = found.error;
    response.error_message = found.message;
    response.node_id = found.error == ErrorCode::kNone ? self : -1;
    response.port = -1;
    if (found.error == ErrorCode::kNone) {
      response.host = connection.advertised_host();
      response.port = connection.advertised_port();
    }
    co_return response;
  }
  for (const auto key : request.coordinator_keys) {
    Found found = find(request.key_type);
    auto& out = response.coordinators.emplace_back();
    out.key = std::string(key);
    out.error_code = found.error;
    out.error_message = std::move(found.message);
    out.node_id = found.error == ErrorCode::kNone ? self : -1;
    out.port = -1;
    if (found.error == ErrorCode::kNone) {
      out.host = connection.advertised_host();
      out.port = connection.advertised_port();
    }
  }
  co_return response;
}

}  // namespace

Task<Reply> find_coordinator(RequestContext context) { return serve<Request, answer>(std::move(context)); }

}  // namespace sluice::handlers
