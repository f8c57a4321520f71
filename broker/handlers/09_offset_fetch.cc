// SPDX-License-Identifier: Apache-2.0
// OffsetFetch, versions 1 to 10.
#include "handlers/handlers.hpp"
#include "handlers/topics.hpp"
#include "protocol/gen/offset_fetch.hpp"

namespace sluice::handlers {
namespace {

using Request = protocol::OffsetFetchRequest;
using Response = protocol::OffsetFetchResponse;

/// A topic that is gone, or was made anew, has no committed offsets.
bool is_present(const Broker& broker, const group::FetchedTopic& topic) {
  const auto found = find_topic(broker, {}, topic.name);
  return found && (topic.id.is_zero() || topic.id == found->id);
}

Response of_one_group(const RequestContext& context, const Request& request) {
  const Broker& broker = *context.broker;
  group::OffsetFetchRequest fetch;
  fetch.group_id = std::string(request.group_id);
  fetch.require_stable = request.require_stable;
  const bool all = !request.topics.has_value();
  if (!all) {
    fetch.topics.emplace();
    for (const auto& topic : *request.topics) {
      const auto found = find_topic(broker, {}, topic.name);
      fetch.topics->push_back({std::string(topic.name), found ? found->id : Uuid{}, topic.partition_indexes});
    }
  }
  auto result = broker.groups.fetch_offsets(fetch);
  Response response;
  response.error_code = result.error;
  // Version 1 has no error of its own for the group: each partition carries it.
  if (result.error != ErrorCode::kNone && request.topics) {
    for (const auto& topic : *request.topics) {
      auto& out = response.topics.emplace_back();
      out.name = std::string(topic.name);
      for (const int32_t partition : topic.partition_indexes) {
        auto& p = out.partitions.emplace_back();
        p.partition_index = partition;
        p.committed_offset = -1;
        p.error_code = result.error;
      }
    }
    return response;
  }
  for (auto& topic : result.topics) {
    if (all && !is_present(broker, topic)) continue;
    auto& out = response.topics.emplace_back();
    out.name = std::move(topic.name);
    for (auto& partition : topic.partitions) {
      auto& p = out.partitions.emplace_back();
      p.partition_index = partition.partition;
      p.committed_offset = partition.offset;
      p.committed_leader_epoch = partition.leader_epoch;
      p.metadata = std::move(partition.metadata);
      p.error_code = partition.error;
    }
  }
  return response;
}

Response::Group of_group(const RequestContext& context, const Request& request, const Request::Group& group) {
  const Broker& broker = *context.broker;
  const bool by_id = context.version() >= 10;
  Response::Group result;
  result.group_id = std::string(group.group_id);
  group::OffsetFetchRequest fetch;
  fetch.group_id = std::string(group.group_id);
  if (group.member_id) fetch.member_id = std::string(*group.member_id);
  fetch.member_epoch = group.member_epoch;
  fetch.require_stable = request.require_stable;
  std::vector<Response::GroupTopic> unknown;
  if (group.topics) {
    fetch.topics.emplace();
    for (const auto& topic : *group.topics) {
      const auto found = find_topic(broker, by_id ? topic.topic_id : Uuid{}, topic.name);
      if (by_id && !found) {
        auto& out = unknown.emplace_back();
        out.topic_id = topic.topic_id;
        for (const int32_t partition : topic.partition_indexes) {
          auto& p = out.partitions.emplace_back();
          p.partition_index = partition;
          p.committed_offset = -1;
          p.error_code = ErrorCode::kUnknownTopicId;
        }
        continue;
      }
      fetch.topics->push_back({found ? found->name : std::string(topic.name), found ? found->id : Uuid{}, topic.partition_indexes});
    }
  }
  auto fetched = broker.groups.fetch_offsets(fetch);
  result.error_code = fetched.error;
  for (auto& topic : fetched.topics) {
    if (!group.topics && !is_present(broker, topic)) continue;
    auto& out = result.topics.emplace_back();
    const auto found = find_topic(broker, {}, topic.name);
    out.topic_id = found ? found->id : topic.id;
    out.name = std::move(topic.name);
    for (auto& partition : topic.partitions) {
      auto& p = out.partitions.emplace_back();
      p.partition_index = partition.partition;
      p.committed_offset = partition.offset;
      p.committed_leader_epoch = partition.leader_epoch;
      p.metadata = std::move(partition.metadata);
      p.error_code = partition.error;
    }
  }
  if (result.error_code == ErrorCode::kNone) {
    result.topics.insert(result.topics.end(), std::make_move_iterator(unknown.begin()), std::make_move_iterator(unknown.end()));
  }
  return result;
}

Task<Response> answer(RequestContext context, Request request) {
  if (context.version() <= 7) co_return of_one_group(context, request);
  Response response;
  for (const auto& group : request.groups) response.groups.push_back(of_group(context, request, group));
  co_return response;
}

}  // namespace

Task<Reply> offset_fetch(RequestContext context) { return serve<Request, answer>(std::move(context)); }

}  // namespace sluice::handlers
