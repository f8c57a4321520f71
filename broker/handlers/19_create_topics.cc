// SPDX-License-Identifier: Apache-2.0
// CreateTopics, versions 2 to 7. A partition has one replica: how often its storage keeps the bytes is the storage's own matter. A
// replication factor above 1 is refused, as it is by one Kafka broker; assignments can name this broker only.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "handlers/configs.hpp"
#include "handlers/gather.hpp"
#include "handlers/handlers.hpp"
#include "handlers/topics.hpp"
#include "protocol/gen/create_topics.hpp"

namespace sluice::handlers {
namespace {

using Request = protocol::CreateTopicsRequest;
using Response = protocol::CreateTopicsResponse;
using cluster::ClusterError;

/// Partitions that one request may create; as in Kafka, which refuses all of a request that wants more.
constexpr int64_t kMaxPartitionsPerRequest = 10'000;

int64_t partitions_wanted(const Request& request, int32_t default_partitions) {
  int64_t total = 0;
  for (const auto& topic : request.topics) {
    if (!topic.assignments.empty()) {
      total += static_cast<int64_t>(topic.assignments.size());
    } else {
      total += topic.num_partitions == -1 ? default_partitions : std::max(topic.num_partitions, 0);
    }
  }
  return total;
}

tl::expected<cluster::NewTopic, ClusterError> check(const RequestContext& context, const Request::Topic& topic, bool validate_only) {
  auto refuse = [](ErrorCode code, std::string text) { return tl::unexpected(ClusterError{code, std::move(text)}); };
  if (Status name = cluster::check_topic_name(topic.name); !name.ok()) return refuse(ErrorCode::kInvalidTopicException, name.text());
  if (is_internal_name(topic.name)) return refuse(ErrorCode::kInvalidTopicException, "The name belongs to the broker.");
  cluster::NewTopic result;
  result.name = std::string(topic.name);
  result.partitions = topic.num_partitions;
  result.validate_only = validate_only;
  if (!topic.assignments.empty()) {
    if (topic.num_partitions != -1 || topic.replication_factor != -1) {
      return refuse(ErrorCode::kInvalidRequest,
                    "A manual partition assignment was specified, but numPartitions or replicationFactor was not set to -1.");
    }
    std::vector<bool> seen(topic.assignments.size());
    for (const auto& assignment : topic.assignments) {
      const auto index = static_cast<size_t>(assignment.partition_index);
      if (assignment.partition_index < 0 || index >= seen.size() || seen[index]) {
        return refuse(ErrorCode::kInvalidReplicaAssignment, "Partitions must be a consecutive 0-based integer sequence.");
      }
      seen[index] = true;
      if (assignment.broker_ids.size() != 1 || assignment.broker_ids[0] != context.broker->cluster.broker_id()) {
        return refuse(ErrorCode::kInvalidReplicaAssignment, "Each partition has one replica, on a broker that is there.");
      }
    }
    result.partitions = static_cast<int32_t>(topic.assignments.size());
  } else if (topic.replication_factor != -1 && topic.replication_factor != 1) {
    return refuse(ErrorCode::kInvalidReplicationFactor,
                  topic.replication_factor <= 0
                      ? "Replication factor must be larger than 0, or -1 to use the default value."
                      : fmt::format("Unable to replicate the partition {} time(s): the storage replicates, and each partition has 1 broker.",
                                    topic.replication_factor));
  }
  for (const auto& config : topic.configs) {
    if (!config.value) return refuse(ErrorCode::kInvalidConfig, fmt::format("Null value not supported for topic configs: {}", config.name));
    if (!result.configs.emplace(std::string(config.name), std::string(*config.value)).second) {
      return refuse(ErrorCode::kInvalidConfig, fmt::format("Duplicate topic config name: {}", config.name));
    }
  }
  return result;
}

Task<cluster::ClusterResult<cluster::TopicPtr>> create(RequestContext context, const Request::Topic& topic, bool too_many, bool duplicate,
                                                       bool validate_only) {
  if (too_many) co_return tl::unexpected(ClusterError{ErrorCode::kPolicyViolation, "Excessively large number of partitions per request."});
  if (duplicate) co_return tl::unexpected(ClusterError{ErrorCode::kInvalidRequest, "Duplicate topic name in the request."});
  auto wanted = check(context, topic, validate_only);
  if (!wanted) co_return tl::unexpected(wanted.error());
  co_return co_await context.broker->cluster.create_topic(std::move(*wanted), *context.loop);
}

Task<Response> answer(RequestContext context, Request request) {
  std::map<std::string_view, int> names;
  for (const auto& topic : request.topics) ++names[topic.name];
  const bool too_many = partitions_wanted(request, context.broker->cluster.options().default_partitions) > kMaxPartitionsPerRequest;
  std::vector<Task<cluster::ClusterResult<cluster::TopicPtr>>> tasks;
  for (const auto& topic : request.topics) {
    tasks.push_back(create(context, topic, too_many, names[topic.name] > 1, request.validate_only));
  }
  const cluster::ClusterResult<cluster::TopicPtr> late =
      tl::unexpected(ClusterError{ErrorCode::kRequestTimedOut, "The topic is being made: its storage did not answer in time."});
  const auto results = co_await gather(std::move(tasks), *context.loop, gather_ms(request.timeout_ms), late);
  std::vector<cluster::TopicPtr> there;
  for (const auto& made : results) {
    if (made && !request.validate_only) there.push_back(*made);
  }
  const NativeCapabilities native = co_await native_capabilities(context, std::move(there));
  Response response;
  for (size_t i = 0; i < request.topics.size(); ++i) {
    const auto& made = results[i];
    auto& out = response.topics.emplace_back();
    out.name = std::string(request.topics[i].name);
    if (!made) {
      out.error_code = made.error().code;
      out.error_message = made.error().text;
      continue;
    }
    const cluster::TopicInfo& topic = **made;
    out.topic_id = request.validate_only ? Uuid{} : topic.id;
    out.num_partitions = static_cast<int32_t>(topic.partitions.size());
    out.replication_factor = 1;
    out.configs.emplace();
    for (auto& shown : shown_settings(*context.broker, topic, native)) {
      auto& config = out.configs->emplace_back();
      config.name = std::string(shown.setting->name);
      config.value = std::move(shown.value);
      config.config_source = static_cast<int8_t>(shown.source);
      config.read_only = shown.read_only;
    }
  }
  co_return response;
}

}  // namespace

Task<Reply> create_topics(RequestContext context) { return serve<Request, answer>(std::move(context)); }

}  // namespace sluice::handlers
