// SPDX-License-Identifier: Apache-2.0
// OffsetCommit, versions 2 to 10. The answer comes when the offsets are durable.
#include "handlers/handlers.hpp"
#include "handlers/topics.hpp"
#include "protocol/gen/offset_commit.hpp"

namespace sluice::handlers {
namespace {

using Request = protocol::OffsetCommitRequest;
using Response = protocol::OffsetCommitResponse;

Task<Response> answer(RequestContext context, Request request) {
  const bool by_id = context.version() >= 10;
  group::CommitRequest commit;
  commit.group_id = std::string(request.group_id);
  commit.generation_id = request.generation_id_or_member_epoch;
  commit.member_id = std::string(request.member_id);
  if (request.group_instance_id) commit.group_instance_id = std::string(*request.group_instance_id);
  commit.retention_time_ms = request.retention_time_ms;

  // What is not there is answered here; the others go to the coordinator, which answers in the same order.
  Response response;
  std::vector<ErrorCode*> open;
  for (const auto& topic : request.topics) {
    auto& out = response.topics.emplace_back();
    out.name = std::string(topic.name);
    out.topic_id = topic.topic_id;
    out.partitions.resize(topic.partitions.size());
    const auto found = find_topic(*context.broker, by_id ? topic.topic_id : Uuid{}, topic.name);
    group::CommitTopic committed;
    for (size_t i = 0; i < topic.partitions.size(); ++i) {
      const auto& partition = topic.partitions[i];
      out.partitions[i].partition_index = partition.partition_index;
      if (!found || partition.partition_index < 0 || partition.partition_index >= found->ready_partitions) {
        out.partitions[i].error_code = !found && by_id ? ErrorCode::kUnknownTopicId : ErrorCode::kUnknownTopicOrPartition;
        continue;
      }
      open.push_back(&out.partitions[i].error_code);
      auto& c = committed.partitions.emplace_back();
      c.partition = partition.partition_index;
      c.offset = partition.committed_offset;
      c.leader_epoch = partition.committed_leader_epoch;
      if (partition.committed_metadata) c.metadata = std::string(*partition.committed_metadata);
    }
    if (committed.partitions.empty()) continue;
    committed.name = found->name;
    committed.id = found->id;
    commit.topics.push_back(std::move(committed));
  }
  if (open.empty()) co_return response;
  auto result = co_await suspend_until<group::CommitResult>(*context.loop, [&](auto resume) {
    context.broker->groups.commit_offsets(std::move(commit), *context.loop, resume);
  });
  size_t next = 0;
  for (const auto& topic : result.topics) {
    for (const auto& partition : topic.partitions) {
      if (next < open.size()) *open[next++] = partition.error;
    }
  }
  co_return response;
}

}  // namespace

Task<Reply> offset_commit(RequestContext context) { return serve<Request, answer>(std::move(context)); }

}  // namespace sluice::handlers
