// SPDX-License-Identifier: Apache-2.0
#include "c/bus.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <nlohmann/json.hpp>

#include "bus/validate.hpp"
#include "c/boundary.hpp"
#include "c/callback.hpp"
#include "c/config.hpp"
#include "c/records.hpp"
#include "c/sinks.hpp"
#include "c/telemetry.hpp"
#include "sluice/c/bus_calls.h"

namespace sluice::c {
namespace {

static_assert(SLUICE_EVENT_QUEUED == static_cast<unsigned>(Outcome::queued) &&
              SLUICE_EVENT_FULL == static_cast<unsigned>(Outcome::full));
static_assert(SLUICE_EVENT_SHUTTING_DOWN == static_cast<unsigned>(Outcome::shutting_down));
static_assert(SLUICE_EVENT_EXHAUSTED == static_cast<unsigned>(Outcome::exhausted));

// Of the first versions.
constexpr size_t kEventBytes = sizeof(sluice_event);
constexpr size_t kIngestedBytes = sizeof(sluice_ingested);
constexpr size_t kCountsBytes = sizeof(sluice_bus_counts);
constexpr size_t kCallsBytes = sizeof(sluice_bus_calls);

using nlohmann::json;

/// The application's functions, and word to it when nobody has them any more.
struct Calls {
  explicit Calls(const sluice_bus_calls& from) : calls(from) {}
  ~Calls() {
    if (calls.gone == nullptr || !opened) return;
    const InCallback inside;
    calls.gone(calls.context);
  }
  Calls(const Calls&) = delete;
  Calls& operator=(const Calls&) = delete;
  const sluice_bus_calls calls;
  std::atomic<bool> opened{false};  // there is a bus: else nobody is told of its end
};

uint32_t route_of(const sluice_bus_calls& calls, const Event& event, uint32_t shards) {
  std::vector<sluice_field> fields;  // not one for all calls: a route may put events in
  for (const Header& header : event.headers) fields.push_back({span_of(as_bytes(header.name)), span_of(header.value)});
  sluice_event shown{};
  shown.size = sizeof shown;
  shown.header_count = static_cast<uint32_t>(fields.size());
  shown.key = span_of(event.key);
  shown.value = span_of(event.value);
  shown.headers = fields.empty() ? nullptr : fields.data();
  const InCallback inside;
  return calls.route(calls.context, &shown, shards);
}

Result<std::shared_ptr<Sink>> sink_of(const sluice_bus_calls& calls, uint64_t shard) {
  sluice_handle handle = 0;
  {
    const InCallback inside;
    handle = calls.sink_for_shard(calls.context, shard);
  }
  if (handle == 0) return fail(StatusCode::invalid, fmt::format("there is no sink for shard {}", shard));
  auto taken = take_sink(handle);
  static_cast<void>(handles().release(handle));
  return taken;
}

void use_calls(const std::shared_ptr<Calls>& shared, BusOptions& options) {
  const sluice_bus_calls& given = shared->calls;
  if (given.route != nullptr) {
    options.route = [shared](const Event& event, uint32_t shards) { return route_of(shared->calls, event, shards); };
  }
  if (given.sink_for_shard != nullptr) {
    options.sink_for_shard = [shared](uint64_t shard) { return sink_of(shared->calls, shard); };
  }
  // Holds the functions in any case, so that they are gone when the bus is.
  options.on_change = [shared](const ShardChange& change) {
    if (shared->calls.on_change == nullptr) return;
    const InCallback inside;
    shared->calls.on_change(shared->calls.context, change.shard, static_cast<uint32_t>(change.what));
  };
  if (given.log != nullptr) {
    options.log = [shared](std::string_view line) {
      const InCallback inside;
      shared->calls.log(shared->calls.context, line.data(), line.size());
    };
  }
  if (given.clock != nullptr) {
    options.clock = [shared] {
      const InCallback inside;
      return shared->calls.clock(shared->calls.context);
    };
  }
}

/// All but the sink.
BusOptions read_options(ConfigReader& config, const std::shared_ptr<Calls>& calls) {
  BusOptions options;
  options.name = config.text("name", options.name);
  options.state_file = config.text("state_file");
  options.shards = config.natural("shards", options.shards);
  options.capacity_events = config.natural("capacity_events", options.capacity_events);
  options.inline_bytes = config.natural("inline_bytes", options.inline_bytes);
  options.max_event_bytes = config.natural("max_event_bytes", options.max_event_bytes);
  options.max_spilled_bytes = config.natural("max_spilled_bytes", options.max_spilled_bytes);
  options.threads = config.natural("threads", options.threads);
  options.routing = static_cast<Route>(config.choice("routing", {"by_key", "round_robin", "custom"}, 0));
  options.when_full =
      static_cast<WhenFull>(config.choice("when_full", {"block", "drop_newest", "drop_oldest", "sample", "fail"}, 0));
  options.block_ms = config.natural("block_ms", options.block_ms);
  options.sample_one_in = config.natural("sample_one_in", options.sample_one_in);
  options.max_in_flight = config.natural("max_in_flight", options.max_in_flight);
  options.retain_events = config.natural("retain_events", options.retain_events);

  ConfigReader batch = config.object("batch");
  options.batch.max_events = batch.natural("max_events", options.batch.max_events);
  options.batch.max_bytes = batch.natural("max_bytes", options.batch.max_bytes);
  options.batch.linger_us = batch.natural("linger_us", options.batch.linger_us);
  options.batch.adaptive = batch.boolean("adaptive", options.batch.adaptive);
  batch.finish();

  ConfigReader retry = config.object("retry");
  options.retry.retries = retry.natural("retries", options.retry.retries);
  options.retry.first_ms = retry.natural("first_ms", options.retry.first_ms);
  options.retry.longest_ms = retry.natural("longest_ms", options.retry.longest_ms);
  retry.finish();

  constexpr double kMost = std::numeric_limits<double>::max();
  ConfigReader scale = config.object("scale");
  options.scale.enabled = scale.boolean("enabled", options.scale.enabled);
  options.scale.min_shards = scale.natural("min_shards", options.scale.min_shards);
  options.scale.max_shards = scale.natural("max_shards", options.scale.max_shards);
  options.scale.sample_ms = scale.natural("sample_ms", options.scale.sample_ms);
  options.scale.grow_above = scale.number("grow_above", options.scale.grow_above, 0, 1);
  options.scale.shrink_below = scale.number("shrink_below", options.scale.shrink_below, 0, 1);
  options.scale.shrink_events_per_s = scale.number("shrink_events_per_s", options.scale.shrink_events_per_s, 0, kMost);
  options.scale.sustain_ms = scale.natural("sustain_ms", options.scale.sustain_ms);
  options.scale.warm_up_ms = scale.natural("warm_up_ms", options.scale.warm_up_ms);
  options.scale.cooldown_ms = scale.natural("cooldown_ms", options.scale.cooldown_ms);
  options.scale.budget_changes = scale.natural("budget_changes", options.scale.budget_changes);
  options.scale.budget_ms = scale.natural("budget_ms", options.scale.budget_ms);
  scale.finish();

  options.telemetry = read_telemetry(config);
  if (calls) use_calls(calls, options);
  if (options.routing == Route::custom && !options.route) config.refuse("routing", "no function says the route");
  if (config.has("sink") && options.sink_for_shard) config.refuse("sink", "a function gives the sinks");
  config.judge(bus::validate(options, config.has("sink") ? bus::SinkToCome::yes : bus::SinkToCome::no), "bus.");
  return options;
}

/// `calls` may be empty.
Result<std::unique_ptr<BusObject>> open_bus(std::string_view text, const std::shared_ptr<Calls>& calls) {
  ConfigReader config = ConfigReader::parse(text);
  BusOptions options = read_options(config, calls);
  const SinkPlan plan = read_sink(config);
  config.finish();
  if (Status verdict = config.verdict(); !verdict.ok()) return fail(std::move(verdict));
  if (Status bad = check_sink(plan); !bad.ok()) return fail(std::move(bad));
  auto sink = make_sink(plan);
  if (!sink) return fail(std::move(sink.error()));
  options.sink = sink->get();
  auto made = Bus::create(std::move(options));
  if (!made) return fail(at_path(made.error(), "", "bus."));
  sink->keep();
  if (calls) calls->opened = true;
  return std::make_unique<BusObject>(std::move(*made));
}

json counts_of(const BusCounts& counts) {
  const Dropped& dropped = counts.dropped;
  return {{"accepted", counts.accepted},
          {"delivered", counts.delivered},
          {"pending", counts.pending},
          {"refused", counts.refused},
          {"dropped",
           {{"newest", dropped.newest},
            {"oldest", dropped.oldest},
            {"sampled", dropped.sampled},
            {"refused", dropped.refused},
            {"failed", dropped.failed},
            {"abandoned", dropped.abandoned}}}};
}

json report_of(const BusStats& stats, const BusHealth& health) {
  static constexpr const char* kLevels[] = {"ok", "degraded", "failing", "stopped"};
  json report = counts_of(stats);
  report.update({{"offered", stats.offered},
                 {"unrouted", stats.unrouted},
                 {"epoch", stats.epoch},
                 {"clock_failures", stats.clock_failures},
                 {"clock_steps_back", stats.clock_steps_back},
                 {"scaled_up", stats.scaled_up},
                 {"scaled_down", stats.scaled_down},
                 {"spilled", stats.spilled},
                 {"health", {{"level", kLevels[static_cast<size_t>(health.level)]}, {"reasons", health.reasons}}},
                 {"shards", json::array()}});
  for (const ShardCounts& shard : stats.shards) {
    json counts = counts_of(shard);
    counts.update({{"shard", shard.shard},
                   {"draining", shard.draining},
                   {"finished", shard.finished},
                   {"batches", shard.batches},
                   {"retries", shard.retries},
                   {"subscribable", shard.subscribable}});
    report["shards"].push_back(std::move(counts));
  }
  return report;
}

/// Checks one event; its headers lie in `headers` then.
Verdict event_of(const sluice_event* event, std::string_view name, std::vector<Header>& headers, Event& result) {
  if (Status status = check_struct(event, kEventBytes, name); !status.ok()) return status;
  if (Verdict verdict = headers_of(event->headers, event->header_count, headers); !verdict.status.ok()) return verdict;
  const auto key = bytes_of(event->key, "key");
  if (!key) return key.error();
  const auto value = bytes_of(event->value, "value");
  if (!value) return value.error();
  result = Event{*key, *value, headers};
  return {};
}

}  // namespace
}  // namespace sluice::c

using namespace sluice;     // NOLINT: the functions below are of C
using namespace sluice::c;  // NOLINT

extern "C" {

sluice_status sluice_bus_open(const char* config, uint64_t config_size, sluice_handle* bus, sluice_failure* failure) {
  return open_by({config, config_size, "config"}, bus, "bus", failure,
                 [](std::string_view text) { return open_bus(text, nullptr); });
}

sluice_status sluice_bus_open_with(const char* config, uint64_t config_size, const sluice_bus_calls* calls,
                                   sluice_handle* bus, sluice_failure* failure) {
  const auto open = [&](std::string_view text) -> Result<std::unique_ptr<BusObject>> {
    if (Status status = check_struct(calls, kCallsBytes, "calls"); !status.ok()) return fail(std::move(status));
    if (calls->reserved != 0) return fail(StatusCode::invalid, "calls.reserved is not 0");
    return open_bus(text, std::make_shared<Calls>(*calls));
  };
  return open_by({config, config_size, "config"}, bus, "bus", failure, open);
}

sluice_status sluice_bus_ingest_raw(sluice_handle bus, sluice_span value, sluice_failure* failure) {
  sluice_event event{};
  event.size = sizeof event;
  event.value = value;
  return sluice_bus_ingest(bus, &event, failure);
}

sluice_status sluice_bus_ingest(sluice_handle bus, const sluice_event* event, sluice_failure* failure) {
  return on<BusObject>(bus, failure, [&](BusObject& object) -> Verdict {
    std::vector<Header> headers;
    Event taken;
    if (Verdict verdict = event_of(event, "event", headers, taken); !verdict.status.ok()) return verdict;
    const Outcome outcome = object.bus->ingest(taken);
    if (outcome == Outcome::queued || outcome == Outcome::dropped) return {};
    return describe(outcome);
  });
}

sluice_status sluice_bus_ingest_batch(sluice_handle bus, const sluice_event* const* events, uint64_t count,
                                      sluice_ingested* ingested, sluice_failure* failure) {
  return on<BusObject>(bus, failure, [&](BusObject& object) -> Verdict {
    if (events == nullptr && count != 0) return Status(StatusCode::invalid, fmt::format("{} events at NULL", count));
    if (count > kMaxBatchEvents) {
      return Status(StatusCode::too_large, fmt::format("{} events; at most {}", count, kMaxBatchEvents));
    }
    if (ingested != nullptr) {
      if (Status status = check_struct(ingested, kIngestedBytes, "ingested"); !status.ok()) return status;
    }
    std::vector<Event> taken(count);
    std::vector<std::vector<Header>> headers(count);
    for (uint64_t i = 0; i < count; ++i) {
      const std::string name = events[i] == nullptr ? fmt::format("events[{}]", i) : "event";
      if (Verdict verdict = event_of(events[i], name, headers[i], taken[i]); !verdict.status.ok()) {
        return {verdict.status, static_cast<int64_t>(i)};
      }
    }
    const BatchOutcome outcome = object.bus->ingest(taken);
    if (ingested != nullptr) {
      ingested->outcome = static_cast<uint32_t>(outcome.outcome);
      ingested->index = outcome.index;
      ingested->queued = outcome.queued;
      ingested->dropped = outcome.dropped;
    }
    if (outcome.index == count) return {};
    return {describe(outcome.outcome), static_cast<int64_t>(outcome.index)};
  });
}

sluice_status sluice_bus_add_shard(sluice_handle bus, uint64_t* shard, sluice_failure* failure) {
  return on<BusObject>(bus, failure, [&](BusObject& object) -> Verdict {
    const auto added = object.bus->add_shard();
    if (!added) return added.error();
    if (shard != nullptr) *shard = *added;
    return {};
  });
}

sluice_status sluice_bus_remove_shard(sluice_handle bus, uint64_t shard, sluice_failure* failure) {
  return on<BusObject>(bus, failure, [&](BusObject& object) -> Verdict { return object.bus->remove_shard(shard); });
}

sluice_status sluice_bus_drain(sluice_handle bus, int64_t timeout_ms, sluice_failure* failure) {
  return on<BusObject>(bus, failure, [&](BusObject& object) -> Verdict { return object.bus->drain(timeout_ms); });
}

sluice_status sluice_bus_flush(sluice_handle bus, int64_t timeout_ms, sluice_failure* failure) {
  return on<BusObject>(bus, failure, [&](BusObject& object) -> Verdict { return object.bus->flush(timeout_ms); });
}

sluice_status sluice_bus_shutdown(sluice_handle bus, int64_t timeout_ms, sluice_failure* failure) {
  return on<BusObject>(bus, failure, [&](BusObject& object) -> Verdict { return object.bus->shutdown(timeout_ms); });
}

sluice_status sluice_bus_stats(sluice_handle bus, sluice_bus_counts* counts, sluice_failure* failure) {
  return on<BusObject>(bus, failure, [&](BusObject& object) -> Verdict {
    if (Status status = check_struct(counts, kCountsBytes, "counts"); !status.ok()) return status;
    const BusStats stats = object.bus->stats();
    counts->shards = static_cast<uint32_t>(
        std::ranges::count_if(stats.shards, [](const ShardCounts& shard) { return !shard.draining; }));
    counts->offered = stats.offered;
    counts->accepted = stats.accepted;
    counts->delivered = stats.delivered;
    counts->pending = stats.pending;
    counts->refused = stats.refused;
    counts->unrouted = stats.unrouted;
    counts->dropped_newest = stats.dropped.newest;
    counts->dropped_oldest = stats.dropped.oldest;
    counts->dropped_sampled = stats.dropped.sampled;
    counts->dropped_refused = stats.dropped.refused;
    counts->dropped_failed = stats.dropped.failed;
    counts->dropped_abandoned = stats.dropped.abandoned;
    counts->epoch = stats.epoch;
    counts->health = static_cast<uint32_t>(object.bus->health().level);
    return {};
  });
}

sluice_status sluice_bus_report(sluice_handle bus, char* buffer, uint64_t capacity, uint64_t* needed,
                                sluice_failure* failure) {
  return on<BusObject>(bus, failure, [&](BusObject& object) -> Verdict {
    return write_json(report_of(object.bus->stats(), object.bus->health()), buffer, capacity, needed);
  });
}

sluice_status sluice_bus_subscribable(sluice_handle bus, uint64_t* shards, uint64_t capacity, uint64_t* needed,
                                      sluice_failure* failure) {
  return on<BusObject>(bus, failure, [&](BusObject& object) -> Verdict {
    const std::vector<uint64_t> ids = object.bus->subscribable();
    if (needed != nullptr) *needed = ids.size();
    if (capacity < ids.size()) {
      return Status(StatusCode::too_large, fmt::format("{} shards, room for {}", ids.size(), capacity));
    }
    if (ids.empty()) return {};
    if (Status status = check_out(shards, "shards"); !status.ok()) return status;
    std::ranges::copy(ids, shards);
    return {};
  });
}

uint64_t sluice_bus_lost(void) {
  return Bus::lost_at_destruction();
}

}  // extern "C"
