// SPDX-License-Identifier: Apache-2.0
// One partition over its extents, as its leader: numbers batches, keeps producer state, high watermark and log start, answers
// readers and wakes those who wait.
//
// Thread-safe. Its mutex is held for arithmetic and queueing only, never across I/O or a callback. It loads itself at first use,
// on the loop of whoever uses it first; what comes meanwhile waits in order.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/clock.hpp"
#include "base/task.hpp"
#include "cluster/cluster.hpp"
#include "host/log.hpp"
#include "partition/state.hpp"
#include "records/validate.hpp"

namespace sluice::partition {

/// A batch to append.
struct AppendRequest {
  MutableBytes batch;              // one whole, valid batch; stamped in place
  std::shared_ptr<void> keep_alive;  // of the bytes
  records::BatchInfo info;         // of validate_batch
  Executor* executor = nullptr;    // where done runs, unless it runs inside append
  ProduceDone done;                // exactly once
};

struct ReadRequest {
  int64_t offset = 0;
  uint64_t max_bytes = 1 << 20;
  int32_t current_leader_epoch = -1;  // as the client believes; -1: not checked
  int32_t last_fetched_epoch = -1;    // of the record before `offset`; -1: not checked
};

struct ReadOutcome {
  ErrorCode error = ErrorCode::kNone;
  int64_t high_watermark = -1;
  int64_t last_stable_offset = -1;
  int64_t log_start = -1;
  std::optional<EpochStart> diverging;  // the client's log is not ours from there on (KIP-595)
  std::vector<host::Slice> slices;
  host::Lease lease;
  uint64_t bytes = 0;
};

struct OffsetAnswer {
  ErrorCode error = ErrorCode::kNone;
  int64_t offset = -1;
  int64_t timestamp = -1;
  int32_t leader_epoch = -1;
};

/// Somebody who waits for records; see Partition::add_waiter. Shared between the partitions that he waits on.
class FetchWaiter {
 public:
  /// `wake` runs once, on `executor`, when `missing_bytes` have been appended to the partitions together, or one of them failed.
  FetchWaiter(int64_t missing_bytes, Executor& executor, UniqueFunction<void()> wake)
      : missing_(missing_bytes), executor_(executor), wake_(std::move(wake)) {}
  /// `bytes` were appended; true once it has fired. Any thread.
  bool notify(int64_t bytes);
  bool fired() const { return fired_.load(std::memory_order_acquire); }

 private:
  std::atomic<int64_t> missing_;
  std::atomic<bool> fired_{false};
  Executor& executor_;
  UniqueFunction<void()> wake_;
};

/// Counters of all partitions together.
struct PartitionMetrics {
  std::atomic<uint64_t> batches_appended{0}, bytes_appended{0}, records_appended{0}, duplicates{0}, append_errors{0};
  std::atomic<uint64_t> bytes_read{0}, read_errors{0}, loads{0}, load_errors{0}, snapshots{0}, retention_runs{0}, lost_logs{0};
};

/// What all partitions share. Outlives them.
struct PartitionContext {
  cluster::Cluster& cluster;
  Clock& clock;
  PartitionMetrics metrics;
  int64_t producer_expiration_ms = 86'400'000;
  uint64_t snapshot_every_bytes = 64ull << 20;
};

class Partition : public std::enable_shared_from_this<Partition> {
 public:
  static constexpr size_t kMaxWaitingForLoad = 10'000;
  static constexpr int64_t kLoadRetryMs = 1'000;
  static constexpr uint64_t kReplayReadBytes = 4 << 20;
  static constexpr size_t kMaxDecompressedBytes = 128 << 20;
  static constexpr size_t kSavedPartBytes = 500 * 1024;

  Partition(PartitionContext& context, cluster::TopicPtr topic, int32_t index);

  const cluster::TopicPtr& topic() const { return topic_; }
  int32_t index() const { return index_; }
  const cluster::TopicSettings& settings() const { return settings_; }

  /// Queues a batch, so that batches of one caller keep the order of the calls. Never waits. Any thread; call from a loop.
  void append(AppendRequest request, Loop& loop);

  /// Whole batches from an offset, below the high watermark. Any loop.
  Task<ReadOutcome> read(ReadRequest request, Loop& loop);
  /// Asks for waiter->notify() on every append. False, and not added, if the end is no longer `end_seen`, or the partition cannot
  /// be read: look again.
  bool add_waiter(const std::shared_ptr<FetchWaiter>& waiter, int64_t end_seen);
  void remove_waiter(const std::shared_ptr<FetchWaiter>& waiter);

  /// `timestamp`: -1 latest, -2 earliest, -3 greatest timestamp, -4 earliest local, -5 latest tiered, or milliseconds.
  Task<OffsetAnswer> list_offset(int64_t timestamp, int32_t current_leader_epoch, Loop& loop);
  /// KIP-320: {error, epoch, end offset}.
  Task<OffsetAnswer> end_of_epoch(int32_t epoch, int32_t current_leader_epoch, Loop& loop);
  /// -1: up to the high watermark. The answer's offset is the low watermark.
  Task<OffsetAnswer> delete_records(int64_t offset, Loop& loop);

  /// Leader epoch in force; any thread.
  int32_t leader_epoch() const { return leader_epoch_.load(std::memory_order_relaxed); }
  /// Metadata changed: another epoch, or deleted (`after` is nullptr).
  void update(const cluster::TopicPtr& after);
  /// Retention, forgotten producers, a snapshot if one is due. Every few seconds.
  Task<void> maintain(Loop& loop);
  /// Saves the state if anything changed since (a clean stop).
  Task<void> save_state(Loop& loop);
  bool loaded() const;

 private:
  enum class Stage { idle, loading, ready, failed, closed };
  Task<ErrorCode> ready(Loop& loop);
  Task<void> load(Loop& loop);
  Task<Status> load_once(Loop& loop, bool& replaced);
  Task<Status> load_state(Loop& loop, PartitionState& state, int64_t start, int64_t end);
  Task<Result<PartitionState>> load_snapshot(Loop& loop, std::string name, int64_t end);
  Task<Status> save_snapshot(Loop& loop);
  Task<Status> move_start(int64_t offset, Loop& loop);
  Task<Status> move_start_alone(int64_t offset, Loop& loop);
  Task<tl::expected<std::vector<uint8_t>, Status>> read_batch(int64_t offset, Loop& loop);
  Task<OffsetAnswer> find_timestamp(int64_t timestamp, Loop& loop);
  Task<OffsetAnswer> find_max_timestamp(Loop& loop);
  /// Queues it, or gives the answer at once. `mutex_` is held. `dropped`: repeats whose first try is gone, to be answered without it.
  std::optional<ProduceOutcome> queue_locked(AppendRequest& request, bool& queued, std::vector<ProduceDone>& dropped);
  static void answer_dropped(std::vector<ProduceDone>& dropped);
  void finished(const host::Log& log, const records::BatchInfo& info, const records::BatchHeader& header, int64_t append_time,
                uint64_t generation, ProduceDone& done, host::AppendOutcome outcome);
  void log_failed(const Status& status);
  RetentionRules rules() const;
  ErrorCode check_epoch(int32_t current_leader_epoch) const;

  PartitionContext& context_;
  const cluster::TopicPtr topic_;  // as it was when opened: id and name do not change
  const int32_t index_;
  const cluster::TopicSettings settings_;
  std::atomic<int32_t> leader_epoch_;

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  Stage stage_ = Stage::idle;
  ErrorCode load_error_ = ErrorCode::kNone;
  int64_t load_failed_at_ms_ = 0;  // monotonic
  int32_t loaded_epoch_ = -1;  // that the log was fenced with
  std::deque<AppendRequest> waiting_appends_;
  std::vector<std::pair<Executor*, UniqueFunction<void(ErrorCode)>>> waiting_ready_;
  std::shared_ptr<host::Log> log_;
  PartitionState state_;
  uint64_t generation_ = 0;  // of the log, as of the last append
  int64_t log_start_ = 0;
  int64_t high_watermark_ = 0;
  std::vector<std::shared_ptr<FetchWaiter>> waiters_;
  uint64_t bytes_since_snapshot_ = 0;
  bool dirty_ = false;
  bool saving_ = false;
  bool moving_start_ = false;
  std::deque<Resumer<bool>> start_turns_;  // those who wait to move it
  int next_snapshot_ = 0;
};

/// The one table from a storage's answer to the protocol's error codes.
ErrorCode to_error_code(const Status& status);

}  // namespace sluice::partition
