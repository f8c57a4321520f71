// SPDX-License-Identifier: Apache-2.0
#include "handlers/fetch_sessions.hpp"

#include <algorithm>
#include <optional>
#include <tuple>

namespace sluice::handlers {

namespace {

/// Where a session's partitions are. A few changes are found by looking along them; for many a table is made first, so that a
/// request's work stays in proportion to its size.
class Places {
 public:
  Places(const std::vector<FetchedPartition>& partitions, size_t changes) : partitions_(partitions) {
    if (changes < kMinTableChanges) return;
    table_.emplace();
    table_->reserve(partitions.size() + changes);
    for (size_t i = 0; i < partitions.size(); ++i) table_->emplace(key(partitions[i]), i);
  }
  /// partitions.size() if it is not there.
  size_t find(const FetchedPartition& wanted) const {
    if (table_) {
      const auto found = table_->find(key(wanted));
      return found == table_->end() ? partitions_.size() : found->second;
    }
    const auto found = std::find_if(partitions_.begin(), partitions_.end(), [&](const auto& p) { return p.same_partition(wanted); });
    return static_cast<size_t>(found - partitions_.begin());
  }
  /// The last one is new.
  void added() {
    if (table_) table_->emplace(key(partitions_.back()), partitions_.size() - 1);
  }

 private:
  static constexpr size_t kMinTableChanges = 16;
  using Key = std::tuple<Uuid, std::string, int32_t>;
  struct Hash {
    size_t operator()(const Key& key) const noexcept {
      const auto& [id, topic, partition] = key;
      const size_t of_topic = std::hash<Uuid>{}(id) ^ std::hash<std::string>{}(topic);
      return of_topic * 31 + static_cast<size_t>(static_cast<uint32_t>(partition)) * 0x9e3779b97f4a7c15U;
    }
  };
  static Key key(const FetchedPartition& p) { return {p.topic_id, p.topic, p.partition}; }

  const std::vector<FetchedPartition>& partitions_;
  std::optional<std::unordered_map<Key, size_t, Hash>> table_;
};

}  // namespace

int32_t FetchSessions::create(bool by_id, std::vector<FetchedPartition> partitions, int64_t now_ms) {
  if (partitions.empty() || partitions.size() > kMaxPartitionsPerSession) return 0;
  std::lock_guard lock(mutex_);
  if (sessions_.size() >= max_sessions_) {
    auto victim = std::min_element(sessions_.begin(), sessions_.end(),
                                   [](const auto& a, const auto& b) { return a.second->last_used_ms < b.second->last_used_ms; });
    if (victim == sessions_.end()) return 0;
    if (now_ms - victim->second->last_used_ms <= kMinEvictionMs) {
      // None is stale: a larger session may have the place of the smallest one that has been there long enough.
      victim = sessions_.end();
      for (auto it = sessions_.begin(); it != sessions_.end(); ++it) {
        if (now_ms - it->second->created_ms <= kMinEvictionMs) continue;
        if (victim == sessions_.end() || it->second->partitions.size() < victim->second->partitions.size()) victim = it;
      }
      if (victim == sessions_.end() || victim->second->partitions.size() >= partitions.size()) return 0;
    }
    sessions_.erase(victim);
    ++evictions_;
  }
  int32_t id = 0;
  while (id == 0 || sessions_.contains(id)) id = static_cast<int32_t>(random_() & 0x7fffffff);
  auto session = std::make_unique<FetchSession>();
  session->id = id;
  session->by_id = by_id;
  session->created_ms = now_ms;
  session->last_used_ms = now_ms;
  session->partitions = std::move(partitions);
  sessions_.emplace(id, std::move(session));
  return id;
}

void FetchSessions::remove(int32_t id) {
  std::lock_guard lock(mutex_);
  sessions_.erase(id);
}

ErrorCode FetchSessions::update(int32_t id, int32_t epoch, bool by_id, std::vector<FetchedPartition> changed,
                                const std::vector<FetchedPartition>& forgotten, int64_t now_ms, std::vector<FetchedPartition>& all) {
  std::lock_guard lock(mutex_);
  auto found = sessions_.find(id);
  if (found == sessions_.end()) return ErrorCode::kFetchSessionIdNotFound;
  FetchSession& session = *found->second;
  if (session.next_epoch != epoch) return ErrorCode::kInvalidFetchSessionEpoch;
  if (session.by_id != by_id) return ErrorCode::kFetchSessionTopicIdError;
  Places places(session.partitions, changed.size() + forgotten.size());
  for (auto& partition : changed) {
    const size_t place = places.find(partition);
    if (place == session.partitions.size()) {
      if (place == kMaxPartitionsPerSession) continue;
      session.partitions.push_back(std::move(partition));
      places.added();
      continue;
    }
    FetchedPartition& known = session.partitions[place];
    partition.told = known.told;
    partition.told_high_watermark = known.told_high_watermark;
    partition.told_log_start = known.told_log_start;
    known = std::move(partition);
  }
  std::vector<bool> gone(session.partitions.size());
  for (const auto& partition : forgotten) {
    if (const size_t place = places.find(partition); place < gone.size()) gone[place] = true;
  }
  if (!forgotten.empty()) {
    size_t index = 0;
    std::erase_if(session.partitions, [&](const FetchedPartition&) { return gone[index++]; });
  }
  if (session.partitions.empty()) {
    sessions_.erase(found);
    all.clear();
    return ErrorCode::kNone;
  }
  session.next_epoch = next_epoch(epoch);
  session.last_used_ms = now_ms;
  all = session.partitions;
  return ErrorCode::kNone;
}

void FetchSessions::told(int32_t id, const std::vector<FetchedPartition>& partitions, const std::vector<bool>& had_records) {
  std::lock_guard lock(mutex_);
  auto found = sessions_.find(id);
  if (found == sessions_.end()) return;
  auto& known = found->second->partitions;
  std::vector<FetchedPartition> first;
  std::vector<FetchedPartition> last;
  // The session may have changed under a client that does not wait for its answers; then its order is left as it is.
  if (known.size() != partitions.size()) return;
  for (size_t i = 0; i < known.size(); ++i) {
    if (!known[i].same_partition(partitions[i])) return;
  }
  for (size_t i = 0; i < known.size(); ++i) {
    known[i].told = partitions[i].told;
    known[i].told_high_watermark = partitions[i].told_high_watermark;
    known[i].told_log_start = partitions[i].told_log_start;
    (had_records[i] ? last : first).push_back(std::move(known[i]));
  }
  known = std::move(first);
  known.insert(known.end(), std::make_move_iterator(last.begin()), std::make_move_iterator(last.end()));
}

size_t FetchSessions::size() const {
  std::lock_guard lock(mutex_);
  return sessions_.size();
}

uint64_t FetchSessions::evictions() const {
  std::lock_guard lock(mutex_);
  return evictions_;
}

}  // namespace sluice::handlers
