// SPDX-License-Identifier: Apache-2.0
// The log start: a value of its own, saved beside the open log before anything is dropped; what is before it is hidden,
// also where a storage still has it. And what moves it by itself: retention.
#include <fmt/format.h>

#include "partition/log_partition.hpp"

namespace sluice::partition {
namespace {

constexpr std::string_view kStartName = "start";

}  // namespace

Task<Status> write_log_start(std::shared_ptr<host::Log> log, int64_t start, Loop& loop) {
  std::string value(sizeof(int64_t), '\0');
  store_be<int64_t>(reinterpret_cast<uint8_t*>(value.data()), start);
  co_return co_await log->save(std::string(kStartName), std::move(value), loop);
}

Task<Result<std::optional<int64_t>>> read_log_start(std::shared_ptr<host::Log> log, Loop& loop) {
  auto saved = co_await log->load(std::string(kStartName), loop);
  if (!saved) co_return fail(saved.error());
  std::optional<int64_t> start;
  if (saved->has_value() && (*saved)->size() == sizeof(int64_t)) start = load_be<int64_t>(as_bytes(**saved).data());
  co_return start;
}

Task<Status> LogPartition::load_log_start(std::shared_ptr<host::Log> log, int64_t first, int64_t end, int64_t& start,
                                          Loop& loop) {
  auto saved = co_await read_log_start(log, loop);
  if (!saved) co_return saved.error();
  if (!*saved) {
    auto earlier = co_await earlier_log_start(loop);
    if (!earlier) co_return earlier.error();
    *saved = *earlier;
  }
  start = std::max(first, **saved);
  if (start <= end) co_return Status();
  // Records that were deleted are lost as well; those that come now under their offsets are others, and were not
  // deleted.
  start = end;
  co_return co_await write_log_start(log, start, loop);
}

Task<Result<int64_t>> LogPartition::earlier_log_start(Loop& loop) {
  int64_t start = 0;
  for (const cluster::Extent& extent : extents_.list()) {
    if (extent.to < 0) continue;
    auto log = extents_.open(extent);
    if (!log) co_return fail(log.error());
    auto saved = co_await read_log_start(*log, loop);
    if (!saved && saved.error().code() == StatusCode::not_found) continue;  // lost: told when it is read
    if (!saved) co_return fail(saved.error());
    start = std::max(start, saved->value_or(0));
  }
  co_return start;
}

/// One after the other: of two values that are saved at the same time the lower one might be what stays.
Task<void> LogPartition::take_start_turn(Loop& loop) {
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
}

void LogPartition::end_start_turn() {
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
}

Task<Status> LogPartition::move_start(int64_t offset, Loop& loop) {
  co_await take_start_turn(loop);
  Status status = co_await move_start_alone(offset, loop);
  end_start_turn();
  co_return status;
}

Task<Status> LogPartition::move_start_alone(int64_t offset, Loop& loop) {
  std::shared_ptr<host::Log> log;
  int32_t epoch = 0;
  {
    std::lock_guard lock(mutex_);
    if (offset <= log_start_) co_return Status();
    log = log_;
    epoch = loaded_epoch_;
  }
  Status status = co_await write_log_start(log, offset, loop);
  if (!status.ok()) co_return status;
  {
    std::lock_guard lock(mutex_);
    log_start_ = std::max(log_start_, offset);
    state_.cut_before(log_start_);
    read_ahead_.drop_below(log_start_);
    dirty_ = true;
  }
  co_return co_await trim_extents(offset, epoch, loop);
}

Task<Status> LogPartition::trim_extents(int64_t start, int32_t epoch, Loop& loop) {
  for (const cluster::Extent& extent : extents_.list()) {
    const bool is_open = extent.to < 0;
    if (is_open && start <= extent.from && extents_.list().size() > 1) break;
    if (!is_open && extent.to <= start) {
      cluster::Command command = cluster::DropExtent{topic_->id, index_, extent.log};
      auto dropped = co_await context_.cluster.change_topic(std::move(command), loop);
      if (!dropped) co_return Status(StatusCode::unavailable, dropped.error().text);
      continue;
    }
    auto log = is_open ? extents_.open(extent) : Result<std::shared_ptr<host::Log>>();
    if (!is_open) log = co_await extents_.sealed(extent, epoch, loop);
    if (!log) co_return log.error();
    // Should the open log be lost, this one tells the log start.
    Status status;
    if (!is_open) status = co_await write_log_start(*log, start, loop);
    if (!status.ok()) co_return status;
    // Only a permission: what is not dropped now is hidden by the log start.
    co_return co_await (*log)->trim(start, loop);
  }
  co_return Status();
}

Task<void> LogPartition::maintain(Loop& loop) {
  auto keep = shared_from_this();
  if (co_await ready(loop) != ErrorCode::kNone) co_return;
  const int64_t now = context_.clock.wall_ms();
  int64_t start = 0;
  int64_t wanted = 0;
  int32_t epoch = 0;
  bool stale = false;  // the log start is past an extent that could not be dropped then
  bool snapshot = false;
  {
    std::lock_guard lock(mutex_);
    if (stage_ != Stage::ready) co_return;
    state_.producers.expire(now - context_.producer_expiration_ms);
    start = log_start_;
    epoch = loaded_epoch_;
    wanted = std::min(state_.retention_start(start, rules(), now), high_watermark_);
    const cluster::Extent first = extents_.list().front();
    wanted = std::max(wanted, first.from);  // what was before it is lost
    stale = first.to >= 0 && first.to <= start;
    snapshot = bytes_since_snapshot_ >= context_.snapshot_every_bytes && !saving_;
  }
  if (wanted > start) {
    context_.metrics.retention_runs.fetch_add(1, std::memory_order_relaxed);
    Status status = co_await move_start(wanted, loop);
    if (!status.ok()) log_failed(status);
  } else if (stale) {
    (void)co_await trim_extents(start, epoch, loop);
  }
  if (snapshot) co_await save_state(loop);
}

}  // namespace sluice::partition
