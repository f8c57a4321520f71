// SPDX-License-Identifier: Apache-2.0
// The StateLog over a log of a storage. Two ways to write: as the one writer, fenced by a leader epoch (groups), or as
// one of several that are ordered by the log alone (metadata). Both replay the same way: from the first whole snapshot
// that the log still holds, each unit naming the checksum of the one before. A snapshot is written every so often and
// the log is trimmed to the second newest, so that a start costs the same however long the history.
//
// Everything runs on one Loop. One unit is in flight; what is appended meanwhile becomes the next.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/task.hpp"
#include "host/log.hpp"
#include "storage/state_log.hpp"
#include "storage/unit.hpp"

namespace sluice::storage {

struct ReplayedLogOptions {
  std::string name;  // for messages: "metadata", "group state 3"
  bool several_writers = false;
  int32_t leader_epoch = 0;  // of the one writer
  WriterId writer;
  uint64_t snapshot_every_bytes = 4ull << 20;
  Clock* clock = &system_clock();
  /// A line for the operator. Loop thread.
  UniqueFunction<void(const std::string&)> report;
};

class ReplayedLog final : public StateLog, public std::enable_shared_from_this<ReplayedLog> {
 public:
  static constexpr uint64_t kMaxUnitBytes = 512 * 1024;
  static constexpr uint64_t kReadBytes = 1 << 20;
  static constexpr int kMaxTries = 40;
  static constexpr int kMaxUnavailableTries = 3;  // as the one writer, who is told soon that the storage is away
  static constexpr int64_t kFirstBackoffMs = 5;
  static constexpr int64_t kMaxBackoffMs = 1'000;
  static constexpr int kMaxReplays = 3;    // when the log is trimmed while it is read
  static constexpr int kMaxSnapshots = 3;  // when others write while one is taken

  /// `machine` and `loop` outlive it.
  ReplayedLog(std::shared_ptr<host::Log> log, StateMachine& machine, Loop& loop, ReplayedLogOptions options);

  /// Fences (as the one writer) and replays. Loop thread, once, before anything else; may be repeated after a failure.
  /// FENCED: another writer took over. CORRUPT: the log cannot be understood; it is never skipped.
  Task<Status> load();

  /// See StateLog. Before load succeeded: UNAVAILABLE.
  void append(std::vector<std::string> records, Executor& executor, UniqueFunction<void(Status)> done) override;

  /// Applies what others wrote up to now (several writers), after what was appended before. Loop thread.
  Task<Status> catch_up();

  /// Nothing is tried again from here on: what is under way ends with its storage's next answer. For a broker that
  /// stops. Any thread.
  void close() { closing_.store(true, std::memory_order_relaxed); }

  /// Ok while it serves; the reason for good once it does not. Any thread.
  Status failure() const;
  const host::LogDescriptor& descriptor() const { return log_->descriptor(); }

 private:
  struct Waiting {
    std::vector<std::string> records;
    uint64_t bytes = 0;
    Executor* executor;
    UniqueFunction<void(Status)> done;
    bool news_only = false;  // a catch_up(): nothing to write
  };
  struct PartialSnapshot {
    int64_t first_offset = 0;
    UnitHeader head;
    uint32_t next_part = 0;
    std::vector<std::string> records;
    std::vector<Buffer> commands_between;
  };

  void enqueue(Waiting waiting);
  Task<void> pump();
  Task<Status> write(UnitHeader::Kind kind, const std::vector<std::string>& records, uint32_t part, uint32_t parts,
                     const std::vector<WriterProgress>& progress);
  Task<host::AppendOutcome> send_once(const Buffer& batch);
  Task<Status> settle();
  bool has_landed(uint64_t sequence) const;
  Task<Status> write_snapshot();
  Task<Status> write_snapshot_once();
  Task<Status> read_news();
  Task<Status> replay(int64_t from, int64_t to);
  Task<Status> reload();
  Status take_batch(const records::BatchView& batch);
  Status apply_commands(const Unit& unit);
  Status take_snapshot_part(const Unit& unit, const records::BatchView& batch);
  void note_snapshot(int64_t first_offset);
  void fail_for_good(Status status);
  static void answer(Waiting& waiting, const Status& status);

  const std::shared_ptr<host::Log> log_;
  StateMachine& machine_;
  Loop& loop_;
  ReplayedLogOptions options_;

  bool loaded_ = false;
  bool pumping_ = false;
  bool based_ = false;  // the machine's state is whole: from the log's beginning or from a snapshot
  int64_t end_ = 0;
  uint32_t last_crc_ = 0;
  bool crc_known_ = false;
  uint64_t sequence_ = 0;
  uint64_t landed_sequence_ = 0;  // the newest of our units that was seen in the log
  uint64_t bytes_since_snapshot_ = 0;
  std::vector<WriterProgress> progress_;
  std::optional<PartialSnapshot> partial_;
  std::deque<int64_t> snapshots_;  // first offsets of whole snapshots, oldest first
  std::deque<Waiting> queue_;

  std::atomic<bool> closing_{false};
  mutable std::atomic<bool> failed_{false};
  Status failure_;  // written once, before failed_ is set
};

}  // namespace sluice::storage
