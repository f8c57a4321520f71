// SPDX-License-Identifier: Apache-2.0
// What the readers of one partition will ask for next. Where a reader goes on at the offset at which it ended before,
// the batches behind are asked for already, so that the storage works while the reader is busy with what it has.
//
// A *run* is one reader's way: whole batches that are there, without a hole from where the reader will ask, and at most
// one read behind them that is on its way. It begins when a reader that the storage made wait goes on for the second
// time, so who reads here and there costs nothing; it ends where the reader is at the end of the log, or comes no more,
// or a read fails. What a run holds was below the limit of the moment when it was read; what a reader is given is below
// that reader's own limit. Storages that answer inside the call, or lend ranges of files, have no use for it.
//
// Bytes are limited for each run and, over all partitions, for each storage. State only, no I/O: whoever has one asks
// the storage, and guards it with a lock of its own. Dropping lets go of what was lent on the loop of the run's reader,
// not here.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/task.hpp"
#include "host/log.hpp"

namespace sluice::partition {

/// What is held ahead of one storage's readers. Any thread.
struct AheadShare {
  /// Of one storage, over all partitions: held, or asked for.
  static constexpr int64_t kMaxBytes = 64 << 20;
  /// While readers hold more than that of what the storage lends, nothing is asked for ahead: half of what it may lend.
  static constexpr int64_t kMaxLeasedBytes = 128 << 20;

  std::atomic<int64_t> bytes{0};
  std::atomic<uint64_t> reads{0};          // asked for ahead
  std::atomic<uint64_t> taken_bytes{0};    // that readers got
  std::atomic<uint64_t> dropped_bytes{0};  // that nobody got
  std::atomic<uint64_t> refused{0};        // not asked for, because the bytes were spent
};

/// Those of all storages, by name. Any thread.
class AheadShares {
 public:
  std::shared_ptr<AheadShare> of(const std::string& storage);
  std::map<std::string, std::shared_ptr<AheadShare>> all() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<AheadShare>> shares_;  // guarded by mutex_
};

/// Bytes of a share, given back when it goes.
class AheadBytes {
 public:
  AheadBytes() = default;
  /// Nothing if `share` has no `bytes` left.
  static std::optional<AheadBytes> take(std::shared_ptr<AheadShare> share, uint64_t bytes);
  AheadBytes(AheadBytes&& other) noexcept : share_(std::move(other.share_)), bytes_(std::exchange(other.bytes_, 0)) {}
  AheadBytes& operator=(AheadBytes&& other) noexcept {
    std::swap(share_, other.share_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~AheadBytes() { resize(0); }

  /// What came is another amount than what was asked for, or part of it was taken.
  void resize(uint64_t bytes);
  AheadShare* share() const { return share_.get(); }
  uint64_t bytes() const { return bytes_; }

 private:
  std::shared_ptr<AheadShare> share_;
  uint64_t bytes_ = 0;
};

class ReadAhead {
 public:
  /// Readers of one partition that are read ahead for; more read as they always did.
  static constexpr size_t kMaxRuns = 16;
  /// Ends of reads that are remembered, to know who goes on.
  static constexpr size_t kRememberedEnds = 32;
  /// One read ahead: so many times what the reader asks for at once, because a way to the storage and back costs more
  /// than to split what came; within these bounds, but for a single batch that is larger.
  static constexpr uint64_t kReadersWorth = 2;
  static constexpr uint64_t kMinReadBytes = 256 << 10;
  static constexpr uint64_t kMaxReadBytes = 2 << 20;
  /// Of one run, held or asked for.
  static constexpr uint64_t kMaxRunBytes = 4 << 20;
  /// A run that nobody asked for so long, and at most twice as long, is dropped.
  static constexpr int64_t kUnusedMs = 2'000;

  struct Piece {
    host::ReadResult read;
    AheadBytes bytes;
  };
  struct Run {
    explicit Run(Executor& on) : executor(on) {}
    Executor& executor;    // where its leases are let go of
    int64_t position = 0;  // where its reader will ask
    int64_t end = 0;       // where the next read begins
    uint64_t read_bytes = 0;
    std::deque<Piece> pieces;  // from position to end
    uint64_t held_bytes = 0;   // of pieces
    bool asked = false;        // a read from `end` is on its way
    AheadBytes asked_bytes;
    bool over = false;  // nothing more is asked for
    bool dropped = false;
    uint64_t uses = 0;
    std::vector<Resumer<bool>> waiting;  // for the read that is on its way
  };
  using RunPtr = std::shared_ptr<Run>;
  struct Order {
    int64_t offset = 0;
    int64_t limit = 0;
    uint64_t max_bytes = 0;
  };

  ReadAhead() = default;
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  /// The run of a reader that asks at `offset`; nullptr: there is none.
  RunPtr find(int64_t offset);
  /// Gives what `run` has, whole batches that end at or below `limit`, until `into` has `max_bytes`; its first batch
  /// may be larger. `into.next` follows.
  void take(Run& run, int64_t limit, uint64_t max_bytes, host::ReadResult& into);
  /// A reader was given what lies from `offset` to `next` by the storage, and had to wait for it. A run that begins at
  /// `next`, if it is worth one; it has yet to be asked for.
  RunPtr begin(int64_t offset, int64_t next, int64_t limit, uint64_t max_bytes, Executor& executor);
  /// What to ask the storage for now, if anything; `arrived` must follow. `share`: of the storage that has run.end.
  std::optional<Order> order(const RunPtr& run, int64_t limit, const std::shared_ptr<AheadShare>& share);
  /// The read that was ordered ended. nullptr: with nothing that is of use. `at_once`: inside the call. Who waits for
  /// it is told. Leaves alone what it does not take.
  void arrived(const RunPtr& run, host::ReadResult* read, bool at_once);
  /// A run without batches, for which nothing is on its way, is forgotten, but not where its reader is.
  void tidy(const RunPtr& run);

  void drop(const RunPtr& run);
  void drop_all();
  /// What begins below `offset` is gone.
  void drop_below(int64_t offset);

  size_t runs() const { return runs_.size(); }

 private:
  void remember(int64_t end);
  bool recall(int64_t end);

  std::vector<RunPtr> runs_;
  std::array<int64_t, kRememberedEnds> ends_ = unknown_ends();
  size_t next_end_ = 0;

  static constexpr std::array<int64_t, kRememberedEnds> unknown_ends() {
    std::array<int64_t, kRememberedEnds> ends{};
    ends.fill(-1);
    return ends;
  }
};

/// Adds `piece`, which follows on it, to `total`.
void append_read(host::ReadResult& total, host::ReadResult piece);

}  // namespace sluice::partition
