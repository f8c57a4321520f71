// SPDX-License-Identifier: Apache-2.0
// One partition of a topic that lives in the engine's own form (kind NATIVE): foreign programs read and write it too,
// the engine gives the offsets, and nothing is fenced. So nothing here is known for good: each read learns the end
// anew, and while somebody waits for records a watch on the log wakes him, whoever wrote them.
//
// Producer state is in memory only: idempotent producers are accepted at any sequence, and a retry is recognised as
// long as its first try is remembered. Retention and log start are the engine's. There is one leader epoch for all
// records, the present one, since none is stored.
//
// Thread-safe. Its mutex is held for arithmetic and queueing only, never across I/O or a callback.
#pragma once

#include <deque>

#include "partition/native_producers.hpp"
#include "partition/partition.hpp"

namespace sluice::partition {

class NativePartition final : public Partition {
 public:
  static constexpr size_t kMaxWaitingForOpen = 1'000;
  static constexpr int kMaxBatchesLookedAt = 1'000;  // for a record of some time

  NativePartition(PartitionContext& context, cluster::TopicPtr topic, int32_t index);

  void append(AppendRequest request, Loop& loop) override;
  Task<ReadOutcome> read(ReadRequest request, Loop& loop) override;
  bool add_waiter(const std::shared_ptr<FetchWaiter>& waiter, int64_t end_seen) override;
  void remove_waiter(const std::shared_ptr<FetchWaiter>& waiter) override;
  Task<uint64_t> native_capabilities(Loop& loop) override;
  /// -3 where the engine does not know its newest timestamp: UNSUPPORTED_FOR_MESSAGE_FORMAT.
  Task<OffsetAnswer> list_offset(int64_t timestamp, int32_t current_leader_epoch, Loop& loop) override;
  /// No epochs are stored: up to the end, everything is of whatever epoch is asked for.
  Task<OffsetAnswer> end_of_epoch(int32_t epoch, int32_t current_leader_epoch, Loop& loop) override;
  /// Where the engine cannot drop its oldest entries: POLICY_VIOLATION.
  Task<OffsetAnswer> delete_records(int64_t offset, Loop& loop) override;
  void update(const cluster::TopicPtr& after) override;
  Task<void> maintain(Loop& loop) override;
  Task<void> save_state(Loop& loop) override;
  bool loaded() const override;

 private:
  enum class Stage { idle, opening, ready, closed };
  using Waiting = std::pair<Executor*, UniqueFunction<void(Status)>>;

  /// Opens the log, if it is not open, and gives it.
  Task<Result<std::shared_ptr<host::Log>>> opened(Loop& loop);
  Task<void> open(Loop& loop);
  Task<Result<std::shared_ptr<host::Log>>> open_log(Loop& loop);
  /// Queues it, or gives the answer at once. `mutex_` is held.
  std::optional<ProduceOutcome> queue_locked(AppendRequest& request, bool& queued);
  void finished(const records::BatchInfo& info, ProduceDone& done, host::AppendOutcome outcome);
  /// Takes over what a call told of the log's borders, and wakes those who wait when the end has moved.
  void learn(int64_t start, int64_t end);
  void wake_locked(int64_t bytes);
  void watch_locked(Executor& on);
  Task<void> watch(std::shared_ptr<host::Log> log, int64_t end, Executor& on);
  Task<Result<host::Bounds>> bounds(Loop& loop);
  Task<OffsetAnswer> find_timestamp(int64_t timestamp, Loop& loop);

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  Stage stage_ = Stage::idle;
  std::shared_ptr<host::Log> log_;
  std::vector<Waiting> waiting_open_;
  std::deque<AppendRequest> waiting_appends_;
  NativeProducers producers_;
  int64_t start_ = 0;  // as last told
  int64_t end_ = 0;
  bool watching_ = false;
  std::vector<std::shared_ptr<FetchWaiter>> waiters_;
};

}  // namespace sluice::partition
