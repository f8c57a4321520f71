// SPDX-License-Identifier: Apache-2.0
// DescribeCluster, versions 0 to 2. There are no controllers to speak to apart from brokers.
#include "handlers/handlers.hpp"
#include "handlers/topics.hpp"
#include "protocol/gen/describe_cluster.hpp"

namespace sluice::handlers {
namespace {

constexpr int8_t kBrokers = 1;

Task<protocol::DescribeClusterResponse> answer(RequestContext context, protocol::DescribeClusterRequest request) {
  protocol::DescribeClusterResponse response;
  response.endpoint_type = request.endpoint_type;
  if (request.endpoint_type != kBrokers) {
    response.error_code = request.endpoint_type == 2 ? ErrorCode::kMismatchedEndpointType : ErrorCode::kUnsupportedEndpointType;
    response.error_message = "Only brokers can be described.";
    co_return response;
  }
  Broker& broker = *context.broker;
  response.cluster_id = broker.cluster.cluster_id().to_string();
  response.controller_id = broker.cluster.broker_id();
  auto& self = response.brokers.emplace_back();
  self.broker_id = broker.cluster.broker_id();
  self.host = context.connection->advertised_host();
  self.port = context.connection->advertised_port();
  if (!broker.cluster.options().rack.empty()) self.rack = broker.cluster.options().rack;
  if (request.include_cluster_authorized_operations) response.cluster_authorized_operations = kAllClusterOperations;
  co_return response;
}

}  // namespace

Task<Reply> describe_cluster(RequestContext context) { return serve<protocol::DescribeClusterRequest, answer>(std::move(context)); }

}  // namespace sluice::handlers
