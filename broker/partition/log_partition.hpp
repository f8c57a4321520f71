// SPDX-License-Identifier: Apache-2.0
// One partition over its extents, as its leader: numbers batches, keeps producer state, high watermark and log start,
// answers readers and wakes those who wait.
//
// Thread-safe. Its mutex is held for arithmetic and queueing only, never across I/O or a callback. It loads itself at
// first use, on the loop of whoever uses it first; what comes meanwhile waits in order. It loads again under another
// leader epoch, and when its log is not what it knew. A log is opened once: two writers of one epoch could not tell
// their tokens apart. Before a load looks at the log, every append that was queued has been answered, so that nothing
// old arrives in what was loaded.
//
// Its records may lie in several logs on several storages, see extents.hpp; the last of them is written, and is meant
// where it says "the log".
//
// A log that ends below what was acknowledged has lost data. Then the epoch is raised, so that clients see that the
// offsets which come now are others than those they knew under the same numbers, and all that was cached is rebuilt
// from the log. Where that happens again and again the partition waits before the next epoch, see epoch_budget.hpp.
#pragma once

#include <deque>
#include <functional>
#include <optional>

#include "partition/epoch_budget.hpp"
#include "partition/extents.hpp"
#include "partition/partition.hpp"
#include "partition/read_ahead.hpp"
#include "partition/state.hpp"

namespace sluice::partition {

class LogPartition final : public Partition {
 public:
  static constexpr size_t kMaxWaitingForLoad = 10'000;
  static constexpr int64_t kLoadRetryMs = 200;        // a storage that is back serves within a second
  static constexpr int64_t kLoadSayEveryMs = 10'000;  // that it cannot be loaded
  static constexpr int kMaxLoadAttempts = 4;          // of one load, when what it found out made it begin again
  static constexpr int64_t kSuspicionPauseMs =
      10'000;  // between two loads because readers found less than there should be
  static constexpr uint64_t kReplayReadBytes = 4 << 20;
  static constexpr uint64_t kLookThroughBytes = 1 << 20;
  static constexpr size_t kSavedPartBytes = 500 * 1024;
  static constexpr uint64_t kCopyReadBytes = 1 << 20;
  static constexpr uint64_t kCopyInFlightBytes = 8 << 20;  // read, and not yet acknowledged by the target
  static constexpr int kMaxSwitchAttempts = 3;             // with another log each
  static constexpr int64_t kMaxTargetMs = 2'000;           // that appends wait for a migration's target

  LogPartition(PartitionContext& context, cluster::TopicPtr topic, int32_t index);

  void append(AppendRequest request, Loop& loop) override;
  Task<ReadOutcome> read(ReadRequest request, Loop& loop) override;
  bool add_waiter(const std::shared_ptr<FetchWaiter>& waiter, int64_t end_seen) override;
  void remove_waiter(const std::shared_ptr<FetchWaiter>& waiter) override;
  Task<OffsetAnswer> list_offset(int64_t timestamp, int32_t current_leader_epoch, Loop& loop) override;
  Task<OffsetAnswer> end_of_epoch(int32_t epoch, int32_t current_leader_epoch, Loop& loop) override;
  Task<OffsetAnswer> delete_records(int64_t offset, Loop& loop) override;
  void update(const cluster::TopicPtr& after) override;
  Task<void> maintain(Loop& loop) override;
  Task<void> save_state(Loop& loop) override;
  bool loaded() const override;
  Task<Status> switch_storage(Loop& loop) override;
  Task<Status> copy_extents(CopyPace& pace, Loop& loop) override;
  int64_t bytes_between(int64_t from, int64_t to) const override;

 private:
  enum class Stage { idle, loading, ready, failed, closed };
  // read.cc
  /// Extents::read, by way of what was read ahead.
  Task<tl::expected<host::ReadResult, Status>> read_on(int64_t offset, int64_t limit, uint64_t max_bytes, int32_t epoch,
                                                       Loop& loop);
  /// What to read next for `run`. `mutex_` is held.
  std::optional<ReadAhead::Order> order_ahead_locked(const ReadAhead::RunPtr& run);
  void ask_ahead(ReadAhead::RunPtr run, ReadAhead::Order order, Loop& loop);
  void came_ahead(const ReadAhead::RunPtr& run, tl::expected<host::ReadResult, Status> read, bool at_once, Loop& loop);
  /// Drops `run` once its reader has stayed away for long: it was used so often by now. Loop thread.
  void watch_run(const ReadAhead::RunPtr& run, uint64_t uses, Loop& loop);

  Task<ErrorCode> ready(Loop& loop);
  Task<void> load(Loop& loop);
  /// Loading succeeded or failed: those who waited for it are served or told.
  void end_loading(const Status& status);
  /// `again`: something was put right, and the load is to be repeated.
  Task<Status> load_once(Loop& loop, bool& again);
  /// Waits until every append that was queued has been answered.
  Task<void> appends_answered(Loop& loop);
  Task<Status> replace_lost_log(const cluster::TopicInfo& topic, host::LogId lost, const Status& why, Loop& loop,
                                bool& again);
  Task<Status> load_state(Loop& loop, PartitionState& state, int64_t start, int64_t end, int32_t epoch);
  /// The newest usable snapshot in a log whose extent ends at `end`; its number, or -1 if there is none.
  Task<Result<int>> load_newest_snapshot(Loop& loop, cluster::Extent extent, int64_t end, PartitionState& state,
                                         int64_t& lost_up_to);
  Task<Result<PartitionState>> load_snapshot(Loop& loop, std::shared_ptr<host::Log> log, std::string name, int64_t from,
                                             int64_t end);
  Task<Status> save_snapshot(Loop& loop);

  // start.cc
  Task<Status> load_log_start(std::shared_ptr<host::Log> log, int64_t first, int64_t end, int64_t& start, Loop& loop);
  /// The log start that the open log, which is new, does not know: from the logs that were open before it.
  Task<Result<int64_t>> earlier_log_start(Loop& loop);
  Task<void> take_start_turn(Loop& loop);
  void end_start_turn();
  Task<Status> move_start(int64_t offset, Loop& loop);
  Task<Status> move_start_alone(int64_t offset, Loop& loop);
  /// Permits the storages to drop what is before the log start, and metadata to drop whole extents.
  Task<Status> trim_extents(int64_t start, int32_t epoch, Loop& loop);

  // move.cc
  /// Nothing may be under way. `again`: with another log. `intact`: nothing was changed, and the log is as it was
  /// known.
  Task<Status> switch_log(Loop& loop, bool& again, bool& intact);
  /// Does the storage of a log that is not there answer at all?
  Task<Status> probe(cluster::Extent extent, Loop& loop);
  /// Makes the log that is to be written next; see prepare_log().
  Task<Status> make_log(std::shared_ptr<host::Log> log, host::LogDescriptor descriptor, int64_t end, int32_t epoch,
                        Loop& loop);
  /// A log on the target that holds what a partition needs to begin there, and no record.
  Task<Status> prepare_log(std::shared_ptr<host::Log> log, int64_t end, int32_t epoch, Loop& loop);
  Task<Status> plan_copy(cluster::TopicPtr& topic, int32_t epoch, Loop& loop);
  Task<Status> copy_into(std::shared_ptr<host::Log> log, cluster::Extent copy, host::WritePosition at, int32_t epoch,
                         CopyPace& pace, Loop& loop);
  Task<tl::expected<std::vector<uint8_t>, Status>> read_batch(int64_t offset, Loop& loop);
  /// Shows the batches from `from` to `to` until `see` says true.
  Task<Status> look_through(int64_t from, int64_t to, std::function<bool(const records::BatchView&)> see, Loop& loop);
  /// The first batch at `from` or behind it whose greatest timestamp is >= `timestamp`; none: the end.
  Task<tl::expected<int64_t, Status>> next_batch_since(int64_t timestamp, int64_t from, Loop& loop);
  Task<OffsetAnswer> find_timestamp(int64_t timestamp, Loop& loop);
  Task<OffsetAnswer> find_max_timestamp(Loop& loop);
  /// Queues it, or gives the answer at once. `mutex_` is held. `dropped`: repeats whose first try is gone, to be
  /// answered without it.
  std::optional<ProduceOutcome> queue_locked(AppendRequest& request, bool& queued, std::vector<ProduceDone>& dropped);
  static void answer_dropped(std::vector<ProduceDone>& dropped);
  void finished(const records::BatchInfo& info, const records::BatchHeader& header, int64_t append_time,
                uint64_t generation, ProduceDone& done, host::AppendOutcome outcome);
  /// The stage as of now: a log that has been found to be shorter than what was acknowledged is to be loaded anew.
  /// `mutex_` is held.
  Stage stage_locked();
  /// The next use loads anew, and those who wait look again. `mutex_` is held.
  void unload_locked();
  void wake_waiters_locked();
  /// After a call failed: another writer took over, or the log is gone.
  void log_failed(const Status& status);
  /// Readers find less than was acknowledged: only a fence can tell.
  ErrorCode suspect_loss(const std::shared_ptr<host::Log>& log, int64_t offset);
  /// UNAVAILABLE while no further epoch may be spent on what the storage reports. `mutex_` is held.
  Status may_raise_locked(const std::string& storage);
  void report_loss(int64_t acknowledged, int64_t end, std::string_view who);
  RetentionRules rules() const;

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  Stage stage_ = Stage::idle;
  ErrorCode load_error_ = ErrorCode::kNone;
  int64_t load_failed_at_ms_ = 0;                   // monotonic
  std::optional<int64_t> load_failure_said_at_ms_;  // monotonic
  int32_t loaded_epoch_ = -1;                       // that the log was fenced with
  std::deque<AppendRequest> waiting_appends_;
  std::vector<std::pair<Executor*, UniqueFunction<void(ErrorCode)>>> waiting_ready_;
  std::shared_ptr<host::Log> log_;
  size_t in_flight_ = 0;                     // appends that log_ has not answered
  std::vector<Resumer<bool>> all_answered_;  // resumed when there are none
  bool raise_epoch_ = false;                 // before the log is read again
  EpochBudget epoch_budget_;                 // for that, and for logs that the storage lost
  std::optional<int64_t> suspected_at_ms_;   // monotonic
  std::optional<host::LogId> known_log_;     // that high_watermark_ is of
  PartitionState state_;
  uint64_t generation_ = 0;  // of the log, as of the last append
  int64_t log_start_ = 0;
  int64_t high_watermark_ = 0;
  std::vector<std::shared_ptr<FetchWaiter>> waiters_;
  ReadAhead read_ahead_;
  uint64_t bytes_since_snapshot_ = 0;
  bool dirty_ = false;
  bool saving_ = false;
  bool moving_start_ = false;
  std::deque<Resumer<bool>> start_turns_;  // those who wait to move it
  int next_snapshot_ = 0;
  bool switch_unknown_ = false;            // metadata may say that another log is written
  std::optional<host::LogId> whole_copy_;  // all of it is there, and durable

  bool next_left_behind_ = false;  // somebody may be at work still on the log that is recorded; switch_storage()'s own

  Extents extents_;
};

/// What is saved beside a log: the snapshot `bytes` under `name`, the log start.
Task<Status> write_snapshot(std::shared_ptr<host::Log> log, std::string name, std::string bytes, Loop& loop);
Task<Status> write_log_start(std::shared_ptr<host::Log> log, int64_t start, Loop& loop);
Task<Result<std::optional<int64_t>>> read_log_start(std::shared_ptr<host::Log> log, Loop& loop);
std::string snapshot_name(int number);

}  // namespace sluice::partition
