// SPDX-License-Identifier: Apache-2.0
// Sources as a configuration names them, in two steps: everything is read and judged first, then made. One thread at a
// time until it is made; make() may be called from any thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <variant>
#include <vector>

#include "c/config.hpp"
#include "c/storage.hpp"
#include "sluice/source.hpp"
#include "sluice/storage_source.hpp"

namespace sluice::c {

/// Shards of an event bus of this process: all that can be subscribed to, or one.
struct BusSourcePlan {
  uint64_t bus = 0;    // its handle
  int64_t shard = -1;  // -1: all
};

struct MemorySourcePlan {
  uint64_t memory = 0;  // its handle
};

/// Functions of the application's.
struct CallsSourcePlan {
  uint64_t source = 0;  // their handle
};

struct StorageLogPlan {
  std::string storage;
  LogSourceSettings settings;
};

struct NativePlan {
  std::string storage;
  NativeSourceSettings settings;
};

struct KafkaPlan {
  std::string cluster;
  std::string topic;
  int32_t partition = -1;  // -1: all
};

struct SourcePlan {
  std::string path;  // of the element of the configuration
  std::variant<std::monostate, BusSourcePlan, MemorySourcePlan, CallsSourcePlan, StorageLogPlan, NativePlan, KafkaPlan>
      what;
};

/// The storages and clusters of a configuration, opened when a source first needs them and shared by all.
class SourceMaker {
 public:
  /// Reads `storages`, [{"name", "library", "options", "data_directory", ...}], and `clusters`, [{"name", "bootstrap",
  /// "properties", ...}].
  static std::shared_ptr<SourceMaker> read(ConfigReader& config);
  /// Reads `sources`.
  std::vector<SourcePlan> read_sources(ConfigReader& config) const;
  /// Reads one element of `sources`.
  SourcePlan read_source(ConfigReader& config) const;

  /// [blocks] Makes the sources of one plan and appends them to `made`.
  Status make(const SourcePlan& plan, std::vector<std::shared_ptr<Source>>& made);
  /// [blocks] The storage of that name, opened.
  Result<std::shared_ptr<StorageHost>> storage(const std::string& name);
  /// The Kafka cluster of that name.
  Result<std::shared_ptr<KafkaCluster>> cluster(const std::string& name);
  bool has_cluster(const std::string& name) const { return clusters_.count(name) != 0; }
  bool has_storage(const std::string& name) const { return storages_.count(name) != 0; }

 private:
  struct Storage {
    StoragePlan plan;
    std::shared_ptr<StorageHost> host;  // guarded by mutex_
  };
  struct Cluster {
    ClusterPlan plan;
    std::shared_ptr<KafkaCluster> made;  // guarded by mutex_
  };
  std::mutex mutex_;
  std::map<std::string, Storage> storages_;
  std::map<std::string, Cluster> clusters_;
};

}  // namespace sluice::c
