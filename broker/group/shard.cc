// SPDX-License-Identifier: Apache-2.0
// A shard's life, its timers, its outbox, and membership. Offsets are in shard_offsets.cc.
#include "group/shard.hpp"

#include <functional>
#include <utility>

namespace sluice::group {
namespace {

/// Groups looked at by one tick before the mutex is given up for a moment.
constexpr int kMaxGroupsPerTurn = 128;

}  // namespace

ErrorCode append_error(const Status& status, ErrorCode too_large) {
  switch (status.code()) {
    case StatusCode::ok:
      return ErrorCode::kNone;
    case StatusCode::too_large:
      return too_large;
    case StatusCode::fenced:
    case StatusCode::conflict:
      return ErrorCode::kNotCoordinator;
    default:
      return ErrorCode::kCoordinatorNotAvailable;  // clients look for the coordinator and try again
  }
}

// --- service ---

void Shard::reset() {
  Lock lock(mutex_);
  state_.reset();
  Actions actions;
  std::deque<Append> orphans;
  if (service_ != Service::stopped) leave_service(Service::loading, ErrorCode::kNotCoordinator, actions, orphans);
  finish(lock, actions);
  fail(orphans);
}

Status Shard::apply(std::string_view record, int64_t, int64_t) {
  const Lock lock(mutex_);
  return state_.apply(record);
}

std::vector<std::string> Shard::snapshot() const {
  const Lock lock(mutex_);
  return state_.snapshot(options_.max_record_bytes);
}

void Shard::loaded(storage::StateLog& log) {
  Lock lock(mutex_);
  if (service_ == Service::stopped) return;
  Actions actions;
  std::deque<Append> orphans;
  leave_service(Service::active, ErrorCode::kNotCoordinator, actions, orphans);
  log_ = &log;
  const Now at = now();
  const auto interval_ms = static_cast<uint64_t>(options_.offsets_retention_check_interval_ms);
  for (const auto& [id, stored] : state_.groups()) {
    // Checks are spread over the interval, so that many groups never come up at once.
    const int64_t check_ms = at.monotonic_ms + static_cast<int64_t>(std::hash<std::string>{}(id) % interval_ms);
    Actions of_group;
    Live* live = nullptr;
    if (stored.record.empty()) {
      live = &add(Group(id, options_, ++last_incarnation_, at), check_ms);
    } else {
      const Result<Record> decoded = decode(stored.record);  // apply() has seen it: it is whole
      live = &add(Group(std::get<GroupRecord>(*decoded), options_, ++last_incarnation_, at, of_group), check_ms);
    }
    settle(*live, of_group);
  }
  for (const TopicKey& topic : std::exchange(deleted_topics_, {})) append_topic_deletion(topic);
  finish(lock, actions);
  fail(orphans);
}

void Shard::unavailable() {
  Lock lock(mutex_);
  if (service_ == Service::stopped) return;
  Actions actions;
  std::deque<Append> orphans;
  leave_service(Service::unavailable, ErrorCode::kCoordinatorNotAvailable, actions, orphans);
  finish(lock, actions);
  fail(orphans);
  wait_for_append();
}

void Shard::stop() {
  Lock lock(mutex_);
  Actions actions;
  std::deque<Append> orphans;
  leave_service(Service::stopped, ErrorCode::kCoordinatorNotAvailable, actions, orphans);
  finish(lock, actions);
  fail(orphans);
  wait_for_append();
}

// Another thread may be calling the log at this moment; the log may be destroyed once its owner has been told that it
// is out.
void Shard::wait_for_append() {
  Lock lock(mutex_);
  if (pumper_ == std::this_thread::get_id()) return;
  append_ended_.wait(lock, [&, seen = appends_ended_] { return !is_appending_ || appends_ended_ != seen; });
}

// Everything that waits is answered, records that the log has not seen never will be, and the log is not called any
// more.
void Shard::leave_service(Service next, ErrorCode error, Actions& actions, std::deque<Append>& orphans) {
  for (auto& [id, live] : live_) live.group.abandon(error, actions);
  live_.clear();
  deadlines_.clear();
  service_ = next;
  log_ = nullptr;
  orphans.swap(outbox_);
}

ErrorCode Shard::availability() const {
  switch (service_) {
    case Service::active:
      return ErrorCode::kNone;
    case Service::loading:
      return ErrorCode::kCoordinatorLoadInProgress;
    case Service::unavailable:
    case Service::stopped:
      break;
  }
  return ErrorCode::kCoordinatorNotAvailable;
}

// --- live groups ---

Shard::Live* Shard::find(const std::string& group_id) {
  const auto found = live_.find(group_id);
  return found == live_.end() ? nullptr : &found->second;
}

const Shard::Live* Shard::find(const std::string& group_id) const {
  const auto found = live_.find(group_id);
  return found == live_.end() ? nullptr : &found->second;
}

Shard::Live* Shard::find_incarnation(const std::string& group_id, uint64_t incarnation) {
  Live* live = find(group_id);
  return live != nullptr && live->group.incarnation() == incarnation ? live : nullptr;
}

Shard::Live& Shard::add(Group group, int64_t first_check_ms) {
  const std::string id = group.id();
  Live& live = live_.try_emplace(id, std::move(group), first_check_ms).first->second;
  schedule(live);
  return live;
}

void Shard::forget(Live& live) {
  deadlines_.erase({live.scheduled_ms, &live});
  live_.erase(live_.find(live.group.id()));
}

void Shard::forget_if_void(Live& live) {
  if (live.group.is_idle() && !live.group.is_recorded() && live.commits_in_flight == 0 &&
      state_.find(live.group.id()) == nullptr) {
    forget(live);
  }
}

void Shard::schedule(Live& live) {
  const int64_t wanted_ms = std::min(live.group.next_deadline_ms(), live.expiry_check_ms);
  if (wanted_ms >= live.scheduled_ms) return;  // it will be found to be early, and scheduled anew
  deadlines_.erase({live.scheduled_ms, &live});
  live.scheduled_ms = wanted_ms;
  deadlines_.emplace(wanted_ms, &live);
}

void Shard::settle(Live& live, Actions& actions) {
  for (Actions::Persist& persist : actions.persists) {
    append({encode(std::move(persist.record))}, executor_,
           [self = shared_from_this(), id = live.group.id(), incarnation = live.group.incarnation(),
            persist_id = persist.id](Status status) { self->on_persisted(id, incarnation, persist_id, status); });
  }
  actions.persists.clear();
  counters_.rebalances_completed += std::exchange(actions.rebalances_completed, 0);
  counters_.members_expired += std::exchange(actions.members_expired, 0);
  schedule(live);
}

int64_t Shard::tick() {
  for (;;) {
    Lock lock(mutex_);
    Actions actions;
    const Now at = now();
    int turns = 0;
    while (!deadlines_.empty() && deadlines_.begin()->first <= at.monotonic_ms && turns++ < kMaxGroupsPerTurn) {
      Live& live = *deadlines_.begin()->second;
      deadlines_.erase(deadlines_.begin());
      live.scheduled_ms = kNever;
      run_due(live, at, actions);
    }
    const bool is_done = turns <= kMaxGroupsPerTurn;
    const int64_t next_ms = deadlines_.empty() ? GroupCoordinator::kNoDeadline : deadlines_.begin()->first;
    finish(lock, actions);
    if (is_done) return next_ms;
  }
}

void Shard::run_due(Live& live, Now at, Actions& actions) {
  if (live.group.next_deadline_ms() <= at.monotonic_ms) live.group.tick(at, actions);
  if (live.expiry_check_ms <= at.monotonic_ms) expire_offsets(live, at);
  settle(live, actions);
  forget_if_void(live);
}

// --- records ---

void Shard::append(std::vector<std::string> records, Executor& executor, UniqueFunction<void(Status)> done) {
  outbox_.push_back({std::move(records), &executor, std::move(done)});
}

void Shard::finish(Lock& lock, Actions& actions) {
  const bool has_records = !outbox_.empty();
  lock.unlock();
  if (has_records) pump();
  for (auto& [executor, job] : actions.answers) executor->post(std::move(job));
  actions.answers.clear();
}

void Shard::pump() {
  Lock lock(mutex_);
  if (is_pumping_) return;  // whoever it is will find what we added
  is_pumping_ = true;
  pumper_ = std::this_thread::get_id();
  while (!outbox_.empty()) {
    Append next = std::move(outbox_.front());
    outbox_.pop_front();
    storage::StateLog& log = *log_;  // an outbox without a log is emptied when the log goes
    is_appending_ = true;
    lock.unlock();
    log.append(std::move(next.records), *next.executor, std::move(next.done));
    lock.lock();
    is_appending_ = false;
    ++appends_ended_;
    append_ended_.notify_all();
  }
  is_pumping_ = false;
  pumper_ = {};
}

void Shard::fail(std::deque<Append>& orphans) {
  for (Append& orphan : orphans) {
    orphan.executor->post([done = std::move(orphan.done)]() mutable {
      done(Status(StatusCode::unavailable, "the group coordinator's shard went out of service"));
    });
  }
}

void Shard::on_persisted(const std::string& group_id, uint64_t incarnation, uint64_t persist_id, const Status& status) {
  Lock lock(mutex_);
  Actions actions;
  if (!status.ok()) ++counters_.appends_failed;
  if (Live* live = find_incarnation(group_id, incarnation); live != nullptr) {
    live->group.persisted(persist_id, append_error(status, ErrorCode::kUnknownServerError), now(), actions);
    settle(*live, actions);
  }
  finish(lock, actions);
}

// --- membership ---

void Shard::join(JoinRequest request, std::string fresh_suffix, Completion<JoinResult> done) {
  Lock lock(mutex_);
  Actions actions;
  Live* live = nullptr;
  ErrorCode error = availability();
  if (error == ErrorCode::kNone) {
    live = find(request.group_id);
    if (live == nullptr && !request.member_id.empty()) {
      error = ErrorCode::kUnknownMemberId;
    } else if (live == nullptr && live_.size() >= static_cast<size_t>(options_.max_groups_per_shard)) {
      error = ErrorCode::kGroupMaxSizeReached;
    }
  }
  if (error != ErrorCode::kNone) {
    actions.answer(std::move(done), JoinResult::refused(error, request.member_id));
    return finish(lock, actions);
  }
  const Now at = now();
  if (live == nullptr) {
    live = &add(Group(request.group_id, options_, ++last_incarnation_, at),
                at.monotonic_ms + options_.offsets_retention_check_interval_ms);
  }
  live->group.join(std::move(request), std::move(done), fresh_suffix, at, actions);
  settle(*live, actions);
  forget_if_void(*live);
  finish(lock, actions);
}

void Shard::sync(SyncRequest request, Completion<SyncResult> done) {
  Lock lock(mutex_);
  Actions actions;
  const ErrorCode error = availability();
  Live* live = error == ErrorCode::kNone ? find(request.group_id) : nullptr;
  if (live == nullptr) {
    actions.answer(std::move(done),
                   SyncResult::refused(error == ErrorCode::kNone ? ErrorCode::kUnknownMemberId : error));
  } else {
    live->group.sync(std::move(request), std::move(done), now(), actions);
    settle(*live, actions);
  }
  finish(lock, actions);
}

ErrorCode Shard::heartbeat(const HeartbeatRequest& request) {
  const Lock lock(mutex_);
  if (const ErrorCode error = availability(); error != ErrorCode::kNone) return error;
  Live* live = find(request.group_id);
  if (live == nullptr) return ErrorCode::kUnknownMemberId;
  const ErrorCode error = live->group.heartbeat(request, now());
  schedule(*live);
  return error;
}

LeaveResult Shard::leave(const LeaveRequest& request) {
  Lock lock(mutex_);
  if (const ErrorCode error = availability(); error != ErrorCode::kNone) return {error, {}};
  Actions actions;
  LeaveResult result;
  if (Live* live = find(request.group_id); live != nullptr) {
    result = live->group.leave(request, now(), actions);
    settle(*live, actions);
    forget_if_void(*live);
  } else {
    for (const LeavingMember& member : request.members) {
      result.members.push_back({member.member_id, member.group_instance_id, ErrorCode::kUnknownMemberId});
    }
  }
  finish(lock, actions);
  return result;
}

// --- administration ---

ErrorCode Shard::list(std::vector<ListedGroup>& groups) const {
  const Lock lock(mutex_);
  for (const auto& [id, live] : live_) {
    groups.push_back({id, live.group.protocol_type(), std::string(state_name(live.group.state())), "classic"});
  }
  return availability();
}

DescribedGroup Shard::describe(const std::string& group_id) const {
  const Lock lock(mutex_);
  DescribedGroup result;
  result.group_id = group_id;
  result.error = availability();
  if (result.error != ErrorCode::kNone) return result;
  const Live* live = find(group_id);
  if (live != nullptr && live->group.state() != GroupState::dead) return live->group.describe();
  result.error = ErrorCode::kGroupIdNotFound;
  result.error_message = "Group " + group_id + " not found.";
  result.state = state_name(GroupState::dead);
  return result;
}

void Shard::delete_group(const std::string& group_id, UniqueFunction<void(ErrorCode)> done) {
  Lock lock(mutex_);
  Actions actions;
  ErrorCode error = availability();
  Live* live = error == ErrorCode::kNone ? find(group_id) : nullptr;
  if (live != nullptr && live->group.state() == GroupState::empty) {
    delete_live(*live, std::move(done));
    return finish(lock, actions);
  }
  if (error == ErrorCode::kNone) {
    error = live == nullptr || live->group.state() == GroupState::dead ? ErrorCode::kGroupIdNotFound
                                                                       : ErrorCode::kNonEmptyGroup;
  }
  lock.unlock();
  done(error);
}

void Shard::delete_live(Live& live, UniqueFunction<void(ErrorCode)> done) {
  live.group.set_dead(true);
  append({encode(GroupDeletedRecord{live.group.id()})}, executor_,
         [self = shared_from_this(), id = live.group.id(), incarnation = live.group.incarnation(),
          then = std::move(done)](Status status) mutable { then(self->on_delete_done(id, incarnation, status)); });
}

ErrorCode Shard::on_delete_done(const std::string& group_id, uint64_t incarnation, const Status& status) {
  const Lock lock(mutex_);
  if (!status.ok()) ++counters_.appends_failed;
  if (Live* live = find_incarnation(group_id, incarnation); live != nullptr) {
    if (status.ok()) {
      forget(*live);
    } else {
      live->group.set_dead(false);
    }
  }
  return append_error(status, ErrorCode::kUnknownServerError);
}

void Shard::add_to(Metrics& metrics) const {
  const Lock lock(mutex_);
  metrics.groups += live_.size();
  for (const auto& [id, live] : live_) metrics.members += live.group.member_count();
  metrics.offsets += state_.offset_count();
  metrics.rebalances_completed += counters_.rebalances_completed;
  metrics.members_expired += counters_.members_expired;
  metrics.commits += counters_.commits;
  metrics.commits_refused_by_limit += counters_.commits_refused_by_limit;
  metrics.offsets_expired += counters_.offsets_expired;
  metrics.appends_failed += counters_.appends_failed;
}

}  // namespace sluice::group
