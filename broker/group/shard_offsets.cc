// SPDX-License-Identifier: Apache-2.0
// A shard's committed offsets: commit, fetch, deletion and expiry.
#include <algorithm>
#include <limits>
#include <utility>

#include "group/shard.hpp"

namespace sluice::group {
namespace {

/// Deletions of topics remembered for a shard that is not loaded. Beyond, their offsets stay until they expire, unseen:
/// they belong to the id of a topic that is no more.
constexpr size_t kMaxDeletedTopics = 10'000;
/// How soon offsets of a group are looked at again that could not be because a commit was under way.
constexpr int64_t kExpiryRetryMs = 1'000;

CommitResult all_partitions(const CommitRequest& request, ErrorCode error) {
  CommitResult result;
  for (const CommitTopic& topic : request.topics) {
    TopicErrors& errors = result.topics.emplace_back(TopicErrors{topic.name, topic.id, {}});
    for (const CommittedPartition& partition : topic.partitions)
      errors.partitions.push_back({partition.partition, error});
  }
  return result;
}

void fail_committed(CommitResult& result, ErrorCode error) {
  for (TopicErrors& topic : result.topics) {
    for (PartitionError& partition : topic.partitions) {
      if (partition.error == ErrorCode::kNone) partition.error = error;
    }
  }
}

int64_t expire_time_ms(const CommitRequest& request, int64_t commit_ms) {
  if (request.retention_time_ms < 0) return kNoExpireTime;
  if (request.retention_time_ms > std::numeric_limits<int64_t>::max() - commit_ms) {
    return std::numeric_limits<int64_t>::max();
  }
  return commit_ms + request.retention_time_ms;
}

/// The records of what can be committed of `request`; what cannot gets its error in `result`.
std::vector<std::string> commit_records(const CommitRequest& request, const Options& options, int64_t commit_ms,
                                        CommitResult& result) {
  OffsetsRecord accepted{request.group_id, {}};
  for (size_t i = 0; i < request.topics.size(); ++i) {
    const CommitTopic& topic = request.topics[i];
    OffsetsRecord::Topic stored{{topic.name, topic.id}, {}};
    for (size_t j = 0; j < topic.partitions.size(); ++j) {
      const CommittedPartition& partition = topic.partitions[j];
      if (partition.metadata.size() > static_cast<size_t>(options.offset_metadata_max_bytes)) {
        result.topics[i].partitions[j].error = ErrorCode::kOffsetMetadataTooLarge;
        continue;
      }
      stored.partitions.push_back({partition.partition,
                                   {partition.offset, partition.leader_epoch, partition.metadata, commit_ms,
                                    expire_time_ms(request, commit_ms)}});
    }
    if (!stored.partitions.empty()) accepted.topics.push_back(std::move(stored));
  }
  std::vector<std::string> records;
  for (OffsetsRecord& part : split_offsets(std::move(accepted), options.max_record_bytes)) {
    records.push_back(encode(std::move(part)));
  }
  return records;
}

FetchedPartition fetched(int32_t partition, const StoredOffset* stored) {
  FetchedPartition result;
  result.partition = partition;
  if (stored == nullptr) return result;
  result.offset = stored->offset;
  result.leader_epoch = stored->leader_epoch;
  result.metadata = stored->metadata;
  return result;
}

}  // namespace

void Shard::commit(CommitRequest request, Completion<CommitResult> done) {
  CommitResult result = all_partitions(request, ErrorCode::kNone);
  const Now at = now();
  std::vector<std::string> records = commit_records(request, options_, at.wall_ms, result);

  Lock lock(mutex_);
  Actions actions;
  Live* live = nullptr;
  ErrorCode error = availability();
  if (error == ErrorCode::kNone) {
    live = find(request.group_id);
    if (live != nullptr) {
      error = live->group.check_commit(request, at);
      schedule(*live);
    } else if (request.generation_id >= 0) {
      error = ErrorCode::kIllegalGeneration;
    } else if (live_.size() >= static_cast<size_t>(options_.max_groups_per_shard)) {
      error = ErrorCode::kPolicyViolation;
    }
  }
  if (error == ErrorCode::kNone && commits_in_flight_ >= options_.max_commits_in_flight) {
    ++counters_.commits_refused_by_limit;
    error = ErrorCode::kCoordinatorLoadInProgress;
  }
  if (error != ErrorCode::kNone) result = all_partitions(request, error);
  if (error != ErrorCode::kNone || records.empty()) {
    actions.answer(std::move(done), std::move(result));
    return finish(lock, actions);
  }
  if (live == nullptr) {
    live = &add(Group(request.group_id, options_, ++last_incarnation_, at),
                at.monotonic_ms + options_.offsets_retention_check_interval_ms);
  }
  ++live->commits_in_flight;
  ++commits_in_flight_;
  Executor& executor = done.executor();
  append(std::move(records), executor,
         [self = shared_from_this(), id = std::move(request.group_id), incarnation = live->group.incarnation(),
          answer = std::move(result), then = std::move(done)](Status status) mutable {
           self->on_commit_done(id, incarnation, status.ok());
           if (!status.ok()) fail_committed(answer, append_error(status, ErrorCode::kInvalidCommitOffsetSize));
           then.bind(std::move(answer))();
         });
  finish(lock, actions);
}

void Shard::on_commit_done(const std::string& group_id, uint64_t incarnation, bool ok) {
  const Lock lock(mutex_);
  ++(ok ? counters_.commits : counters_.appends_failed);
  --commits_in_flight_;
  if (Live* live = find_incarnation(group_id, incarnation); live != nullptr) {
    --live->commits_in_flight;
    forget_if_void(*live);
  }
}

OffsetFetchResult Shard::fetch(const OffsetFetchRequest& request) const {
  OffsetFetchResult result;
  result.group_id = request.group_id;
  const Lock lock(mutex_);
  result.error = availability();
  if (result.error != ErrorCode::kNone) return result;
  const StoredGroup* stored = state_.find(request.group_id);
  if (!request.topics) {
    if (stored == nullptr) return result;
    for (const auto& [topic, partitions] : stored->offsets) {
      FetchedTopic& target = result.topics.emplace_back(FetchedTopic{topic.name, topic.id, {}});
      for (const auto& [partition, value] : partitions) target.partitions.push_back(fetched(partition, &value));
    }
    return result;
  }
  for (const FetchTopic& topic : *request.topics) {
    FetchedTopic& target = result.topics.emplace_back(FetchedTopic{topic.name, topic.id, {}});
    for (const int32_t partition : topic.partitions) {
      target.partitions.push_back(
          fetched(partition, stored == nullptr ? nullptr : stored->find({topic.name, topic.id}, partition)));
    }
  }
  return result;
}

void Shard::delete_offsets(OffsetDeleteRequest request, Completion<OffsetDeleteResult> done) {
  Lock lock(mutex_);
  Actions actions;
  OffsetDeleteResult result;
  result.error = availability();
  const Live* live = result.error == ErrorCode::kNone ? find(request.group_id) : nullptr;
  if (result.error == ErrorCode::kNone) {
    if (live == nullptr || live->group.state() == GroupState::dead) {
      result.error = ErrorCode::kGroupIdNotFound;
    } else if (live->group.state() != GroupState::empty && !live->group.uses_consumer_protocol()) {
      result.error = ErrorCode::kNonEmptyGroup;
    }
  }
  if (result.error != ErrorCode::kNone) {
    actions.answer(std::move(done), std::move(result));
    return finish(lock, actions);
  }
  const StoredGroup* stored = state_.find(request.group_id);
  OffsetsDeletedRecord deleted{request.group_id, {}};
  for (FetchTopic& topic : request.topics) {
    const bool is_subscribed = live->group.is_subscribed(topic.name);
    TopicErrors& errors = result.topics.emplace_back(TopicErrors{topic.name, topic.id, {}});
    for (const int32_t partition : topic.partitions) {
      errors.partitions.push_back({partition, is_subscribed ? ErrorCode::kGroupSubscribedToTopic : ErrorCode::kNone});
    }
    if (is_subscribed || topic.partitions.empty()) continue;
    // The id of today, for commits that are under way, and whatever else is stored under the name.
    deleted.topics.push_back({{topic.name, topic.id}, topic.partitions});
    if (stored == nullptr) continue;
    for (auto at = stored->offsets.lower_bound({topic.name, kNoTopicId});
         at != stored->offsets.end() && at->first.name == topic.name; ++at) {
      if (at->first.id != topic.id) deleted.topics.push_back({at->first, topic.partitions});
    }
  }
  if (deleted.topics.empty()) {
    actions.answer(std::move(done), std::move(result));
    return finish(lock, actions);
  }
  Executor& executor = done.executor();
  append({encode(std::move(deleted))}, executor,
         [answer = std::move(result), then = std::move(done)](Status status) mutable {
           if (!status.ok()) {
             answer.error = append_error(status, ErrorCode::kUnknownServerError);
             answer.topics.clear();
           }
           then.bind(std::move(answer))();
         });
  finish(lock, actions);
}

// --- topics that are gone ---

void Shard::topics_deleted(const std::vector<DeletedTopic>& topics) {
  Lock lock(mutex_);
  for (const DeletedTopic& topic : topics) {
    TopicKey key{topic.name, topic.id};
    if (service_ == Service::active) {
      append_topic_deletion(key);
    } else if (service_ != Service::stopped && deleted_topics_.size() < kMaxDeletedTopics) {
      deleted_topics_.push_back(std::move(key));
    }
  }
  Actions actions;
  finish(lock, actions);
}

void Shard::append_topic_deletion(const TopicKey& topic) {
  if (commits_in_flight_ == 0 && !state_.has_offsets_of(topic)) return;
  append({encode(TopicDeletedRecord{topic})}, executor_, [self = shared_from_this(), topic](Status status) {
    if (status.ok()) return;
    // The log is failing: once it is back, the shard is loaded again.
    const Lock failed(self->mutex_);
    ++self->counters_.appends_failed;
    if (self->deleted_topics_.size() < kMaxDeletedTopics) self->deleted_topics_.push_back(topic);
  });
}

// --- expiry ---

void Shard::expire_offsets(Live& live, Now at) {
  if (live.group.state() == GroupState::dead || live.commits_in_flight > 0) {
    live.expiry_check_ms = at.monotonic_ms + kExpiryRetryMs;
    return;
  }
  live.expiry_check_ms = at.monotonic_ms + options_.offsets_retention_check_interval_ms;
  const StoredGroup* stored = state_.find(live.group.id());
  OffsetsDeletedRecord expired{live.group.id(), {}};
  size_t expired_count = 0;
  bool is_anything_left = false;
  if (stored != nullptr) {
    for (const auto& [topic, partitions] : stored->offsets) {
      if (live.group.is_subscribed(topic.name)) {
        is_anything_left = true;
        continue;
      }
      OffsetsDeletedRecord::Topic of_topic{topic, {}};
      for (const auto& [partition, value] : partitions) {
        if (live.group.is_expired(value, at)) of_topic.partitions.push_back(partition);
      }
      is_anything_left = is_anything_left || of_topic.partitions.size() < partitions.size();
      expired_count += of_topic.partitions.size();
      if (!of_topic.partitions.empty()) expired.topics.push_back(std::move(of_topic));
    }
  }
  counters_.offsets_expired += expired_count;
  if (!is_anything_left && live.group.is_idle()) {
    // An empty group without offsets is nothing that anybody could miss. One that left no trace is forgotten by the
    // caller.
    if (stored != nullptr || live.group.is_recorded()) delete_live(live, [](ErrorCode) {});
  } else if (expired_count > 0) {
    append({encode(std::move(expired))}, executor_, [self = shared_from_this()](Status status) {
      if (status.ok()) return;
      const Lock failed(self->mutex_);
      ++self->counters_.appends_failed;
    });
  }
}

}  // namespace sluice::group
