// SPDX-License-Identifier: Apache-2.0
// Reads and watches. A few consumers ("lanes") fetch from many partitions; where one of them stands in a partition is a
// cursor. A read that goes on where the one before ended takes what the cursor has fetched meanwhile, so that nothing
// is sought; another one starts a cursor, on a lane where the partition is not read, or in place of the one used least
// recently. All state belongs to the reader's thread.
//
// A read that finds nothing waits only for what is known to be there. Whether there is anything is asked of the cluster
// before a cursor starts at an unknown place, and again when a read waited for kSettleNs in vain, then for twice as
// long.
//
// librdkafka, where its own queue is full, looks again only after a second. So what it has fetched is taken into a
// stash of as many bytes, and where that much came at once it is told to go on, by seeking to where it stands.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "kafka/calls.hpp"
#include "kafka/client.hpp"
#include "kafka/cluster.hpp"
#include "kafka/partition.hpp"
#include "kafka/worker.hpp"
#include "native/assembler.hpp"
#include "sluice/storage_abi.h"

namespace sluice::kafka {

class Reader {
 public:
  /// Partitions that are fetched from at once, counted for each lane; beyond, the least recently used gives way.
  static constexpr size_t kMaxCursors = 128;
  /// Places in one partition that are read at once without seeking.
  static constexpr size_t kMaxLanes = 4;
  /// What a record takes beside its bytes, about.
  static constexpr uint64_t kRecordCostBytes = 256;
  /// What was read last is kept for others who read the same; bytes for one cursor.
  static constexpr uint64_t kRecentBytes = uint64_t{1} << 20;
  /// Undecodable entries that one read passes at most.
  static constexpr uint64_t kMaxSkips = 64;
  static constexpr int64_t kSettleNs = 500'000'000;
  /// How often the end of a watched partition is asked for, where no cursor stands at it.
  static constexpr int64_t kWatchNs = 500'000'000;
  /// A cursor that nobody used for so long stops fetching.
  static constexpr int64_t kIdleNs = 10'000'000'000;

  Reader(const Settings& settings, Cluster& cluster, Say say)
      : settings_(settings), cluster_(cluster), say_(say), worker_("kafka-reads", say) {}

  /// `drain` is called on the thread now and then, for the events of clients that have no thread.
  void start(uint64_t largest_message, std::function<void()> drain);
  /// Ends the thread. Reads and watches are the caller's to answer. The consumers, to be destroyed where that may
  /// block.
  std::vector<std::unique_ptr<Client>> stop();

  // Any thread. Request and result are used only while the ticket is open.
  void read(TicketPtr ticket, PartitionPtr partition, const sluice_read& request, sluice_read_result& result);
  void watch(TicketPtr ticket, PartitionPtr partition, int64_t offset);
  /// Somebody wrote to it, or asked: watches may be over.
  void moved(PartitionPtr partition);
  /// It is being deleted: watches end with UNAVAILABLE, cursors go.
  void forget(PartitionPtr partition);

 private:
  struct Topic {
    TopicHandle handle;
    size_t cursors = 0;
  };
  struct Lane {
    std::unique_ptr<Client> client;
    std::map<std::string, Topic> topics;
  };
  struct Reading {
    TicketPtr ticket;
    PartitionPtr partition;
    int64_t offset = 0;
    int64_t limit = 0;
    uint64_t max_bytes = 0;
    sluice_read_result* result = nullptr;
    uint64_t skipped = 0;
    int64_t from = 0;  // as asked for; `offset` moves over what is skipped
    int looks = 0;
  };
  using Chunk = std::vector<native::Built>;
  struct Cursor {
    uint64_t id = 0;
    Reader* reader = nullptr;
    Lane* lane = nullptr;
    PartitionPtr partition;
    rd_kafka_topic_t* topic = nullptr;
    QueueHandle queue;
    int64_t position = 0;  // nothing lies between it and the first of the stash
    std::deque<MessageHandle> stash;
    uint64_t stash_bytes = 0;    // what it takes
    uint64_t backlog_bytes = 0;  // taken since librdkafka's queue was empty, as librdkafka counts
    uint64_t backlog = 0;        // ... records
    int64_t fetched = 0;         // one past the last record taken
    bool at_end = false;         // behind the stash there was nothing
    int64_t end = 0;             // ... up to here
    std::optional<Reading> reading;
    int64_t settle_ns = Worker::kNever;
    int64_t used_ns = 0;
    std::deque<std::shared_ptr<const Chunk>> recent;
    uint64_t recent_bytes = 0;
  };
  struct Watch {
    TicketPtr ticket;
    int64_t offset = 0;
  };
  struct Watched {
    std::vector<Watch> watches;
    int64_t ask_ns = 0;  // when its end is asked for
    bool asking = false;
  };

  int64_t serve();
  int64_t tick(int64_t now);
  void woken(uint64_t cursor);

  void accept(Reading reading);
  bool serve_recent(Reading& reading);
  bool attach(Reading& reading);
  void look(Reading reading);
  void looked(Reading reading, const Result<Marks>& marks);
  void begin(Reading reading);
  void answer_nothing(Reading& reading, int64_t next);

  Result<Lane*> lane_for(const Partition& partition);
  bool make_room();
  Result<Cursor*> start_cursor(const PartitionPtr& partition, int64_t offset);
  Status fetch_from(Cursor& cursor, int64_t offset);
  void stop_fetching(Cursor& cursor);
  void stop_cursor(Cursor& cursor);

  void pump(Cursor& cursor);
  static uint64_t cost_of(const rd_kafka_message_t& message);
  size_t fill(Cursor& cursor);
  void drop_first(Cursor& cursor);
  void spur(Cursor& cursor);
  /// False if the cursor is gone.
  bool trouble(Cursor& cursor, const rd_kafka_message_t& message);
  void advance(Cursor& cursor);
  void complete(Cursor& cursor, Chunk chunk, int64_t next);
  static void lend(Reading& reading, const std::shared_ptr<const Chunk>& chunk, size_t first, size_t count,
                   int64_t next);

  void tell_watches(const PartitionPtr& partition);
  void end_watches(const PartitionPtr& partition);
  bool has_tail(const Partition& partition) const;
  void ask_for_watches(const PartitionPtr& partition);

  const Settings& settings_;
  Cluster& cluster_;
  const Say say_;
  uint64_t largest_message_ = 0;
  std::function<void()> drain_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::unordered_map<uint64_t, std::unique_ptr<Cursor>> cursors_;
  std::map<PartitionPtr, Watched> watched_;
  uint64_t last_cursor_ = 0;
  int64_t tick_ns_ = 0;
  std::mutex ready_mutex_;
  std::unordered_set<uint64_t> ready_;  // cursors whose queues have something; guarded by ready_mutex_
  Worker worker_;
};

}  // namespace sluice::kafka
