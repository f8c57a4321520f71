// SPDX-License-Identifier: Apache-2.0
// Metadata, versions 0 to 13. Creates the topics asked for where both the broker and the request allow it. Authorised operations
// are reported as all, while there are no ACLs.
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "handlers/gather.hpp"
#include "handlers/handlers.hpp"
#include "handlers/topics.hpp"
#include "protocol/gen/metadata.hpp"

namespace sluice::handlers {
namespace {

using Request = protocol::MetadataRequest;
using Response = protocol::MetadataResponse;

constexpr int kMaxCreatedAtOnce = 1'000;

Response::Topic describe(const cluster::TopicInfo& topic, bool operations) {
  Response::Topic result;
  result.name = topic.name;
  result.topic_id = topic.id;
  result.is_internal = topic.internal;
  for (int32_t i = 0; i < topic.ready_partitions; ++i) {
    const auto& info = topic.partitions[static_cast<size_t>(i)];
    Response::Partition partition;
    partition.partition_index = i;
    partition.leader_id = info.leader;
    partition.leader_epoch = info.leader_epoch;
    partition.replica_nodes = {info.leader};
    partition.isr_nodes = {info.leader};
    result.partitions.push_back(std::move(partition));
  }
  if (operations) result.topic_authorized_operations = kAllTopicOperations;
  return result;
}

Response::Topic refuse(std::optional<std::string_view> name, const Uuid& id, ErrorCode error) {
  Response::Topic result;
  if (name) result.name = std::string(*name);
  result.topic_id = id;
  result.error_code = error;
  return result;
}

Task<Response> answer(RequestContext context, Request request) {
  Broker& broker = *context.broker;
  Response response;
  Response::Broker self;
  self.node_id = broker.cluster.broker_id();
  self.host = context.connection->advertised_host();
  self.port = context.connection->advertised_port();
  if (!broker.cluster.options().rack.empty()) self.rack = broker.cluster.options().rack;
  response.brokers.push_back(std::move(self));
  response.cluster_id = broker.cluster.cluster_id().to_string();
  response.controller_id = broker.cluster.broker_id();
  if (request.include_cluster_authorized_operations) response.cluster_authorized_operations = kAllClusterOperations;
  const bool operations = request.include_topic_authorized_operations;

  // Version 0 asks for all topics by an empty list, later ones by null.
  if (!request.topics || (context.version() == 0 && request.topics->empty())) {
    for (const auto& topic : broker.cluster.state().topics()) response.topics.push_back(describe(*topic, operations));
    co_return response;
  }
  int created = 0;
  std::vector<Task<cluster::ClusterResult<cluster::TopicPtr>>> making;
  std::vector<size_t> places;  // of those in the response
  std::set<std::pair<Uuid, std::string_view>> seen;
  for (const auto& wanted : *request.topics) {
    // Whoever names a topic twice is told of it once.
    if (!seen.emplace(wanted.topic_id, wanted.topic_id.is_zero() ? wanted.name.value_or("") : "").second) continue;
    if (!wanted.topic_id.is_zero()) {
      const auto topic = broker.cluster.state().topic(wanted.topic_id);
      if (topic && wanted.name && *wanted.name != topic->name) {
        response.topics.push_back(refuse(wanted.name, wanted.topic_id, ErrorCode::kInconsistentTopicId));
      } else if (topic && !topic->internal) {
        response.topics.push_back(describe(*topic, operations));
      } else {
        response.topics.push_back(refuse(std::nullopt, wanted.topic_id, ErrorCode::kUnknownTopicId));
      }
      continue;
    }
    if (!wanted.name) {
      response.topics.push_back(refuse("", wanted.topic_id, ErrorCode::kInvalidTopicException));
      continue;
    }
    auto topic = broker.cluster.state().topic(*wanted.name);
    if (topic && topic->internal) topic = nullptr;
    if (topic) {
      response.topics.push_back(describe(*topic, operations));
      continue;
    }
    const bool allowed = broker.options.auto_create_topics && (context.version() < 4 || request.allow_auto_topic_creation);
    if (Status name = cluster::check_topic_name(*wanted.name); !name.ok()) {
      response.topics.push_back(refuse(wanted.name, {}, ErrorCode::kInvalidTopicException));
    } else if (!allowed || is_internal_name(*wanted.name) || ++created > kMaxCreatedAtOnce) {
      response.topics.push_back(refuse(wanted.name, {}, ErrorCode::kUnknownTopicOrPartition));
    } else {
      cluster::NewTopic fresh;
      fresh.name = std::string(*wanted.name);
      making.push_back(broker.cluster.create_topic(std::move(fresh), *context.loop));
      places.push_back(response.topics.size());
      // Until it is there, or if another request is making it, or if it cannot be made now: clients ask again.
      response.topics.push_back(refuse(wanted.name, {}, ErrorCode::kLeaderNotAvailable));
    }
  }
  if (making.empty()) co_return response;
  const cluster::ClusterResult<cluster::TopicPtr> late = tl::unexpected(cluster::ClusterError{ErrorCode::kLeaderNotAvailable, {}});
  const auto made = co_await gather(std::move(making), *context.loop, kGatherMs, late);
  for (size_t i = 0; i < places.size(); ++i) {
    auto& answered = response.topics[places[i]];
    if (const auto topic = broker.cluster.state().topic(answered.name.value_or(""))) {
      answered = describe(*topic, operations);
    } else if (!made[i] && (made[i].error().code == ErrorCode::kInvalidConfig || made[i].error().code == ErrorCode::kInvalidPartitions)) {
      answered.error_code = made[i].error().code;
    }
  }
  co_return response;
}

}  // namespace

Task<Reply> metadata(RequestContext context) { return serve<Request, answer>(std::move(context)); }

}  // namespace sluice::handlers
