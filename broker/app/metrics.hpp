// SPDX-License-Identifier: Apache-2.0
// What all parts count, named for Prometheus, and how they are, for /health.
#pragma once

#include <atomic>
#include <vector>

#include "admin/metrics.hpp"
#include "admin/server.hpp"
#include "group/coordinator.hpp"
#include "handlers/context.hpp"
#include "net/server.hpp"
#include "partition/partitions.hpp"
#include "storage/monitor.hpp"
#include "storage/storages.hpp"

namespace sluice::app {

/// Everything given outlives the registry's use.
void show_metrics(admin::Registry& registry, storage::Storages& storages, const storage::StorageMonitor& monitor,
                  partition::PartitionContext& partitions, group::GroupCoordinator& groups, handlers::Broker& broker, net::Server& server);

std::vector<admin::Component> health_components(storage::Storages& storages, const storage::StorageMonitor& monitor, cluster::Cluster& cluster, const std::atomic<size_t>& shards_loaded,
                                                size_t shards);

}  // namespace sluice::app
