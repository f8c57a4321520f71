// SPDX-License-Identifier: Apache-2.0
#include "c/sinks.hpp"

#include "sinks/settings.hpp"

namespace sluice::c {
namespace {

KafkaSinkSettings read_kafka(ConfigReader& sink) {
  KafkaSinkSettings settings;
  settings.name = sink.text("name", settings.name);
  settings.bootstrap = sink.required_text("bootstrap");
  settings.topic = sink.required_text("topic");
  settings.partition = static_cast<KafkaSinkSettings::Partition>(sink.choice("partition", {"by_key", "by_shard"}, 0));
  settings.create_partitions = static_cast<int32_t>(sink.integer("create_partitions", 0, 0, INT32_MAX));
  settings.create_replication = static_cast<int32_t>(sink.integer("create_replication", -1, -1, INT16_MAX));
  for (auto& [name, value] : sink.settings("properties")) settings.properties.emplace(name, value);
  settings.max_pending_bytes = sink.natural("max_pending_bytes", settings.max_pending_bytes, uint64_t{1});
  settings.delivery_timeout_ms = sink.integer("delivery_timeout_ms", settings.delivery_timeout_ms, 1);
  settings.request_timeout_ms = sink.integer("request_timeout_ms", settings.request_timeout_ms, 1);
  return settings;
}

template <class Made>
Result<MadeSink> shared(Result<std::unique_ptr<Made>> made) {
  if (!made) return fail(at_path(made.error(), "sink"));
  return MadeSink(std::shared_ptr<Sink>(std::move(*made)));
}

struct Maker {
  Result<MadeSink> operator()(const std::monostate&) const { return MadeSink(nullptr); }
  Result<MadeSink> operator()(const LogPlan& plan) const {
    auto host = plan.storage.open();
    if (!host) return fail(host.error().in("sink.storage"));
    return shared(StorageSink::make(std::move(*host), plan.writer));
  }
  Result<MadeSink> operator()(const KafkaSinkSettings& settings) const { return shared(KafkaSink::make(settings)); }
  Result<MadeSink> operator()(const CallsPlan& plan) const {
    auto held = acquire<SinkObject>(plan.sink);
    if (!held) return fail(held.error().in("sink.sink"));
    auto taken = (*held)->take();
    if (!taken) return fail(taken.error().in("sink.sink"));
    return MadeSink(std::move(*taken), std::move(*held));
  }
};

}  // namespace

MadeSink::~MadeSink() {
  if (lender_) (*lender_)->give_back(std::move(sink_));
}

SinkPlan read_sink(ConfigReader& config) {
  if (!config.has("sink")) return {};
  ConfigReader sink = config.object("sink");
  SinkPlan plan;
  switch (sink.choice("kind", {"", "log", "kafka", "calls"}, 0)) {
    case 1:
      plan = read_log(sink);
      break;
    case 2:
      plan = read_kafka(sink);
      sink.judge(sinks::check(std::get<KafkaSinkSettings>(plan)));
      break;
    case 3:
      plan = CallsPlan{static_cast<uint64_t>(sink.integer("sink", 0, 1))};
      break;
    default:
      sink.refuse("kind", R"("calls", "kafka" or "log" is wanted)");
  }
  sink.finish();
  return plan;
}

Result<std::shared_ptr<Sink>> take_sink(uint64_t handle) {
  const auto held = acquire<SinkObject>(handle);
  if (!held) return fail(held.error());
  return (*held)->take();
}

Status check_sink(const SinkPlan& plan) {
  const auto* log = std::get_if<LogPlan>(&plan);
  return log == nullptr ? Status() : log->storage.check();
}

Result<MadeSink> make_sink(const SinkPlan& plan) {
  return std::visit(Maker{}, plan);
}

}  // namespace sluice::c
