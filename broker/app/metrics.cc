// SPDX-License-Identifier: Apache-2.0
#include "app/metrics.hpp"

#include <fmt/format.h>

#include "handlers/fetch_sessions.hpp"

namespace sluice::app {
namespace {

using admin::Exposition;
using admin::MetricType;

constexpr double kNanosecondsPerSecond = 1e9;

void show_storages(Exposition& out, storage::Storages& storages, const storage::StorageMonitor& monitor) {
  const auto all = storages.all();
  auto family = [&](std::string_view name, std::string_view help, MetricType type, auto value) {
    out.family(name, help, type);
    for (const auto& storage : all) out.sample(static_cast<double>(value(*storage)), {{"storage", storage->name()}});
  };
  using host::Storage;
  family("sluice_storage_up", "1 while the storage is started.", MetricType::gauge, [](Storage& s) { return s.started() ? 1 : 0; });
  family("sluice_storage_healthy", "1 while the storage answers, and says that it is well.", MetricType::gauge,
         [&](Storage& s) { return monitor.health(s.name()).well ? 1 : 0; });
  family("sluice_storage_held_off", "1 while calls on its topics are refused because it answers nothing.", MetricType::gauge,
         [](Storage& s) { return s.held_off() ? 1 : 0; });
  family("sluice_storage_appends_total", "Units appended.", MetricType::counter, [](Storage& s) { return s.metrics().appends.load(); });
  family("sluice_storage_append_bytes_total", "Bytes appended.", MetricType::counter, [](Storage& s) { return s.metrics().append_bytes.load(); });
  family("sluice_storage_append_errors_total", "Units that were not stored.", MetricType::counter,
         [](Storage& s) { return s.metrics().append_errors.load(); });
  family("sluice_storage_reads_total", "Reads.", MetricType::counter, [](Storage& s) { return s.metrics().reads.load(); });
  family("sluice_storage_read_bytes_total", "Bytes read.", MetricType::counter, [](Storage& s) { return s.metrics().read_bytes.load(); });
  family("sluice_storage_read_errors_total", "Reads that failed.", MetricType::counter, [](Storage& s) { return s.metrics().read_errors.load(); });
  family("sluice_storage_overdue_total", "Calls not answered by their deadline.", MetricType::counter,
         [](Storage& s) { return s.metrics().overdue.load(); });
  family("sluice_storage_fences_total", "Fences.", MetricType::counter, [](Storage& s) { return s.metrics().fences.load(); });
  family("sluice_storage_settled_applied_total", "Appends of unknown outcome that a fence found applied.", MetricType::counter,
         [](Storage& s) { return s.metrics().settled_applied.load(); });
  family("sluice_storage_settled_absent_total", "Appends of unknown outcome that a fence found absent.", MetricType::counter,
         [](Storage& s) { return s.metrics().settled_absent.load(); });
  family("sluice_storage_breaches_total", "Breaches of the contract that the checked host saw.", MetricType::counter,
         [](Storage& s) { return s.metrics().breaches.load(); });
  family("sluice_storage_refused_busy_total", "Calls refused because bytes in flight or lent out are spent.", MetricType::counter,
         [](Storage& s) { return s.metrics().refused_busy.load(); });
  family("sluice_storage_in_flight_bytes", "Appends queued or sent.", MetricType::gauge,
         [](Storage& s) { return s.metrics().bytes_in_flight.load(); });
  family("sluice_storage_leased_bytes", "Reads lent out.", MetricType::gauge, [](Storage& s) { return s.metrics().bytes_leased.load(); });
}

void show_reads_ahead(Exposition& out, const partition::AheadShares& shares) {
  const auto all = shares.all();
  auto family = [&](std::string_view name, std::string_view help, MetricType type, auto value) {
    out.family(name, help, type);
    for (const auto& [storage, share] : all) out.sample(static_cast<double>(value(*share)), {{"storage", storage}});
  };
  using partition::AheadShare;
  family("sluice_read_ahead_held_bytes", "Batches held, or asked for, ahead of their readers.", MetricType::gauge,
         [](const AheadShare& s) { return s.bytes.load(); });
  family("sluice_read_ahead_reads_total", "Reads ahead of readers.", MetricType::counter, [](const AheadShare& s) { return s.reads.load(); });
  family("sluice_read_ahead_taken_bytes_total", "Batches read ahead that readers got.", MetricType::counter,
         [](const AheadShare& s) { return s.taken_bytes.load(); });
  family("sluice_read_ahead_dropped_bytes_total", "Batches read ahead that nobody got.", MetricType::counter,
         [](const AheadShare& s) { return s.dropped_bytes.load(); });
  family("sluice_read_ahead_refused_total", "Reads ahead not made because the bytes for them were spent.", MetricType::counter,
         [](const AheadShare& s) { return s.refused.load(); });
}

void show_apis(Exposition& out, handlers::Broker& broker) {
  auto family = [&](std::string_view name, std::string_view help, auto value) {
    out.family(name, help, MetricType::counter);
    for (const auto& handler : handlers::all_handlers()) {
      out.sample(value(broker.metrics.apis[static_cast<size_t>(handler.key)]), {{"api", std::string(protocol::api_info(handler.key).name)}});
    }
  };
  using PerApi = handlers::HandlerMetrics::PerApi;
  family("sluice_requests_total", "Requests, by API.", [](PerApi& a) { return static_cast<double>(a.requests.load()); });
  out.family("sluice_request_errors_total", "Errors told in answers, by API and error.", MetricType::counter);
  for (const auto& handler : handlers::all_handlers()) {
    const auto& errors = broker.metrics.apis[static_cast<size_t>(handler.key)].errors;
    for (size_t i = 0; i < std::size(errors); ++i) {
      const uint64_t count = errors[i].load(std::memory_order_relaxed);
      if (count == 0) continue;
      out.sample(static_cast<double>(count), {{"api", std::string(protocol::api_info(handler.key).name)},
                                              {"error", std::string(error_name(static_cast<ErrorCode>(static_cast<int>(i) - 1)))}});
    }
  }
  family("sluice_request_seconds_total", "Time from dispatch to answer, waiting included.",
         [](PerApi& a) { return static_cast<double>(a.nanoseconds.load()) / kNanosecondsPerSecond; });
}

}  // namespace

void show_metrics(admin::Registry& registry, storage::Storages& storages, const storage::StorageMonitor& monitor,
                  partition::PartitionContext& partitions, group::GroupCoordinator& groups, handlers::Broker& broker, net::Server& server) {
  registry.show([&](Exposition& out) {
    server.metrics().show([&](const char* name, const char* help, double value, bool gauge) {
      out.family(name, help, gauge ? MetricType::gauge : MetricType::counter);
      out.sample(value);
    });
    show_storages(out, storages, monitor);
    show_reads_ahead(out, partitions.ahead);
    show_apis(out, broker);
    auto one = [&](std::string_view name, std::string_view help, MetricType type, double value) {
      out.family(name, help, type);
      out.sample(value);
    };
    const auto& p = partitions.metrics;
    one("sluice_partition_appended_batches_total", "Batches stored.", MetricType::counter, static_cast<double>(p.batches_appended));
    one("sluice_partition_appended_bytes_total", "Bytes stored.", MetricType::counter, static_cast<double>(p.bytes_appended));
    one("sluice_partition_appended_records_total", "Records stored.", MetricType::counter, static_cast<double>(p.records_appended));
    one("sluice_partition_duplicates_total", "Retried batches answered from memory.", MetricType::counter, static_cast<double>(p.duplicates));
    one("sluice_partition_append_errors_total", "Batches refused or not stored.", MetricType::counter, static_cast<double>(p.append_errors));
    one("sluice_partition_read_bytes_total", "Bytes given to readers.", MetricType::counter, static_cast<double>(p.bytes_read));
    one("sluice_partition_read_errors_total", "Reads that failed.", MetricType::counter, static_cast<double>(p.read_errors));
    one("sluice_partition_loads_total", "Partitions loaded.", MetricType::counter, static_cast<double>(p.loads));
    one("sluice_partition_load_errors_total", "Loads that failed.", MetricType::counter, static_cast<double>(p.load_errors));
    one("sluice_partition_lost_logs_total", "Logs that a storage forgot.", MetricType::counter, static_cast<double>(p.lost_logs));
    one("sluice_partition_data_losses_total", "Logs that ended below what was acknowledged.", MetricType::counter,
        static_cast<double>(p.data_losses));
    one("sluice_partition_lost_offsets_total", "Acknowledged offsets that were gone then.", MetricType::counter,
        static_cast<double>(p.lost_offsets));
    one("sluice_partition_snapshots_total", "Snapshots of the state of partitions saved.", MetricType::counter, static_cast<double>(p.snapshots));
    one("sluice_partition_retention_runs_total", "Times that a log was cut by retention.", MetricType::counter, static_cast<double>(p.retention_runs));
    one("sluice_native_entries_skipped_total", "Entries of NATIVE storages that are no records, passed by readers.", MetricType::counter,
        static_cast<double>(p.entries_skipped));
    one("sluice_partition_switches_total", "Partitions that went over to another storage.", MetricType::counter, static_cast<double>(p.switches));
    one("sluice_migration_copied_bytes_total", "Bytes of batches copied after them.", MetricType::counter, static_cast<double>(p.bytes_copied));
    const auto g = groups.metrics();
    one("sluice_groups", "Consumer groups.", MetricType::gauge, static_cast<double>(g.groups));
    one("sluice_group_members", "Members of consumer groups.", MetricType::gauge, static_cast<double>(g.members));
    one("sluice_group_offsets", "Committed offsets.", MetricType::gauge, static_cast<double>(g.offsets));
    one("sluice_group_rebalances_total", "Rebalances completed.", MetricType::counter, static_cast<double>(g.rebalances_completed));
    one("sluice_group_members_expired_total", "Members whose session ran out.", MetricType::counter, static_cast<double>(g.members_expired));
    one("sluice_group_commits_total", "Commits of offsets.", MetricType::counter, static_cast<double>(g.commits));
    const auto& h = broker.metrics;
    one("sluice_request_memory_bytes", "What requests hold of queued.max.request.bytes.", MetricType::gauge,
        static_cast<double>(server.request_memory_bytes()));
    one("sluice_requests_malformed_total", "Requests that cost their sender the connection.", MetricType::counter, static_cast<double>(h.malformed));
    one("sluice_requests_unsupported_version_total", "Requests of versions that are not served.", MetricType::counter,
        static_cast<double>(h.unsupported_versions));
    one("sluice_produce_refused_batches_total", "Batches refused as invalid.", MetricType::counter, static_cast<double>(h.refused_batches));
    one("sluice_fetch_sessions", "Fetch sessions.", MetricType::gauge, static_cast<double>(broker.fetch_sessions.size()));
    one("sluice_fetch_session_evictions_total", "Fetch sessions taken away for others.", MetricType::counter,
        static_cast<double>(broker.fetch_sessions.evictions()));
  });
}

std::vector<admin::Component> health_components(storage::Storages& storages, const storage::StorageMonitor& monitor, cluster::Cluster& cluster, const std::atomic<size_t>& shards_loaded,
                                                size_t shards) {
  std::vector<admin::Component> result;
  const Status metadata = cluster.health();
  result.push_back({"metadata", metadata.ok() ? admin::Health::ok : admin::Health::down, metadata.ok() ? "" : metadata.describe()});
  const size_t loaded = shards_loaded;
  result.push_back({"groups", loaded == shards ? admin::Health::ok : admin::Health::degraded,
                    loaded == shards ? "" : fmt::format("{} of {} logs are loaded", loaded, shards)});
  for (const auto& storage : storages.all()) {
    const storage::StorageHealth health = monitor.health(storage->name());
    const bool internal = storage->name() == storages.internal_storage();
    result.push_back({"storage " + storage->name(), health.well ? admin::Health::ok : internal ? admin::Health::down : admin::Health::degraded,
                      health.well ? storage->condition().server : health.reason});
  }
  return result;
}

}  // namespace sluice::app
