// SPDX-License-Identifier: Apache-2.0
// How a group goes from one generation to the next.
#include <algorithm>
#include <utility>

#include "group/group.hpp"

namespace sluice::group {

void Group::rebalance_or_complete_join(Now now, Actions& actions) {
  if (state_ == GroupState::preparing_rebalance) {
    maybe_complete_join(now, actions);
  } else {
    prepare_rebalance(now, actions);
  }
}

// After members or promised members have gone. A group that only loses promised ones goes on as it is.
void Group::after_departure(bool lost_member, Now now, Actions& actions) {
  if (lost_member && (state_ == GroupState::stable || state_ == GroupState::completing_rebalance)) {
    prepare_rebalance(now, actions);
  } else {
    maybe_complete_join(now, actions);
  }
}

void Group::prepare_rebalance(Now now, Actions& actions) {
  if (state_ == GroupState::completing_rebalance) fail_syncs(ErrorCode::kRebalanceInProgress, now, actions);
  for (auto& [id, member] : members_) settle_owed_sync(member);
  is_initial_ = state_ == GroupState::empty;
  member_added_ = false;
  state_ = GroupState::preparing_rebalance;
  state_since_ms_ = now.wall_ms;
  if (!is_initial_) {
    join_deadline_ms_ = now.monotonic_ms + rebalance_timeout_ms();
    wake_by(join_deadline_ms_);
    maybe_complete_join(now, actions);
    return;
  }
  initial_delay_ms_ = options_.group_initial_rebalance_delay_ms;
  initial_left_ms_ = std::max<int64_t>(rebalance_timeout_ms() - initial_delay_ms_, 0);
  if (initial_delay_ms_ == 0) {
    complete_join(now, actions);
  } else {
    join_deadline_ms_ = now.monotonic_ms + initial_delay_ms_;
    wake_by(join_deadline_ms_);
  }
}

void Group::maybe_complete_join(Now now, Actions& actions) {
  if (state_ != GroupState::preparing_rebalance || is_initial_) return;
  if (joined_ == members_.size() && pending_members_.empty()) complete_join(now, actions);
}

// Kafka's InitialDelayedJoin: each round in which somebody joined is followed by another, while the time lasts.
void Group::extend_or_complete_initial_join(Now now, Actions& actions) {
  if (!member_added_ || initial_left_ms_ == 0) return complete_join(now, actions);
  member_added_ = false;
  const int64_t next_delay_ms = std::min<int64_t>(options_.group_initial_rebalance_delay_ms, initial_left_ms_);
  initial_left_ms_ = std::max<int64_t>(initial_left_ms_ - initial_delay_ms_, 0);
  initial_delay_ms_ = next_delay_ms;
  join_deadline_ms_ = now.monotonic_ms + next_delay_ms;
  wake_by(join_deadline_ms_);
}

void Group::complete_join(Now now, Actions& actions) {
  join_deadline_ms_ = kNever;
  // Dynamic members that did not join again are out; static ones stay until their session runs out.
  std::vector<std::string> missing;
  for (const auto& [id, member] : members_) {
    if (!member.join && !member.instance_id) missing.push_back(id);
  }
  for (const std::string& id : missing) remove_member(id, actions);

  if (!members_.empty() && !elect_joined_leader()) {
    // Nobody is there, though static members may come back: wait for them, or for the end of their sessions.
    is_initial_ = false;
    join_deadline_ms_ = now.monotonic_ms + rebalance_timeout_ms();
    wake_by(join_deadline_ms_);
    return;
  }
  begin_generation(now);
  ++actions.rebalances_completed;
  if (members_.empty()) {
    persist(EmptyPersist{}, record(GroupState::empty, now), actions);
    return;
  }
  for (auto& [id, member] : members_) {
    answer_join(member, join_result(member), actions);
    start_session(member, now);
    member.is_new = false;
    member.owes_sync = true;
  }
  owed_syncs_ = members_.size();
  sync_deadline_ms_ = now.monotonic_ms + rebalance_timeout_ms();
  wake_by(sync_deadline_ms_);
}

bool Group::elect_joined_leader() {
  if (leader_) {
    const Member* leader = find(*leader_);
    if (leader != nullptr && leader->join) return true;
  }
  for (const auto& [id, member] : members_) {
    if (!member.join) continue;
    leader_ = id;
    return true;
  }
  return false;
}

// Each member votes for the first in its list that all support; of equals the leader's favourite wins.
std::string Group::select_protocol() const {
  const auto is_candidate = [&](const std::string& name) {
    const auto support = protocol_support_.find(name);
    return support != protocol_support_.end() && support->second == members_.size();
  };
  std::map<std::string, size_t> votes;
  for (const auto& [id, member] : members_) {
    const auto first = std::find_if(member.protocols.begin(), member.protocols.end(),
                                    [&](const MemberProtocol& protocol) { return is_candidate(protocol.name); });
    if (first != member.protocols.end()) ++votes[first->name];
  }
  const auto leader = members_.find(leader_.value_or(""));
  const Member& judge = leader == members_.end() ? members_.begin()->second : leader->second;
  std::string winner;
  size_t most = 0;
  for (const MemberProtocol& protocol : judge.protocols) {
    const auto count = votes.find(protocol.name);
    if (count == votes.end() || count->second <= most) continue;
    winner = protocol.name;
    most = count->second;
  }
  return winner;
}

void Group::begin_generation(Now now) {
  ++generation_id_;
  is_initial_ = false;
  state_since_ms_ = now.wall_ms;
  if (members_.empty()) {
    protocol_name_.reset();
    state_ = GroupState::empty;
  } else {
    protocol_name_ = select_protocol();
    state_ = GroupState::completing_rebalance;
  }
  read_subscriptions();
}

// Without this a member that got its generation and never asked for its assignment could stay, by heartbeats alone.
void Group::expire_missing_syncs(Now now, Actions& actions) {
  std::vector<std::string> missing;
  for (const auto& [id, member] : members_) {
    if (member.owes_sync) missing.push_back(id);
  }
  for (const std::string& id : missing) remove_member(id, actions);
  sync_deadline_ms_ = kNever;
  actions.members_expired += missing.size();
  prepare_rebalance(now, actions);
}

void Group::fail_syncs(ErrorCode error, Now now, Actions& actions) {
  for (auto& [id, member] : members_) {
    member.assignment.clear();
    if (!member.sync) continue;
    answer_sync(member, SyncResult::refused(error), actions);
    start_session(member, now);
  }
}

// --- records ---

void Group::persist(PendingPersist pending, GroupRecord stored, Actions& actions) {
  const uint64_t id = ++last_persist_id_;
  pending_persists_.emplace(id, std::move(pending));
  actions.persists.push_back({id, std::move(stored)});
}

bool Group::is_sync_in_flight() const {
  return std::any_of(pending_persists_.begin(), pending_persists_.end(), [&](const auto& entry) {
    const auto* sync = std::get_if<SyncPersist>(&entry.second);
    return sync != nullptr && sync->generation_id == generation_id_;
  });
}

void Group::persisted(uint64_t id, ErrorCode error, Now now, Actions& actions) {
  const auto node = pending_persists_.extract(id);
  if (node.empty()) return;
  std::visit([&](const auto& pending) { on_persisted(pending, error, now, actions); }, node.mapped());
}

void Group::on_persisted(const SyncPersist& pending, ErrorCode error, Now now, Actions& actions) {
  // If another rebalance began meanwhile, its members have been told already.
  if (state_ != GroupState::completing_rebalance || generation_id_ != pending.generation_id) return;
  if (error != ErrorCode::kNone) {
    fail_syncs(error, now, actions);
    prepare_rebalance(now, actions);
    return;
  }
  state_ = GroupState::stable;
  state_since_ms_ = now.wall_ms;
  for (auto& [id, member] : members_) {
    const auto given = pending.assignments.find(id);
    member.assignment = given == pending.assignments.end() ? "" : given->second;
    if (!member.sync) continue;
    answer_sync(member, {ErrorCode::kNone, protocol_type_, protocol_name_, member.assignment}, actions);
    start_session(member, now);
  }
}

void Group::on_persisted(const StaticPersist& pending, ErrorCode error, Now now, Actions& actions) {
  Member* member = find(pending.new_id);
  // If a rebalance began meanwhile, the join waits for that one, and its record will have the new id.
  if (member == nullptr || state_ != GroupState::stable || generation_id_ != pending.generation_id) return;
  start_session(*member, now);
  if (error != ErrorCode::kNone) {
    answer_join(*member, JoinResult::refused(error), actions);
    member->session_timeout_ms = pending.old_session_timeout_ms;
    member->rebalance_timeout_ms = pending.old_rebalance_timeout_ms;
    set_protocols(*member, pending.old_protocols);
    rename_static_member(pending.new_id, pending.old_id, actions);
    return;
  }
  JoinResult result = join_result(*member);
  if (pending.supports_skip_assignment) {
    // KIP-814: the leader learns that it leads, and that there is nothing to assign.
    result.skip_assignment = leader_ == pending.new_id;
  } else {
    // An older leader would compute an assignment: it is told its own former id, and takes itself for a follower.
    result.leader = pending.old_leader;
    result.members.clear();
  }
  answer_join(*member, std::move(result), actions);
}

GroupRecord Group::record(GroupState as, Now now) const {
  GroupRecord stored;
  stored.group_id = id_;
  stored.generation_id = generation_id_;
  stored.protocol_type = protocol_type_;
  stored.state_since_ms = now.wall_ms;
  if (as == GroupState::empty) return stored;
  stored.protocol_name = protocol_name_;
  stored.leader = leader_;
  for (const auto& [id, member] : members_) {
    stored.members.push_back({id, member.instance_id, member.client_id, member.client_host, member.session_timeout_ms,
                              member.rebalance_timeout_ms, member.protocols, member.assignment});
  }
  return stored;
}

JoinResult Group::join_result(const Member& member) const {
  JoinResult result;
  result.generation_id = generation_id_;
  result.protocol_type = protocol_type_;
  result.protocol_name = protocol_name_;
  result.leader = leader_.value_or("");
  result.member_id = member.id;
  if (leader_ == member.id) result.members = joined_members();
  return result;
}

std::vector<JoinedMember> Group::joined_members() const {
  std::vector<JoinedMember> result;
  result.reserve(members_.size());
  for (const auto& [id, member] : members_) {
    result.push_back({id, member.instance_id, member.metadata_of(protocol_name_.value_or(""))});
  }
  return result;
}

}  // namespace sluice::group
