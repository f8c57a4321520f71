// SPDX-License-Identifier: Apache-2.0
// Partitions of a Kafka cluster, Sluice's own broker included, as shards. One KafkaCluster holds the connections, and
// serves any number of them, without a consumer group. Records are not copied: a page keeps librdkafka's messages.
//
// A position is an offset. Control records, and with read_committed those of aborted transactions, are gaps. What
// librdkafka cannot decode is passed and counted in Page::corrupt. Trouble that passes (no leader, a broker that is
// away) is waited out, up to request_timeout_ms; then a read is UNAVAILABLE with what the connections said last.
// Wrong credentials and missing rights are DENIED at once; a missing topic is NOT_FOUND.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sluice/export.hpp"
#include "sluice/source.hpp"
#include "sluice/status.hpp"
#include "sluice/unique_function.hpp"

namespace sluice {

struct KafkaClusterSettings {
  /// What ids of its sources begin with ("NAME:TOPIC/PARTITION"): 1 to 64 of A-Z a-z 0-9 . _ -, the same after every
  /// restart, another one for every cluster.
  std::string name = "kafka";
  std::string bootstrap{};  // host:port, several with commas between
  /// Of librdkafka, passed through: security.protocol, sasl.username, ssl.ca.location, fetch.wait.max.ms, ... Those
  /// that these settings or their promises decide are refused, by name.
  std::map<std::string, std::string> properties{};
  bool read_committed = true;
  /// Fetched before it is asked for, for each partition: 64 KiB to 1 GiB.
  uint64_t read_ahead_bytes = 32ull << 20;
  int64_t request_timeout_ms = 10'000;  // 100 to 600'000
};

/// Any thread. Sources and pages keep what they need of it.
class SLUICE_API KafkaCluster {
 public:
  using CountCallback = UniqueFunction<void(Result<int32_t>)>;
  /// Sources of one partition at the same time.
  static constexpr size_t kMaxReadersOfOnePartition = 8;

  /// Checks the settings, and begins to connect. INVALID names the field ("properties.group.id: ...").
  static Result<std::shared_ptr<KafkaCluster>> make(KafkaClusterSettings settings);
  /// Ends reads with FENCED, as its sources answer from then on.
  ~KafkaCluster();
  KafkaCluster(const KafkaCluster&) = delete;
  KafkaCluster& operator=(const KafkaCluster&) = delete;

  /// One partition; nothing is asked of the cluster before its first call. INVALID; BUSY: kMaxReadersOfOnePartition.
  Result<std::unique_ptr<Source>> source(const std::string& topic, int32_t partition);
  /// How many partitions a topic has, so that new ones can be added while a consumer runs. `done` as for Source.
  void count_partitions(const std::string& topic, CountCallback done);
  /// [blocks] All partitions of a topic, up to request_timeout_ms. Not inside a callback.
  Result<std::vector<std::unique_ptr<Source>>> sources(const std::string& topic);

 private:
  struct SLUICE_LOCAL Impl;
  explicit KafkaCluster(std::shared_ptr<Impl> impl);
  const std::shared_ptr<Impl> impl_;
};

}  // namespace sluice
