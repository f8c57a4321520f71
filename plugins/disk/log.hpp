// SPDX-License-Identifier: Apache-2.0
// One log: whether it is there, what it holds, and the order in which things happen to it.
//
// Calls that change a log, and those that find it not loaded, run one after the other as jobs of its own queue, on the
// writer threads, or on the i/o threads when they may have to wait for the device. Whatever changes the fields below
// runs there, and takes the mutex for the moment of changing them. Reads, bounds and locate run beside that queue:
// inline when all they need is in memory and in the page cache, otherwise on an i/o thread.
//
// A log is loaded (recovered) at its first use. Not loaded it costs a few hundred bytes.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "disk/engine.hpp"
#include "disk/layout.hpp"
#include "disk/recovery.hpp"
#include "disk/segment.hpp"
#include "disk/writer.hpp"
#include "plugin/adapter.hpp"

namespace sluice::disk {

/// The answer of one call that was deferred. Counted, so that stop can wait for it.
class Answer {
 public:
  Answer(Engine& engine, plugin::Call& call) : engine_(&engine), pending_(call.defer()) { engine.outstanding.begin(); }
  Answer(Answer&& other) noexcept
      : engine_(std::exchange(other.engine_, nullptr)), pending_(std::move(other.pending_)) {}
  Answer& operator=(Answer&&) = delete;
  ~Answer() {
    if (engine_ != nullptr) (*this)(Status(StatusCode::internal, "the call was dropped"));
  }
  void operator()(const Status& status) {
    pending_.complete(status);
    std::exchange(engine_, nullptr)->outstanding.end();
  }

 private:
  Engine* engine_;
  plugin::Pending pending_;
};

class Log : public std::enable_shared_from_this<Log> {
 public:
  Log(Engine& engine, const Uuid& id) : engine_(engine), writer_(engine), id_(id) {}

  const Uuid& id() const { return id_; }

  // The calls of the ABI. What they answer is said there.
  Status create(plugin::Call& call, plugin::LogDescriptor descriptor);
  Status remove(plugin::Call& call);
  Status append(plugin::Call& call, const sluice_append& request, sluice_append_result& result);
  Status read(plugin::Call& call, const sluice_read& request, sluice_read_result& result);
  Status bounds(plugin::Call& call, sluice_bounds& result);
  Status locate(plugin::Call& call, int64_t timestamp, sluice_locate_result& result);
  Status trim(plugin::Call& call, uint64_t token, int64_t offset);
  Status fence(plugin::Call& call, uint64_t token, sluice_fence_result& result);
  Status save(plugin::Call& call, const sluice_save& request);
  Status load(plugin::Call& call, const sluice_load& request, sluice_load_result& result);

  // For Storage, with no call outstanding:
  /// Says that the directory of that name in logs/ is this log, or that there is none.
  void found(std::string directory_name);
  void lost();
  /// Syncs and writes down what makes the next start cheap, and forgets all but the name. On an i/o thread.
  Status close();
  /// Whether it was loaded since found().
  bool is_loaded() const;
  /// Whether nothing is known of it that is worth keeping.
  bool is_forgettable() const;
  /// The name of its directory, or empty when it is not there.
  std::string directory_name() const;

  /// Syncs what was acknowledged before it was synced, in the interval mode. On an i/o thread.
  void sync_in_background();

 private:
  friend struct Engine;
  enum class Pool { writers, io };
  enum class Phase { absent, found, loaded };
  struct Job {
    Pool pool;
    UniqueFunction<void()> run;
  };
  /// Where a batch lies. Without a segment: there is none.
  struct Place {
    SharedSegment segment;
    SharedFile file;
    BatchAt batch;
    Commit commit;              // the segment's, when it was looked at
    int64_t damaged_next = -1;  // >= 0: what is there is damaged, and this is where to go on
  };

  // The queue (log.cc).
  void submit(Job job);
  void continue_with(Job job);  // from a job: runs before everything that is queued
  void turn(Pool pool);
  void post_turn(Pool pool);
  /// Runs `job` on an i/o thread beside the queue.
  void beside(UniqueFunction<void()> job);

  // Loading, making, removing (log.cc). Jobs.
  void load_now();
  Status create_now(const plugin::LogDescriptor& descriptor);
  Status make_directory(const plugin::LogDescriptor& descriptor);
  Status remove_now();
  Status sync_removal();
  Status missing() const;  // why a call on a log that is not loaded fails
  std::string directory() const { return engine_.logs_directory() + "/" + directory_name_; }

  // Appending and syncing (log_append.cc). Jobs, but sync().
  void append_now(Answer answer, const sluice_append& request, sluice_append_result& result);
  Status check(const sluice_append& request, sluice_append_result& result) const;
  Status prepare_segment(uint64_t unit_bytes);
  void publish(const sluice_append& request, const Commit& commit);
  void seal_in_background(SharedSegment segment);
  void seal(const SharedSegment& segment);
  /// Makes all that is written so far as durable as the machine can: segments, names, state. I/o threads. A failure is
  /// final: the log refuses appends until repair().
  Status sync();
  Status fail_sync(const Status& status);
  Status sync_failure() const;
  Status repair();
  Status rewrite(const SharedSegment& segment);
  bool has_unfinished_recovery() const;
  bool always_syncs() const { return engine_.settings.sync == SyncMode::fsync || descriptor_.sync(); }

  // Reading (log_read.cc). Any thread. "Would wait" is told by StatusCode::pending.
  Status try_read(const sluice_read& request, sluice_read_result& result, bool may_wait);
  /// Puts the batches from `first` up to `to` into the result.
  Status lend(const Place& first, uint64_t to, int64_t next, sluice_read_result& result);
  Status lend_checked(const Place& first, uint64_t to, int64_t next, sluice_read_result& result);
  Status try_locate(int64_t timestamp, sluice_locate_result& result, bool may_wait);
  Status fill_bounds(sluice_bounds& result);
  /// The batch that holds `offset`, or the next one.
  Result<Place> find(int64_t offset, bool may_wait);
  /// The end of what a read may show: behind the last batch that is below `limit` and within `max_bytes`, and where to
  /// read on.
  struct Stretch {
    uint64_t to = 0;
    int64_t next = 0;
  };
  Result<Stretch> stretch(const Place& first, int64_t limit, uint64_t max_bytes, bool may_wait);
  /// Loads what is needed to look into a segment: its page, its index, a descriptor.
  Result<SharedFile> prepare(const SharedSegment& segment, bool may_wait);
  /// A batch at or behind the offset `from` with a timestamp that is high enough; -1: none in this segment.
  Result<int64_t> first_at_time(const SharedSegment& segment, int64_t from, int64_t timestamp, bool may_wait);
  // Beside the queue a file may be gone because the log is, or because it was trimmed; then the call is made again as a
  // job, where neither can be under way.
  void submit_read(Answer answer, const sluice_read& request, sluice_read_result& result);
  void submit_locate(Answer answer, int64_t timestamp, sluice_locate_result& result);
  /// Of a job: NOT_FOUND means the log; a file that is gone was taken away by somebody else's hand.
  Status explain_absence(const Status& status) const;
  Status not_loaded() const;

  // Token, start, values (log_state.cc). Jobs.
  Status fence_now(uint64_t token, sluice_fence_result& result);
  /// Runs a second time, with `synced`, when segments are to be dropped and what is left had to be synced before.
  void trim_now(Answer answer, uint64_t token, int64_t offset, bool synced);
  void submit_trim(Answer answer, uint64_t token, int64_t offset, bool synced);
  Result<int64_t> trimmed_start(int64_t offset);
  Status drop_below(int64_t start, size_t segments);
  Status save_now(const sluice_save& request);
  Status load_value_now(const sluice_load& request, sluice_load_result& result);
  Status check_token(uint64_t token) const;
  /// Writes `next` as the new state, synced if `durable`, and then makes it so.
  Status change_state(LogState next, bool durable);

  Engine& engine_;
  Writer writer_;
  const Uuid id_;

  mutable std::mutex mutex_;
  // All below is guarded by mutex_, and, but for the queue, changed by jobs alone (which may read it without).
  std::list<Job> jobs_;
  bool turning_ = false;
  Phase phase_ = Phase::absent;
  Status load_failure_;
  std::string directory_name_;
  plugin::LogDescriptor descriptor_;
  LogState state_;
  std::vector<SharedSegment> segments_;
  int64_t start_ = 0;
  int64_t end_ = 0;
  int64_t max_timestamp_ = kNoTimestamp;
  bool changed_ = false;  // since it was loaded, so that close() has something to do
  bool state_synced_ = true;
  bool removal_synced_ = true;
  Status unfinished_;  // recovery could not clear away what it should have (read-only, no access)
  // A sync failed: nothing is appended until a fence has repaired it. Changed by syncs beside jobs too, so that all
  // read it under mutex_.
  Status failed_;
  std::mutex sync_mutex_;           // one sync at a time: a failure is told to one caller only, by the kernel
  std::atomic<bool> dirty_{false};  // in the engine's set
};

}  // namespace sluice::disk
