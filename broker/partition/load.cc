// SPDX-License-Identifier: Apache-2.0
// A partition's beginning: fence the log, find the newest state that matches it, replay what came after.
#include <fmt/format.h>

#include "partition/log_partition.hpp"

namespace sluice::partition {
LogPartition::LogPartition(PartitionContext& context, cluster::TopicPtr topic, int32_t index)
    : Partition(context, std::move(topic), index),
      extents_(context.cluster, context.metrics.lost_logs, topic_, index) {}

RetentionRules LogPartition::rules() const {
  const cluster::TopicSettings now = settings();
  return {now.retention_ms, now.retention_bytes, now.segment_bytes, now.segment_ms};
}

bool LogPartition::loaded() const {
  std::lock_guard lock(mutex_);
  return stage_ == Stage::ready;
}

void LogPartition::update(const cluster::TopicPtr& after) {
  std::lock_guard lock(mutex_);
  if (!after || after->deleting) {
    unload_locked();
    stage_ = Stage::closed;
    return;
  }
  const cluster::PartitionInfo& info = after->partitions[static_cast<size_t>(index_)];
  take_settings(*after);
  extents_.adopt(after);
  read_ahead_.drop_all();  // its logs may be others
  if (info.leader_epoch != leader_epoch() || (log_ && log_->descriptor().id != info.extents.back().log))
    unload_locked();
  leader_epoch_ = info.leader_epoch;
}

Task<ErrorCode> LogPartition::ready(Loop& loop) {
  bool load_now = false;
  {
    std::lock_guard lock(mutex_);
    if (stage_locked() == Stage::ready) co_return ErrorCode::kNone;
    if (stage_ == Stage::closed) co_return ErrorCode::kUnknownTopicOrPartition;
    if (stage_ == Stage::failed && context_.clock.monotonic_ms() - load_failed_at_ms_ < kLoadRetryMs)
      co_return load_error_;
    if (stage_ != Stage::loading) {
      stage_ = Stage::loading;
      load_now = true;
    }
  }
  auto keep = shared_from_this();
  co_return co_await suspend_until<ErrorCode>(loop, [&](Resumer<ErrorCode> resume) {
    {
      std::lock_guard lock(mutex_);
      if (!load_now && stage_ != Stage::loading) {
        resume(stage_ == Stage::closed  ? ErrorCode::kUnknownTopicOrPartition
               : stage_ == Stage::ready ? ErrorCode::kNone
                                        : load_error_);
        return;
      }
      waiting_ready_.emplace_back(&loop, [resume](ErrorCode error) { resume(error); });
    }
    if (load_now) start(load(loop));
  });
}

Task<void> LogPartition::load(Loop& loop) {
  auto keep = shared_from_this();
  context_.metrics.loads.fetch_add(1, std::memory_order_relaxed);
  co_await appends_answered(loop);
  Status status;
  bool again = true;
  for (int attempt = 0; attempt < kMaxLoadAttempts && again; ++attempt) {
    again = false;
    status = co_await load_once(loop, again);
  }
  if (!status.ok()) {
    context_.metrics.load_errors.fetch_add(1, std::memory_order_relaxed);
    const int64_t now = context_.clock.monotonic_ms();
    bool say = false;
    {
      std::lock_guard lock(mutex_);
      say = !load_failure_said_at_ms_ || now - *load_failure_said_at_ms_ >= kLoadSayEveryMs;
      if (say) load_failure_said_at_ms_ = now;
    }
    if (say) note(SLUICE_LOG_WARNING, fmt::format("cannot be loaded: {}", status.describe()));
  }
  end_loading(status);
}

void LogPartition::end_loading(const Status& status) {
  std::deque<AppendRequest> appends;
  std::vector<std::pair<Executor*, UniqueFunction<void(ErrorCode)>>> waiting;
  std::vector<std::pair<AppendRequest, ProduceOutcome>> answers;
  std::vector<ProduceDone> dropped;
  std::shared_ptr<host::Log> log;
  ErrorCode error = ErrorCode::kNone;
  bool queued = false;
  {
    std::lock_guard lock(mutex_);
    if (stage_ == Stage::closed) {
      error = ErrorCode::kUnknownTopicOrPartition;
    } else if (status.ok() && loaded_epoch_ == leader_epoch()) {
      stage_ = Stage::ready;
    } else if (status.ok()) {
      // Another epoch began meanwhile: the next use loads again.
      error = ErrorCode::kNotLeaderOrFollower;
      stage_ = Stage::idle;
    } else {
      // Damage in the log is not damage in what a producer sends.
      error = status.code() == StatusCode::corrupt ? ErrorCode::kKafkaStorageError : to_error_code(status);
      stage_ = Stage::failed;
      load_failed_at_ms_ = context_.clock.monotonic_ms();
    }
    load_error_ = error;
    if (error != ErrorCode::kNone) wake_waiters_locked();  // those who waited for records through a switch
    appends.swap(waiting_appends_);
    waiting.swap(waiting_ready_);
    log = log_;
    for (auto& request : appends) {
      context_.waiting_bytes.fetch_sub(static_cast<int64_t>(request.batch.size()));
      std::optional<ProduceOutcome> answer;
      if (error == ErrorCode::kNone) {
        answer = queue_locked(request, queued, dropped);
      } else {
        state_.producers.refused(request.info);
        answer = ProduceOutcome{error, status.ok() ? "the leader epoch changed" : status.describe(), -1, -1, -1};
      }
      if (answer) answers.emplace_back(std::move(request), std::move(*answer));
    }
  }
  answer_dropped(dropped);
  for (auto& [request, answer] : answers) request.done(std::move(answer));
  if (queued) log->send();
  for (auto& [executor, done] : waiting) {
    executor->post([d = std::move(done), error]() mutable { d(error); });
  }
}

Task<void> LogPartition::appends_answered(Loop& loop) {
  co_await suspend_until<bool>(loop, [this](Resumer<bool> resume) {
    {
      std::lock_guard lock(mutex_);
      if (in_flight_ > 0) {
        all_answered_.push_back(std::move(resume));
        return;
      }
    }
    resume(true);
  });
}

Task<Status> LogPartition::load_once(Loop& loop, bool& again) {
  cluster::TopicPtr topic = context_.cluster.state().topic_in_any_state(topic_->id);
  if (!topic || topic->deleting) co_return Status(StatusCode::not_found, "the topic is gone");
  bool raise = false;
  int64_t known_start = 0;
  {
    std::lock_guard lock(mutex_);
    known_start = log_start_;
    // Who appends to a log that was switched away from loses what he appends.
    if (switch_unknown_ && !context_.cluster.health().ok())
      co_return Status(StatusCode::unavailable, "nobody can tell which log is to be written");
    switch_unknown_ = false;
    raise = raise_epoch_;
    if (raise) {
      if (Status held = may_raise_locked(extents_.open_extent().storage); !held.ok()) co_return held;
    }
  }
  if (raise) {
    const int32_t over = topic->partitions[static_cast<size_t>(index_)].leader_epoch;
    auto raised = co_await context_.cluster.raise_leader_epoch(topic->id, index_, over, loop);
    if (!raised) co_return Status(StatusCode::unavailable, raised.error().text);
  }
  {
    // With the lock: what update() has brought is never newer.
    std::lock_guard lock(mutex_);
    if (raise) {
      raise_epoch_ = false;
      epoch_budget_.raised(context_.clock.monotonic_ms());
    }
    topic = context_.cluster.state().topic_in_any_state(topic_->id);
    if (!topic || topic->deleting) co_return Status(StatusCode::not_found, "the topic is gone");
    extents_.adopt(topic);
  }
  const cluster::PartitionInfo info = topic->partitions[static_cast<size_t>(index_)];
  const cluster::Extent extent = info.extents.back();
  const bool several = info.extents.size() > 1;
  auto opened = extents_.open(extent);
  if (!opened) co_return opened.error();
  const std::shared_ptr<host::Log> log = *opened;
  {
    std::lock_guard lock(mutex_);
    log_ = log;
  }
  auto position = co_await log->acquire(info.leader_epoch, loop);
  if (!position) co_return co_await replace_lost_log(*topic, extent.log, position.error(), loop, again);
  auto bounds = co_await log->bounds(loop);
  if (!bounds) co_return co_await replace_lost_log(*topic, extent.log, bounds.error(), loop, again);
  {
    std::lock_guard lock(mutex_);
    const int64_t acknowledged = known_log_ == extent.log ? high_watermark_ : extent.from;
    if (bounds->end != position->end || position->end < acknowledged) {
      raise_epoch_ = again = true;
      // The fence counted what it missed itself.
      if (bounds->end != position->end) log->storage().metrics().data_losses.fetch_add(1, std::memory_order_relaxed);
      if (position->end < acknowledged) {
        report_loss(acknowledged, position->end, fmt::format("storage \"{}\" acknowledged everything", extent.storage));
        high_watermark_ = position->end;
      }
      co_return Status(StatusCode::unavailable,
                       fmt::format("the log ends at {}, as the fence says at {}, and was acknowledged up to {}",
                                   bounds->end, position->end, acknowledged));
    }
  }
  int64_t start = 0;
  const int64_t first = several ? info.extents.front().from : bounds->start;
  Status status = co_await load_log_start(log, first, bounds->end, start, loop);
  if (!status.ok()) co_return status;
  PartitionState state;
  status = co_await load_state(loop, state, several ? start : bounds->start, bounds->end, info.leader_epoch);
  if (!status.ok()) co_return status;
  std::lock_guard lock(mutex_);
  if (stage_ == Stage::closed) co_return Status(StatusCode::not_found, "the topic is gone");
  if (extents_.open_extent().log != extent.log) {
    again = true;
    co_return Status(StatusCode::unavailable, "another log is written now");
  }
  // Somebody may have moved it on since it was read.
  if (log_start_ > known_start) start = std::max(start, std::min(log_start_, bounds->end));
  state.cut_before(start);
  state.end = bounds->end;
  loaded_epoch_ = info.leader_epoch;
  leader_epoch_ = std::max(leader_epoch(), info.leader_epoch);
  state.producers.inherit_refused(state_.producers);
  state_ = std::move(state);
  generation_ = position->generation;
  log_start_ = start;
  high_watermark_ = bounds->end;
  known_log_ = extent.log;
  co_return Status();
}

/// Gives `why`, unless the storage lost the log: then there is an empty one now, and a new epoch.
Task<Status> LogPartition::replace_lost_log(const cluster::TopicInfo& topic, host::LogId lost, const Status& why,
                                            Loop& loop, bool& again) {
  if (why.code() != StatusCode::not_found) co_return why;
  {
    std::lock_guard lock(mutex_);
    if (Status held = may_raise_locked(extents_.open_extent().storage); !held.ok()) co_return held;
  }
  auto fresh = co_await context_.cluster.replace_lost_extent(topic.id, index_, lost, loop);
  {
    // Metadata may name another log, under a new epoch, although that could not be made.
    std::lock_guard lock(mutex_);
    const auto now = context_.cluster.state().topic_in_any_state(topic.id);
    if (fresh || (now && now->partitions[static_cast<size_t>(index_)].extents.back().log != lost))
      epoch_budget_.raised(context_.clock.monotonic_ms());
  }
  if (!fresh) co_return Status(StatusCode::unavailable, fresh.error().text);
  context_.metrics.lost_logs.fetch_add(1, std::memory_order_relaxed);
  again = true;
  co_return why;
}

Status LogPartition::may_raise_locked(const std::string& storage) {
  const int64_t wait_ms = epoch_budget_.wait_ms(context_.clock.monotonic_ms());
  if (wait_ms == 0) return {};
  return Status(StatusCode::unavailable,
                fmt::format("storage \"{}\" reported losses {} times in a row: it is held off for {} ms more", storage,
                            epoch_budget_.raises(), wait_ms));
}

void LogPartition::report_loss(int64_t acknowledged, int64_t end, std::string_view who) {
  context_.metrics.data_losses.fetch_add(1, std::memory_order_relaxed);
  context_.metrics.lost_offsets.fetch_add(static_cast<uint64_t>(acknowledged - end), std::memory_order_relaxed);
  note(SLUICE_LOG_ERROR,
       fmt::format("DATA LOSS: {} below offset {}, and the log ends at {} now: {} offsets are gone; a new leader epoch "
                   "begins there",
                   who, acknowledged, end, acknowledged - end));
}

Task<Status> LogPartition::load_state(Loop& loop, PartitionState& state, int64_t start, int64_t end, int32_t epoch) {
  int64_t best = -1;
  int64_t lost_up_to = -1;
  std::vector<cluster::Extent> extents = extents_.list();
  // Those of a sealed log serve where the open one is new, because its storage lost the one before it.
  for (bool is_open = true; !extents.empty() && best < 0; extents.pop_back(), is_open = false) {
    const cluster::Extent& extent = extents.back();
    auto found = co_await load_newest_snapshot(loop, extent, is_open ? end : extent.to, state, lost_up_to);
    if (!found && is_open) co_return found.error();
    if (!found || *found < 0) continue;  // a sealed log that cannot be read is missed when its records are
    if (state.end < start) {
      state = PartitionState();
      continue;
    }
    best = state.end;
    std::lock_guard lock(mutex_);
    if (is_open) next_snapshot_ = 1 - *found;
  }
  {
    std::lock_guard lock(mutex_);
    // What this process knew has been told already.
    if (lost_up_to >= 0 && !known_log_) report_loss(lost_up_to, end, "its saved state knows everything");
  }
  int64_t at = best >= 0 ? best : start;
  uint64_t replayed = 0;
  while (at < end) {
    auto read = co_await extents_.read(at, end, kReplayReadBytes, epoch, loop);
    if (!read) co_return read.error().in(fmt::format("reading at {}", at));
    auto bytes = host::gather(*read);
    if (!bytes) co_return bytes.error();
    Bytes rest = as_bytes(*bytes);
    if (rest.empty() && read->next <= at)
      co_return Status(StatusCode::corrupt, fmt::format("no batch at {}, end {}", at, end));
    if (rest.empty()) at = read->next;
    while (!rest.empty()) {
      auto batch = records::take_batch(rest);
      if (!batch)
        co_return Status(StatusCode::corrupt, fmt::format("{} at {}", records::batch_error_name(batch.error()), at));
      auto header = records::parse_batch_header(batch->bytes());
      state.replay(*header, rules(), context_.clock.wall_ms());
      at = batch->next_offset();
      replayed += batch->size();
    }
    co_await hop(loop);
  }
  std::lock_guard lock(mutex_);
  bytes_since_snapshot_ = replayed;
  dirty_ = replayed > 0;
  co_return Status();
}

}  // namespace sluice::partition
