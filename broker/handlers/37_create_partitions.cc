// SPDX-License-Identifier: Apache-2.0
// CreatePartitions, versions 0 to 3. An assignment can name this broker only.
#include <set>
#include <string>
#include <vector>

#include "handlers/gather.hpp"
#include "handlers/handlers.hpp"
#include "handlers/topics.hpp"
#include "protocol/gen/create_partitions.hpp"

namespace sluice::handlers {
namespace {

using Request = protocol::CreatePartitionsRequest;
using Response = protocol::CreatePartitionsResponse;
using cluster::ClusterError;

Task<ClusterError> create(RequestContext context, const Request::Topic& topic, bool validate_only) {
  const auto found = find_topic(*context.broker, {}, topic.name);
  if (!found) co_return ClusterError{ErrorCode::kUnknownTopicOrPartition, "This server does not host this topic-partition."};
  if (topic.assignments) {
    const int64_t added = static_cast<int64_t>(topic.count) - static_cast<int64_t>(found->partitions.size());
    if (added > 0 && added != static_cast<int64_t>(topic.assignments->size())) {
      co_return ClusterError{ErrorCode::kInvalidReplicaAssignment, "One assignment is needed for each new partition."};
    }
    for (const auto& assignment : *topic.assignments) {
      if (assignment.broker_ids.size() != 1 || assignment.broker_ids[0] != context.broker->cluster.broker_id()) {
        co_return ClusterError{ErrorCode::kInvalidReplicaAssignment, "Each partition has one replica, on a broker that is there."};
      }
    }
  }
  co_return co_await context.broker->cluster.add_partitions(std::string(topic.name), topic.count, validate_only, *context.loop);
}

Task<Response> answer(RequestContext context, Request request) {
  Response response;
  std::multiset<std::string_view> names;
  for (const auto& topic : request.topics) names.insert(topic.name);
  std::vector<Task<ClusterError>> tasks;
  for (const auto& topic : request.topics) {
    tasks.push_back(names.count(topic.name) > 1
                        ? immediately(ClusterError{ErrorCode::kInvalidRequest, "Duplicate topic name in the request."})
                        : create(context, topic, request.validate_only));
  }
  const ClusterError late{ErrorCode::kRequestTimedOut, "The partitions are being made: their storage did not answer in time."};
  const auto errors = co_await gather(std::move(tasks), *context.loop, gather_ms(request.timeout_ms), late);
  for (size_t i = 0; i < errors.size(); ++i) {
    auto& result = response.results.emplace_back();
    result.name = std::string(request.topics[i].name);
    result.error_code = errors[i].code;
    if (errors[i].code != ErrorCode::kNone) result.error_message = errors[i].text;
  }
  co_return response;
}

}  // namespace

Task<Reply> create_partitions(RequestContext context) { return serve<Request, answer>(std::move(context)); }

}  // namespace sluice::handlers
