// SPDX-License-Identifier: Apache-2.0
// Requests and timers of a group; what they set off is in group_rebalance.cc.
#include "group/group.hpp"

#include <algorithm>
#include <utility>

#include "group/subscription.hpp"

namespace sluice::group {

std::string_view state_name(GroupState state) {
  switch (state) {
    case GroupState::empty:
      return "Empty";
    case GroupState::preparing_rebalance:
      return "PreparingRebalance";
    case GroupState::completing_rebalance:
      return "CompletingRebalance";
    case GroupState::stable:
      return "Stable";
    case GroupState::dead:
      break;
  }
  return "Dead";
}

Group::Group(std::string id, const Options& options, uint64_t incarnation, Now now)
    : id_(std::move(id)), options_(options), incarnation_(incarnation), state_since_ms_(now.wall_ms) {
  read_subscriptions();
}

Group::Group(const GroupRecord& record, const Options& options, uint64_t incarnation, Now now, Actions& actions)
    : id_(record.group_id),
      options_(options),
      incarnation_(incarnation),
      state_(record.members.empty() ? GroupState::empty : GroupState::stable),
      state_since_ms_(record.state_since_ms),
      generation_id_(record.generation_id),
      protocol_type_(record.protocol_type),
      protocol_name_(record.protocol_name),
      leader_(record.leader) {
  for (const StoredMember& stored : record.members) {
    Member& member = members_[stored.member_id];
    member.id = stored.member_id;
    member.instance_id = stored.group_instance_id;
    member.client_id = stored.client_id;
    member.client_host = stored.client_host;
    member.session_timeout_ms = stored.session_timeout_ms;
    member.rebalance_timeout_ms = stored.rebalance_timeout_ms;
    member.assignment = stored.assignment;
    set_protocols(member, stored.protocols);
    if (member.instance_id) static_members_[*member.instance_id] = member.id;
    start_session(member, now);
  }
  read_subscriptions();
  // The limit was lowered meanwhile: those who join again first stay.
  if (members_.size() > static_cast<size_t>(options_.group_max_size)) prepare_rebalance(now, actions);
}

// --- JoinGroup ---

void Group::join(JoinRequest request, Completion<JoinResult> done, const std::string& fresh_suffix, Now now,
                 Actions& actions) {
  if (state_ == GroupState::dead) {
    // About to be forgotten: the client comes again and finds a new group.
    return actions.answer(std::move(done), JoinResult::refused(ErrorCode::kCoordinatorNotAvailable, request.member_id));
  }
  if (!accepts(request)) {
    remove_member(request.member_id, actions);
    actions.answer(std::move(done), JoinResult::refused(ErrorCode::kGroupMaxSizeReached));
  } else if (!supports(request)) {
    actions.answer(std::move(done), JoinResult::refused(ErrorCode::kInconsistentGroupProtocol, request.member_id));
  } else if (request.member_id.empty()) {
    join_new(std::move(request), std::move(done), fresh_suffix, now, actions);
  } else {
    join_existing(std::move(request), std::move(done), now, actions);
  }
  maybe_complete_join(now, actions);
}

void Group::join_new(JoinRequest request, Completion<JoinResult> done, const std::string& fresh_suffix, Now now,
                     Actions& actions) {
  const std::string member_id = request.group_instance_id.value_or(request.client_id) + "-" + fresh_suffix;
  if (request.group_instance_id) {
    const auto owner = static_members_.find(*request.group_instance_id);
    if (owner != static_members_.end()) {
      return replace_static_member(std::move(request), owner->second, member_id, std::move(done), now, actions);
    }
  } else if (request.require_known_member_id) {
    // KIP-394: a client that is gone before it learns its id leaves only this behind.
    if (pending_members_.size() >= static_cast<size_t>(options_.max_pending_members)) {
      return actions.answer(std::move(done), JoinResult::refused(ErrorCode::kGroupMaxSizeReached));
    }
    const int64_t deadline_ms = now.monotonic_ms + request.session_timeout_ms;
    pending_members_[member_id] = deadline_ms;
    wake_by(deadline_ms);
    return actions.answer(std::move(done), JoinResult::refused(ErrorCode::kMemberIdRequired, member_id));
  }
  add_and_rebalance(request, member_id, std::move(done), now, actions);
}

void Group::join_existing(JoinRequest request, Completion<JoinResult> done, Now now, Actions& actions) {
  if (pending_members_.contains(request.member_id) && !request.group_instance_id) {
    return add_and_rebalance(request, request.member_id, std::move(done), now, actions);
  }
  if (const ErrorCode error = check_member(request.member_id, request.group_instance_id); error != ErrorCode::kNone) {
    return actions.answer(std::move(done), JoinResult::refused(error, request.member_id));
  }
  Member& member = *find(request.member_id);
  const bool is_unchanged = member.protocols == request.protocols;
  // A member that lost the answer gets it again. In Stable the leader's join asks for a rebalance (its view of the
  // topics changed), everyone else's only if it offers something new.
  if ((state_ == GroupState::completing_rebalance && is_unchanged) ||
      (state_ == GroupState::stable && is_unchanged && leader_ != member.id)) {
    return actions.answer(std::move(done), join_result(member));
  }
  update_member(member, request);
  wait_for_join(member, std::move(done), actions);
  rebalance_or_complete_join(now, actions);
}

void Group::add_and_rebalance(const JoinRequest& request, const std::string& member_id, Completion<JoinResult> done,
                              Now now, Actions& actions) {
  if (state_ == GroupState::preparing_rebalance && is_initial_) member_added_ = true;
  add_member(request, member_id, std::move(done), now, actions);
  rebalance_or_complete_join(now, actions);
}

void Group::replace_static_member(JoinRequest request, const std::string& old_id, const std::string& new_id,
                                  Completion<JoinResult> done, Now now, Actions& actions) {
  StaticPersist pending{.generation_id = generation_id_,
                        .new_id = new_id,
                        .old_id = old_id,
                        .old_leader = leader_.value_or(""),
                        .supports_skip_assignment = request.supports_skip_assignment,
                        .old_protocols = {},
                        .old_session_timeout_ms = 0,
                        .old_rebalance_timeout_ms = 0};
  Member& member = rename_static_member(pending.old_id, new_id, actions);
  pending.old_protocols = member.protocols;
  pending.old_session_timeout_ms = member.session_timeout_ms;
  pending.old_rebalance_timeout_ms = member.rebalance_timeout_ms;
  update_member(member, request);
  wait_for_join(member, std::move(done), actions);
  start_session(member, now);
  if (state_ == GroupState::stable && select_protocol() == protocol_name_) {
    // Nothing changes for anybody else; the new id only has to survive a restart.
    persist(std::move(pending), record(GroupState::stable, now), actions);
  } else if (state_ != GroupState::preparing_rebalance) {
    prepare_rebalance(now, actions);
  }
}

// --- SyncGroup ---

void Group::sync(SyncRequest request, Completion<SyncResult> done, Now now, Actions& actions) {
  const auto error = [&] {
    if (state_ == GroupState::dead) return ErrorCode::kCoordinatorNotAvailable;
    if (const ErrorCode code = check_member(request.member_id, request.group_instance_id); code != ErrorCode::kNone) {
      return code;
    }
    if (request.generation_id != generation_id_) return ErrorCode::kIllegalGeneration;
    if ((request.protocol_type && request.protocol_type != protocol_type_) ||
        (request.protocol_name && request.protocol_name != protocol_name_)) {
      return ErrorCode::kInconsistentGroupProtocol;
    }
    if (state_ == GroupState::preparing_rebalance) return ErrorCode::kRebalanceInProgress;
    return ErrorCode::kNone;
  }();
  if (error != ErrorCode::kNone) return actions.answer(std::move(done), SyncResult::refused(error));

  Member& member = *find(request.member_id);
  settle_owed_sync(member);
  if (state_ == GroupState::stable) {
    start_session(member, now);
    return actions.answer(std::move(done),
                          SyncResult{ErrorCode::kNone, protocol_type_, protocol_name_, member.assignment});
  }
  wait_for_sync(member, std::move(done), actions);
  // The leader's assignment counts once; if it is sent again while the first is on its way to the log, the first
  // stands.
  if (leader_ != member.id || is_sync_in_flight()) return;
  SyncPersist pending{generation_id_, {}};
  for (MemberAssignment& given : request.assignments) {
    pending.assignments.insert_or_assign(std::move(given.member_id), std::move(given.assignment));
  }
  GroupRecord stored = record(GroupState::stable, now);
  for (StoredMember& of : stored.members) {
    const auto given = pending.assignments.find(of.member_id);
    of.assignment = given == pending.assignments.end() ? "" : given->second;
  }
  persist(std::move(pending), std::move(stored), actions);
}

// --- Heartbeat, LeaveGroup, OffsetCommit, DescribeGroups ---

ErrorCode Group::heartbeat(const HeartbeatRequest& request, Now now) {
  if (state_ == GroupState::dead) return ErrorCode::kCoordinatorNotAvailable;
  if (const ErrorCode error = check_member(request.member_id, request.group_instance_id); error != ErrorCode::kNone) {
    return error;
  }
  if (request.generation_id != generation_id_) return ErrorCode::kIllegalGeneration;
  start_session(*find(request.member_id), now);
  return state_ == GroupState::preparing_rebalance ? ErrorCode::kRebalanceInProgress : ErrorCode::kNone;
}

LeaveResult Group::leave(const LeaveRequest& request, Now now, Actions& actions) {
  if (state_ == GroupState::dead) return {ErrorCode::kCoordinatorNotAvailable, {}};
  LeaveResult result;
  bool lost_member = false;
  bool lost_promised = false;
  for (const LeavingMember& leaving : request.members) {
    std::string member_id = leaving.member_id;
    ErrorCode error = ErrorCode::kNone;
    if (leaving.group_instance_id && member_id.empty()) {
      const auto owner = static_members_.find(*leaving.group_instance_id);
      if (owner != static_members_.end()) member_id = owner->second;
    }
    if (!leaving.group_instance_id && pending_members_.erase(member_id) > 0) {
      lost_promised = true;
    } else {
      error = check_member(member_id, leaving.group_instance_id);
      if (error == ErrorCode::kNone) {
        remove_member(member_id, actions);
        lost_member = true;
      }
    }
    result.members.push_back({leaving.member_id, leaving.group_instance_id, error});
  }
  if (lost_member || lost_promised) after_departure(lost_member, now, actions);
  return result;
}

ErrorCode Group::check_commit(const CommitRequest& request, Now now) {
  if (state_ == GroupState::dead) return ErrorCode::kCoordinatorNotAvailable;
  if (request.generation_id < 0 && state_ == GroupState::empty) return ErrorCode::kNone;
  if (request.generation_id < 0 && request.member_id.empty() && !request.group_instance_id) {
    return ErrorCode::kUnknownMemberId;  // no member, in a group that has some
  }
  if (const ErrorCode error = check_member(request.member_id, request.group_instance_id); error != ErrorCode::kNone) {
    return error;
  }
  if (request.generation_id != generation_id_) return ErrorCode::kIllegalGeneration;
  if (state_ == GroupState::completing_rebalance) return ErrorCode::kRebalanceInProgress;
  start_session(*find(request.member_id), now);
  return ErrorCode::kNone;
}

DescribedGroup Group::describe() const {
  DescribedGroup result;
  result.group_id = id_;
  result.state = state_name(state_);
  result.protocol_type = protocol_type();
  const bool is_stable = state_ == GroupState::stable;
  if (is_stable) result.protocol_data = protocol_name_.value_or("");
  for (const auto& [id, member] : members_) {
    result.members.push_back({id, member.instance_id, member.client_id, member.client_host,
                              is_stable ? member.metadata_of(result.protocol_data) : "",
                              is_stable ? member.assignment : ""});
  }
  return result;
}

// --- timers ---

void Group::tick(Now now, Actions& actions) {
  if (join_deadline_ms_ <= now.monotonic_ms) {
    if (is_initial_) {
      extend_or_complete_initial_join(now, actions);
    } else {
      complete_join(now, actions);
    }
  }
  if (sync_deadline_ms_ <= now.monotonic_ms) expire_missing_syncs(now, actions);

  const size_t promised_expired =
      std::erase_if(pending_members_, [&](const auto& pending) { return pending.second <= now.monotonic_ms; });
  std::vector<std::string> expired;
  for (auto& [id, member] : members_) {
    if (member.session_deadline_ms > now.monotonic_ms) continue;
    if ((member.join || member.sync) && !member.is_new) {
      member.session_deadline_ms = kNever;  // it is us it waits for; the answer starts a new session
    } else {
      expired.push_back(id);
    }
  }
  for (const std::string& id : expired) remove_member(id, actions);
  actions.members_expired += expired.size();
  if (promised_expired > 0 || !expired.empty()) after_departure(!expired.empty(), now, actions);
  find_next_deadline();
}

void Group::find_next_deadline() {
  wake_ms_ = std::min(join_deadline_ms_, sync_deadline_ms_);
  for (const auto& [id, member] : members_) wake_by(member.session_deadline_ms);
  for (const auto& [id, deadline_ms] : pending_members_) wake_by(deadline_ms);
}

void Group::abandon(ErrorCode error, Actions& actions) {
  for (auto& [id, member] : members_) {
    answer_join(member, JoinResult::refused(error, id), actions);
    answer_sync(member, SyncResult::refused(error), actions);
  }
}

// --- retention ---

bool Group::is_subscribed(const std::string& topic) const {
  return subscriptions_ ? subscriptions_->contains(topic) : uses_consumer_protocol();
}

bool Group::is_expired(const StoredOffset& offset, Now now) const {
  int64_t base_ms = offset.commit_ms;
  if (protocol_type_) {
    if (state_ == GroupState::empty) {
      base_ms = std::max(base_ms, state_since_ms_);
    } else if (state_ != GroupState::stable || !uses_consumer_protocol() || !subscriptions_) {
      return false;
    }
  }
  if (offset.expire_ms != kNoExpireTime) return now.wall_ms >= offset.expire_ms;
  return now.wall_ms - base_ms >= options_.offsets_retention_ms;
}

void Group::read_subscriptions() {
  subscriptions_.reset();
  if (members_.empty()) {
    subscriptions_.emplace();
    return;
  }
  if (!uses_consumer_protocol() || !protocol_name_) return;
  std::set<std::string> topics;
  for (const auto& [id, member] : members_) {
    const auto of_member = subscribed_topics(member.metadata_of(*protocol_name_));
    if (!of_member) return;
    topics.insert(of_member->begin(), of_member->end());
  }
  subscriptions_ = std::move(topics);
}

}  // namespace sluice::group
