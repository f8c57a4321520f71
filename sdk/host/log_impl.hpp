// SPDX-License-Identifier: Apache-2.0
// What is behind Log. The writer (log_writer.cc, log_settle.cc) is a state machine under one mutex, which is held for
// arithmetic and queueing only: never across a call into the adapter, a post that could run something, or a callback.
//
// At most one thing is on its way for a log's writer: an append, or a fence, or a pause before the next fence (Phase).
// While it is, others only queue. Whoever ends it starts the next, in advance(). So there is one append in flight per
// log, and no append while a fence is under way.
//
// NATIVE: there are no fences, and an adapter that keeps the order by itself has several appends in flight (flights_).
// The phase is appending only while the adapter's function runs, so that the calls come one after another. They end in
// any order and are told in theirs. When one fails, all that is queued is dropped, as ever; nothing more is sent until
// those behind it have ended, and what is sent then belongs to the next run.
//
// What callers are told goes through a queue of its own (deliver()), so that done callbacks run in the order of enqueue
// though the next unit is sent before they run, and though units end on different threads.
#pragma once

#include <coroutine>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "host/call.hpp"
#include "host/log.hpp"
#include "host/storage_impl.hpp"

namespace sluice::host {

class LogImpl;

/// Limits of the writer.
constexpr size_t kMaxUnitBatches = 1024;        // one append
constexpr size_t kMaxQueuedBatches = 1 << 16;   // behind the append in flight, per log; beyond: BUSY
constexpr int64_t kSettleDeadlineMs = 60'000;   // to find out what became of an append
constexpr int64_t kFenceTimeoutMs = 10'000;     // one fence while settling
constexpr int64_t kFirstSettlePauseMs = 20;     // between two fences, doubled each time
constexpr int64_t kLongestSettlePauseMs = 500;  // an engine that is back serves again within a second
constexpr int kMaxTokenRetries = 3;             // of trim and save when the token changed under them

/// A batch with whom to tell.
struct Queued {
  AppendEntry entry;
  Executor* executor = nullptr;

  /// Calls done, once.
  void tell(AppendOutcome outcome);
};

/// One append on its way.
class Unit final : public Call {
 public:
  static constexpr CallKind kKind = CallKind::append;
  Unit() : Call(kKind) {}

  /// Makes the request from `entries`. Copies bytes that nobody owns.
  void fill(uint64_t token, int64_t at);
  /// NATIVE, as one of `run`.
  void fill_native(uint64_t run);
  int64_t at() const { return request.at; }
  /// One past the last offset.
  int64_t end() const { return entries.back().entry.last_offset + 1; }

  std::vector<Queued> entries;
  std::vector<sluice_batch> batches;
  std::vector<sluice_batch_result> results;  // NATIVE
  std::vector<uint8_t> copies;
  sluice_append request{};
  Guarded<sluice_append_result> result;
  uint64_t reserved_bytes = 0;
  LogImpl* log = nullptr;

 protected:
  void finished() override;
  void reset() override;
  void release() override;
  std::string fault(sluice_status status) override;

 private:
  void list(bool count_up);
};

class FenceCall final : public Call {
 public:
  static constexpr CallKind kKind = CallKind::fence;
  FenceCall() : Call(kKind) {}
  uint64_t token = 0;
  uint64_t incarnation = 0;  // of the storage, when the fence was sent
  Executor* on = nullptr;
  Guarded<sluice_fence_result> result;
  LogImpl* log = nullptr;

 protected:
  void finished() override;
  void reset() override { result.prepare(); }
  std::string fault(sluice_status status) override;
};

class LogImpl final : public Log, public std::enable_shared_from_this<LogImpl> {
 public:
  LogImpl(std::shared_ptr<StorageImpl> storage, LogDescriptor descriptor);
  ~LogImpl() override;
  /// The adapter's handle. Once, first.
  Status open();

  const LogDescriptor& descriptor() const override { return descriptor_.source; }
  Storage& storage() override { return *storage_; }
  Task<Result<WritePosition>> acquire(int32_t leader_epoch, Executor& on) override;
  WritePosition position() const override;
  Status enqueue(AppendEntry entry, uint64_t generation, Executor& executor) override;
  void send() override;
  Task<Status> trim(int64_t offset, Executor& on) override;
  Task<Status> save(std::string name, std::string value, Executor& on) override;
  Task<Result<std::optional<std::string>>> load(std::string name, Executor& on) override;
  Task<AppendOutcome> append_at(int64_t at, std::vector<std::string> batches, Executor& on) override;
  Task<Status> trim_shared(int64_t offset, Executor& on) override;
  Task<tl::expected<ReadResult, ReadError>> read(int64_t offset, int64_t limit, uint64_t max_bytes,
                                                 Executor& on) override;
  Task<Result<Bounds>> bounds(Executor& on) override;
  Task<Result<int64_t>> locate(int64_t timestamp, Executor& on) override;
  Task<Status> watch(int64_t offset, Executor& on) override;

 private:
  friend class Unit;
  friend class FenceCall;

  enum class Phase { idle, appending, fencing, pausing };
  enum class FenceFor { acquire, settle, again };

  struct Acquire {
    int32_t epoch;
    Executor* on;
    Resumer<Result<WritePosition>> answer;
  };
  /// What callers are to be told: a unit's entries first, then those that were dropped behind it.
  struct Delivery {
    CallRef<Unit> unit;
    AppendOutcome outcome;
    std::vector<Queued> dropped;
    AppendOutcome dropped_outcome;
    Executor* executor = nullptr;
    std::thread::id thread;  // where it came to be, if that was inside send()
  };
  /// NATIVE: an append in flight. `unit` once it has ended, with `status`; it waits for those before it then.
  struct Flight {
    const Unit* sent = nullptr;
    uint64_t run = 0;
    CallRef<Unit> unit;
    Status status;
    Delivery behind;  // what was dropped behind it, because one before it failed
  };
  /// A line for the operator, or a breach, found out with the lock held and said without it.
  struct Remark {
    std::string text;
    bool breach = false;
  };
  /// A pause before the next fence; keeps the log alive.
  struct Pause final : Timers::Entry {
    std::shared_ptr<LogImpl> log;
    Executor* on = nullptr;
    void expired() override;
  };
  using Lock = std::unique_lock<std::mutex>;

  // log_writer.cc. `here`: the executor on whose thread this runs; nullptr: inside a call of the log's user.
  void advance(Executor* here);
  bool begin_unit(Lock& lock, bool native, Executor* here);
  void unit_ended(CallRef<Unit> unit, Executor* here);
  void unit_failed(Lock& lock, CallRef<Unit> unit, Status status, Executor* here);
  bool begin_native_unit(Lock& lock, CallRef<Unit> unit, Executor* here);
  void native_unit_ended(CallRef<Unit> unit, Status status, Executor* here);
  void flight_ended(Flight flight, Executor* here);
  bool has_room();
  /// What is sent now belongs to it: failures begin another.
  uint64_t run() const { return generation_ + 1; }
  Status writable() const;
  bool has_queued() const { return queue_head_ < queue_.size(); }
  /// Queues what became of `unit`, which holds the log's end as it is now.
  Delivery& tell_unit(CallRef<Unit> unit, Status status, Executor* here);
  /// Fails all that is queued, and begins a new generation.
  void drop_queue(Delivery& with, StatusCode code, const std::string& why);
  void drop_queue(StatusCode code, const std::string& why);
  void deliver(Executor* here);
  void run_delivery(Delivery& delivery);
  void say_remarks(Lock& lock);

  // log_settle.cc
  bool begin_fence(Lock& lock, FenceFor purpose, Executor& on, Executor* here);
  bool begin_acquire(Lock& lock, Executor* here);
  void fence_ended(CallRef<FenceCall> call, Executor* here);
  void settle_ended(const Status& status, int64_t end, Executor& on, Executor* here);
  void again_ended(const Status& status, int64_t end);
  Result<WritePosition> acquire_ended(const Status& status, int64_t end);
  void give_up_settling(Status status, Executor* here);
  void take_end(int64_t end);
  void pause_ended(Executor* here);
  Task<Result<WritePosition>> acquire_native(Executor& on);
  Task<Result<uint64_t>> settled_token(Executor& on);
  template <class Issue>
  Task<Status> with_token(Executor& on, Issue issue);

  // log.cc
  /// Checked mode: an end that the log had, and below which it never falls.
  void saw_end(int64_t end);
  Task<Status> trim_with(uint64_t token, int64_t offset, Executor& on);
  Task<Status> save_with(uint64_t token, const std::string& name, const std::string& value, Executor& on);

  const std::shared_ptr<StorageImpl> storage_;
  AbiDescriptor descriptor_;
  sluice_log* handle_ = nullptr;
  std::atomic<int64_t> seen_end_{INT64_MIN};  // checked mode: greatest end that a result showed

  mutable std::mutex mutex_;  // guards all below
  Phase phase_ = Phase::idle;
  bool acquired_ = false;          // a fence under epoch_ was OK
  bool fenced_ = false;            // another writer holds the log; until an acquire with a higher epoch
  bool fence_first_ = false;       // no append before a fence with a higher attempt
  Executor* fence_now_ = nullptr;  // ... which need not wait for something to append, but is sent from here
  int32_t epoch_ = -1;
  uint32_t attempt_ = 0;              // of the last fence that was sent under epoch_
  uint64_t token_ = 0;                // in force, as far as we know
  uint64_t incarnation_ = 0;          // of the storage, at the last fence
  int64_t end_ = 0;                   // of the log, as far as we know
  int64_t possible_end_ = 0;          // where an append that nobody could settle may have moved it; else end_
  int64_t acknowledged_ = INT64_MIN;  // end behind all that was acknowledged
  int64_t tail_ = 0;                  // offset that the next batch gets
  uint64_t generation_ = 0;
  std::vector<Queued> queue_;
  size_t queue_head_ = 0;       // entries before it were taken
  std::deque<Flight> flights_;  // NATIVE, in the order in which they were sent
  std::deque<Acquire> acquires_;
  std::vector<Resumer<Status>> fence_waiters_;  // resumed when no fence is under way

  FenceFor fence_for_ = FenceFor::again;  // of the fence under way
  CallRef<Unit> unsettled_;               // while settling
  int64_t settle_deadline_ns_ = 0;
  int64_t settle_pause_ms_ = 0;
  Pause pause_;

  std::deque<Delivery> deliveries_;
  std::vector<Remark> remarks_;
  bool delivering_ = false;  // some thread, or a job on its way to one, sees to deliveries_
};

}  // namespace sluice::host
