// SPDX-License-Identifier: Apache-2.0
// A partition's beginning: fence the log, find the newest state that matches it, replay what came after; and the saving
// of that state.
#include <fmt/format.h>

#include "partition/log_partition.hpp"

namespace sluice::partition {
namespace {

constexpr std::string_view kStartName = "start";
constexpr size_t kSnapshotsKept = 2;
constexpr uint32_t kMaxParts = 4'096;

std::string snapshot_name(int number) {
  return fmt::format("state.{}", number);
}
std::string part_name(const std::string& snapshot, uint32_t part) {
  return fmt::format("{}.part.{}", snapshot, part);
}

}  // namespace

LogPartition::LogPartition(PartitionContext& context, cluster::TopicPtr topic, int32_t index)
    : Partition(context, std::move(topic), index) {}

RetentionRules LogPartition::rules() const {
  return {settings_.retention_ms, settings_.retention_bytes, settings_.segment_bytes, settings_.segment_ms};
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
  const int32_t epoch = after->partitions[static_cast<size_t>(index_)].leader_epoch;
  if (epoch != leader_epoch()) unload_locked();
  leader_epoch_ = epoch;
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
    note(SLUICE_LOG_WARNING, fmt::format("cannot be loaded: {}", status.describe()));
  }
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
    appends.swap(waiting_appends_);
    waiting.swap(waiting_ready_);
    log = log_;
    for (auto& request : appends) {
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
  std::shared_ptr<host::Log> log;
  {
    std::lock_guard lock(mutex_);
    raise = raise_epoch_;
    log = log_;
  }
  if (raise) {
    const int32_t over = topic->partitions[static_cast<size_t>(index_)].leader_epoch;
    auto raised = co_await context_.cluster.raise_leader_epoch(topic->id, index_, over, loop);
    if (!raised) co_return Status(StatusCode::unavailable, raised.error().text);
    topic = *raised;
    std::lock_guard lock(mutex_);
    raise_epoch_ = false;
  }
  const cluster::PartitionInfo info = topic->partitions[static_cast<size_t>(index_)];
  const cluster::Extent extent = info.extents.back();
  if (!log || log->descriptor().id != extent.log) {
    auto storage = context_.cluster.storages().find(extent.storage);
    if (!storage || !storage->started()) {
      co_return Status(StatusCode::unavailable, fmt::format("storage \"{}\" is not available", extent.storage));
    }
    auto opened = storage->open(cluster::Cluster::describe_log(*topic, index_, extent));
    if (!opened) co_return opened.error();
    log = *opened;
    std::lock_guard lock(mutex_);
    log_ = log;
  }
  auto position = co_await log->acquire(info.leader_epoch, loop);
  if (!position) co_return co_await replace_lost_log(*topic, extent.log, position.error(), loop, again);
  auto bounds = co_await log->bounds(loop);
  if (!bounds) co_return co_await replace_lost_log(*topic, extent.log, bounds.error(), loop, again);
  {
    std::lock_guard lock(mutex_);
    const int64_t acknowledged = known_log_ == extent.log ? high_watermark_ : 0;
    const bool native = log->storage().condition().kind == SLUICE_KIND_NATIVE;  // others write, and no fence tells
    if (!native && (bounds->end != position->end || position->end < acknowledged)) {
      raise_epoch_ = again = true;
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
  Status status = co_await load_log_start(*log, bounds->start, bounds->end, start, loop);
  if (!status.ok()) co_return status;
  PartitionState state;
  status = co_await load_state(loop, state, bounds->start, bounds->end);
  if (!status.ok()) co_return status;
  state.cut_before(start);
  state.end = bounds->end;
  std::lock_guard lock(mutex_);
  if (stage_ == Stage::closed) co_return Status(StatusCode::not_found, "the topic is gone");
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
  auto fresh = co_await context_.cluster.replace_lost_extent(topic.id, index_, lost, loop);
  if (!fresh) co_return Status(StatusCode::internal, fresh.error().text);
  context_.metrics.lost_logs.fetch_add(1, std::memory_order_relaxed);
  again = true;
  co_return why;
}

void LogPartition::report_loss(int64_t acknowledged, int64_t end, std::string_view who) {
  context_.metrics.data_losses.fetch_add(1, std::memory_order_relaxed);
  context_.metrics.lost_offsets.fetch_add(static_cast<uint64_t>(acknowledged - end), std::memory_order_relaxed);
  note(SLUICE_LOG_ERROR,
       fmt::format("DATA LOSS: {} below offset {}, and the log ends at {} now: {} offsets are gone; a new leader epoch "
                   "begins there",
                   who, acknowledged, end, acknowledged - end));
}

/// The log start is a value of its own: what is before it is hidden, also where the storage still has it.
Task<Status> LogPartition::load_log_start(host::Log& log, int64_t first, int64_t end, int64_t& start, Loop& loop) {
  auto saved = co_await log.load(std::string(kStartName), loop);
  if (!saved) co_return saved.error();
  start = first;
  if (saved->has_value() && (*saved)->size() == sizeof(int64_t)) {
    start = std::max(start, load_be<int64_t>(as_bytes(**saved).data()));
  }
  if (start <= end) co_return Status();
  // Records that were deleted are lost as well; those that come now under their offsets are others, and were not
  // deleted.
  start = end;
  std::string value(sizeof(int64_t), '\0');
  store_be<int64_t>(reinterpret_cast<uint8_t*>(value.data()), start);
  co_return co_await log.save(std::string(kStartName), std::move(value), loop);
}

Task<Status> LogPartition::load_state(Loop& loop, PartitionState& state, int64_t start, int64_t end) {
  std::shared_ptr<host::Log> log;
  {
    std::lock_guard lock(mutex_);
    log = log_;
  }
  int64_t best = -1;
  int64_t lost_up_to = -1;
  for (int i = 0; i < static_cast<int>(kSnapshotsKept); ++i) {
    auto snapshot = co_await load_snapshot(loop, snapshot_name(i), end);
    if (!snapshot) {
      const StatusCode code = snapshot.error().code();
      // One that is damaged, of a later version, or reflects another history, is not used; the other one, or the log
      // itself, is there.
      if (code == StatusCode::unsupported)
        note(SLUICE_LOG_WARNING, fmt::format("rebuilding its state: {}", snapshot.error().describe()));
      if (code == StatusCode::not_found || code == StatusCode::corrupt || code == StatusCode::conflict ||
          code == StatusCode::unsupported) {
        continue;
      }
      co_return snapshot.error();
    }
    if (snapshot->end > end) {
      // The log is shorter than when this was saved. Removed, so that a loss is told once.
      lost_up_to = std::max(lost_up_to, snapshot->end);
      Status removed = co_await log->save(snapshot_name(i), "", loop);
      if (!removed.ok()) co_return removed;
      continue;
    }
    if (snapshot->end < start || snapshot->end <= best) continue;
    best = snapshot->end;
    state = std::move(*snapshot);
    std::lock_guard lock(mutex_);
    next_snapshot_ = 1 - i;
  }
  {
    std::lock_guard lock(mutex_);
    // What this process knew has been told already.
    if (lost_up_to >= 0 && !known_log_) report_loss(lost_up_to, end, "its saved state knows everything");
  }
  int64_t at = best >= 0 ? best : start;
  uint64_t replayed = 0;
  while (at < end) {
    auto read = co_await log->read(at, end, kReplayReadBytes, loop);
    if (!read) co_return read.error().status.in(fmt::format("reading at {}", at));
    auto bytes = host::gather(*read);
    if (!bytes) co_return bytes.error();
    Bytes rest = as_bytes(*bytes);
    if (rest.empty()) co_return Status(StatusCode::corrupt, fmt::format("no batch at {}, end {}", at, end));
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

Task<Result<PartitionState>> LogPartition::load_snapshot(Loop& loop, std::string name, int64_t end) {
  std::shared_ptr<host::Log> log;
  {
    std::lock_guard lock(mutex_);
    log = log_;
  }
  auto root = co_await log->load(name, loop);
  if (!root) co_return fail(root.error());
  if (!root->has_value()) co_return fail(StatusCode::not_found, "");
  // The root is the number of parts, then the state itself or nothing where it is in parts.
  if ((*root)->size() < sizeof(uint32_t)) co_return fail(StatusCode::corrupt, "");
  const auto parts = load_be<uint32_t>(as_bytes(**root).data());
  std::string bytes = (*root)->substr(sizeof(uint32_t));
  if (parts > kMaxParts) co_return fail(StatusCode::corrupt, "");
  for (uint32_t i = 0; i < parts; ++i) {
    auto part = co_await log->load(part_name(name, i), loop);
    if (!part) co_return fail(part.error());
    if (!part->has_value()) co_return fail(StatusCode::corrupt, "");
    bytes += **part;
  }
  auto state = decode_state(bytes);
  if (!state) co_return fail(state.error());
  if (state->last_epoch >= 0 && state->end > 0 && state->end <= end) {
    auto last = co_await log->read(state->end - 1, end, 1, loop);
    if (!last) {
      // Trimmed away: nothing to compare with, and nothing that contradicts it.
      if (last.error().status.code() == StatusCode::out_of_range) co_return std::move(*state);
      co_return fail(last.error().status);
    }
    auto batch = host::gather(*last);
    if (!batch) co_return fail(batch.error());
    auto header = records::parse_batch_header(as_bytes(*batch));
    if (!header || header->leader_epoch != state->last_epoch || header->crc != state->last_crc)
      co_return fail(StatusCode::conflict, "");
  }
  co_return std::move(*state);
}

Task<void> LogPartition::save_state(Loop& loop) {
  auto keep = shared_from_this();
  {
    std::lock_guard lock(mutex_);
    if (stage_ != Stage::ready || !dirty_ || saving_) co_return;
    saving_ = true;
  }
  Status status = co_await save_snapshot(loop);
  std::lock_guard lock(mutex_);
  saving_ = false;
  if (!status.ok() && status.code() != StatusCode::fenced)
    note(SLUICE_LOG_WARNING, fmt::format("state not saved: {}", status.describe()));
}

Task<Status> LogPartition::save_snapshot(Loop& loop) {
  std::string bytes;
  std::string name;
  std::shared_ptr<host::Log> log;
  uint64_t covered = 0;
  {
    std::lock_guard lock(mutex_);
    bytes = encode_state(state_);
    name = snapshot_name(next_snapshot_);
    log = log_;
    covered = bytes_since_snapshot_;
    dirty_ = false;
  }
  uint32_t parts = 0;
  if (bytes.size() > kSavedPartBytes) {
    // Parts first, the root last: a root never names parts of another snapshot than its own (the checksum is over all).
    for (size_t at = 0; at < bytes.size(); at += kSavedPartBytes, ++parts) {
      Status status = co_await log->save(part_name(name, parts), bytes.substr(at, kSavedPartBytes), loop);
      if (!status.ok()) co_return status;
    }
    bytes.clear();
  }
  std::string root(sizeof(uint32_t), '\0');
  store_be<uint32_t>(reinterpret_cast<uint8_t*>(root.data()), parts);
  root += bytes;
  Status status = co_await log->save(name, std::move(root), loop);
  std::lock_guard lock(mutex_);
  if (status.ok()) {
    next_snapshot_ = 1 - next_snapshot_;
    bytes_since_snapshot_ -= std::min(covered, bytes_since_snapshot_);
    context_.metrics.snapshots.fetch_add(1, std::memory_order_relaxed);
  } else {
    dirty_ = true;
  }
  co_return status;
}

Task<Status> LogPartition::move_start(int64_t offset, Loop& loop) {
  // One after the other: of two values that are saved at the same time the lower one might be what stays.
  co_await suspend_until<bool>(loop, [this](Resumer<bool> resume) {
    {
      std::lock_guard lock(mutex_);
      if (moving_start_) {
        start_turns_.push_back(std::move(resume));
        return;
      }
      moving_start_ = true;
    }
    resume(true);
  });
  Status status = co_await move_start_alone(offset, loop);
  std::optional<Resumer<bool>> next;
  {
    std::lock_guard lock(mutex_);
    moving_start_ = !start_turns_.empty();
    if (moving_start_) {
      next = std::move(start_turns_.front());
      start_turns_.pop_front();
    }
  }
  if (next) (*next)(true);
  co_return status;
}

Task<Status> LogPartition::move_start_alone(int64_t offset, Loop& loop) {
  std::shared_ptr<host::Log> log;
  {
    std::lock_guard lock(mutex_);
    if (offset <= log_start_) co_return Status();
    log = log_;
  }
  std::string value(sizeof(int64_t), '\0');
  store_be<int64_t>(reinterpret_cast<uint8_t*>(value.data()), offset);
  Status status = co_await log->save(std::string(kStartName), std::move(value), loop);
  if (!status.ok()) co_return status;
  {
    std::lock_guard lock(mutex_);
    log_start_ = std::max(log_start_, offset);
    state_.cut_before(log_start_);
    dirty_ = true;
  }
  // Only a permission: what is not dropped now is hidden by the log start.
  co_return co_await log->trim(offset, loop);
}

Task<void> LogPartition::maintain(Loop& loop) {
  auto keep = shared_from_this();
  if (co_await ready(loop) != ErrorCode::kNone) co_return;
  const int64_t now = context_.clock.wall_ms();
  int64_t start = 0;
  int64_t wanted = 0;
  bool snapshot = false;
  {
    std::lock_guard lock(mutex_);
    if (stage_ != Stage::ready) co_return;
    state_.producers.expire(now - context_.producer_expiration_ms);
    start = log_start_;
    wanted = std::min(state_.retention_start(start, rules(), now), high_watermark_);
    snapshot = bytes_since_snapshot_ >= context_.snapshot_every_bytes && !saving_;
  }
  if (wanted > start) {
    context_.metrics.retention_runs.fetch_add(1, std::memory_order_relaxed);
    Status status = co_await move_start(wanted, loop);
    if (!status.ok()) log_failed(status);
  }
  if (snapshot) co_await save_state(loop);
}

}  // namespace sluice::partition
