// SPDX-License-Identifier: Apache-2.0
// One group of the classic protocol: the state machine of Apache Kafka's coordinator, as it is in 4.x.
//
//   Empty --join--> PreparingRebalance --all joined, or time up--> CompletingRebalance --leader's sync durable-->
//   Stable
//
// and back to PreparingRebalance whenever membership changes; to Empty when nobody joined; to Dead when the group is
// deleted. No I/O, no clock, no randomness: every event brings the time, and whatever is to be done outside (answers,
// records) is put into Actions. What a record says counts once persisted() reports it. Not synchronised: its shard
// guards it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "group/options.hpp"
#include "group/records.hpp"
#include "group/types.hpp"

namespace sluice::group {

/// A timer that is not set.
inline constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

/// What events leave to be done, in this order: append the records, each answered by Group::persisted; run the answers.
struct Actions {
  struct Persist {
    uint64_t id = 0;
    GroupRecord record;
  };
  std::vector<Persist> persists;
  std::vector<std::pair<Executor*, Job>> answers;
  uint64_t rebalances_completed = 0;
  uint64_t members_expired = 0;

  template <class T>
  void answer(Completion<T>&& completion, T value) {
    Executor& executor = completion.executor();
    answers.emplace_back(&executor, completion.bind(std::move(value)));
  }
};

class Group {
 public:
  /// An empty group that was never persisted. `options` outlive it. `incarnation` tells it from other groups of its
  /// name.
  Group(std::string id, const Options& options, uint64_t incarnation, Now now);
  /// As its last record says: Stable, all sessions starting now, or Empty.
  Group(const GroupRecord& record, const Options& options, uint64_t incarnation, Now now, Actions& actions);

  const std::string& id() const { return id_; }
  uint64_t incarnation() const { return incarnation_; }
  GroupState state() const { return state_; }
  int32_t generation_id() const { return generation_id_; }
  /// "" until a member joined.
  std::string protocol_type() const { return protocol_type_.value_or(""); }
  size_t member_count() const { return members_.size(); }

  // --- requests; those with a completion answer it once, now or at a later event ---

  /// `fresh_suffix` makes the member id if the request has none. The group id and timeouts have been checked.
  void join(JoinRequest request, Completion<JoinResult> done, const std::string& fresh_suffix, Now now,
            Actions& actions);
  void sync(SyncRequest request, Completion<SyncResult> done, Now now, Actions& actions);
  ErrorCode heartbeat(const HeartbeatRequest& request, Now now);
  LeaveResult leave(const LeaveRequest& request, Now now, Actions& actions);
  /// May these offsets be committed? Keeps the member's session alive if so.
  ErrorCode check_commit(const CommitRequest& request, Now now);
  DescribedGroup describe() const;

  // --- other events ---

  /// The record of Actions::Persist `id` is durable (none), or will never be.
  void persisted(uint64_t id, ErrorCode error, Now now, Actions& actions);
  /// Does what is due.
  void tick(Now now, Actions& actions);
  /// No timer runs out before this time (monotonic): call tick then. Requests may bring it forward.
  int64_t next_deadline_ms() const { return wake_ms_; }
  /// Answers everything that waits with `error`: the group is about to be forgotten.
  void abandon(ErrorCode error, Actions& actions);
  /// Deletion has begun, or did not succeed after all. Only an Empty group may die.
  void set_dead(bool dead) { state_ = dead ? GroupState::dead : GroupState::empty; }

  // --- for retention and deletion of offsets ---

  /// True while a member subscribes to `topic`, or might: with a protocol of "consumer" that cannot be read.
  bool is_subscribed(const std::string& topic) const;
  bool uses_consumer_protocol() const { return protocol_type_ == "consumer"; }
  /// True if an offset of a topic that nobody subscribes to has outlived its retention.
  bool is_expired(const StoredOffset& offset, Now now) const;
  /// True if nothing of it needs to be remembered apart from its records.
  bool is_idle() const { return state_ == GroupState::empty && pending_members_.empty(); }
  /// True if it has had a generation, so that its log holds a record of it, or will.
  bool is_recorded() const { return generation_id_ > 0; }

 private:
  struct Member {
    std::string id;
    std::optional<std::string> instance_id;
    std::string client_id;
    std::string client_host;
    int32_t session_timeout_ms = 0;
    int32_t rebalance_timeout_ms = 0;
    std::vector<MemberProtocol> protocols;
    std::string assignment;
    bool is_new = false;     ///< has not been through a completed join yet: its session may run out while it waits
    bool owes_sync = false;  ///< has been told the generation, and has not asked for its assignment
    int64_t session_deadline_ms = kNever;
    Completion<JoinResult> join;  ///< waits for the rebalance
    Completion<SyncResult> sync;  ///< waits for its assignment

    const std::string& metadata_of(const std::string& protocol) const;
  };
  using Members = std::map<std::string, Member>;

  // What to do when a record is durable, or has failed.
  struct SyncPersist {
    int32_t generation_id;
    std::map<std::string, std::string> assignments;
  };
  struct StaticPersist {
    int32_t generation_id;
    std::string new_id;
    std::string old_id;
    std::string old_leader;
    bool supports_skip_assignment;
    std::vector<MemberProtocol> old_protocols;
    int32_t old_session_timeout_ms;
    int32_t old_rebalance_timeout_ms;
  };
  struct EmptyPersist {};
  using PendingPersist = std::variant<SyncPersist, StaticPersist, EmptyPersist>;

  // group_members.cc: who is in the group
  bool accepts(const JoinRequest& request) const;
  bool supports(const JoinRequest& request) const;
  ErrorCode check_member(const std::string& member_id, const std::optional<std::string>& instance_id) const;
  Member* find(const std::string& member_id);
  Member& add_member(const JoinRequest& request, const std::string& member_id, Completion<JoinResult> done, Now now,
                     Actions& actions);
  void update_member(Member& member, const JoinRequest& request);
  void set_protocols(Member& member, std::vector<MemberProtocol> protocols);
  void remove_member(std::string member_id, Actions& actions);
  Member& rename_static_member(std::string old_id, const std::string& new_id, Actions& actions);
  void start_session(Member& member, Now now) { start_session(member, now, member.session_timeout_ms); }
  void start_session(Member& member, Now now, int64_t timeout_ms);
  void wait_for_join(Member& member, Completion<JoinResult> done, Actions& actions);
  void wait_for_sync(Member& member, Completion<SyncResult> done, Actions& actions);
  void answer_join(Member& member, JoinResult result, Actions& actions);
  void answer_sync(Member& member, SyncResult result, Actions& actions);
  void settle_owed_sync(Member& member);
  int32_t rebalance_timeout_ms() const;

  // group.cc, group_rebalance.cc: what the group does
  void join_new(JoinRequest request, Completion<JoinResult> done, const std::string& fresh_suffix, Now now,
                Actions& actions);
  void join_existing(JoinRequest request, Completion<JoinResult> done, Now now, Actions& actions);
  void add_and_rebalance(const JoinRequest& request, const std::string& member_id, Completion<JoinResult> done, Now now,
                         Actions& actions);
  void replace_static_member(JoinRequest request, const std::string& old_id, const std::string& new_id,
                             Completion<JoinResult> done, Now now, Actions& actions);
  void rebalance_or_complete_join(Now now, Actions& actions);
  void prepare_rebalance(Now now, Actions& actions);
  void after_departure(bool lost_member, Now now, Actions& actions);
  void maybe_complete_join(Now now, Actions& actions);
  void extend_or_complete_initial_join(Now now, Actions& actions);
  void complete_join(Now now, Actions& actions);
  bool elect_joined_leader();
  std::string select_protocol() const;
  void begin_generation(Now now);
  void expire_missing_syncs(Now now, Actions& actions);
  void fail_syncs(ErrorCode error, Now now, Actions& actions);
  void on_persisted(const SyncPersist& pending, ErrorCode error, Now now, Actions& actions);
  void on_persisted(const StaticPersist& pending, ErrorCode error, Now now, Actions& actions);
  void on_persisted(const EmptyPersist&, ErrorCode, Now, Actions&) {}
  bool is_sync_in_flight() const;
  void persist(PendingPersist pending, GroupRecord record, Actions& actions);
  GroupRecord record(GroupState as, Now now) const;
  JoinResult join_result(const Member& member) const;
  std::vector<JoinedMember> joined_members() const;
  void read_subscriptions();
  void wake_by(int64_t deadline_ms) { wake_ms_ = std::min(wake_ms_, deadline_ms); }
  void find_next_deadline();

  const std::string id_;
  const Options& options_;
  const uint64_t incarnation_;

  GroupState state_ = GroupState::empty;
  int64_t state_since_ms_;  ///< wall clock
  int32_t generation_id_ = 0;
  std::optional<std::string> protocol_type_;
  std::optional<std::string> protocol_name_;
  std::optional<std::string> leader_;
  Members members_;
  std::map<std::string, std::string> static_members_;   ///< instance id to member id
  std::map<std::string, int64_t> pending_members_;      ///< ids given out by MEMBER_ID_REQUIRED, with their deadlines
  std::map<std::string, size_t> protocol_support_;      ///< protocol to number of members that offer it
  size_t joined_ = 0;                                   ///< members that wait for the join to complete
  size_t owed_syncs_ = 0;                               ///< members that owe a sync
  std::optional<std::set<std::string>> subscriptions_;  ///< of protocol type "consumer", if they can be read

  // The rebalance under way. An initial one (from Empty) never ends before its delay.
  bool is_initial_ = false;
  bool member_added_ = false;
  int64_t initial_delay_ms_ = 0;
  int64_t initial_left_ms_ = 0;
  int64_t join_deadline_ms_ = kNever;
  int64_t sync_deadline_ms_ = kNever;
  int64_t wake_ms_ = kNever;  ///< not later than the earliest timer; made exact by tick

  std::map<uint64_t, PendingPersist> pending_persists_;
  uint64_t last_persist_id_ = 0;
};

}  // namespace sluice::group
