// SPDX-License-Identifier: Apache-2.0
// DeleteRecords, versions 0 to 2.
#include <algorithm>

#include "handlers/gather.hpp"
#include "handlers/handlers.hpp"
#include "handlers/topics.hpp"
#include "protocol/gen/delete_records.hpp"

namespace sluice::handlers {
namespace {

using Request = protocol::DeleteRecordsRequest;
using Response = protocol::DeleteRecordsResponse;
using partition::OffsetAnswer;

Task<Response> answer(RequestContext context, Request request) {
  std::vector<Task<OffsetAnswer>> tasks;
  for (const auto& topic : request.topics) {
    const auto found = find_topic(*context.broker, {}, topic.name);
    for (const auto& wanted : topic.partitions) {
      auto partition = context.broker->partitions.find(found, wanted.partition_index);
      tasks.push_back(partition ? partition->delete_records(wanted.offset, *context.loop)
                                : immediately(OffsetAnswer{ErrorCode::kUnknownTopicOrPartition}));
    }
  }
  const OffsetAnswer late{ErrorCode::kRequestTimedOut};
  const auto answers = co_await gather(std::move(tasks), *context.loop, gather_ms(request.timeout_ms), late);
  Response response;
  size_t index = 0;
  for (const auto& topic : request.topics) {
    auto& out = response.topics.emplace_back();
    out.name = std::string(topic.name);
    for (const auto& wanted : topic.partitions) {
      const OffsetAnswer& done = answers[index++];
      auto& p = out.partitions.emplace_back();
      p.partition_index = wanted.partition_index;
      p.error_code = done.error;
      p.low_watermark = done.error == ErrorCode::kNone ? done.offset : -1;
    }
  }
  co_return response;
}

}  // namespace

Task<Reply> delete_records(RequestContext context) { return serve<Request, answer>(std::move(context)); }

}  // namespace sluice::handlers
