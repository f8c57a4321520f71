// SPDX-License-Identifier: Apache-2.0
// One client of librdkafka that reads: its connections, its topics, and what it says about itself. Kept by whoever
// holds a message of it; who lets go last waits, as a rule for milliseconds, until its threads have ended. Any thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/status.hpp"
#include "rdkafka/handles.hpp"
#include "sluice/kafka_source.hpp"

namespace sluice::sources {

using KafkaPairs = std::vector<std::pair<std::string, std::string>>;

/// INVALID names the field. Sets nothing up.
Status check_kafka(const std::string& name, const std::string& bootstrap,
                   const std::map<std::string, std::string>& properties, int64_t request_timeout_ms);
/// What every client of ours is told, then `more`, then the application's properties. INVALID names the field. Without
/// `bootstrap` it has nobody to connect to.
Result<kafka::ConfHandle> make_kafka_conf(const std::string& bootstrap, int64_t request_timeout_ms,
                                          const KafkaPairs& more, const std::map<std::string, std::string>& properties);

/// Whether librdkafka takes `properties` together, which it tells only when a client is made: one is made that has
/// nobody to connect to, and let go. INVALID, of the field "properties".
Status check_kafka_together(rd_kafka_type_t type, const KafkaPairs& more,
                            const std::map<std::string, std::string>& properties, int64_t request_timeout_ms);
/// What a client that reads is told.
KafkaPairs pairs_of(const KafkaClusterSettings& settings);

/// What a client says about itself: the last thing that concerned it as a whole, which is why nobody can be reached;
/// and what is wrong with single partitions, until it is taken. The former is counted, and stays for others when one
/// finds that it is over: each remembers for itself how much it had heard by then. Any thread.
class KafkaTrouble {
 public:
  void heard(rd_kafka_resp_err_t error, const char* text);
  uint64_t count() const;
  /// The last that was said after the first `settled`, a refusal before all else; OK: nothing.
  Status last(uint64_t settled) const;
  /// Where whoever comes new begins: the first `heard` are over, or were told.
  void settle(uint64_t heard);
  uint64_t settled() const;
  /// Whether the caller is to tell of the last refusal: it came after the first `over`, and nobody has told of it. One
  /// refusal, which a client may get over by itself, is no reason for all of its partitions to fail.
  bool claim_refusal(uint64_t over);
  /// For a client with one user: the last that it has not forgotten.
  Status last() const { return last(settled()); }
  void forget() { settle(count()); }
  /// NOT_FOUND, DENIED; OK: nothing was said about this partition.
  Status take(const std::string& topic, int32_t partition);

 private:
  static constexpr size_t kMaxPlaces = 10'000;
  struct Said {
    uint64_t number = 0;
    Status status;
  };
  mutable std::mutex mutex_;  // guards all below
  uint64_t count_ = 0;
  uint64_t settled_ = 0;
  uint64_t claimed_ = 0;
  Said refused_;
  Said other_;
  std::map<std::string, Status> places_;  // by "TOPIC [PARTITION]"
};

class KafkaReader {
 public:
  static Result<std::shared_ptr<KafkaReader>> make(const KafkaClusterSettings& settings);
  KafkaReader(const KafkaReader&) = delete;
  KafkaReader& operator=(const KafkaReader&) = delete;

  rd_kafka_t* get() const { return client_; }
  /// The topic's handle, which lives as long as this.
  Result<rd_kafka_topic_t*> topic(const std::string& name);
  /// [blocks] What the cluster says of a topic: how many partitions it has; NOT_FOUND; DENIED.
  Result<int32_t> count_partitions(const std::string& name, int64_t timeout_ms);
  /// Takes note of what the connections said; never waits.
  void listen();
  KafkaTrouble& trouble() { return trouble_; }

 private:
  KafkaReader() = default;
  ~KafkaReader();

  rd_kafka_t* client_ = nullptr;
  KafkaTrouble trouble_;
  std::mutex mutex_;
  std::map<std::string, kafka::TopicHandle> topics_;  // guarded by mutex_
};

}  // namespace sluice::sources
