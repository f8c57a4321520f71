// SPDX-License-Identifier: Apache-2.0
#include "c/storage.hpp"

#include <future>
#include <nlohmann/json.hpp>

#include "c/boundary.hpp"
#include "sluice/c/storage.h"
#include "sources/settings.hpp"

namespace sluice::c {
namespace {

using nlohmann::json;

Result<std::unique_ptr<StorageObject>> open_storage(std::string_view text) {
  ConfigReader config = ConfigReader::parse(text);
  const StoragePlan plan = read_storage(config);
  if (plan.handle != 0) config.refuse("handle", "a storage is opened here, not named");
  if (Status verdict = config.verdict(); !verdict.ok()) return fail(std::move(verdict));
  if (Status bad = plan.check(); !bad.ok()) return fail(std::move(bad));
  auto opened = plan.open();
  if (!opened) return fail(std::move(opened.error()));
  return std::make_unique<StorageObject>(std::move(*opened));
}

Result<std::unique_ptr<ClusterObject>> open_cluster(std::string_view text) {
  ConfigReader config = ConfigReader::parse(text);
  const ClusterPlan plan = read_cluster(config);
  if (plan.handle != 0) config.refuse("handle", "a cluster is opened here, not named");
  if (Status verdict = config.verdict(); !verdict.ok()) return fail(std::move(verdict));
  auto made = plan.open();
  if (!made) return fail(std::move(made.error()));
  return std::make_unique<ClusterObject>(std::move(*made));
}

}  // namespace

Status StoragePlan::check() const {
  if (handle != 0) return check_handle<StorageObject>(handle, path.empty() ? "handle" : path + ".handle");
  const Status bad = sources::check_options(settings);
  return bad.ok() ? bad : at_path(bad, path);
}

Result<std::shared_ptr<StorageHost>> StoragePlan::make() const {
  if (handle == 0) return StorageHost::make(settings);
  const auto held = acquire<StorageObject>(handle);
  if (!held) return fail(held.error());
  return (*held)->host;
}

Result<std::shared_ptr<StorageHost>> StoragePlan::open() const {
  auto host = make();
  if (!host || handle != 0) return host;
  if (const auto started = (*host)->start(); !started) return fail(started.error());
  return host;
}

Status ClusterPlan::check() const {
  return handle == 0 ? Status() : check_handle<ClusterObject>(handle, path.empty() ? "handle" : path + ".handle");
}

Result<std::shared_ptr<KafkaCluster>> ClusterPlan::open() const {
  if (handle == 0) return KafkaCluster::make(settings);
  const auto held = acquire<ClusterObject>(handle);
  if (!held) return fail(held.error());
  return (*held)->cluster;
}

StoragePlan read_storage(ConfigReader& config) {
  StoragePlan plan;
  plan.path = config.path();
  StorageHostSettings& settings = plan.settings;
  settings.name = config.required_text("name");
  if (config.has("handle")) {
    plan.handle = static_cast<uint64_t>(config.integer("handle", 0, 1));
    config.finish();
    return plan;
  }
  settings.library = config.required_text("library");
  settings.data_directory = config.text("data_directory");
  settings.call_timeout_ms = config.integer("call_timeout_ms", settings.call_timeout_ms, 1);
  settings.lifecycle_timeout_ms = config.integer("lifecycle_timeout_ms", settings.lifecycle_timeout_ms, 1);
  settings.max_bytes_in_flight = config.natural("max_bytes_in_flight", settings.max_bytes_in_flight);
  settings.max_bytes_leased = config.natural("max_bytes_leased", settings.max_bytes_leased);
  settings.checked = config.boolean("checked", settings.checked);
  if (const json* options = config.raw("options"); options != nullptr) {
    auto parsed = parse_storage_options(options->dump());
    if (parsed) {
      settings.options = std::move(*parsed);
    } else {
      config.judge(parsed.error());
    }
  }
  config.judge(sources::check(settings));
  config.finish();
  return plan;
}

ClusterPlan read_cluster(ConfigReader& config) {
  ClusterPlan plan;
  plan.path = config.path();
  KafkaClusterSettings& settings = plan.settings;
  settings.name = config.text("name", settings.name);
  if (config.has("handle")) {
    plan.handle = static_cast<uint64_t>(config.integer("handle", 0, 1));
    config.finish();
    return plan;
  }
  settings.bootstrap = config.required_text("bootstrap");
  for (auto& [name, value] : config.settings("properties")) settings.properties.emplace(name, value);
  settings.read_committed = config.boolean("read_committed", settings.read_committed);
  settings.read_ahead_bytes = config.natural("read_ahead_bytes", settings.read_ahead_bytes, uint64_t{1});
  settings.request_timeout_ms = config.integer("request_timeout_ms", settings.request_timeout_ms, 1);
  config.judge(sources::check(settings));
  config.finish();
  return plan;
}

}  // namespace sluice::c

using namespace sluice;     // NOLINT: the functions below are of C
using namespace sluice::c;  // NOLINT

extern "C" {

sluice_status sluice_storage_open(const char* config, uint64_t config_size, sluice_handle* storage,
                                  sluice_failure* failure) {
  return open_by({config, config_size, "config"}, storage, "storage", failure, &open_storage);
}

sluice_status sluice_storage_health(sluice_handle storage, char* buffer, uint64_t capacity, uint64_t* needed,
                                    sluice_failure* failure) {
  return on<StorageObject>(storage, failure, [&](StorageObject& object) -> Verdict {
    const auto health = object.host->health();
    if (!health) return health.error();
    return write_json({{"name", object.host->name()},
                       {"native", health->native},
                       {"durable", health->durable},
                       {"shared", health->shared},
                       {"server", health->server},
                       {"advice", health->advice}},
                      buffer, capacity, needed);
  });
}

sluice_status sluice_storage_logs(sluice_handle storage, char* buffer, uint64_t capacity, uint64_t* needed,
                                  sluice_failure* failure) {
  return on<StorageObject>(storage, failure, [&](StorageObject& object) -> Verdict {
    const auto logs = object.host->logs();
    if (!logs) return logs.error();
    json shown = json::array();
    for (const StorageLog& log : *logs) {
      shown.push_back({{"id", log.id}, {"name", log.name}, {"partition", log.partition}, {"foreign", log.foreign}});
    }
    return write_json(shown, buffer, capacity, needed);
  });
}

sluice_status sluice_storage_stop(sluice_handle storage, int64_t deadline_ms, sluice_failure* failure) {
  return on<StorageObject>(storage, failure,
                           [&](StorageObject& object) -> Verdict { return object.host->stop(deadline_ms); });
}

sluice_status sluice_cluster_open(const char* config, uint64_t config_size, sluice_handle* cluster,
                                  sluice_failure* failure) {
  return open_by({config, config_size, "config"}, cluster, "cluster", failure, &open_cluster);
}

sluice_status sluice_cluster_partitions(sluice_handle cluster, const char* topic, uint64_t topic_size, int32_t* count,
                                        sluice_failure* failure) {
  return on<ClusterObject>(cluster, failure, [&](ClusterObject& object) -> Verdict {
    if (Status status = check_out(count, "count"); !status.ok()) return status;
    const auto name = text_of(topic, topic_size, "topic");
    if (!name) return name.error();
    // Answered in any case, in request_timeout_ms at most.
    auto answer = std::make_shared<std::promise<Result<int32_t>>>();
    auto answered = answer->get_future();
    object.cluster->count_partitions(std::string(*name),
                                     [answer](Result<int32_t> counted) { answer->set_value(std::move(counted)); });
    const auto counted = answered.get();
    if (!counted) return counted.error();
    *count = *counted;
    return {};
  });
}

}  // extern "C"
