// SPDX-License-Identifier: Apache-2.0
// One partition, as the handlers of requests see it; what it does depends on the kind of its storage: LogPartition
// leads a log of Sluice's own, NativePartition stands before an engine's own topic that others write too.
//
// Thread-safe. Tasks run on the loop that they are given, and resume there.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/clock.hpp"
#include "base/log_limiter.hpp"
#include "base/task.hpp"
#include "cluster/cluster.hpp"
#include "host/log.hpp"
#include "partition/read_ahead.hpp"
#include "partition/state.hpp"
#include "records/validate.hpp"

namespace sluice::partition {

/// A batch to append.
struct AppendRequest {
  MutableBytes batch;                // one whole, valid batch; stamped in place
  std::shared_ptr<void> keep_alive;  // of the bytes
  records::BatchInfo info;           // of validate_batch
  Executor* executor = nullptr;      // where done runs, unless it runs inside append
  ProduceDone done;                  // exactly once
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
  /// `wake` runs once, on `executor`, when `missing_bytes` have been appended to the partitions together, or one of
  /// them failed.
  FetchWaiter(int64_t missing_bytes, Executor& executor, UniqueFunction<void()> wake)
      : missing_(missing_bytes), executor_(executor), wake_(std::move(wake)) {}
  /// `bytes` were appended; true once it has fired. Any thread.
  bool notify(int64_t bytes);
  bool fired() const { return fired_.load(std::memory_order_acquire); }
  Executor& executor() const { return executor_; }

 private:
  std::atomic<int64_t> missing_;
  std::atomic<bool> fired_{false};
  Executor& executor_;
  UniqueFunction<void()> wake_;
};

/// Counters of all partitions together.
struct PartitionMetrics {
  std::atomic<uint64_t> batches_appended{0}, bytes_appended{0}, records_appended{0}, duplicates{0}, append_errors{0};
  std::atomic<uint64_t> bytes_read{0}, read_errors{0}, loads{0}, load_errors{0}, snapshots{0}, retention_runs{0},
      lost_logs{0};
  /// Entries of NATIVE storages that are no records, passed by readers.
  std::atomic<uint64_t> entries_skipped{0};
  /// Logs found to end below what was acknowledged, and how many offsets were missing in all.
  std::atomic<uint64_t> data_losses{0}, lost_offsets{0};
  /// Migrations: partitions that switched to another storage, and what was copied after them.
  std::atomic<uint64_t> switches{0}, bytes_copied{0};
};

/// What all partitions share. Outlives them.
struct PartitionContext {
  cluster::Cluster& cluster;
  Clock& clock;
  PartitionMetrics metrics;
  int64_t producer_expiration_ms = 86'400'000;
  uint64_t snapshot_every_bytes = 64ull << 20;
  /// Batches that wait for their partitions to load, over all partitions.
  int64_t max_waiting_bytes = 32 << 20;
  std::atomic<int64_t> waiting_bytes{0};
  AheadShares ahead{};

  /// Takes `bytes` of max_waiting_bytes, to be subtracted from waiting_bytes again; false when they are spent.
  bool let_wait(size_t bytes) {
    const auto amount = static_cast<int64_t>(bytes);
    const int64_t before = waiting_bytes.fetch_add(amount);
    // One batch always may, whatever its size.
    if (before <= 0 || before + amount <= max_waiting_bytes) return true;
    waiting_bytes.fetch_sub(amount);
    return false;
  }
};

/// Who paces the copying of extents. On the loop that copies.
class CopyPace {
 public:
  virtual ~CopyPace() = default;
  /// Copying begins, or goes on: so many bytes are to be copied in all, about, and so many are there already.
  virtual void begin(int64_t bytes_in_all, int64_t bytes_there) = 0;
  /// Waits until `bytes` more may be copied. False: no more for now.
  virtual Task<bool> admit(uint64_t bytes) = 0;
  /// `bytes` more may be copied now, and count. False: ask admit(), once there is nothing else to do.
  virtual bool admit_now(uint64_t bytes) = 0;
  virtual void copied(uint64_t bytes) = 0;
};

class Partition : public std::enable_shared_from_this<Partition> {
 public:
  static constexpr size_t kMaxDecompressedBytes = 128 << 20;

  Partition(PartitionContext& context, cluster::TopicPtr topic, int32_t index);
  virtual ~Partition() = default;
  Partition(const Partition&) = delete;
  Partition& operator=(const Partition&) = delete;

  const cluster::TopicPtr& topic() const { return topic_; }
  int32_t index() const { return index_; }
  /// As metadata says now. Any thread.
  cluster::TopicSettings settings() const;

  /// Queues a batch, so that batches of one caller keep the order of the calls. Never waits. Any thread; call from a
  /// loop.
  virtual void append(AppendRequest request, Loop& loop) = 0;

  /// Whole batches from an offset, below the high watermark. Any loop.
  virtual Task<ReadOutcome> read(ReadRequest request, Loop& loop) = 0;
  /// Asks for waiter->notify() on every append. False, and not added, if the end is no longer `end_seen`, or the
  /// partition cannot be read: look again.
  virtual bool add_waiter(const std::shared_ptr<FetchWaiter>& waiter, int64_t end_seen) = 0;
  virtual void remove_waiter(const std::shared_ptr<FetchWaiter>& waiter) = 0;

  /// `timestamp`: -1 latest, -2 earliest, -3 greatest timestamp, -4 earliest local, -5 latest tiered, or milliseconds.
  virtual Task<OffsetAnswer> list_offset(int64_t timestamp, int32_t current_leader_epoch, Loop& loop) = 0;
  /// KIP-320: {error, epoch, end offset}.
  virtual Task<OffsetAnswer> end_of_epoch(int32_t epoch, int32_t current_leader_epoch, Loop& loop) = 0;
  /// -1: up to the high watermark. The answer's offset is the low watermark.
  virtual Task<OffsetAnswer> delete_records(int64_t offset, Loop& loop) = 0;

  /// What holds of this partition's records where the engine's own topics may differ in it, of kind NATIVE; nothing of
  /// the others, and where the engine does not answer.
  virtual Task<uint64_t> native_capabilities(Loop& loop);

  /// Leader epoch in force; any thread.
  int32_t leader_epoch() const { return leader_epoch_.load(std::memory_order_relaxed); }
  // ---- Migration. One call at a time for one partition; after a failure or a crash it is simply called again.
  /// New records go to the target of the topic's migration from now on. Producers and readers wait meanwhile, and are
  /// told nothing. OK: they do, or there is no migration. UNSUPPORTED: the storage is of kind NATIVE.
  virtual Task<Status> switch_storage(Loop& loop);
  /// Copies the first run of extents that are not on the migration's target into a log there, which takes their place
  /// once it is whole. OK: done, or nothing to do. UNAVAILABLE: `pace` ended it, or a storage was away. TOO_LARGE: a
  /// batch is larger than the target takes.
  virtual Task<Status> copy_extents(CopyPace& pace, Loop& loop);
  /// About so many bytes lie between two offsets; 0 while nobody knows. Any thread.
  virtual int64_t bytes_between(int64_t, int64_t) const { return 0; }

  /// Metadata changed: another epoch, other settings or extents, or deleted (`after` is nullptr).
  virtual void update(const cluster::TopicPtr& after) = 0;
  /// Retention, forgotten producers, a snapshot if one is due. Every few seconds.
  virtual Task<void> maintain(Loop& loop) = 0;
  /// Saves the state if anything changed since (a clean stop).
  virtual Task<void> save_state(Loop& loop) = 0;
  virtual bool loaded() const = 0;

 protected:
  /// Is this the epoch that the client believes in? -1: it does not say.
  ErrorCode check_epoch(int32_t current_leader_epoch) const;
  void note(int level, const std::string& text) const;
  /// A line for what no retry of a producer mends: the client may show its user nothing but a code.
  void tell_refusal(const Status& status);
  void take_settings(const cluster::TopicInfo& topic);

  PartitionContext& context_;
  const cluster::TopicPtr topic_;  // as it was when opened: id and name do not change
  const int32_t index_;
  std::atomic<int32_t> leader_epoch_;

 private:
  LogLimiter refusals_;  // lines that clients cause
  mutable std::mutex settings_mutex_;
  cluster::TopicSettings settings_;  // guarded by settings_mutex_
};

/// The one table from a storage's answer to the protocol's error codes.
ErrorCode to_error_code(const Status& status);
/// ... to an append: what the storage does not take as it is must not be sent again, which a client would do for minutes
/// after an error of the server's.
ErrorCode to_append_error(const Status& status);

}  // namespace sluice::partition
