// SPDX-License-Identifier: Apache-2.0
// InitProducerId, versions 0 to 5, for idempotent producers. Transactions are not offered: a transactional id is refused.
#include "handlers/handlers.hpp"
#include "protocol/gen/init_producer_id.hpp"

namespace sluice::handlers {
namespace {

Task<protocol::InitProducerIdResponse> answer(RequestContext context, protocol::InitProducerIdRequest request) {
  protocol::InitProducerIdResponse response;
  response.producer_epoch = -1;
  if (request.transactional_id) {
    response.error_code = request.transactional_id->empty() ? ErrorCode::kInvalidRequest : ErrorCode::kTransactionalIdAuthorizationFailed;
    co_return response;
  }
  if ((request.producer_id == -1) != (request.producer_epoch == -1)) {
    response.error_code = ErrorCode::kInvalidRequest;  // KIP-360: both or none
    co_return response;
  }
  // Without a transactional id nobody remembers who had which id: a producer that asks again gets a new one (as in Kafka).
  auto id = co_await context.broker->cluster.next_producer_id(*context.loop);
  if (!id) {
    response.error_code = ErrorCode::kCoordinatorNotAvailable;
    co_return response;
  }
  response.producer_id = *id;
  response.producer_epoch = 0;
  co_return response;
}

}  // namespace

Task<Reply> init_producer_id(RequestContext context) { return serve<protocol::InitProducerIdRequest, answer>(std::move(context)); }

}  // namespace sluice::handlers
