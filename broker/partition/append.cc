// SPDX-License-Identifier: Apache-2.0
// A batch on its way into the log: numbered and queued under the lock, answered when the storage has it.
#include <fmt/format.h>

#include "partition/log_partition.hpp"

namespace sluice::partition {

void LogPartition::append(AppendRequest request, Loop& loop) {
  std::optional<ProduceOutcome> answer;
  bool queued = false;
  bool load_now = false;
  std::vector<ProduceDone> dropped;
  std::shared_ptr<host::Log> log;
  {
    std::lock_guard lock(mutex_);
    switch (stage_locked()) {
      case Stage::ready:
        answer = queue_locked(request, queued, dropped);
        log = log_;
        break;
      case Stage::closed:
        answer = ProduceOutcome{ErrorCode::kUnknownTopicOrPartition, "the topic is gone", -1, -1, -1};
        break;
      case Stage::failed:
        if (context_.clock.monotonic_ms() - load_failed_at_ms_ < kLoadRetryMs) {
          state_.producers.refused(request.info);
          answer = ProduceOutcome{load_error_, "the partition's log is not available", -1, -1, -1};
          break;
        }
        [[fallthrough]];
      case Stage::idle:
      case Stage::loading:
        if (waiting_appends_.size() >= kMaxWaitingForLoad || !context_.let_wait(request.batch.size())) {
          state_.producers.refused(request.info);
          answer = ProduceOutcome{ErrorCode::kNotLeaderOrFollower, "too many appends wait for the partition to load",
                                  -1, -1, -1};
          break;
        }
        load_now = stage_ != Stage::loading;
        if (load_now) stage_ = Stage::loading;
        waiting_appends_.push_back(std::move(request));
        break;
    }
  }
  if (load_now) start(load(loop));
  answer_dropped(dropped);
  if (answer) request.done(std::move(*answer));
  if (queued) log->send();
}

void LogPartition::answer_dropped(std::vector<ProduceDone>& dropped) {
  for (auto& done : dropped)
    done(ProduceOutcome{ErrorCode::kNotLeaderOrFollower, "the first try of this batch was not stored", -1, -1, -1});
}

std::optional<ProduceOutcome> LogPartition::queue_locked(AppendRequest& request, bool& queued,
                                                         std::vector<ProduceDone>& dropped) {
  const records::BatchInfo& info = request.info;
  auto refuse = [&](ErrorCode error, std::string text, bool retriable = true) {
    if (retriable) state_.producers.refused(info);
    context_.metrics.append_errors.fetch_add(1, std::memory_order_relaxed);
    return ProduceOutcome{error, std::move(text), -1, -1, log_start_};
  };
  const int64_t append_time = settings().log_append_time ? context_.clock.wall_ms() : -1;
  for (int attempt = 0; attempt < 3; ++attempt) {
    const host::WritePosition position = log_->position();
    if (position.end < high_watermark_) {
      unload_locked();
      return refuse(ErrorCode::kNotLeaderOrFollower,
                    "the storage lost records of this partition, which is loaded again");
    }
    if (position.generation != generation_) {
      // What was pending in a generation that ended is not there, and never will be, unless it is below the end: then
      // its answer is still on its way here.
      if (position.generation > 0) {
        auto more = state_.producers.drop_pending(position.generation - 1, position.end);
        std::move(more.begin(), more.end(), std::back_inserter(dropped));
      }
      generation_ = position.generation;
    }
    if (info.has_producer_id()) {
      const auto verdict = state_.producers.check(info);
      switch (verdict.kind) {
        case ProducerStates::Verdict::Kind::refuse:
          return refuse(verdict.error, "", false);
        case ProducerStates::Verdict::Kind::behind_refused:
          return refuse(ErrorCode::kNotLeaderOrFollower, "a batch that was sent before it is to be tried again first",
                        false);
        case ProducerStates::Verdict::Kind::duplicate:
          context_.metrics.duplicates.fetch_add(1, std::memory_order_relaxed);
          return ProduceOutcome{ErrorCode::kNone, "", verdict.first.base_offset, verdict.first.timestamp_ms,
                                log_start_};
        case ProducerStates::Verdict::Kind::pending_duplicate:
          context_.metrics.duplicates.fetch_add(1, std::memory_order_relaxed);
          state_.producers.wait_for(info, std::move(request.done));
          return std::nullopt;
        case ProducerStates::Verdict::Kind::accept:
          break;
      }
    }
    if (position.end > INT64_MAX - info.last_offset_delta - 1)
      return refuse(ErrorCode::kKafkaStorageError, "offsets are used up", false);
    records::stamp_base_offset(request.batch, position.end);
    records::stamp_leader_epoch(request.batch, leader_epoch());
    if (append_time >= 0) records::stamp_log_append_time(request.batch, append_time);
    auto header = records::parse_batch_header(request.batch);
    if (!header) return refuse(ErrorCode::kCorruptMessage, "malformed batch", false);

    host::AppendEntry entry;
    entry.bytes = request.batch;
    entry.base_offset = position.end;
    entry.last_offset = position.end + info.last_offset_delta;
    entry.max_timestamp = header->max_timestamp;
    entry.record_count = static_cast<uint32_t>(info.records_count);
    entry.owner = request.keep_alive;
    struct Context {
      std::shared_ptr<LogPartition> self;
      records::BatchInfo info;
      records::BatchHeader header;
      int64_t append_time;
      uint64_t generation;
      std::shared_ptr<void> keep;
      ProduceDone done;
    };
    // enqueue may refuse, and then destroys the entry: the answer must survive it.
    auto context = std::make_shared<Context>(Context{std::static_pointer_cast<LogPartition>(shared_from_this()), info,
                                                     *header, append_time, position.generation, request.keep_alive,
                                                     std::move(request.done)});
    entry.done = [c = context](host::AppendOutcome outcome) {
      c->self->finished(c->info, c->header, c->append_time, c->generation, c->done, std::move(outcome));
    };
    Status status = log_->enqueue(std::move(entry), position.generation, *request.executor);
    if (status.ok()) {
      ++in_flight_;
      if (info.has_producer_id()) state_.producers.add_pending(info, position.end, append_time, position.generation);
      queued = true;
      return std::nullopt;
    }
    request.done = std::move(context->done);
    if (status.code() == StatusCode::conflict) continue;  // a failure started a new generation meanwhile
    return refuse(to_append_error(status), status.describe());
  }
  return refuse(ErrorCode::kNotLeaderOrFollower, "appends keep failing");
}

void LogPartition::finished(const records::BatchInfo& info, const records::BatchHeader& header, int64_t append_time,
                            uint64_t generation, ProduceDone& done, host::AppendOutcome outcome) {
  ProduceOutcome answer;
  std::vector<ProduceDone> repeats;
  std::vector<Resumer<bool>> loads;
  auto& metrics = context_.metrics;
  if (outcome.status.ok()) {
    const int64_t now = context_.clock.wall_ms();
    std::lock_guard lock(mutex_);
    answer.base_offset = header.base_offset;
    answer.log_append_time_ms = append_time;
    answer.log_start = log_start_;
    if (info.has_producer_id()) repeats = state_.producers.commit(info, header.base_offset, now);
    state_.add(header, rules(), now);
    high_watermark_ = state_.end;
    bytes_since_snapshot_ += info.size;
    dirty_ = true;
    std::erase_if(waiters_, [&](const auto& waiter) { return waiter->notify(static_cast<int64_t>(info.size)); });
    metrics.batches_appended.fetch_add(1, std::memory_order_relaxed);
    metrics.bytes_appended.fetch_add(info.size, std::memory_order_relaxed);
    metrics.records_appended.fetch_add(static_cast<uint64_t>(info.records_count), std::memory_order_relaxed);
    if (--in_flight_ == 0) loads.swap(all_answered_);
  } else {
    answer.error = to_append_error(outcome.status);
    answer.message = outcome.status.describe();
    metrics.append_errors.fetch_add(1, std::memory_order_relaxed);
    tell_refusal(outcome.status);
    log_failed(outcome.status);
    std::lock_guard lock(mutex_);
    repeats = state_.producers.drop_pending(generation);
    // Nobody knows what the log holds: a load fences it, and learns.
    if (status_class(outcome.status.code()) == status_class(StatusCode::unknown)) unload_locked();
    if (--in_flight_ == 0) loads.swap(all_answered_);
  }
  for (auto& repeat : repeats) repeat(ProduceOutcome(answer));
  done(std::move(answer));
  for (auto& load : loads) load(true);
}

LogPartition::Stage LogPartition::stage_locked() {
  if (stage_ == Stage::ready && log_->position().end < high_watermark_) unload_locked();
  return stage_;
}

void LogPartition::unload_locked() {
  if (stage_ == Stage::ready || stage_ == Stage::failed) stage_ = Stage::idle;
  read_ahead_.drop_all();
  wake_waiters_locked();
}

void LogPartition::wake_waiters_locked() {
  for (auto& waiter : waiters_) waiter->notify(INT64_MAX);
  waiters_.clear();
}

void LogPartition::log_failed(const Status& status) {
  if (status.code() != StatusCode::fenced && status.code() != StatusCode::not_found) return;
  std::lock_guard lock(mutex_);
  unload_locked();
}

}  // namespace sluice::partition
