// SPDX-License-Identifier: Apache-2.0
// Questions to the cluster and changes of its topics. What waits here waits on threads of the pool, or on those of
// lifecycle calls, never longer than its deadline. Any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/status.hpp"
#include "base/unique_function.hpp"
#include "kafka/client.hpp"
#include "kafka/partition.hpp"
#include "kafka/settings.hpp"
#include "kafka/worker.hpp"

namespace sluice::kafka {

/// What decides whether an election may take back what was acknowledged; as told, the worst where it is not.
struct Keeping {
  int64_t min_insync_replicas = 0;  // 0: not told
  bool unclean_election = true;
  bool no_rollback() const { return min_insync_replicas >= 2 && !unclean_election; }
};

/// What is known of the other side as a whole.
struct ClusterInfo {
  std::string id;
  int brokers = 0;
  uint64_t largest_message = 0;  // bytes of a batch; 0: it did not say
  Keeping keeping;               // of topics that say nothing else
};

struct NativeTopic {
  std::string name;
  int32_t partitions = 0;
};

class Cluster {
 public:
  Cluster(const Settings& settings, Pool& pool, Say say) : settings_(settings), pool_(pool), say_(std::move(say)) {}

  /// [blocks] UNAVAILABLE, DENIED, INVALID.
  Status connect(int64_t deadline_ns);
  /// The client, to be destroyed where that may block. Questions under way keep it.
  std::shared_ptr<Client> disconnect();
  /// Takes note of what the connections say.
  void drain();
  /// [blocks] Asks anew. UNAVAILABLE where nobody answers.
  Result<ClusterInfo> inspect(int64_t deadline_ns);

  /// [blocks] NOT_FOUND where there is no such topic. Every partition is there, the last may have no leader yet.
  Result<int32_t> partitions(const std::string& topic, int64_t deadline_ns);
  /// [blocks] What holds of this topic, whose own settings may differ from the cluster's. Asked anew every
  /// kKeepingAsksNs, within kKeepingNs.
  bool no_rollback(Partition& partition, int64_t deadline_ns);
  /// [blocks] All but those that Kafka keeps for itself.
  Result<std::vector<NativeTopic>> topics(int64_t deadline_ns);
  /// [blocks] Makes the topic, or lets it grow, until it has `count` partitions, and waits until `partition` is served.
  Status ensure(const std::string& topic, int32_t partition, int32_t count, int64_t deadline_ns);
  /// [blocks] OK too if there is none. Waits until the cluster no longer shows it, for some seconds.
  Status remove(const std::string& topic, int64_t deadline_ns);
  /// [blocks] Drops records below `offset`; never beyond the end, never back.
  Status trim(Partition& partition, int64_t offset, int64_t deadline_ns);
  /// [blocks] The offset of the first record at or after `timestamp`; none: the end.
  Result<int64_t> locate(Partition& partition, int64_t timestamp, Marks& marks, int64_t deadline_ns);
  /// [blocks] Start and end, which `partition` then knows.
  Result<Marks> marks(Partition& partition, int64_t deadline_ns);

  /// As marks(), without waiting: `done` is called on a thread of the pool. Those who ask while an answer is under way
  /// share the next one.
  void ask_marks(const PartitionPtr& partition, UniqueFunction<void(const Result<Marks>&)> done);

 private:
  static constexpr int64_t kKeepingAsksNs = 30'000'000'000;
  static constexpr int64_t kKeepingNs = 1'000'000'000;

  using Waiting = std::vector<UniqueFunction<void(const Result<Marks>&)>>;

  using ClientPtr = std::shared_ptr<Client>;

  /// UNAVAILABLE while disconnected.
  Result<ClientPtr> client() const;
  int wait_ms(int64_t deadline_ns) const;
  Result<EventHandle> admin(Client& client, rd_kafka_admin_op_t operation, int64_t deadline_ns,
                            UniqueFunction<void(const rd_kafka_AdminOptions_t*, rd_kafka_queue_t*)> send);
  Status create(Client& client, const std::string& topic, int32_t count, int64_t deadline_ns);
  Status grow(Client& client, const std::string& topic, int32_t count, int64_t deadline_ns);
  Result<int32_t> look_up(Client& client, const std::string& topic, int32_t partition, bool& served,
                          int64_t deadline_ns);
  Result<int64_t> offset_of(Client& client, const Partition& partition, int64_t time, int64_t deadline_ns);
  /// The settings of a broker or a topic, by name; none where the cluster does not say.
  std::map<std::string, std::string, std::less<>> configs_of(Client& client, rd_kafka_ResourceType_t type,
                                                             const std::string& name, int64_t deadline_ns);
  void answer_marks(const PartitionPtr& partition);
  static Status unreachable(Client& client, const Status& status);

  const Settings& settings_;
  Pool& pool_;
  const Say say_;
  mutable std::mutex mutex_;
  ClientPtr client_;                         // guarded by mutex_
  std::map<PartitionPtr, Waiting> waiting_;  // with an entry, a job of the pool is there; guarded by mutex_
};

}  // namespace sluice::kafka
