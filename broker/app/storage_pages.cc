// SPDX-License-Identifier: Apache-2.0
#include "app/storage_pages.hpp"

#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>

#include "app/run_on.hpp"
#include "cluster/native.hpp"
#include "host/capabilities.hpp"

namespace sluice::app {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kTopics = "/topics";

std::string dump(const Json& json) {
  // Texts come from anywhere: what is not UTF-8 in them is replaced.
  return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

size_t topics_on(const cluster::Cluster& cluster, const std::string& storage) {
  size_t count = 0;
  for (const auto& topic : cluster.state().topics()) {
    if (!topic->partitions.empty() && topic->partitions.front().extents.back().storage == storage) ++count;
  }
  return count;
}

Json describe(const storage::Storages& storages, const cluster::Cluster& cluster, host::Storage& storage) {
  const host::Condition condition = storage.condition();
  const host::StorageMetrics& metrics = storage.metrics();
  Json json = {{"name", storage.name()},
               {"adapter", storage.library().plugin().name},
               {"adapter_version", storage.library().plugin().version},
               {"started", storage.started()}};
  if (storage.started()) {
    json["kind"] = condition.kind == SLUICE_KIND_NATIVE ? "native" : "log";
    json["server"] = condition.server;
    json["capabilities"] = host::capability_names(condition.capabilities);
    json["largest_unit"] = condition.largest_unit;
    if (!condition.advice.empty()) json["advice"] = condition.advice;
  }
  json["default"] = storages.config().default_storage == storage.name();
  json["internal"] = storages.internal_storage() == storage.name();
  json["topics"] = topics_on(cluster, storage.name());
  json["bytes_in_flight"] = metrics.bytes_in_flight.load();
  json["bytes_leased"] = metrics.bytes_leased.load();
  json["calls_pending"] = metrics.tickets_pending.load();
  json["appends"] = metrics.appends.load();
  json["append_errors"] = metrics.append_errors.load();
  json["reads"] = metrics.reads.load();
  json["read_errors"] = metrics.read_errors.load();
  json["overdue"] = metrics.overdue.load();
  return json;
}

Result<std::string> all_storages(const storage::Storages& storages, const cluster::Cluster& cluster) {
  Json list = Json::array();
  for (const auto& storage : storages.all()) list.push_back(describe(storages, cluster, *storage));
  return dump({{"storages", std::move(list)}});
}

Result<std::string> one_storage(const storage::Storages& storages, const storage::StorageMonitor& monitor,
                                const cluster::Cluster& cluster, host::Storage& storage) {
  const storage::StorageHealth health = monitor.health(storage.name());
  Json json = describe(storages, cluster, storage);
  json["healthy"] = health.well;
  json["held_off"] = health.held_off;
  if (!health.well) json["reason"] = health.reason;
  return dump(json);
}

Result<std::string> native_topics(const cluster::Cluster& cluster, const std::shared_ptr<host::Storage>& storage,
                                  Loop& loop) {
  if (!storage->started())
    return fail(StatusCode::unavailable, fmt::format("storage \"{}\" is not started", storage->name()));
  if (storage->condition().kind != SLUICE_KIND_NATIVE) {
    return fail(StatusCode::invalid,
                fmt::format("storage \"{}\" is Sluice's own place: there are no topics of others", storage->name()));
  }
  using Listed = Result<std::vector<host::LogEntry>>;
  const auto listed = run_on<Listed>(
      loop, [storage, &loop]() -> Task<Listed> { return storage->list_logs(loop); }, kListTopicsTimeoutMs);
  if (!listed) return fail(StatusCode::unavailable, fmt::format("storage \"{}\" does not answer", storage->name()));
  if (!*listed) return fail(listed->error());
  std::map<std::string, std::string> ours;
  for (const auto& topic : cluster.state().topics()) {
    const auto native = topic->configs.find(cluster::kNativeNameSetting);
    if (native == topic->configs.end() || topic->partitions.front().extents.back().storage != storage->name()) continue;
    ours[native->second] = topic->name;
  }
  std::map<std::string, int32_t> partitions;
  for (const host::LogEntry& entry : **listed) {
    int32_t& count = partitions[entry.topic];
    count = std::max(count, entry.partition + 1);
  }
  Json topics = Json::array();
  for (const auto& [name, count] : partitions) {
    Json topic = {{"name", name}, {"partitions", count}};
    const auto known = ours.find(name);
    topic["topic"] = known == ours.end() ? Json() : Json(known->second);
    topics.push_back(std::move(topic));
  }
  return dump({{"storage", storage->name()}, {"topics", std::move(topics)}});
}

}  // namespace

admin::JsonPage storage_page(const storage::Storages& storages, const storage::StorageMonitor& monitor,
                             const cluster::Cluster& cluster, Loop& loop) {
  auto answer = [&storages, &monitor, &cluster, &loop](const std::string& rest) -> Result<std::string> {
    if (rest.empty()) return all_storages(storages, cluster);
    const bool topics = rest.ends_with(kTopics);
    const std::string name = topics ? rest.substr(0, rest.size() - kTopics.size()) : rest;
    const auto storage = storages.find(name);
    if (!storage) return fail(StatusCode::not_found, fmt::format("there is no storage \"{}\"", name));
    return topics ? native_topics(cluster, storage, loop) : one_storage(storages, monitor, cluster, *storage);
  };
  return {"/storages", std::move(answer)};
}

}  // namespace sluice::app
