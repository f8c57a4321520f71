// SPDX-License-Identifier: Apache-2.0
// DescribeTopicPartitions, version 0 (KIP-966): topics in order of names, in pages.
#include <algorithm>
#include <set>

#include "handlers/handlers.hpp"
#include "handlers/topics.hpp"
#include "protocol/gen/describe_topic_partitions.hpp"

namespace sluice::handlers {
namespace {

using Request = protocol::DescribeTopicPartitionsRequest;
using Response = protocol::DescribeTopicPartitionsResponse;

constexpr int32_t kMaxPartitionsPerPage = 2'000;  // max.request.partition.size.limit

Task<Response> answer(RequestContext context, Request request) {
  Broker& broker = *context.broker;
  Response response;
  std::set<std::string, std::less<>> names;
  if (request.topics.empty()) {
    for (const auto& topic : broker.cluster.state().topics()) names.insert(topic->name);
  } else {
    for (const auto& topic : request.topics) names.emplace(topic.name);
  }
  int32_t first_partition = 0;
  if (request.cursor && request.cursor->partition_index < 0) {
    for (const auto& name : names) {
      auto& out = response.topics.emplace_back();
      out.name = name;
      out.error_code = ErrorCode::kInvalidRequest;
    }
    co_return response;
  }
  if (request.cursor) {
    names.erase(names.begin(), names.lower_bound(request.cursor->topic_name));
    if (!names.empty() && *names.begin() == request.cursor->topic_name) first_partition = std::max(request.cursor->partition_index, 0);
  }
  int32_t left = std::clamp(request.response_partition_limit, 1, kMaxPartitionsPerPage);
  for (const auto& name : names) {
    if (left == 0) {
      response.next_cursor = Response::NextCursor{};
      response.next_cursor->topic_name = name;
      break;
    }
    auto& out = response.topics.emplace_back();
    out.name = name;
    const auto topic = find_topic(broker, {}, name);
    if (!topic) {
      out.error_code = cluster::check_topic_name(name).ok() ? ErrorCode::kUnknownTopicOrPartition : ErrorCode::kInvalidTopicException;
      first_partition = 0;
      continue;
    }
    out.topic_id = topic->id;
    out.topic_authorized_operations = kAllTopicOperations;
    int32_t i = first_partition;
    for (; i < topic->ready_partitions && left > 0; ++i, --left) {
      const auto& info = topic->partitions[static_cast<size_t>(i)];
      auto& p = out.partitions.emplace_back();
      p.partition_index = i;
      p.leader_id = info.leader;
      p.leader_epoch = info.leader_epoch;
      p.replica_nodes = {info.leader};
      p.isr_nodes = {info.leader};
      p.eligible_leader_replicas.emplace();
      p.last_known_elr.emplace();
    }
    first_partition = 0;
    if (i < topic->ready_partitions) {
      response.next_cursor = Response::NextCursor{};
      response.next_cursor->topic_name = name;
      response.next_cursor->partition_index = i;
      break;
    }
  }
  co_return response;
}

}  // namespace

Task<Reply> describe_topic_partitions(RequestContext context) { return serve<Request, answer>(std::move(context)); }

}  // namespace sluice::handlers
