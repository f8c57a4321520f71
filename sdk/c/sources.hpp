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

/// The storages and clusters of a configuration, connected when a source first needs them and shared by all.
class SourceMaker {
 public:
  /// Reads `storages`, [{"name", "library", "options", "data_directory", ...}], and `clusters`, [{"name", "bootstrap",
  /// "properties", ...}]. What check() judges is left to it.
  static std::shared_ptr<SourceMaker> read(ConfigReader& config);
  /// Reads `sources`.
  std::vector<SourcePlan> read_sources(ConfigReader& config) const;
  /// Reads one element of `sources`.
  SourcePlan read_source(ConfigReader& config) const;

  /// [blocks] What is left to judge once a whole configuration was read: options of storages, by their adapters, and
  /// handles. Opens nothing.
  Status check(const std::vector<SourcePlan>& plans) const;
  /// [blocks] Makes the sources of plans, in their order. All of their storages are made before one
  /// is connected, since an adapter may refuse options that are right one by one.
  Result<std::vector<std::shared_ptr<Source>>> make(const std::vector<SourcePlan>& plans);
  /// [blocks] The storage of that name, made, but not connected by this.
  Result<std::shared_ptr<StorageHost>> unconnected(const std::string& name);
  /// [blocks] The storage of that name, connected.
  Result<std::shared_ptr<StorageHost>> storage(const std::string& name);
  /// The Kafka cluster of that name.
  Result<std::shared_ptr<KafkaCluster>> cluster(const std::string& name);
  bool has_cluster(const std::string& name) const { return clusters_.count(name) != 0; }
  bool has_storage(const std::string& name) const { return storages_.count(name) != 0; }

 private:
  struct Storage {
    StoragePlan plan;
    std::shared_ptr<StorageHost> host;  // guarded by mutex_
    bool connected = false;             // guarded by mutex_
  };
  struct Cluster {
    ClusterPlan plan;
    std::shared_ptr<KafkaCluster> made;  // guarded by mutex_
  };
  Result<Storage*> made(const std::string& name);  // with mutex_ held
  std::mutex mutex_;
  std::map<std::string, Storage> storages_;
  std::map<std::string, Cluster> clusters_;
};

}  // namespace sluice::c
