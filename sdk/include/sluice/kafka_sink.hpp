// SPDX-License-Identifier: Apache-2.0
// The event bus's events into a topic of any Kafka cluster, Sluice's broker included, by an idempotent producer: no
// record twice, and in each partition those of a shard in the order of their sequences. Every record that is given to
// librdkafka is counted until its delivery report.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "sluice/export.hpp"
#include "sluice/sink.hpp"

namespace sluice {

struct KafkaSinkSettings {
  std::string name = "kafka";  // 1 to 64 of A-Z a-z 0-9 . _ -, for messages
  std::string bootstrap{};     // host:port, several with commas between
  std::string topic{};
  /// How an event finds its partition.
  enum class Partition {
    by_key,    // murmur2 of the key as Kafka's own clients have it; without a key at random
    by_shard,  // the shard's id modulo the number of partitions: a shard's events keep their order
  };
  Partition partition = Partition::by_key;
  int32_t create_partitions = 0;                    // > 0: the topic is made with so many if it is absent
  int32_t create_replication = -1;                  // -1: the cluster's default
  std::map<std::string, std::string> properties{};  // of librdkafka, as in KafkaClusterSettings
  uint64_t max_pending_bytes = 64ull << 20;         // given and not reported; beyond: BUSY. 1 MiB to 2 GiB
  int64_t delivery_timeout_ms = 30'000;             // to send a batch, then until its answer; 100 to 900'000
  int64_t request_timeout_ms = 10'000;              // 100 to 600'000
};

struct KafkaSinkCounters {
  uint64_t opened = 0;     // times that the topic was asked for, or made
  uint64_t sent = 0;       // records given to librdkafka
  uint64_t delivered = 0;  // reported as written
  uint64_t failed = 0;     // reported as anything else
  uint64_t pending_bytes = 0;
};

/// As Sink says. Records of a batch whose successors were written while they failed are refused, since sending them
/// again would turn their order around; those at the batch's end may be tried again where nothing of them was written.
/// Batches given before open() wait for it, and begin it once if nobody did. Credentials or rights that are refused
/// fail everything that is pending at once, as DENIED.
///
/// A batch that is not settled by its delivery timeout is UNAVAILABLE where nothing was sent since it was given, and
/// may be tried again. Else it is UNKNOWN, and stays with the producer, which goes on sending it until the cluster
/// answers or the sink is closed: its records may still arrive, once, and before anything that its shard gave later.
/// Batches of that shard are not sent before that; those whose own time passes meanwhile are UNAVAILABLE. flush() waits
/// for all.
///
/// Order and "not twice" hold as long as the producer lives, which is as long as the sink, but for errors after which
/// an idempotent producer cannot go on (the cluster forgot it, or refused one of its requests for good).
class SLUICE_API KafkaSink final : public Sink {
 public:
  static constexpr size_t kMaxWaitingBatches = 1'024;
  static constexpr int64_t kCloseMs = 10'000;

  /// INVALID names the field. Begins to connect.
  static Result<std::unique_ptr<KafkaSink>> make(KafkaSinkSettings settings);
  /// close(kCloseMs), waiting, unless that was done.
  ~KafkaSink() override;

  SinkTraits traits() const override;
  void open(Done done) override;
  void deliver(EventBatch batch, Delivered done) override;
  void flush(int64_t timeout_ms, Done done) override;
  void close(int64_t timeout_ms, Done done) override;

  KafkaSinkCounters counters() const;

 private:
  struct SLUICE_LOCAL Impl;
  explicit KafkaSink(std::shared_ptr<Impl> impl);
  const std::shared_ptr<Impl> impl_;
};

}  // namespace sluice
