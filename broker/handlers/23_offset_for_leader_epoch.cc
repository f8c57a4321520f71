// SPDX-License-Identifier: Apache-2.0
// OffsetForLeaderEpoch, versions 2 to 4 (KIP-320).
#include "handlers/gather.hpp"
#include "handlers/handlers.hpp"
#include "handlers/topics.hpp"
#include "protocol/gen/offset_for_leader_epoch.hpp"

namespace sluice::handlers {
namespace {

using Request = protocol::OffsetForLeaderEpochRequest;
using Response = protocol::OffsetForLeaderEpochResponse;
using partition::OffsetAnswer;

Task<Response> answer(RequestContext context, Request request) {
  std::vector<Task<OffsetAnswer>> tasks;
  for (const auto& topic : request.topics) {
    const auto found = find_topic(*context.broker, {}, topic.topic);
    for (const auto& wanted : topic.partitions) {
      auto partition = context.broker->partitions.find(found, wanted.partition);
      tasks.push_back(partition ? partition->end_of_epoch(wanted.leader_epoch, wanted.current_leader_epoch, *context.loop)
                                : immediately(OffsetAnswer{ErrorCode::kUnknownTopicOrPartition}));
    }
  }
  const OffsetAnswer late{ErrorCode::kRequestTimedOut};
  const auto answers = co_await gather(std::move(tasks), *context.loop, kGatherMs, late);
  Response response;
  size_t index = 0;
  for (const auto& topic : request.topics) {
    auto& out = response.topics.emplace_back();
    out.topic = std::string(topic.topic);
    for (const auto& wanted : topic.partitions) {
      const OffsetAnswer& found = answers[index++];
      auto& p = out.partitions.emplace_back();
      p.partition = wanted.partition;
      p.error_code = found.error;
      p.leader_epoch = found.leader_epoch;
      p.end_offset = found.offset;
    }
  }
  co_return response;
}

}  // namespace

Task<Reply> offset_for_leader_epoch(RequestContext context) { return serve<Request, answer>(std::move(context)); }

}  // namespace sluice::handlers
