// SPDX-License-Identifier: Apache-2.0
#include "group/coordinator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <random>
#include <utility>

#include "group/shard.hpp"

namespace sluice::group {
namespace {

/// One code point of UTF-8 as Java sees it; a byte that is not UTF-8 counts as U+FFFD, alone.
char32_t next_code_point(std::string_view text, size_t& at) {
  constexpr char32_t kReplacement = 0xfffd;
  const auto first = static_cast<uint8_t>(text[at++]);
  if (first < 0x80) return first;
  const int more = first >= 0xf0 && first < 0xf5 ? 3 : first >= 0xe0 ? 2 : first >= 0xc2 ? 1 : 0;
  if (more == 0 || first >= 0xf5 || at + static_cast<size_t>(more) > text.size()) return kReplacement;
  char32_t value = first & (0x3f >> more);
  for (int i = 0; i < more; ++i) {
    const auto byte = static_cast<uint8_t>(text[at + static_cast<size_t>(i)]);
    if ((byte & 0xc0) != 0x80) return kReplacement;
    value = value << 6 | (byte & 0x3f);
  }
  at += static_cast<size_t>(more);
  return value;
}

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

bool passes(const std::vector<std::string>& filter, std::string_view value) {
  return filter.empty() || std::any_of(filter.begin(), filter.end(),
                                       [&](const std::string& wanted) { return equals_ignoring_case(wanted, value); });
}

/// The answers to one DeleteGroups as they come in; the last one sends them.
struct Deletions {
  std::vector<DeletedGroup> groups;
  std::atomic<size_t> left;
  Completion<std::vector<DeletedGroup>> done;

  Deletions(size_t count, Completion<std::vector<DeletedGroup>> completion)
      : left(count), done(std::move(completion)) {}
  // Each answer writes its own element; the counter orders them all before the last.
  void answer(size_t index, ErrorCode error) {
    groups[index].error = error;
    if (left.fetch_sub(1) == 1) finish();
  }
  void finish() { done.executor().post(done.bind(std::move(groups))); }
};

}  // namespace

std::string random_member_suffix() {
  thread_local std::random_device device;
  uint32_t words[4];
  for (uint32_t& word : words) word = device();
  words[1] = (words[1] & 0xffff0fffU) | 0x4000U;
  words[2] = (words[2] & 0x3fffffffU) | 0x80000000U;
  return fmt::format("{:08x}-{:04x}-{:04x}-{:04x}-{:04x}{:08x}", words[0], words[1] >> 16, words[1] & 0xffff,
                     words[2] >> 16, words[2] & 0xffff, words[3]);
}

size_t shard_of(std::string_view group_id, size_t shard_count) {
  uint32_t hash = 0;
  const auto add = [&](uint32_t unit) { hash = hash * 31 + unit; };
  for (size_t at = 0; at < group_id.size();) {
    const char32_t code_point = next_code_point(group_id, at);
    if (code_point >= 0x10000) {
      add(0xd800 + ((code_point - 0x10000) >> 10));
      add(0xdc00 + ((code_point - 0x10000) & 0x3ff));
    } else {
      add(code_point);
    }
  }
  if (hash == 0x80000000U) return 0;  // the one number whose negative Java does not have
  const uint32_t magnitude = hash > 0x80000000U ? 0U - hash : hash;
  return magnitude % shard_count;
}

GroupCoordinator::GroupCoordinator(Options options, size_t shard_count, Clock& clock, Executor& executor,
                                   MemberIdSource member_ids)
    : options_(options), member_ids_(std::move(member_ids)) {
  for (size_t i = 0; i < shard_count; ++i) shards_.push_back(std::make_shared<Shard>(options, clock, executor));
}

GroupCoordinator::~GroupCoordinator() {
  stop();
}

Shard& GroupCoordinator::shard_for(std::string_view group_id) const {
  return *shards_[shard_of(group_id, shards_.size())];
}

storage::StateMachine& GroupCoordinator::machine(size_t shard) {
  return *shards_[shard];
}
void GroupCoordinator::shard_loaded(size_t shard, storage::StateLog& log) {
  shards_[shard]->loaded(log);
}
void GroupCoordinator::shard_unavailable(size_t shard) {
  shards_[shard]->unavailable();
}

int64_t GroupCoordinator::tick() {
  int64_t next_ms = kNoDeadline;
  for (const auto& shard : shards_) next_ms = std::min(next_ms, shard->tick());
  return next_ms;
}

void GroupCoordinator::stop() {
  for (const auto& shard : shards_) shard->stop();
}

void GroupCoordinator::join_group(JoinRequest request, Executor& executor, UniqueFunction<void(JoinResult)> done) {
  Completion<JoinResult> completion(executor, std::move(done));
  const auto refuse = [&](ErrorCode error) { executor.post(completion.bind(JoinResult::refused(error))); };
  if (request.group_id.empty()) return refuse(ErrorCode::kInvalidGroupId);
  if (request.session_timeout_ms < options_.group_min_session_timeout_ms ||
      request.session_timeout_ms > options_.group_max_session_timeout_ms) {
    return refuse(ErrorCode::kInvalidSessionTimeout);
  }
  std::string suffix = request.member_id.empty() ? member_ids_() : std::string{};
  Shard& shard = shard_for(request.group_id);
  shard.join(std::move(request), std::move(suffix), std::move(completion));
}

void GroupCoordinator::sync_group(SyncRequest request, Executor& executor, UniqueFunction<void(SyncResult)> done) {
  Completion<SyncResult> completion(executor, std::move(done));
  if (request.group_id.empty()) {
    return executor.post(completion.bind(SyncResult::refused(ErrorCode::kInvalidGroupId)));
  }
  Shard& shard = shard_for(request.group_id);
  shard.sync(std::move(request), std::move(completion));
}

ErrorCode GroupCoordinator::heartbeat(const HeartbeatRequest& request) {
  if (request.group_id.empty()) return ErrorCode::kInvalidGroupId;
  return shard_for(request.group_id).heartbeat(request);
}

LeaveResult GroupCoordinator::leave_group(const LeaveRequest& request) {
  if (request.group_id.empty()) return {ErrorCode::kInvalidGroupId, {}};
  return shard_for(request.group_id).leave(request);
}

void GroupCoordinator::commit_offsets(CommitRequest request, Executor& executor,
                                      UniqueFunction<void(CommitResult)> done) {
  Shard& shard = shard_for(request.group_id);
  shard.commit(std::move(request), {executor, std::move(done)});
}

OffsetFetchResult GroupCoordinator::fetch_offsets(const OffsetFetchRequest& request) const {
  return shard_for(request.group_id).fetch(request);
}

void GroupCoordinator::delete_offsets(OffsetDeleteRequest request, Executor& executor,
                                      UniqueFunction<void(OffsetDeleteResult)> done) {
  Completion<OffsetDeleteResult> completion(executor, std::move(done));
  if (request.group_id.empty()) {
    OffsetDeleteResult refused;
    refused.error = ErrorCode::kInvalidGroupId;
    return executor.post(completion.bind(std::move(refused)));
  }
  Shard& shard = shard_for(request.group_id);
  shard.delete_offsets(std::move(request), std::move(completion));
}

void GroupCoordinator::topics_deleted(const std::vector<DeletedTopic>& topics) {
  for (const auto& shard : shards_) shard->topics_deleted(topics);
}

ListResult GroupCoordinator::list_groups(const ListRequest& request) const {
  ListResult result;
  for (const auto& shard : shards_) {
    const ErrorCode error = shard->list(result.groups);
    if (error != ErrorCode::kNone) result.error = error;
  }
  std::erase_if(result.groups, [&](const ListedGroup& group) {
    return !passes(request.states, group.state) || !passes(request.types, group.type);
  });
  return result;
}

DescribedGroup GroupCoordinator::describe_group(const std::string& group_id) const {
  return shard_for(group_id).describe(group_id);
}

void GroupCoordinator::delete_groups(std::vector<std::string> group_ids, Executor& executor,
                                     UniqueFunction<void(std::vector<DeletedGroup>)> done) {
  const size_t count = group_ids.size();
  const auto deletions =
      std::make_shared<Deletions>(count, Completion<std::vector<DeletedGroup>>(executor, std::move(done)));
  for (const std::string& id : group_ids) deletions->groups.push_back({id, ErrorCode::kNone});
  if (count == 0) return deletions->finish();
  for (size_t i = 0; i < count; ++i) {
    shard_for(group_ids[i]).delete_group(group_ids[i], [deletions, i](ErrorCode error) {
      deletions->answer(i, error);
    });
  }
}

Metrics GroupCoordinator::metrics() const {
  Metrics metrics;
  for (const auto& shard : shards_) shard->add_to(metrics);
  return metrics;
}

}  // namespace sluice::group
