// SPDX-License-Identifier: Apache-2.0
// What readers ask of a partition.
#include <algorithm>

#include "partition/log_partition.hpp"

namespace sluice::partition {
namespace {

constexpr int64_t kLatest = -1;
constexpr int64_t kEarliest = -2;
constexpr int64_t kMaxTimestamp = -3;
constexpr int64_t kEarliestLocal = -4;
constexpr int64_t kLatestTiered = -5;
constexpr int64_t kEarliestPendingUpload = -6;

bool lent_from_memory(const host::ReadResult& read) {
  return std::all_of(read.slices.begin(), read.slices.end(),
                     [](const host::Slice& slice) { return slice.data != nullptr; });
}

}  // namespace

bool LogPartition::add_waiter(const std::shared_ptr<FetchWaiter>& waiter, int64_t end_seen) {
  std::lock_guard lock(mutex_);
  if (stage_locked() != Stage::ready || high_watermark_ != end_seen) return false;
  waiters_.push_back(waiter);
  return true;
}

void LogPartition::remove_waiter(const std::shared_ptr<FetchWaiter>& waiter) {
  std::lock_guard lock(mutex_);
  std::erase(waiters_, waiter);
}

Task<ReadOutcome> LogPartition::read(ReadRequest request, Loop& loop) {
  auto keep = shared_from_this();
  ReadOutcome outcome;
  outcome.error = co_await ready(loop);
  if (outcome.error != ErrorCode::kNone) co_return outcome;
  std::shared_ptr<host::Log> log;
  int32_t epoch = 0;
  {
    std::lock_guard lock(mutex_);
    outcome.high_watermark = high_watermark_;
    outcome.last_stable_offset = high_watermark_;
    outcome.log_start = log_start_;
    outcome.error = check_epoch(request.current_leader_epoch);
    if (outcome.error != ErrorCode::kNone) co_return outcome;
    if (request.last_fetched_epoch >= 0) {
      const EpochStart end = state_.end_of_epoch(request.last_fetched_epoch, leader_epoch(), high_watermark_);
      if (end.epoch < 0 || request.offset < log_start_) {
        outcome.error = ErrorCode::kOffsetOutOfRange;
        co_return outcome;
      }
      if (end.offset < request.offset || end.epoch < request.last_fetched_epoch) {
        outcome.diverging = end;
        co_return outcome;
      }
    }
    if (request.offset < log_start_ || request.offset > high_watermark_) {
      outcome.error = ErrorCode::kOffsetOutOfRange;
      co_return outcome;
    }
    log = log_;
    epoch = loaded_epoch_;
  }
  if (request.offset >= outcome.high_watermark) co_return outcome;
  auto read =
      co_await read_on(request.offset, outcome.high_watermark, std::max<uint64_t>(request.max_bytes, 1), epoch, loop);
  if (!read) {
    const Status& status = read.error();
    log_failed(status);
    context_.metrics.read_errors.fetch_add(1, std::memory_order_relaxed);
    // Trimmed between our look and the storage's: for the reader it is out of range.
    outcome.error =
        status.code() == StatusCode::out_of_range ? suspect_loss(log, request.offset) : to_error_code(status);
    co_return outcome;
  }
  if (read->bytes == 0) {
    // A gap up to the end, or less than was acknowledged.
    if (read->next < outcome.high_watermark) outcome.error = suspect_loss(log, request.offset);
    co_return outcome;
  }
  outcome.slices = std::move(read->slices);
  outcome.lease = std::move(read->lease);
  outcome.bytes = read->bytes;
  context_.metrics.bytes_read.fetch_add(read->bytes, std::memory_order_relaxed);
  co_return outcome;
}

// ---- Ahead of readers

/// Who has half of what he asked for is not kept waiting for more.
Task<tl::expected<host::ReadResult, Status>> LogPartition::read_on(int64_t offset, int64_t limit, uint64_t max_bytes,
                                                                   int32_t epoch, Loop& loop) {
  using Answer = tl::expected<host::ReadResult, Status>;
  host::ReadResult total;
  total.next = offset;
  for (bool wait = true; wait;) {
    ReadAhead::RunPtr run;
    std::optional<ReadAhead::Order> order;
    bool more = false;  // that does not fit
    {
      std::lock_guard lock(mutex_);
      if (stage_ == Stage::ready && loaded_epoch_ == epoch) run = read_ahead_.find(total.next);
      if (!run) break;
      read_ahead_.take(*run, limit, max_bytes, total);
      order = order_ahead_locked(run);
      more = !run->pieces.empty();
      wait = run->asked && !more;
      read_ahead_.tidy(run);
    }
    if (order) ask_ahead(run, *order, loop);
    if (total.bytes > 0 && (more || total.bytes >= max_bytes / 2 || total.next >= limit)) co_return total;
    if (!wait) break;
    co_await suspend_until<bool>(loop, [&](Resumer<bool> resume) {
      std::lock_guard lock(mutex_);
      if (!run->asked || run->dropped) return resume(true);
      run->waiting.push_back(std::move(resume));
    });
  }

  const int64_t from = total.next;
  const uint64_t room = std::max<uint64_t>(max_bytes - std::min(max_bytes, total.bytes), 1);
  bool at_once = false;
  Answer read = co_await suspend_until<Answer>(loop, [&](Resumer<Answer> resume) {
    auto answered = std::make_shared<bool>(false);
    start(extents_.read(from, limit, room, epoch, loop), [answered, resume](Answer answer) {
      *answered = true;
      resume(std::move(answer));
    });
    at_once = *answered;  // this coroutine goes on on this thread, so it is still there
  });
  if (!read && total.bytes == 0) co_return read;
  // Only the first batch of a read may be larger than what was asked for.
  if (!read || (total.bytes > 0 && total.bytes + read->bytes > max_bytes)) co_return total;
  if (!at_once && lent_from_memory(*read)) {
    ReadAhead::RunPtr run;
    std::optional<ReadAhead::Order> order;
    {
      std::lock_guard lock(mutex_);
      if (stage_ == Stage::ready && loaded_epoch_ == epoch)
        run = read_ahead_.begin(from, read->next, high_watermark_, max_bytes, loop);
      if (run) {
        order = order_ahead_locked(run);
        read_ahead_.tidy(run);
      }
    }
    if (order) {
      ask_ahead(run, *order, loop);
      watch_run(run, 0, loop);
    }
  }
  total.next = read->next;
  append_read(total, std::move(*read));
  co_return total;
}

std::optional<ReadAhead::Order> LogPartition::order_ahead_locked(const ReadAhead::RunPtr& run) {
  if (stage_ != Stage::ready) return std::nullopt;
  const std::string storage = extents_.storage_at(run->end);
  const auto there = context_.cluster.storages().find(storage);
  if (!there || there->metrics().bytes_leased.load() > AheadShare::kMaxLeasedBytes) return std::nullopt;
  return read_ahead_.order(run, high_watermark_, context_.ahead.of(storage));
}

void LogPartition::ask_ahead(ReadAhead::RunPtr run, ReadAhead::Order order, Loop& loop) {
  auto keep = std::static_pointer_cast<LogPartition>(shared_from_this());
  int32_t epoch = 0;
  {
    std::lock_guard lock(mutex_);
    epoch = loaded_epoch_;
  }
  auto at_once = std::make_shared<bool>(true);
  start(extents_.read(order.offset, order.limit, order.max_bytes, epoch, loop),
        [keep, run, at_once, &loop](tl::expected<host::ReadResult, Status> read) {
          keep->came_ahead(run, std::move(read), *at_once, loop);
        });
  *at_once = false;
}

/// Errors are not told here: whoever reads on meets them himself.
void LogPartition::came_ahead(const ReadAhead::RunPtr& run, tl::expected<host::ReadResult, Status> read, bool at_once,
                              Loop& loop) {
  std::optional<ReadAhead::Order> order;
  {
    std::lock_guard lock(mutex_);
    read_ahead_.arrived(run, read && lent_from_memory(*read) ? &*read : nullptr, at_once);
    order = order_ahead_locked(run);
  }
  if (order) ask_ahead(run, *order, loop);
}

void LogPartition::watch_run(const ReadAhead::RunPtr& run, uint64_t uses, Loop& loop) {
  loop.call_after(ReadAhead::kUnusedMs, [self = weak_from_this(), watched = std::weak_ptr(run), uses, &loop] {
    const auto keep = std::static_pointer_cast<LogPartition>(self.lock());
    const ReadAhead::RunPtr still = watched.lock();
    if (!keep || !still) return;
    uint64_t now = 0;
    {
      std::lock_guard lock(keep->mutex_);
      now = still->uses;
      if (now == uses) keep->read_ahead_.drop(still);
      if (still->dropped) return;
    }
    keep->watch_run(still, now, loop);
  });
}

ErrorCode LogPartition::suspect_loss(const std::shared_ptr<host::Log>& log, int64_t offset) {
  std::lock_guard lock(mutex_);
  if (offset < log_start_) return ErrorCode::kOffsetOutOfRange;
  if (stage_ != Stage::ready || log != log_) return ErrorCode::kNotLeaderOrFollower;
  // Sealed extents know where they must end: no fence would tell more.
  if (offset < extents_.open_from()) return ErrorCode::kKafkaStorageError;
  const int64_t now = context_.clock.monotonic_ms();
  // A fence has just said that all is there: then it is the storage's reads that are wrong, and loading again does not
  // help.
  if (suspected_at_ms_ && now - *suspected_at_ms_ < kSuspicionPauseMs) return ErrorCode::kKafkaStorageError;
  suspected_at_ms_ = now;
  raise_epoch_ = true;
  unload_locked();
  return ErrorCode::kNotLeaderOrFollower;
}

Task<OffsetAnswer> LogPartition::list_offset(int64_t timestamp, int32_t current_leader_epoch, Loop& loop) {
  auto keep = shared_from_this();
  OffsetAnswer answer;
  answer.error = co_await ready(loop);
  if (answer.error != ErrorCode::kNone) co_return answer;
  answer.error = check_epoch(current_leader_epoch);
  if (answer.error != ErrorCode::kNone) co_return answer;
  if (timestamp == kMaxTimestamp) co_return co_await find_max_timestamp(loop);
  if (timestamp >= 0) co_return co_await find_timestamp(timestamp, loop);
  std::lock_guard lock(mutex_);
  switch (timestamp) {
    case kLatest:
      answer.offset = high_watermark_;
      answer.leader_epoch = leader_epoch();
      break;
    case kEarliest:
    case kEarliestLocal:
      answer.offset = log_start_;
      answer.leader_epoch = state_.epoch_at(log_start_);
      if (answer.leader_epoch < 0) answer.leader_epoch = leader_epoch();
      break;
    case kLatestTiered:
    case kEarliestPendingUpload:
      break;  // nothing is tiered: -1
    default:
      answer.error = ErrorCode::kUnsupportedVersion;
  }
  co_return answer;
}

Task<OffsetAnswer> LogPartition::end_of_epoch(int32_t epoch, int32_t current_leader_epoch, Loop& loop) {
  auto keep = shared_from_this();
  OffsetAnswer answer;
  answer.error = co_await ready(loop);
  if (answer.error != ErrorCode::kNone) co_return answer;
  answer.error = check_epoch(current_leader_epoch);
  if (answer.error != ErrorCode::kNone) co_return answer;
  std::lock_guard lock(mutex_);
  const EpochStart end = state_.end_of_epoch(epoch, leader_epoch(), high_watermark_);
  answer.leader_epoch = end.epoch;
  answer.offset = end.offset;
  co_return answer;
}

Task<OffsetAnswer> LogPartition::delete_records(int64_t offset, Loop& loop) {
  auto keep = shared_from_this();
  OffsetAnswer answer;
  answer.error = co_await ready(loop);
  if (answer.error != ErrorCode::kNone) co_return answer;
  {
    std::lock_guard lock(mutex_);
    if (offset == -1) offset = high_watermark_;
    if (offset < 0 || offset > high_watermark_) {
      answer.error = ErrorCode::kOffsetOutOfRange;
      co_return answer;
    }
  }
  Status status = co_await move_start(offset, loop);
  if (!status.ok()) {
    log_failed(status);
    answer.error = to_error_code(status);
    co_return answer;
  }
  std::lock_guard lock(mutex_);
  answer.offset = log_start_;
  co_return answer;
}

}  // namespace sluice::partition
