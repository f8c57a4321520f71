// SPDX-License-Identifier: Apache-2.0
// From a request's key and version to its handler.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "handlers/context.hpp"
#include "handlers/handlers.hpp"

namespace sluice::handlers {

std::span<const Handler> all_handlers() {
  using protocol::ApiKey;
  static constexpr Handler kHandlers[] = {
      {ApiKey::kProduce, produce},
      {ApiKey::kFetch, fetch},
      {ApiKey::kListOffsets, list_offsets},
      {ApiKey::kMetadata, metadata},
      {ApiKey::kOffsetCommit, offset_commit},
      {ApiKey::kOffsetFetch, offset_fetch},
      {ApiKey::kFindCoordinator, find_coordinator},
      {ApiKey::kJoinGroup, join_group},
      {ApiKey::kHeartbeat, heartbeat},
      {ApiKey::kLeaveGroup, leave_group},
      {ApiKey::kSyncGroup, sync_group},
      {ApiKey::kDescribeGroups, describe_groups},
      {ApiKey::kListGroups, list_groups},
      {ApiKey::kApiVersions, api_versions},
      {ApiKey::kCreateTopics, create_topics},
      {ApiKey::kDeleteTopics, delete_topics},
      {ApiKey::kDeleteRecords, delete_records},
      {ApiKey::kInitProducerId, init_producer_id},
      {ApiKey::kOffsetForLeaderEpoch, offset_for_leader_epoch},
      {ApiKey::kDescribeConfigs, describe_configs},
      {ApiKey::kAlterConfigs, alter_configs},
      {ApiKey::kCreatePartitions, create_partitions},
      {ApiKey::kDeleteGroups, delete_groups},
      {ApiKey::kIncrementalAlterConfigs, incremental_alter_configs},
      {ApiKey::kOffsetDelete, offset_delete},
      {ApiKey::kDescribeCluster, describe_cluster},
      {ApiKey::kDescribeTopicPartitions, describe_topic_partitions},
  };
  return kHandlers;
}

namespace {

/// Does this error say that the request was bad? The others are part of normal life, or the broker's own trouble.
bool is_bad_input(ErrorCode error) {
  switch (error) {
    case ErrorCode::kCorruptMessage:
    case ErrorCode::kInvalidFetchSize:
    case ErrorCode::kMessageTooLarge:
    case ErrorCode::kOffsetMetadataTooLarge:
    case ErrorCode::kInvalidTopicException:
    case ErrorCode::kRecordListTooLarge:
    case ErrorCode::kInvalidRequiredAcks:
    case ErrorCode::kInconsistentGroupProtocol:
    case ErrorCode::kInvalidGroupId:
    case ErrorCode::kInvalidSessionTimeout:
    case ErrorCode::kInvalidCommitOffsetSize:
    case ErrorCode::kInvalidTimestamp:
    case ErrorCode::kUnsupportedVersion:
    case ErrorCode::kInvalidPartitions:
    case ErrorCode::kInvalidReplicationFactor:
    case ErrorCode::kInvalidReplicaAssignment:
    case ErrorCode::kInvalidConfig:
    case ErrorCode::kInvalidRequest:
    case ErrorCode::kPolicyViolation:
    case ErrorCode::kOutOfOrderSequenceNumber:
    case ErrorCode::kInvalidProducerEpoch:
    case ErrorCode::kInvalidTxnState:
    case ErrorCode::kTransactionalIdAuthorizationFailed:
    case ErrorCode::kUnsupportedCompressionType:
    case ErrorCode::kInvalidRecord:
    case ErrorCode::kMismatchedEndpointType:
    case ErrorCode::kUnsupportedEndpointType: return true;
    default: return false;
  }
}

}  // namespace

void say(const RequestContext& context, std::string_view what) {
  Broker& broker = *context.broker;
  if (!broker.log) return;
  auto line = broker.log_limiter.pass(fmt::format("connection {} from {} {}", context.connection->id(), context.connection->peer(), what),
                                      broker.clock.monotonic_ms());
  if (line) broker.log(SLUICE_LOG_WARNING, *line);
}

void note_errors(const RequestContext& context, std::span<const protocol::ErrorCount> errors) {
  const protocol::ApiInfo& api = *context.request.api;
  std::string told;
  for (const auto& [code, count] : errors) {
    count_error(context, code, count);
    // A client that is newer than the broker learns by UNSUPPORTED_VERSION what to speak.
    if (!is_bad_input(code) || api.key == protocol::ApiKey::kApiVersions) continue;
    told += told.empty() ? "" : ", ";
    told += error_name(code);
    if (count > 1) told += fmt::format(" ({} times)", count);
  }
  if (!told.empty()) say(context, fmt::format("was refused {} v{}: {}", api.name, context.version(), told));
}

Reply malformed(const RequestContext& context, const Status& status) {
  context.broker->metrics.malformed.fetch_add(1, std::memory_order_relaxed);
  say(context, fmt::format("closed: {}", status.describe()));
  Reply reply;
  reply.close_connection = true;
  return reply;
}

Task<Reply> dispatch(RequestContext context) {
  Broker& broker = *context.broker;
  auto request = protocol::decode_request_header(std::as_bytes(context.bytes));
  if (!request) co_return malformed(context, request.error());
  context.request = *request;
  const protocol::ApiInfo& api = *request->api;
  const auto handlers = all_handlers();
  const auto found = std::lower_bound(handlers.begin(), handlers.end(), api.key, [](const Handler& h, protocol::ApiKey key) { return h.key < key; });
  if (found == handlers.end() || found->key != api.key) {
    co_return malformed(context, Status(StatusCode::unsupported, fmt::format("{} is not served", api.name)));
  }
  auto& metrics = broker.metrics.apis[static_cast<size_t>(api.key)];
  metrics.requests.fetch_add(1, std::memory_order_relaxed);
  if (!api.serves(context.version())) {
    broker.metrics.unsupported_versions.fetch_add(1, std::memory_order_relaxed);
    if (api.key == protocol::ApiKey::kApiVersions) co_return api_versions_unsupported(context);
    co_return malformed(context, Status(StatusCode::unsupported, fmt::format("{} version {} is not served ({} to {} are)", api.name,
                                                                             context.version(), api.min_served, api.max_served)));
  }
  const int64_t began = broker.clock.monotonic_ns();
  Reply reply = co_await found->serve(std::move(context));
  metrics.nanoseconds.fetch_add(static_cast<uint64_t>(broker.clock.monotonic_ns() - began), std::memory_order_relaxed);
  co_return reply;
}

}  // namespace sluice::handlers
