// SPDX-License-Identifier: Apache-2.0
// ListOffsets, versions 1 to 11. Nothing is tiered: the earliest local offset is the earliest, the latest tiered one and the first
// that waits to be tiered are -1.
#include <map>

#include "handlers/gather.hpp"
#include "handlers/handlers.hpp"
#include "handlers/topics.hpp"
#include "protocol/gen/list_offsets.hpp"

namespace sluice::handlers {
namespace {

using Request = protocol::ListOffsetsRequest;
using Response = protocol::ListOffsetsResponse;
using partition::OffsetAnswer;

constexpr int64_t kMaxTimestamp = -3;
constexpr int64_t kEarliestLocal = -4;
constexpr int64_t kLatestTiered = -5;
constexpr int64_t kEarliestPendingUpload = -6;

/// The first version in which this named position may be asked for.
int16_t first_version(int64_t timestamp) {
  if (timestamp == kMaxTimestamp) return 7;
  if (timestamp == kEarliestLocal) return 8;
  if (timestamp == kLatestTiered) return 9;
  if (timestamp == kEarliestPendingUpload) return 11;
  return 0;
}

Task<Response> answer(RequestContext context, Request request) {
  std::vector<Task<OffsetAnswer>> tasks;
  std::map<std::pair<std::string_view, int32_t>, int> named;
  for (const auto& topic : request.topics) {
    for (const auto& wanted : topic.partitions) ++named[{topic.name, wanted.partition_index}];
  }
  for (const auto& topic : request.topics) {
    const auto found = find_topic(*context.broker, {}, topic.name);
    for (const auto& wanted : topic.partitions) {
      auto partition = context.broker->partitions.find(found, wanted.partition_index);
      if (named[{topic.name, wanted.partition_index}] > 1) {
        tasks.push_back(immediately(OffsetAnswer{ErrorCode::kInvalidRequest}));
      } else if (!partition) {
        tasks.push_back(immediately(OffsetAnswer{ErrorCode::kUnknownTopicOrPartition}));
      } else if (context.version() < first_version(wanted.timestamp)) {
        tasks.push_back(immediately(OffsetAnswer{ErrorCode::kUnsupportedVersion}));
      } else {
        tasks.push_back(partition->list_offset(wanted.timestamp, wanted.current_leader_epoch, *context.loop));
      }
    }
  }
  const OffsetAnswer late{ErrorCode::kRequestTimedOut};
  const auto answers = co_await gather(std::move(tasks), *context.loop, kGatherMs, late);
  Response response;
  size_t index = 0;
  for (const auto& topic : request.topics) {
    auto& out = response.topics.emplace_back();
    out.name = std::string(topic.name);
    for (const auto& wanted : topic.partitions) {
      const OffsetAnswer& found = answers[index++];
      auto& p = out.partitions.emplace_back();
      p.partition_index = wanted.partition_index;
      p.error_code = found.error;
      p.timestamp = found.timestamp;
      p.offset = found.offset;
      p.leader_epoch = found.leader_epoch;
    }
  }
  co_return response;
}

}  // namespace

Task<Reply> list_offsets(RequestContext context) { return serve<Request, answer>(std::move(context)); }

}  // namespace sluice::handlers
