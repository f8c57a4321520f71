// SPDX-License-Identifier: Apache-2.0
// Appends: records go to an idempotent producer, what becomes of them comes back as delivery reports. All state belongs
// to the writer's thread.
//
// A producer that failed for good is replaced: what it still holds is given up, and answered as librdkafka says, before
// it goes. An append whose deadline passes is answered UNKNOWN by Calls; its records are then on their way all the
// same.
//
// An append that is not acknowledged by the delivery timeout is given up. Where its producer has sent nothing since, it
// gives back all it has, UNAVAILABLE, and is replaced. Else the append is UNKNOWN and stays with its producer, which
// sends it until it is answered: what lies in the buffers of a cluster that hangs may be carried out at any later time,
// and only the numbers that this producer gave its records make the cluster refuse it then. Other appends to that
// partition are UNAVAILABLE until that is settled.
//
// Several appends of a handle may be under way: they go to the producer in the order of the calls, and the producer
// keeps it. Behind one that failed, those of its run that are not with the producer yet are refused; what the producer
// has goes on, and lands in its place or not at all.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kafka/calls.hpp"
#include "kafka/client.hpp"
#include "kafka/cluster.hpp"
#include "kafka/partition.hpp"
#include "kafka/worker.hpp"
#include "native/unit.hpp"
#include "sluice/storage_abi.h"

namespace sluice::kafka {

/// A call. What `request` and `result` point to is used only while the ticket is open.
struct Append {
  TicketPtr ticket;
  PartitionPtr partition;
  ChainPtr chain;
  const sluice_append* request = nullptr;
  sluice_append_result* result = nullptr;
  uint64_t run = 0;
};

class Writer {
 public:
  /// Topics that a producer keeps a handle of; beyond, all are let go.
  static constexpr size_t kMaxTopics = 4'096;

  Writer(const Settings& settings, Pool& pool, Say say)
      : settings_(settings), pool_(pool), say_(say), worker_("kafka-writes", say) {}

  /// `appended(partition, end)`: records below `end` were acknowledged. Called on the writer's thread.
  void start(uint64_t largest_message, std::function<void(const PartitionPtr&, int64_t end)> appended);
  /// Gives up what is not acknowledged; every append is answered when the thread has ended. The producers, to be
  /// destroyed where that may block.
  std::vector<std::shared_ptr<Client>> stop(int64_t deadline_ns);

  /// Any thread.
  void append(Append append);

 private:
  struct Unit;
  using Units = std::list<std::unique_ptr<Unit>>;
  struct BatchState {
    Unit* unit = nullptr;
    int64_t first = -1;
    int64_t last = -1;
    uint32_t applied = 0;
    uint32_t records = 0;
  };
  struct Producer {
    uint64_t generation = 0;
    Units units;     // under way, in the order in which they were sent: what they hold goes after the client
    Units given_up;  // likewise, and answered
    size_t introductions = 0;
    std::shared_ptr<Client> client;  // shared with questions that are under way
    std::map<std::string, TopicHandle> topics;
    bool has_units() const { return !units.empty() || !given_up.empty(); }
    bool is_idle() const { return !has_units() && introductions == 0; }
  };
  /// One append whose records are with a producer.
  struct Unit {
    Append call;
    Producer* producer = nullptr;
    Units::iterator place;         // among the producer's
    int64_t due_ns = 0;            // when it is given up
    uint64_t requests_before = 0;  // that the producer had sent
    bool given_up = false;
    std::vector<BatchState> batches;
    std::vector<Buffer> sections;  // what librdkafka's messages refer to
    uint64_t outstanding = 0;      // reports to come
    uint64_t applied = 0;
    uint64_t records = 0;
    uint64_t cost = 0;
    Status failure;     // the first
    bool open = false;  // something of it may be there without a report that says so

    /// Behind what is known to be there; 0: nothing is.
    int64_t end() const;
  };

  int64_t serve();
  Status make_producer();
  void begin(Append append);
  static void refuse(const Append& append, const Status& status);
  void introduce(Append append);
  Status send(const Append& append, native::UnpackedUnit unpacked, bool& pending);
  void heard(Producer& producer, const rd_kafka_event_t& event);
  void delivered(const rd_kafka_message_t& message);
  void conclude(Unit& unit);
  void give_up_overdue();
  static void tell(const Unit& unit, int64_t end = 0);
  void retire();
  void discard_retired();
  rd_kafka_topic_t* topic(Producer& producer, const std::string& name);

  const Settings& settings_;
  Pool& pool_;
  const Say say_;
  uint64_t largest_message_ = 0;
  std::function<void(const PartitionPtr&, int64_t)> appended_;
  std::shared_ptr<Producer> producer_;
  std::list<std::shared_ptr<Producer>> retired_;
  uint64_t generation_ = 0;
  uint64_t in_flight_ = 0;  // cost of all units
  // Partitions that the producer is being introduced to, and the appends that wait for it, in order.
  std::map<PartitionPtr, std::vector<Append>> introducing_;
  uint64_t session_ = 0;  // rises with every start
  bool stopping_ = false;
  Worker worker_;
};

}  // namespace sluice::kafka
