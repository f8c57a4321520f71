// SPDX-License-Identifier: Apache-2.0
// One shard of the coordinator: the groups whose ids hash to it, the log that remembers them, and their timers.
//
// What is decided under the mutex leaves it as jobs and as records in the outbox. Whoever finds the outbox unattended
// hands its records to the log, in order and without the mutex, so that a log may complete an append, and apply it,
// where it is called. Live groups are indexed by the earliest time that any of their timers may run out; the index
// costs nothing while nothing is due.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/clock.hpp"
#include "group/coordinator.hpp"
#include "group/durable_state.hpp"
#include "group/group.hpp"

namespace sluice::group {

/// Any thread, all functions. Completions of its appends hold a reference: it outlives its coordinator while they are
/// under way.
class Shard final : public storage::StateMachine, public std::enable_shared_from_this<Shard> {
 public:
  Shard(const Options& options, Clock& clock, Executor& executor)
      : options_(options), clock_(clock), executor_(executor) {}

  // StateMachine. A reset of a shard that was being served takes it out of service.
  void reset() override;
  Status apply(std::string_view record, int64_t offset, int64_t timestamp_ms) override;
  std::vector<std::string> snapshot() const override;

  void loaded(storage::StateLog& log);
  void unavailable();
  void stop();
  /// Does what is due; returns the earliest time at which something may be, or GroupCoordinator::kNoDeadline.
  int64_t tick();

  // As GroupCoordinator's, ids and timeouts checked.
  void join(JoinRequest request, std::string fresh_suffix, Completion<JoinResult> done);
  void sync(SyncRequest request, Completion<SyncResult> done);
  ErrorCode heartbeat(const HeartbeatRequest& request);
  LeaveResult leave(const LeaveRequest& request);
  void commit(CommitRequest request, Completion<CommitResult> done);
  OffsetFetchResult fetch(const OffsetFetchRequest& request) const;
  void delete_offsets(OffsetDeleteRequest request, Completion<OffsetDeleteResult> done);
  void topics_deleted(const std::vector<DeletedTopic>& topics);
  ErrorCode list(std::vector<ListedGroup>& groups) const;
  DescribedGroup describe(const std::string& group_id) const;
  /// `done` runs on any thread, at once or later, without a lock held.
  void delete_group(const std::string& group_id, UniqueFunction<void(ErrorCode)> done);
  void add_to(Metrics& metrics) const;

 private:
  enum class Service : uint8_t { loading, active, unavailable, stopped };
  struct Live {
    Live(Group live_group, int64_t first_check_ms) : group(std::move(live_group)), expiry_check_ms(first_check_ms) {}
    Group group;
    int32_t commits_in_flight = 0;
    int64_t expiry_check_ms;        ///< monotonic: when to look for offsets to expire
    int64_t scheduled_ms = kNever;  ///< its place in deadlines_
  };
  struct Append {
    std::vector<std::string> records;
    Executor* executor;
    UniqueFunction<void(Status)> done;
  };
  using Lock = std::unique_lock<std::mutex>;

  Now now() const { return {clock_.monotonic_ms(), clock_.wall_ms()}; }

  // All of these with the mutex held.
  ErrorCode availability() const;
  Live* find(const std::string& group_id);
  const Live* find(const std::string& group_id) const;
  Live& add(Group group, int64_t first_check_ms);
  Live* find_incarnation(const std::string& group_id, uint64_t incarnation);
  void forget(Live& live);
  /// Forgets a group that never became anything.
  void forget_if_void(Live& live);
  void leave_service(Service next, ErrorCode error, Actions& actions, std::deque<Append>& orphans);
  void append(std::vector<std::string> records, Executor& executor, UniqueFunction<void(Status)> done);
  /// After an event of a group: its records to the outbox, its deadline to the index, its counts to the shard's.
  void settle(Live& live, Actions& actions);
  void schedule(Live& live);
  void run_due(Live& live, Now at, Actions& actions);
  void expire_offsets(Live& live, Now at);
  void delete_live(Live& live, UniqueFunction<void(ErrorCode)> done);
  void append_topic_deletion(const TopicKey& topic);

  /// Gives up the mutex, then does what events left to be done.
  void finish(Lock& lock, Actions& actions);
  void pump();
  void wait_for_append();
  static void fail(std::deque<Append>& orphans);

  // Completions of appends; without the mutex.
  void on_persisted(const std::string& group_id, uint64_t incarnation, uint64_t persist_id, const Status& status);
  void on_commit_done(const std::string& group_id, uint64_t incarnation, bool ok);
  ErrorCode on_delete_done(const std::string& group_id, uint64_t incarnation, const Status& status);

  const Options options_;
  Clock& clock_;
  Executor& executor_;

  mutable std::mutex mutex_;
  // Everything below is guarded by it.
  Service service_ = Service::loading;
  storage::StateLog* log_ = nullptr;  ///< while active
  DurableState state_;
  std::unordered_map<std::string, Live> live_;
  std::set<std::pair<int64_t, Live*>> deadlines_;
  std::vector<TopicKey> deleted_topics_;  ///< to be dropped once the shard is loaded
  uint64_t last_incarnation_ = 0;
  int32_t commits_in_flight_ = 0;
  Metrics counters_;

  std::deque<Append> outbox_;
  bool is_pumping_ = false;
  std::thread::id pumper_;     ///< while pumping
  bool is_appending_ = false;  ///< the pumper is in the log's append
  uint64_t appends_ended_ = 0;
  std::condition_variable append_ended_;
};

/// What a client is told when a record could not be written. `too_large` is what the request made of it.
ErrorCode append_error(const Status& status, ErrorCode too_large);

}  // namespace sluice::group
