// SPDX-License-Identifier: Apache-2.0
#include "c/sinks.hpp"

#include "c/sources.hpp"

namespace sluice::c {
namespace {

LogSinkPlan read_log(ConfigReader& sink) {
  LogSinkPlan plan;
  ConfigReader storage = sink.object("storage");
  plan.storage = read_storage(storage);
  LogWriterSettings& writer = plan.writer;
  writer.log = sink.required_text("log");
  writer.state_directory = sink.required_text("state_directory");
  writer.sync = sink.boolean("sync", writer.sync);
  writer.compression = sink.text("compression", writer.compression);
  writer.max_batch_bytes =
      static_cast<uint64_t>(sink.integer("max_batch_bytes", static_cast<int64_t>(writer.max_batch_bytes), 1));
  writer.max_pending_bytes =
      static_cast<uint64_t>(sink.integer("max_pending_bytes", static_cast<int64_t>(writer.max_pending_bytes), 1));
  writer.delivery_timeout_ms = sink.integer("delivery_timeout_ms", writer.delivery_timeout_ms, 1);
  return plan;
}

KafkaSinkSettings read_kafka(ConfigReader& sink) {
  KafkaSinkSettings settings;
  settings.name = sink.text("name", settings.name);
  settings.bootstrap = sink.required_text("bootstrap");
  settings.topic = sink.required_text("topic");
  settings.partition = static_cast<KafkaSinkSettings::Partition>(sink.choice("partition", {"by_key", "by_shard"}, 0));
  settings.create_partitions = static_cast<int32_t>(sink.integer("create_partitions", 0, 0, INT32_MAX));
  settings.create_replication = static_cast<int32_t>(sink.integer("create_replication", -1, -1, INT16_MAX));
  for (auto& [name, value] : sink.settings("properties")) settings.properties.emplace(name, value);
  settings.max_pending_bytes =
      static_cast<uint64_t>(sink.integer("max_pending_bytes", static_cast<int64_t>(settings.max_pending_bytes), 1));
  settings.delivery_timeout_ms = sink.integer("delivery_timeout_ms", settings.delivery_timeout_ms, 1);
  settings.request_timeout_ms = sink.integer("request_timeout_ms", settings.request_timeout_ms, 1);
  return settings;
}

template <class Made>
Result<std::shared_ptr<Sink>> shared(Result<std::unique_ptr<Made>> made) {
  if (!made) return fail(made.error().in("sink"));
  return std::shared_ptr<Sink>(std::move(*made));
}

struct Maker {
  Result<std::shared_ptr<Sink>> operator()(const std::monostate&) const { return std::shared_ptr<Sink>(); }
  Result<std::shared_ptr<Sink>> operator()(const LogSinkPlan& plan) const {
    auto host = StorageHost::open(plan.storage);
    if (!host) return fail(host.error().in("sink.storage"));
    return shared(StorageSink::make(std::move(*host), plan.writer));
  }
  Result<std::shared_ptr<Sink>> operator()(const KafkaSinkSettings& settings) const {
    return shared(KafkaSink::make(settings));
  }
};

}  // namespace

SinkPlan read_sink(ConfigReader& config) {
  if (!config.has("sink")) return {};
  ConfigReader sink = config.object("sink");
  SinkPlan plan;
  switch (sink.choice("kind", {"", "log", "kafka"}, 0)) {
    case 1:
      plan = read_log(sink);
      break;
    case 2:
      plan = read_kafka(sink);
      break;
    default:
      sink.refuse("kind", R"("log" or "kafka" is wanted)");
  }
  sink.finish();
  return plan;
}

Result<std::shared_ptr<Sink>> make_sink(const SinkPlan& plan) {
  return std::visit(Maker{}, plan);
}

}  // namespace sluice::c
