// SPDX-License-Identifier: Apache-2.0
// One partition as a Source. Its records come through a queue of its own, from which a read takes what is there on the
// thread that asks; only where there is nothing does the cluster's thread take over, which librdkafka wakes.
//
// Until librdkafka has given records or the partition's end, nobody knows whether there are any: such a read waits,
// whatever its wait_ms, up to the request timeout. At the end it waits for wait_ms.
//
// librdkafka stops fetching where its queue is full, and looks again only after a second. So a queue that was found
// nearly full and then empty makes it go on at once, by a seek to where it stands.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/thread_loop.hpp"
#include "rdkafka/handles.hpp"
#include "sluice/source.hpp"
#include "sources/kafka_client.hpp"

namespace sluice::sources {

/// What all partitions of a cluster share. Kept by all of them; the last who lets go ends the threads, from a thread of
/// its own if that was one of them.
class KafkaThreads {
 public:
  static std::shared_ptr<KafkaThreads> make();

  /// Wakes readers; never waits for a broker.
  ThreadLoop& loop() { return loop_; }
  /// For a question that waits: one of a few, in turn.
  ThreadLoop& asking() { return *asking_[next_++ % kAsking]; }
  /// For questions whether somebody is there, which nobody else should wait behind.
  ThreadLoop& probing() { return probing_; }
  /// Whether this is one of these threads, on which nobody may wait for another.
  bool is_current() const;

 private:
  static constexpr size_t kAsking = 4;
  KafkaThreads();
  ThreadLoop loop_{"sluice-kafka"};
  ThreadLoop probing_{"sluice-kafka-pr"};
  std::array<std::unique_ptr<ThreadLoop>, kAsking> asking_;
  std::atomic<size_t> next_{0};
};

class KafkaPartition final : public std::enable_shared_from_this<KafkaPartition> {
 public:
  KafkaPartition(std::shared_ptr<KafkaThreads> threads, std::shared_ptr<KafkaReader> reader,
                 const KafkaClusterSettings& settings, std::string topic, int32_t partition);
  ~KafkaPartition();
  KafkaPartition(const KafkaPartition&) = delete;
  KafkaPartition& operator=(const KafkaPartition&) = delete;

  void read(const PageRequest& request, Source::PageCallback done);
  void bounds(Source::BoundsCallback done);
  void locate(int64_t timestamp_ns, Source::PositionCallback done);
  void wake();
  /// Nobody wants answers any more; fetching stops.
  void close();

  const std::string& topic() const { return topic_; }
  int32_t partition() const { return partition_; }
  const KafkaReader* reader() const { return reader_.get(); }
  bool closed() const { return closed_; }

 private:
  using Lock = std::unique_lock<std::mutex>;
  /// Messages that were taken from the queue.
  using Messages = std::deque<rd_kafka_message_t*>;
  struct Pending {
    PageRequest request;
    Source::PageCallback done;
    int64_t deadline_ms = 0;  // of waiting at the end
    int64_t patience_ms = 0;  // ... for librdkafka to say anything
    int64_t ask_why_ms = 0;   // ... before the cluster is asked why it does not; once
    Pending(const PageRequest& r, Source::PageCallback d, int64_t deadline, int64_t patience, int64_t ask_why)
        : request(r), done(std::move(d)), deadline_ms(deadline), patience_ms(patience), ask_why_ms(ask_why) {}
  };

  void serve(Lock& lock);
  bool stands_at(int64_t from);
  void take();
  void sort_out(rd_kafka_message_t* message);
  bool has_page() const { return !stash_.empty() || (at_end_ && eof_ > position_); }
  Page make_page(const PageRequest& request);
  int64_t end_behind(int64_t next) const;
  void answer(Lock& lock, Result<Page> page);
  Status why_silent(Status status) const;
  Result<int64_t> find_time(int64_t timestamp_ms);
  Status fetch_from(int64_t from);
  void stop_fetching();
  void drop_first();
  void drop_stash();
  void spur();
  void look_later(int64_t due_ms);
  void look();
  void explain(Lock& lock, Status status);
  void ask_why();
  void settle(uint64_t heard);
  void probe();

  const std::shared_ptr<KafkaThreads> threads_;
  const std::shared_ptr<KafkaReader> reader_;
  const std::string topic_;
  const int32_t partition_;
  const int64_t request_timeout_ms_;
  const uint64_t queue_bytes_;

  std::atomic<bool> waiting_{false};  // the queue's next message is to wake somebody
  std::atomic<bool> closed_{false};
  std::atomic<uint64_t> settled_;  // of what the connections said, see KafkaTrouble
  std::mutex mutex_;               // guards all below
  std::optional<Pending> pending_;
  rd_kafka_topic_t* handle_ = nullptr;
  kafka::QueueHandle queue_;
  bool fetching_ = false;
  int64_t position_ = 0;  // nothing before it is wanted, and nothing from it on was passed
  Messages stash_;        // by offset
  int64_t fetched_ = 0;   // behind the last message taken
  uint64_t stash_bytes_ = 0;
  uint64_t backlog_bytes_ = 0;  // taken since the queue was empty
  bool at_end_ = false;         // behind the stash there was nothing
  int64_t eof_ = 0;             // ... up to here
  Status broken_;               // fetching ended with it
  bool asking_ = false;         // the cluster, what the partition has
  bool probing_ = false;        // ... whether it is there
  Status silent_;               // it was not, and nobody has been told
  uint64_t flowed_ = 0;         // what the connections had said before records came
  int64_t timer_due_ms_ = INT64_MAX;
};

}  // namespace sluice::sources
