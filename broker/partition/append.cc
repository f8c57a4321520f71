// SPDX-License-Identifier: Apache-2.0
// A batch on its way into the log: numbered and queued under the lock, answered when the storage has it.
#include <fmt/format.h>

#include "partition/partition.hpp"

namespace sluice::partition {

bool FetchWaiter::notify(int64_t bytes) {
  if (fired()) return true;
  if (missing_.fetch_sub(bytes, std::memory_order_acq_rel) > bytes) return false;
  if (!fired_.exchange(true)) executor_.post(std::move(wake_));
  return true;
}

void Partition::append(AppendRequest request, Loop& loop) {
  std::optional<ProduceOutcome> answer;
  bool queued = false;
  bool load_now = false;
  std::vector<ProduceDone> dropped;
  std::shared_ptr<host::Log> log;
  {
    std::lock_guard lock(mutex_);
    switch (stage_) {
      case Stage::ready:
        answer = queue_locked(request, queued, dropped);
        log = log_;
        break;
      case Stage::closed: answer = ProduceOutcome{ErrorCode::kUnknownTopicOrPartition, "the topic is gone", -1, -1, -1}; break;
      case Stage::failed:
        if (context_.clock.monotonic_ms() - load_failed_at_ms_ < kLoadRetryMs) {
          answer = ProduceOutcome{load_error_, "the partition's log is not available", -1, -1, -1};
          break;
        }
        [[fallthrough]];
      case Stage::idle:
      case Stage::loading:
        if (waiting_appends_.size() >= kMaxWaitingForLoad) {
          answer = ProduceOutcome{ErrorCode::kNotLeaderOrFollower, "too many appends wait for the partition to load", -1, -1, -1};
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

void Partition::answer_dropped(std::vector<ProduceDone>& dropped) {
  for (auto& done : dropped) done(ProduceOutcome{ErrorCode::kNotLeaderOrFollower, "the first try of this batch was not stored", -1, -1, -1});
}

std::optional<ProduceOutcome> Partition::queue_locked(AppendRequest& request, bool& queued, std::vector<ProduceDone>& dropped) {
  const records::BatchInfo& info = request.info;
  auto refuse = [&](ErrorCode error, std::string text) {
    context_.metrics.append_errors.fetch_add(1, std::memory_order_relaxed);
    return ProduceOutcome{error, std::move(text), -1, -1, log_start_};
  };
  const int64_t append_time = settings_.log_append_time ? context_.clock.wall_ms() : -1;
  for (int attempt = 0; attempt < 3; ++attempt) {
    const host::WritePosition position = log_->position();
    if (position.generation != generation_) {
      // What was pending in a generation that ended is not there, and never will be, unless it is below the end: then its answer is
      // still on its way here.
      if (position.generation > 0) {
        auto more = state_.producers.drop_pending(position.generation - 1, position.end);
        std::move(more.begin(), more.end(), std::back_inserter(dropped));
      }
      generation_ = position.generation;
    }
    if (info.has_producer_id()) {
      const auto verdict = state_.producers.check(info);
      switch (verdict.kind) {
        case ProducerStates::Verdict::Kind::refuse: return refuse(verdict.error, "");
        case ProducerStates::Verdict::Kind::duplicate:
          context_.metrics.duplicates.fetch_add(1, std::memory_order_relaxed);
          return ProduceOutcome{ErrorCode::kNone, "", verdict.first.base_offset, verdict.first.timestamp_ms, log_start_};
        case ProducerStates::Verdict::Kind::pending_duplicate:
          context_.metrics.duplicates.fetch_add(1, std::memory_order_relaxed);
          state_.producers.wait_for(info, std::move(request.done));
          return std::nullopt;
        case ProducerStates::Verdict::Kind::accept: break;
      }
    }
    if (position.end > INT64_MAX - info.last_offset_delta - 1) return refuse(ErrorCode::kKafkaStorageError, "offsets are used up");
    records::stamp_base_offset(request.batch, position.end);
    records::stamp_leader_epoch(request.batch, leader_epoch());
    if (append_time >= 0) records::stamp_log_append_time(request.batch, append_time);
    auto header = records::parse_batch_header(request.batch);
    if (!header) return refuse(ErrorCode::kCorruptMessage, "malformed batch");

    host::AppendEntry entry;
    entry.bytes = request.batch;
    entry.base_offset = position.end;
    entry.last_offset = position.end + info.last_offset_delta;
    entry.max_timestamp = header->max_timestamp;
    entry.record_count = static_cast<uint32_t>(info.records_count);
    entry.owner = request.keep_alive;
    struct Context {
      std::shared_ptr<Partition> self;
      std::shared_ptr<host::Log> log;
      records::BatchInfo info;
      records::BatchHeader header;
      int64_t append_time;
      uint64_t generation;
      std::shared_ptr<void> keep;
      ProduceDone done;
    };
    // enqueue may refuse, and then destroys the entry: the answer must survive it.
    auto context = std::make_shared<Context>(
        Context{shared_from_this(), log_, info, *header, append_time, position.generation, request.keep_alive, std::move(request.done)});
    entry.done = [c = context](host::AppendOutcome outcome) {
      c->self->finished(*c->log, c->info, c->header, c->append_time, c->generation, c->done, std::move(outcome));
    };
    Status status = log_->enqueue(std::move(entry), position.generation, *request.executor);
    if (status.ok()) {
      if (info.has_producer_id()) state_.producers.add_pending(info, position.end, append_time, position.generation);
      queued = true;
      return std::nullopt;
    }
    request.done = std::move(context->done);
    if (status.code() == StatusCode::conflict) continue;  // a failure started a new generation meanwhile
    return refuse(to_error_code(status), status.describe());
  }
  return refuse(ErrorCode::kNotLeaderOrFollower, "appends keep failing");
}

void Partition::finished(const host::Log& log, const records::BatchInfo& info, const records::BatchHeader& header, int64_t append_time,
                         uint64_t generation, ProduceDone& done, host::AppendOutcome outcome) {
  ProduceOutcome answer;
  std::vector<ProduceDone> repeats;
  bool current = false;
  if (outcome.status.ok()) {
    const int64_t now = context_.clock.wall_ms();
    std::lock_guard lock(mutex_);
    answer.base_offset = header.base_offset;
    answer.log_append_time_ms = append_time;
    answer.log_start = log_start_;
    // Loaded anew meanwhile: what was loaded, or will be, has this batch.
    current = &log == log_.get();
    if (current) {
      if (info.has_producer_id()) repeats = state_.producers.commit(info, header.base_offset, now);
      state_.add(header, rules(), now);
      high_watermark_ = state_.end;
      bytes_since_snapshot_ += info.size;
      dirty_ = true;
    }
    std::erase_if(waiters_, [&](const auto& waiter) { return waiter->notify(static_cast<int64_t>(info.size)); });
    auto& metrics = context_.metrics;
    metrics.batches_appended.fetch_add(1, std::memory_order_relaxed);
    metrics.bytes_appended.fetch_add(info.size, std::memory_order_relaxed);
    metrics.records_appended.fetch_add(static_cast<uint64_t>(info.records_count), std::memory_order_relaxed);
  } else {
    answer.error = to_error_code(outcome.status);
    answer.message = outcome.status.describe();
    context_.metrics.append_errors.fetch_add(1, std::memory_order_relaxed);
    std::lock_guard lock(mutex_);
    current = &log == log_.get();
    if (current) repeats = state_.producers.drop_pending(generation);
  }
  if (!outcome.status.ok() && current) log_failed(outcome.status);
  for (auto& repeat : repeats) repeat(ProduceOutcome(answer));
  done(std::move(answer));
}

void Partition::log_failed(const Status& status) {
  // Another writer took over, or the log is gone, or nobody knows what it holds: the next use loads anew, and learns which.
  const bool unsure = status_class(status.code()) == status_class(StatusCode::unknown);
  if (!unsure && status.code() != StatusCode::fenced && status.code() != StatusCode::not_found) return;
  std::vector<std::shared_ptr<FetchWaiter>> woken;
  {
    std::lock_guard lock(mutex_);
    if (stage_ == Stage::ready) stage_ = Stage::idle;
    woken.swap(waiters_);
  }
  for (auto& waiter : woken) waiter->notify(INT64_MAX);
}

}  // namespace sluice::partition
