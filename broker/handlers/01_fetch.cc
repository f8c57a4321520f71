// SPDX-License-Identifier: Apache-2.0
// Fetch, versions 4 to 18, with sessions (KIP-227), waiting for min_bytes, and diverging epochs (KIP-595). The last stable offset is
// the high watermark while there are no transactions. No followers fetch from this broker: replica_id is ignored.
#include <algorithm>
#include <map>
#include <unordered_map>
#include <utility>

#include "handlers/fetch_sessions.hpp"
#include "handlers/handlers.hpp"
#include "handlers/late_reads.hpp"
#include "handlers/topics.hpp"
#include "protocol/gen/fetch.hpp"

namespace sluice::handlers {
namespace {

using Request = protocol::FetchRequest;
using Response = protocol::FetchResponse;
using partition::FetchWaiter;
using partition::Partition;
using partition::ReadOutcome;

constexpr int32_t kFinalEpoch = -1;
constexpr int32_t kInitialEpoch = 0;
constexpr int8_t kReadCommitted = 1;
/// Reads of one request under way at the same time: each holds a batch at least, however little was asked for.
constexpr size_t kMaxReadsAtOnce = 64;

/// How long partitions that have an answer wait for those that do not: for storages that are merely not here.
constexpr int64_t kReadPatienceMs = 20;

struct Target {
  FetchedPartition asked;
  std::shared_ptr<Partition> partition;  // nullptr: see outcome.error
  ReadOutcome outcome;
  std::shared_ptr<LateRead> late;  // a read that this request did not wait for
};

/// In order of request. What is named twice counts once, as it was named last.
std::vector<FetchedPartition> asked_partitions(const Request& request, bool by_id) {
  std::vector<FetchedPartition> result;
  std::map<std::pair<Uuid, std::string_view>, std::unordered_map<int32_t, size_t>> places;
  for (const auto& topic : request.topics) {
    auto& of_topic = places[by_id ? std::pair(topic.topic_id, std::string_view()) : std::pair(Uuid{}, std::string_view(topic.topic))];
    for (const auto& partition : topic.partitions) {
      const auto [at, fresh] = of_topic.try_emplace(partition.partition, result.size());
      FetchedPartition& p = fresh ? result.emplace_back() : result[at->second];
      if (by_id) {
        p.topic_id = topic.topic_id;
      } else {
        p.topic = std::string(topic.topic);
      }
      p.partition = partition.partition;
      p.current_leader_epoch = partition.current_leader_epoch;
      p.fetch_offset = partition.fetch_offset;
      p.last_fetched_epoch = partition.last_fetched_epoch;
      p.max_bytes = partition.partition_max_bytes;
    }
  }
  return result;
}

std::vector<FetchedPartition> forgotten_partitions(const Request& request, bool by_id) {
  std::vector<FetchedPartition> result;
  for (const auto& topic : request.forgotten_topics) {
    for (const int32_t partition : topic.partitions) {
      FetchedPartition& p = result.emplace_back();
      if (by_id) {
        p.topic_id = topic.topic_id;
      } else {
        p.topic = std::string(topic.topic);
      }
      p.partition = partition;
    }
  }
  return result;
}

Task<void> read_one(std::shared_ptr<LateRead> read, std::shared_ptr<Partition> partition, partition::ReadRequest request, Loop& loop) {
  ReadOutcome outcome = co_await partition->read(request, loop);
  read->outcome = std::move(outcome);
  read->done = true;
  if (const auto on_done = std::exchange(read->on_done, nullptr)) on_done();
}

/// The target's read: the one that was left behind, or a new one.
std::shared_ptr<LateRead> begin_read(LateReads& left_behind, Target& target, uint64_t max_bytes, Loop& loop) {
  if (target.late) return target.late;
  if (auto read = left_behind.take(target.partition, target.asked.fetch_offset, loop)) return target.late = std::move(read);
  partition::ReadRequest request;
  request.offset = target.asked.fetch_offset;
  request.max_bytes = max_bytes;
  request.current_leader_epoch = target.asked.current_leader_epoch;
  request.last_fetched_epoch = target.asked.last_fetched_epoch;
  auto read = std::make_shared<LateRead>();
  start(read_one(read, target.partition, request, loop));
  return read;
}

/// Waits for the reads of targets[first, last), but not for long, and not at all for those that are late already.
Task<void> wait_for_reads(std::vector<std::shared_ptr<LateRead>>& reads, const std::vector<Target>& targets, size_t first, Loop& loop) {
  auto left = std::make_shared<size_t>(0);
  TimerId timer = 0;
  co_await suspend_until<bool>(loop, [&](Resumer<bool> resume) {
    for (size_t i = 0; i < reads.size(); ++i) {
      if (!reads[i] || reads[i]->done || targets[first + i].late) continue;
      ++*left;
      reads[i]->on_done = [left, resume] {
        if (--*left == 0) resume(true);
      };
    }
    if (*left == 0) return resume(true);
    timer = loop.call_after(kReadPatienceMs, [resume] { resume(false); });
  });
  if (timer != 0) loop.cancel(timer);
  for (const auto& read : reads) {
    if (read) read->on_done = nullptr;
  }
}

/// Reads all targets, those that surely fit at the same time; true if the answer should not wait. What is not there soon is left in
/// `late`.
Task<bool> read_all(LateReads& left_behind, std::vector<Target>& targets, uint64_t max_bytes, uint64_t& total, Loop& loop) {
  total = 0;
  bool at_once = false;
  size_t next = 0;
  while (next < targets.size()) {
    // A stretch of partitions whose limits together stay below what is left; one at least.
    size_t end = next;
    uint64_t planned = 0;
    while (end < targets.size() && end - next < kMaxReadsAtOnce) {
      const auto limit = static_cast<uint64_t>(std::max(targets[end].asked.max_bytes, 0));
      if (end > next && planned + limit > max_bytes - std::min(total, max_bytes)) break;
      planned += limit;
      ++end;
    }
    const uint64_t room = max_bytes - std::min(total, max_bytes);
    std::vector<std::shared_ptr<LateRead>> reads(end - next);
    bool waiting = false;
    for (size_t i = next; i < end; ++i) {
      if (!targets[i].partition || (room == 0 && total > 0)) continue;
      const auto limit = static_cast<uint64_t>(std::max(targets[i].asked.max_bytes, 0));
      reads[i - next] = begin_read(left_behind, targets[i], std::min(limit, std::max<uint64_t>(room, 1)), loop);
      waiting = waiting || !reads[i - next]->done;
    }
    if (waiting) co_await wait_for_reads(reads, targets, next, loop);
    for (size_t i = next; i < end; ++i) {
      if (const auto& read = reads[i - next]) {
        targets[i].late = read->done ? nullptr : read;
        if (read->done) targets[i].outcome = std::move(read->outcome);
      }
      ReadOutcome& outcome = targets[i].outcome;
      // Only the first batch of a response may be larger than what was asked for.
      if (total > 0 && total + outcome.bytes > max_bytes) {
        outcome.slices.clear();
        outcome.lease = {};
        outcome.bytes = 0;
      }
      total += outcome.bytes;
      at_once = at_once || outcome.error != ErrorCode::kNone || outcome.diverging.has_value();
    }
    next = end;
  }
  co_return at_once;
}

/// Waits until `missing` bytes came, a late read is done, the deadline passed, or the peer is gone.
Task<void> wait_for_data(const RequestContext& context, std::vector<Target>& targets, int64_t missing, int64_t wait_ms) {
  Loop& loop = *context.loop;
  std::shared_ptr<FetchWaiter> waiter;
  TimerId timer = 0;
  uint64_t closing = 0;
  co_await suspend_until<bool>(loop, [&](Resumer<bool> resume) {
    waiter = std::make_shared<FetchWaiter>(missing, loop, [resume] { resume(true); });
    timer = loop.call_after(wait_ms, [resume] { resume(false); });
    closing = context.connection->on_close([resume] { resume(false); });
    for (auto& target : targets) {
      if (target.late) {
        if (target.late->done) return resume(true);
        target.late->on_done = [resume] { resume(true); };
        continue;
      }
      if (target.partition && !target.partition->add_waiter(waiter, target.outcome.high_watermark)) {
        waiter->notify(INT64_MAX);
        break;
      }
    }
  });
  loop.cancel(timer);
  context.connection->forget(closing);
  for (auto& target : targets) {
    if (target.late) {
      target.late->on_done = nullptr;
    } else if (target.partition) {
      target.partition->remove_waiter(waiter);
    }
  }
}

void put_records(ReadOutcome& outcome, protocol::RecordsOut& records) {
  for (const auto& slice : outcome.slices) {
    if (slice.data != nullptr) {
      records.slices.emplace_back(reinterpret_cast<const std::byte*>(slice.data), slice.length);
    } else {
      records.files.push_back({records.slices.size(), slice.fd, slice.position, slice.length});
    }
  }
  records.keep_alive = outcome.lease.owner();
}

Response encode_targets(const RequestContext& context, const Request& request, std::vector<Target>& targets, int32_t session_id,
                        bool incremental, std::vector<FetchedPartition>& told, std::vector<bool>& had_records) {
  Response response;
  response.session_id = session_id;
  for (auto& target : targets) {
    ReadOutcome& outcome = target.outcome;
    FetchedPartition& asked = target.asked;
    // As Kafka does: who is refused learns no offsets.
    if (outcome.error != ErrorCode::kNone) outcome.high_watermark = outcome.last_stable_offset = outcome.log_start = -1;
    const bool changed = !asked.told || outcome.error != ErrorCode::kNone || outcome.bytes > 0 || outcome.diverging ||
                         outcome.high_watermark != asked.told_high_watermark || outcome.log_start != asked.told_log_start;
    had_records.push_back(outcome.bytes > 0);
    // An error is told every time until it is gone.
    asked.told = outcome.error == ErrorCode::kNone;
    asked.told_high_watermark = outcome.high_watermark;
    asked.told_log_start = outcome.log_start;
    told.push_back(asked);
    if (incremental && !changed) continue;
    if (response.topics.empty() || response.topics.back().topic != asked.topic || response.topics.back().topic_id != asked.topic_id) {
      auto& topic = response.topics.emplace_back();
      topic.topic = asked.topic;
      topic.topic_id = asked.topic_id;
    }
    auto& p = response.topics.back().partitions.emplace_back();
    p.partition_index = asked.partition;
    p.error_code = outcome.error;
    p.high_watermark = outcome.high_watermark;
    p.last_stable_offset = outcome.last_stable_offset;
    p.log_start_offset = outcome.log_start;
    if (outcome.diverging) {
      p.diverging_epoch.epoch = outcome.diverging->epoch;
      p.diverging_epoch.end_offset = outcome.diverging->offset;
    }
    if (request.isolation_level == kReadCommitted) p.aborted_transactions.emplace();
    if ((outcome.error == ErrorCode::kNotLeaderOrFollower || outcome.error == ErrorCode::kFencedLeaderEpoch) && target.partition) {
      p.current_leader.leader_id = context.broker->cluster.broker_id();
      p.current_leader.leader_epoch = target.partition->leader_epoch();
    }
    put_records(outcome, p.records);
  }
  return response;
}

Task<Response> answer(RequestContext context, Request request) {
  Broker& broker = *context.broker;
  Loop& loop = *context.loop;
  const bool by_id = context.version() >= 13;
  const int64_t now = loop.now_ms();
  std::vector<FetchedPartition> asked = asked_partitions(request, by_id);
  int32_t session_id = 0;
  bool incremental = false;
  if (request.session_epoch == kFinalEpoch || request.session_epoch == kInitialEpoch) {
    if (request.session_id != 0) broker.fetch_sessions.remove(request.session_id);
    if (request.session_epoch == kInitialEpoch && context.version() >= 7) session_id = broker.fetch_sessions.create(by_id, asked, now);
  } else {
    std::vector<FetchedPartition> all;
    const ErrorCode error = broker.fetch_sessions.update(request.session_id, request.session_epoch, by_id, std::move(asked),
                                                         forgotten_partitions(request, by_id), now, all);
    if (error != ErrorCode::kNone) {
      Response response;
      response.error_code = error;
      co_return response;
    }
    asked = std::move(all);
    session_id = asked.empty() ? 0 : request.session_id;
    incremental = true;
  }

  std::vector<Target> targets;
  targets.reserve(asked.size());
  for (auto& partition : asked) {
    Target& target = targets.emplace_back();
    target.asked = std::move(partition);
    const auto topic = find_topic(broker, target.asked.topic_id, target.asked.topic);
    target.partition = broker.partitions.find(topic, target.asked.partition);
    if (!target.partition) {
      target.outcome.error = by_id && !topic ? ErrorCode::kUnknownTopicId : ErrorCode::kUnknownTopicOrPartition;
    }
  }
  const auto max_bytes = static_cast<uint64_t>(std::clamp(request.max_bytes, 0, broker.options.fetch_max_bytes));
  const int64_t deadline = now + std::clamp(request.max_wait_ms, 0, broker.options.max_fetch_wait_ms);
  bool refused = std::any_of(targets.begin(), targets.end(), [](const Target& t) { return !t.partition; });
  while (true) {
    uint64_t total = 0;
    const bool at_once = co_await read_all(broker.late_reads, targets, max_bytes, total, loop);
    const int64_t left_ms = deadline - loop.now_ms();
    if (at_once || refused || targets.empty() || left_ms <= 0 || context.connection->closed() ||
        static_cast<int64_t>(total) >= static_cast<int64_t>(request.min_bytes)) {
      break;
    }
    for (auto& target : targets) {
      target.outcome.slices.clear();
      target.outcome.lease = {};
      target.outcome.bytes = 0;
    }
    co_await wait_for_data(context, targets, static_cast<int64_t>(request.min_bytes) - static_cast<int64_t>(total), left_ms);
    if (context.connection->closed()) break;
  }
  for (auto& target : targets) {
    if (!target.late) continue;
    // Nothing new is known of it.
    target.outcome = {};
    target.outcome.high_watermark = target.outcome.last_stable_offset = target.asked.told_high_watermark;
    target.outcome.log_start = target.asked.told_log_start;
    broker.late_reads.leave(target.partition, target.asked.fetch_offset, loop, target.late);
  }
  std::vector<FetchedPartition> told;
  std::vector<bool> had_records;
  Response response = encode_targets(context, request, targets, session_id, incremental, told, had_records);
  if (session_id != 0) broker.fetch_sessions.told(session_id, told, had_records);
  co_return response;
}

}  // namespace

Task<Reply> fetch(RequestContext context) { return serve<Request, answer>(std::move(context)); }

}  // namespace sluice::handlers
