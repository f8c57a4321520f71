// SPDX-License-Identifier: Apache-2.0
// What readers ask of a partition.
#include "partition/log_partition.hpp"

namespace sluice::partition {
namespace {

constexpr int64_t kLatest = -1;
constexpr int64_t kEarliest = -2;
constexpr int64_t kMaxTimestamp = -3;
constexpr int64_t kEarliestLocal = -4;
constexpr int64_t kLatestTiered = -5;
constexpr int64_t kEarliestPendingUpload = -6;

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
  auto read = co_await extents_.read(request.offset, outcome.high_watermark, std::max<uint64_t>(request.max_bytes, 1),
                                     epoch, loop);
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
