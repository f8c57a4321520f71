// SPDX-License-Identifier: Apache-2.0
// Who is in a group: admission, identity, sessions, and what each member waits for.
#include <algorithm>

#include "group/group.hpp"

namespace sluice::group {

const std::string& Group::Member::metadata_of(const std::string& protocol) const {
  static const std::string kNone;
  for (const MemberProtocol& offered : protocols) {
    if (offered.name == protocol) return offered.metadata;
  }
  return kNone;
}

bool Group::accepts(const JoinRequest& request) const {
  const auto limit = static_cast<size_t>(options_.group_max_size);
  const auto member = members_.find(request.member_id);
  switch (state_) {
    case GroupState::empty:
    case GroupState::dead:
      return true;
    case GroupState::preparing_rebalance:
      // Members that have not joined again may not come back: only those that have are counted.
      return (member != members_.end() && member->second.join) || joined_ < limit;
    case GroupState::completing_rebalance:
    case GroupState::stable:
      return member != members_.end() || members_.size() < limit;
  }
  return false;
}

bool Group::supports(const JoinRequest& request) const {
  if (request.protocol_type.empty() || request.protocols.empty()) return false;
  if (members_.empty()) return true;
  if (protocol_type_ != request.protocol_type) return false;
  return std::any_of(request.protocols.begin(), request.protocols.end(), [&](const MemberProtocol& protocol) {
    const auto support = protocol_support_.find(protocol.name);
    return support != protocol_support_.end() && support->second == members_.size();
  });
}

ErrorCode Group::check_member(const std::string& member_id, const std::optional<std::string>& instance_id) const {
  if (instance_id) {
    const auto owner = static_members_.find(*instance_id);
    if (owner == static_members_.end()) return ErrorCode::kUnknownMemberId;
    if (owner->second != member_id) return ErrorCode::kFencedInstanceId;
  }
  return members_.contains(member_id) ? ErrorCode::kNone : ErrorCode::kUnknownMemberId;
}

Group::Member* Group::find(const std::string& member_id) {
  const auto found = members_.find(member_id);
  return found == members_.end() ? nullptr : &found->second;
}

Group::Member& Group::add_member(const JoinRequest& request, const std::string& member_id, Completion<JoinResult> done,
                                 Now now, Actions& actions) {
  if (members_.empty()) protocol_type_ = request.protocol_type;
  if (!leader_) leader_ = member_id;
  pending_members_.erase(member_id);
  Member& member = members_[member_id];
  member.id = member_id;
  member.instance_id = request.group_instance_id;
  member.is_new = true;
  if (member.instance_id) static_members_[*member.instance_id] = member_id;
  update_member(member, request);
  wait_for_join(member, std::move(done), actions);
  start_session(member, now, options_.new_member_join_timeout_ms);
  return member;
}

void Group::update_member(Member& member, const JoinRequest& request) {
  member.client_id = request.client_id;
  member.client_host = request.client_host;
  member.session_timeout_ms = request.session_timeout_ms;
  member.rebalance_timeout_ms = request.rebalance_timeout_ms;
  set_protocols(member, request.protocols);
}

void Group::set_protocols(Member& member, std::vector<MemberProtocol> protocols) {
  const auto names = [](const std::vector<MemberProtocol>& offered) {
    std::set<std::string> set;
    for (const MemberProtocol& protocol : offered) set.insert(protocol.name);
    return set;
  };
  for (const std::string& name : names(member.protocols)) {
    const auto support = protocol_support_.find(name);
    if (--support->second == 0) protocol_support_.erase(support);
  }
  member.protocols = std::move(protocols);
  for (const std::string& name : names(member.protocols)) ++protocol_support_[name];
}

// Whatever the member waits for is answered: its client finds out that it is no member any more.
void Group::remove_member(std::string member_id, Actions& actions) {
  const auto found = members_.find(member_id);
  if (found == members_.end()) return;
  Member& member = found->second;
  if (member.join) {
    --joined_;
    actions.answer(std::move(member.join), JoinResult::refused(ErrorCode::kUnknownMemberId));
  }
  if (member.sync) actions.answer(std::move(member.sync), SyncResult::refused(ErrorCode::kUnknownMemberId));
  settle_owed_sync(member);
  set_protocols(member, {});
  if (member.instance_id) static_members_.erase(*member.instance_id);
  members_.erase(found);
  if (leader_ == member_id) {
    leader_.reset();
    if (!members_.empty()) leader_ = members_.begin()->first;
  }
}

// KIP-345: the instance lives on under a new member id, and who used the old one is fenced.
Group::Member& Group::rename_static_member(std::string old_id, const std::string& new_id, Actions& actions) {
  auto node = members_.extract(old_id);
  node.key() = new_id;
  Member& member = members_.insert(std::move(node)).position->second;
  member.id = new_id;
  static_members_[*member.instance_id] = new_id;
  if (leader_ == old_id) leader_ = new_id;
  if (member.join) {
    --joined_;
    actions.answer(std::move(member.join), JoinResult::refused(ErrorCode::kFencedInstanceId, old_id));
  }
  if (member.sync) actions.answer(std::move(member.sync), SyncResult::refused(ErrorCode::kFencedInstanceId));
  return member;
}

void Group::start_session(Member& member, Now now, int64_t timeout_ms) {
  member.session_deadline_ms = now.monotonic_ms + timeout_ms;
  wake_by(member.session_deadline_ms);
}

// A client that asks again (its connection broke, say) takes the place of its earlier request.
void Group::wait_for_join(Member& member, Completion<JoinResult> done, Actions& actions) {
  if (member.join) {
    actions.answer(std::move(member.join), JoinResult::refused(ErrorCode::kRebalanceInProgress, member.id));
  } else {
    ++joined_;
  }
  member.join = std::move(done);
}

void Group::wait_for_sync(Member& member, Completion<SyncResult> done, Actions& actions) {
  if (member.sync) actions.answer(std::move(member.sync), SyncResult::refused(ErrorCode::kRebalanceInProgress));
  member.sync = std::move(done);
}

void Group::answer_join(Member& member, JoinResult result, Actions& actions) {
  if (!member.join) return;
  --joined_;
  actions.answer(std::move(member.join), std::move(result));
}

void Group::answer_sync(Member& member, SyncResult result, Actions& actions) {
  if (!member.sync) return;
  actions.answer(std::move(member.sync), std::move(result));
}

void Group::settle_owed_sync(Member& member) {
  if (!member.owes_sync) return;
  member.owes_sync = false;
  if (--owed_syncs_ == 0) sync_deadline_ms_ = kNever;
}

int32_t Group::rebalance_timeout_ms() const {
  int32_t longest = 1;  // never 0: a timer always lies ahead
  for (const auto& [id, member] : members_) longest = std::max(longest, member.rebalance_timeout_ms);
  return longest;
}

}  // namespace sluice::group
