// SPDX-License-Identifier: Apache-2.0
// Incremental fetch sessions (KIP-227): what a consumer reads is remembered here, so that its requests and our responses carry
// only what changed. A cache with a limit: a session may be taken away, and the client then starts another.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/uuid.hpp"
#include "errors/error_code.hpp"

namespace sluice::handlers {

/// One partition that a client reads: what it asked for, and what it was last told.
struct FetchedPartition {
  Uuid topic_id;      // zero where the client names topics
  std::string topic;  // "" where it gives ids
  int32_t partition = 0;
  int32_t current_leader_epoch = -1;
  int64_t fetch_offset = 0;
  int32_t last_fetched_epoch = -1;
  int32_t max_bytes = 0;
  int64_t told_high_watermark = -1;
  int64_t told_log_start = -1;
  bool told = false;  // anything at all

  bool same_partition(const FetchedPartition& other) const {
    return partition == other.partition && topic_id == other.topic_id && topic == other.topic;
  }
};

/// One client's session, guarded by the mutex of FetchSessions.
struct FetchSession {
  int32_t id = 0;
  bool by_id = false;
  int32_t next_epoch = 1;
  int64_t created_ms = 0;
  int64_t last_used_ms = 0;
  std::vector<FetchedPartition> partitions;  // in the order in which they are served
};

/// Thread-safe.
class FetchSessions {
 public:
  /// A session used so recently is not taken away for a new one, unless it is this old and the new one has more partitions
  /// (Kafka's constant).
  static constexpr int64_t kMinEvictionMs = 120'000;
  static constexpr size_t kMaxPartitionsPerSession = 100'000;

  FetchSessions(size_t max_sessions, std::function<uint64_t()> random) : max_sessions_(max_sessions), random_(std::move(random)) {}

  /// A new session that holds `partitions`; 0 if there is no room.
  int32_t create(bool by_id, std::vector<FetchedPartition> partitions, int64_t now_ms);
  void remove(int32_t id);

  /// An incremental request: checks id and epoch, applies what is added, changed and forgotten, and gives all partitions in order.
  /// A session that has none left has ended: `all` is empty, and the client is to be told the session id 0.
  /// FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH, FETCH_SESSION_TOPIC_ID_ERROR.
  ErrorCode update(int32_t id, int32_t epoch, bool by_id, std::vector<FetchedPartition> changed,
                   const std::vector<FetchedPartition>& forgotten, int64_t now_ms, std::vector<FetchedPartition>& all);

  /// What the client is told by this response: partitions with records go to the end, so that none starves.
  void told(int32_t id, const std::vector<FetchedPartition>& partitions, const std::vector<bool>& had_records);

  /// The epoch of a session's next request: 0 and -1 mean something else, so that it goes from the largest to 1.
  static constexpr int32_t next_epoch(int32_t epoch) { return epoch == std::numeric_limits<int32_t>::max() ? 1 : epoch + 1; }

  size_t size() const;
  uint64_t evictions() const;

 private:
  const size_t max_sessions_;
  const std::function<uint64_t()> random_;
  mutable std::mutex mutex_;
  std::unordered_map<int32_t, std::unique_ptr<FetchSession>> sessions_;
  uint64_t evictions_ = 0;
};

}  // namespace sluice::handlers
