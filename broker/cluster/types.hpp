// SPDX-License-Identifier: Apache-2.0
// What metadata says: topics, their partitions, and the extents that hold them. Values; those shared between threads
// are immutable and replaced as a whole.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/uuid.hpp"
#include "host/storage.hpp"

namespace sluice::cluster {

/// A stretch of one log on one storage.
struct Extent {
  std::string storage;
  host::LogId log{};
  int64_t from = 0;  // first offset
  int64_t to = -1;   // exclusive; -1: open, the one that is written
  bool operator==(const Extent&) const = default;
};

/// A log that sealed extents are being copied into. It takes their place once it is whole.
struct ExtentCopy {
  Extent extent;
  std::vector<host::LogId> replaces;  // the logs copied from, in order
  bool operator==(const ExtentCopy&) const = default;
};

/// Every log of a partition is named here before it is made, and until it is deleted.
struct PartitionInfo {
  int32_t leader = 0;
  int32_t leader_epoch = 0;
  std::vector<Extent> extents;   // in order of offsets; never empty; the last is open, all before it are sealed
  std::optional<Extent> next{};  // to become the open extent; where it begins shows when it does
  std::optional<ExtentCopy> copy{};
  std::vector<Extent> dropped{};  // not the partition's any more, to be deleted
  bool operator==(const PartitionInfo&) const = default;
};

/// A topic on its way from one storage to another. Turned round, it is cancelled.
struct Migration {
  std::string source;
  std::string target;
  bool operator==(const Migration&) const = default;
};

using Configs = std::map<std::string, std::string, std::less<>>;

struct TopicInfo {
  Uuid id;
  std::string name;
  Configs configs;  // those that were set; others have their defaults
  bool internal = false;
  bool deleting = false;
  uint64_t version = 0;          // rises with every change of partitions
  int32_t ready_partitions = 0;  // the first so many have their logs; the others are being made
  std::vector<PartitionInfo> partitions;
  std::optional<Migration> migration{};
  bool operator==(const TopicInfo&) const = default;
};

using TopicPtr = std::shared_ptr<const TopicInfo>;

/// The broker as others see it.
struct BrokerInfo {
  int32_t id = 0;
  uint64_t incarnation = 0;
  std::string rack;
  bool operator==(const BrokerInfo&) const = default;
};

}  // namespace sluice::cluster
