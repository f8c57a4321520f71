// SPDX-License-Identifier: Apache-2.0
// Storages and Kafka clusters behind handles, and as configurations name them: one that is open, by its handle, or how
// to open one. Any thread.
#pragma once

#include <cstdint>
#include <memory>

#include "c/config.hpp"
#include "c/handle_table.hpp"
#include "sluice/kafka_source.hpp"
#include "sluice/storage_host.hpp"

namespace sluice::c {

struct StorageObject final : Object {
  static constexpr Kind kKind = Kind::storage;
  explicit StorageObject(std::shared_ptr<StorageHost> opened)
      : Object(kKind, Ends::not_in_callback), host(std::move(opened)) {}
  const std::shared_ptr<StorageHost> host;
};

struct ClusterObject final : Object {
  static constexpr Kind kKind = Kind::cluster;
  explicit ClusterObject(std::shared_ptr<KafkaCluster> made)
      : Object(kKind, Ends::not_in_callback), cluster(std::move(made)) {}
  const std::shared_ptr<KafkaCluster> cluster;
};

struct StoragePlan {
  std::string path;              // of its element of the configuration
  uint64_t handle = 0;           // 0: to be opened by the settings
  StorageHostSettings settings;  // with a handle, only the name
  /// [blocks] What only the adapter can judge, with the field's path: it is loaded, and nothing is opened. Of a handle,
  /// whether it is one.
  Status check() const;
  /// [blocks] The storage, not yet connected unless it is a handle's.
  Result<std::shared_ptr<StorageHost>> make() const;
  /// [blocks]
  Result<std::shared_ptr<StorageHost>> open() const;
};

struct ClusterPlan {
  std::string path;
  uint64_t handle = 0;
  KafkaClusterSettings settings;
  /// Of a handle, whether it is one.
  Status check() const;
  Result<std::shared_ptr<KafkaCluster>> open() const;
};

/// Reads {"name", "library", ...} by StorageHostSettings' own names, or {"name", "handle"}. Judges all but what
/// StoragePlan::check() does.
StoragePlan read_storage(ConfigReader& config);
/// Reads {"name", "bootstrap", ...} by KafkaClusterSettings' own names, or {"name", "handle"}.
ClusterPlan read_cluster(ConfigReader& config);

/// What stands against naming an object of T by this handle at `path`.
template <class T>
Status check_handle(uint64_t handle, std::string_view path) {
  const auto held = acquire<T>(handle);
  return held ? Status() : held.error().in(path);
}

}  // namespace sluice::c
