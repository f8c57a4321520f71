// SPDX-License-Identifier: Apache-2.0
// OffsetDelete, version 0.
#include "handlers/handlers.hpp"
#include "handlers/topics.hpp"
#include "protocol/gen/offset_delete.hpp"

namespace sluice::handlers {
namespace {

using Request = protocol::OffsetDeleteRequest;
using Response = protocol::OffsetDeleteResponse;

bool exists(const cluster::TopicPtr& topic, int32_t partition) { return topic && partition >= 0 && partition < topic->ready_partitions; }

Task<Response> answer(RequestContext context, Request request) {
  group::OffsetDeleteRequest wanted;
  wanted.group_id = std::string(request.group_id);
  for (const auto& topic : request.topics) {
    const auto found = find_topic(*context.broker, {}, topic.name);
    if (!found) continue;
    auto& out = wanted.topics.emplace_back();
    out.name = found->name;
    out.id = found->id;
    for (const auto& partition : topic.partitions) {
      if (exists(found, partition.partition_index)) out.partitions.push_back(partition.partition_index);
    }
  }
  auto result = co_await suspend_until<group::OffsetDeleteResult>(*context.loop, [&](auto resume) {
    context.broker->groups.delete_offsets(std::move(wanted), *context.loop, resume);
  });
  Response response;
  response.error_code = result.error;
  if (result.error != ErrorCode::kNone) co_return response;
  auto answered = result.topics.begin();
  for (const auto& topic : request.topics) {
    const auto found = find_topic(*context.broker, {}, topic.name);
    auto& out = response.topics.emplace_back();
    out.name = std::string(topic.name);
    const bool known = answered != result.topics.end() && answered->name == topic.name;
    size_t next = 0;
    for (const auto& partition : topic.partitions) {
      auto& p = out.partitions.emplace_back();
      p.partition_index = partition.partition_index;
      p.error_code = ErrorCode::kUnknownTopicOrPartition;
      if (known && next < answered->partitions.size() && answered->partitions[next].partition == partition.partition_index) {
        p.error_code = answered->partitions[next++].error;
      }
    }
    if (known) ++answered;
  }
  co_return response;
}

}  // namespace

Task<Reply> offset_delete(RequestContext context) { return serve<Request, answer>(std::move(context)); }

}  // namespace sluice::handlers
