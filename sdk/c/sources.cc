// SPDX-License-Identifier: Apache-2.0
#include "c/sources.hpp"

#include <fmt/format.h>

#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "c/bus.hpp"
#include "c/memory.hpp"
#include "c/source_calls.hpp"
#include "sources/settings.hpp"

namespace sluice::c {
namespace {

struct Maker {
  SourceMaker& maker;
  std::vector<std::shared_ptr<Source>>& made;

  Status operator()(const std::monostate&) const { return Status(StatusCode::internal, "a source that is none"); }

  Status operator()(const BusSourcePlan& plan) const {
    const auto held = acquire<BusObject>(plan.bus);
    if (!held) return held.error();
    Bus& bus = *(*held)->bus;
    const std::vector<uint64_t> shards =
        plan.shard >= 0 ? std::vector<uint64_t>{static_cast<uint64_t>(plan.shard)} : bus.subscribable();
    for (const uint64_t shard : shards) {
      auto source = bus.subscribe(shard);
      if (!source) return source.error();
      made.push_back(std::move(*source));
    }
    return {};
  }

  Status operator()(const MemorySourcePlan& plan) const { return borrow<MemoryObject>(plan.memory); }
  Status operator()(const CallsSourcePlan& plan) const { return borrow<SourceObject>(plan.source); }

  Status operator()(const StorageLogPlan& plan) const {
    return from_storage(plan.storage, [&](const auto& host) { return make_log_source(host, plan.settings); });
  }

  Status operator()(const NativePlan& plan) const {
    return from_storage(plan.storage, [&](const auto& host) { return make_native_source(host, plan.settings); });
  }

  Status operator()(const KafkaPlan& plan) const {
    auto cluster = maker.cluster(plan.cluster);
    if (!cluster) return cluster.error();
    if (plan.partition >= 0) {
      auto source = (*cluster)->source(plan.topic, plan.partition);
      if (!source) return source.error();
      made.push_back(std::move(*source));
      return {};
    }
    auto all = (*cluster)->sources(plan.topic);
    if (!all) return all.error();
    for (auto& source : *all) made.push_back(std::move(source));
    return {};
  }

  template <class Lender>
  Status borrow(uint64_t handle) const {
    const auto held = acquire<Lender>(handle);
    if (!held) return held.error();
    auto source = (*held)->lending.lend();
    if (!source) return source.error();
    made.push_back(std::move(*source));
    return {};
  }

  template <class Make>
  Status from_storage(const std::string& name, Make&& make) const {
    auto host = maker.storage(name);
    if (!host) return host.error();
    auto source = make(*host);
    if (!source) return source.error();
    made.push_back(std::move(*source));
    return {};
  }
};

/// Whether there is what a source names by its handle.
struct HandleCheck {
  const std::string& path;

  Status operator()(const BusSourcePlan& plan) const { return check_handle<BusObject>(plan.bus, of("bus")); }
  Status operator()(const MemorySourcePlan& plan) const {
    return check_handle<MemoryObject>(plan.memory, of("memory"));
  }
  Status operator()(const CallsSourcePlan& plan) const { return check_handle<SourceObject>(plan.source, of("source")); }
  template <class Other>
  Status operator()(const Other&) const {
    return {};
  }
  std::string of(const char* field) const { return path.empty() ? field : fmt::format("{}.{}", path, field); }
};

/// The name of the storage that a source is on; nullptr: it is on none.
const std::string* storage_of(const SourcePlan& plan) {
  if (const auto* log = std::get_if<StorageLogPlan>(&plan.what)) return &log->storage;
  if (const auto* native = std::get_if<NativePlan>(&plan.what)) return &native->storage;
  return nullptr;
}

StorageReadSettings read_settings(ConfigReader& config) {
  StorageReadSettings settings;
  settings.source_id = config.text("id");
  if (settings.source_id.size() > kMaxSourceIdBytes) {
    config.refuse("id", fmt::format("{} bytes; at most {}", settings.source_id.size(), kMaxSourceIdBytes));
  }
  settings.read_bytes = config.natural("read_bytes", settings.read_bytes, uint64_t{1});
  settings.max_batch_bytes = config.natural("max_batch_bytes", settings.max_batch_bytes, uint64_t{1});
  settings.verify_checksums = config.boolean("verify_checksums", settings.verify_checksums);
  return settings;
}

/// What two sources may not have in common, and the field that says it; empty where only the source itself tells its
/// id.
struct Identity {
  const char* field = "";
  std::string text = {};
  std::string wider = {};  // of which it is a part, where all parts may be asked for at once
};

Identity identity_of(const SourcePlan& plan) {
  if (const auto* log = std::get_if<StorageLogPlan>(&plan.what)) {
    const LogSourceSettings& settings = log->settings;
    if (!settings.read.source_id.empty()) return {"id", settings.read.source_id};
    return {"log",
            fmt::format("log\n{}\n{}\n{}\n{}", log->storage, settings.state_directory, settings.log, settings.log_id)};
  }
  if (const auto* native = std::get_if<NativePlan>(&plan.what)) {
    const NativeSourceSettings& settings = native->settings;
    if (!settings.read.source_id.empty()) return {"id", settings.read.source_id};
    return {"stream", fmt::format("native\n{}\n{}\n{}", native->storage, settings.stream, settings.partition)};
  }
  if (const auto* kafka = std::get_if<KafkaPlan>(&plan.what)) {
    std::string topic = fmt::format("kafka\n{}\n{}", kafka->cluster, kafka->topic);
    if (kafka->partition < 0) return {"topic", std::move(topic)};
    return {"partition", fmt::format("{}\n{}", topic, kafka->partition), std::move(topic)};
  }
  return {};
}

}  // namespace

std::shared_ptr<SourceMaker> SourceMaker::read(ConfigReader& config) {
  auto maker = std::make_shared<SourceMaker>();
  for (ConfigReader& element : config.objects("storages")) {
    StoragePlan plan = read_storage(element);
    const std::string name = plan.settings.name;
    if (!maker->storages_.try_emplace(name, Storage{std::move(plan), nullptr, false}).second) {
      element.refuse("name", fmt::format("\"{}\" is there twice", name));
    }
  }
  for (ConfigReader& element : config.objects("clusters")) {
    ClusterPlan plan = read_cluster(element);
    const std::string name = plan.settings.name;
    if (!maker->clusters_.try_emplace(name, Cluster{std::move(plan), nullptr}).second) {
      element.refuse("name", fmt::format("\"{}\" is there twice", name));
    }
  }
  return maker;
}

std::vector<SourcePlan> SourceMaker::read_sources(ConfigReader& config) const {
  std::vector<SourcePlan> plans;
  std::set<std::string> present;
  std::set<std::string> in_part;
  for (ConfigReader& element : config.objects("sources")) {
    plans.push_back(read_source(element));
    const Identity identity = identity_of(plans.back());
    if (identity.text.empty()) continue;
    const bool twice = !present.insert(identity.text).second || in_part.contains(identity.text) ||
                       (!identity.wider.empty() && present.contains(identity.wider));
    if (twice) element.refuse(identity.field, "a source before has the same id");
    if (!identity.wider.empty()) in_part.insert(identity.wider);
  }
  return plans;
}

SourcePlan SourceMaker::read_source(ConfigReader& config) const {
  SourcePlan plan;
  plan.path = config.path();
  const auto read_storage_name = [&] {
    std::string name = config.required_text("storage");
    if (!name.empty() && !has_storage(name)) config.refuse("storage", fmt::format("there is no storage \"{}\"", name));
    return name;
  };
  switch (config.choice("kind", {"", "bus", "log", "native", "kafka", "memory", "calls"}, 0)) {
    case 1: {
      BusSourcePlan bus;
      bus.bus = static_cast<uint64_t>(config.integer("bus", 0, 1));
      bus.shard = config.integer("shard", -1, 0);
      plan.what = bus;
      break;
    }
    case 2: {
      StorageLogPlan log;
      log.storage = read_storage_name();
      log.settings.log = config.text("log");
      log.settings.state_directory = config.text("state_directory");
      log.settings.log_id = config.text("log_id");
      log.settings.read = read_settings(config);
      config.judge(sources::check(log.settings), "read.");
      plan.what = std::move(log);
      break;
    }
    case 3: {
      NativePlan native;
      native.storage = read_storage_name();
      native.settings.stream = config.required_text("stream");
      native.settings.partition = static_cast<int32_t>(config.integer("partition", 0, 0, INT32_MAX));
      native.settings.read = read_settings(config);
      config.judge(sources::check(native.settings), "read.");
      plan.what = std::move(native);
      break;
    }
    case 4: {
      KafkaPlan kafka;
      kafka.cluster = config.text("cluster", "kafka");
      if (!has_cluster(kafka.cluster))
        config.refuse("cluster", fmt::format("there is no cluster \"{}\"", kafka.cluster));
      kafka.topic = config.required_text("topic");
      config.judge(sources::check_topic(kafka.topic));
      kafka.partition = static_cast<int32_t>(config.integer("partition", -1, 0, INT32_MAX));
      plan.what = std::move(kafka);
      break;
    }
    case 5:
      plan.what = MemorySourcePlan{static_cast<uint64_t>(config.integer("memory", 0, 1))};
      break;
    case 6:
      plan.what = CallsSourcePlan{static_cast<uint64_t>(config.integer("source", 0, 1))};
      break;
    default:
      config.refuse("kind", R"("bus", "calls", "kafka", "log", "memory" or "native" is wanted)");
  }
  config.finish();
  return plan;
}

Status SourceMaker::check(const std::vector<SourcePlan>& plans) const {
  // No lock: plans of storages and clusters do not change, and what was made of them is not looked at.
  for (const auto& [name, storage] : storages_) {
    if (Status bad = storage.plan.check(); !bad.ok()) return bad;
  }
  for (const auto& [name, cluster] : clusters_) {
    if (Status bad = cluster.plan.check(); !bad.ok()) return bad;
  }
  for (const SourcePlan& plan : plans) {
    if (Status bad = std::visit(HandleCheck{plan.path}, plan.what); !bad.ok()) return bad;
  }
  return {};
}

Result<std::vector<std::shared_ptr<Source>>> SourceMaker::make(const std::vector<SourcePlan>& plans) {
  for (const SourcePlan& plan : plans) {
    const std::string* name = storage_of(plan);
    if (name == nullptr) continue;
    if (auto host = unconnected(*name); !host) return fail(std::move(host.error()));
  }
  std::vector<std::shared_ptr<Source>> made;
  for (const SourcePlan& plan : plans) {
    Status status = std::visit(Maker{*this, made}, plan.what);
    if (!status.ok()) return fail(plan.path.empty() ? std::move(status) : status.in(plan.path));
  }
  return made;
}

Result<std::shared_ptr<KafkaCluster>> SourceMaker::cluster(const std::string& name) {
  const std::scoped_lock lock(mutex_);
  const auto found = clusters_.find(name);
  if (found == clusters_.end()) return fail(StatusCode::not_found, fmt::format("there is no cluster \"{}\"", name));
  if (!found->second.made) {
    auto made = found->second.plan.open();
    if (!made) return fail(made.error().in(fmt::format("cluster {}", name)));
    found->second.made = std::move(*made);
  }
  return found->second.made;
}

Result<SourceMaker::Storage*> SourceMaker::made(const std::string& name) {
  const auto found = storages_.find(name);
  if (found == storages_.end()) return fail(StatusCode::not_found, fmt::format("there is no storage \"{}\"", name));
  Storage& storage = found->second;
  if (!storage.host) {
    auto host = storage.plan.make();
    if (!host) return fail(at_path(host.error(), storage.plan.path));
    storage.host = std::move(*host);
    storage.connected = storage.plan.handle != 0;
  }
  return &storage;
}

Result<std::shared_ptr<StorageHost>> SourceMaker::unconnected(const std::string& name) {
  const std::scoped_lock lock(mutex_);
  const auto storage = made(name);
  if (!storage) return fail(storage.error());
  return (*storage)->host;
}

Result<std::shared_ptr<StorageHost>> SourceMaker::storage(const std::string& name) {
  const std::scoped_lock lock(mutex_);
  const auto storage = made(name);
  if (!storage) return fail(storage.error());
  if (!(*storage)->connected) {
    if (const auto started = (*storage)->host->start(); !started) {
      return fail(started.error().in((*storage)->plan.path));
    }
    (*storage)->connected = true;
  }
  return (*storage)->host;
}

}  // namespace sluice::c
