// SPDX-License-Identifier: Apache-2.0
// What operators are shown of the storages over HTTP:
//   /storages               every storage of plugins.json: adapter, kind, what it promises now, and what goes on there
//   /storages/NAME          one of them, and how it was when it was last asked
//   /storages/NAME/topics   NATIVE: the engine's own topics, and which of ours stand for them
#pragma once

#include "admin/server.hpp"
#include "cluster/cluster.hpp"
#include "storage/monitor.hpp"
#include "storage/storages.hpp"

namespace sluice::app {

/// How long a listing of an engine's topics may take.
constexpr int64_t kListTopicsTimeoutMs = 10'000;

/// All outlive the page; `loop` runs while it may be asked.
admin::JsonPage storage_page(const storage::Storages& storages, const storage::StorageMonitor& monitor,
                             const cluster::Cluster& cluster, Loop& loop);

}  // namespace sluice::app
