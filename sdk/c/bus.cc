// SPDX-License-Identifier: Apache-2.0
#include "c/bus.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "c/boundary.hpp"
#include "c/config.hpp"
#include "c/records.hpp"
#include "c/sinks.hpp"
#include "sluice/c/bus.h"

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

constexpr int64_t kMost32 = std::numeric_limits<uint32_t>::max();

void read_u32(ConfigReader& config, std::string_view name, uint32_t& value) {
  value = static_cast<uint32_t>(config.integer(name, value, 0, kMost32));
}

void read_u64(ConfigReader& config, std::string_view name, uint64_t& value) {
  value = static_cast<uint64_t>(config.integer(name, static_cast<int64_t>(value), 0));
}

/// Types and names are judged here, ranges by Bus::create.
Result<BusOptions> read_options(std::string_view text) {
  ConfigReader config = ConfigReader::parse(text);
  BusOptions options;
  options.name = config.text("name", options.name);
  options.state_file = config.text("state_file");
  read_u32(config, "shards", options.shards);
  read_u32(config, "capacity_events", options.capacity_events);
  read_u32(config, "inline_bytes", options.inline_bytes);
  read_u32(config, "max_event_bytes", options.max_event_bytes);
  read_u64(config, "max_spilled_bytes", options.max_spilled_bytes);
  read_u32(config, "threads", options.threads);
  options.routing = static_cast<Route>(config.choice("routing", {"by_key", "round_robin"}, 0));
  options.when_full =
      static_cast<WhenFull>(config.choice("when_full", {"block", "drop_newest", "drop_oldest", "sample", "fail"}, 0));
  read_u32(config, "block_ms", options.block_ms);
  read_u32(config, "sample_one_in", options.sample_one_in);
  read_u32(config, "max_in_flight", options.max_in_flight);
  read_u32(config, "retain_events", options.retain_events);

  ConfigReader batch = config.object("batch");
  read_u32(batch, "max_events", options.batch.max_events);
  read_u64(batch, "max_bytes", options.batch.max_bytes);
  read_u32(batch, "linger_us", options.batch.linger_us);
  options.batch.adaptive = batch.boolean("adaptive", options.batch.adaptive);
  batch.finish();

  ConfigReader retry = config.object("retry");
  read_u32(retry, "retries", options.retry.retries);
  read_u32(retry, "first_ms", options.retry.first_ms);
  read_u32(retry, "longest_ms", options.retry.longest_ms);
  retry.finish();

  constexpr double kMost = std::numeric_limits<double>::max();
  ConfigReader scale = config.object("scale");
  options.scale.enabled = scale.boolean("enabled", options.scale.enabled);
  read_u32(scale, "min_shards", options.scale.min_shards);
  read_u32(scale, "max_shards", options.scale.max_shards);
  read_u32(scale, "sample_ms", options.scale.sample_ms);
  options.scale.grow_above = scale.number("grow_above", options.scale.grow_above, 0, 1);
  options.scale.shrink_below = scale.number("shrink_below", options.scale.shrink_below, 0, 1);
  options.scale.shrink_events_per_s = scale.number("shrink_events_per_s", options.scale.shrink_events_per_s, 0, kMost);
  read_u32(scale, "sustain_ms", options.scale.sustain_ms);
  read_u32(scale, "warm_up_ms", options.scale.warm_up_ms);
  read_u32(scale, "cooldown_ms", options.scale.cooldown_ms);
  read_u32(scale, "budget_changes", options.scale.budget_changes);
  read_u32(scale, "budget_ms", options.scale.budget_ms);
  scale.finish();

  const SinkPlan sink = read_sink(config);
  config.finish();
  if (Status verdict = config.verdict(); !verdict.ok()) return fail(std::move(verdict));
  // The last, since a sink may open something: what is said above must be right first.
  auto made = make_sink(sink);
  if (!made) return fail(std::move(made.error()));
  options.sink = std::move(*made);
  return options;
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

template <class Do>
sluice_status on_bus(sluice_handle bus, sluice_failure* failure, Do&& what) {
  return guarded(failure, [&]() -> Verdict {
    const auto held = acquire<BusObject>(bus);
    if (!held) return held.error();
    return what(*(*held)->bus);
  });
}

}  // namespace
}  // namespace sluice::c

using namespace sluice;     // NOLINT: the functions below are of C
using namespace sluice::c;  // NOLINT

extern "C" {

sluice_status sluice_bus_open(const char* config, uint64_t config_size, sluice_handle* bus, sluice_failure* failure) {
  return guarded(failure, [&]() -> Verdict {
    if (Status status = check_out(bus, "bus"); !status.ok()) return status;
    const auto text = text_of(config, config_size, "config");
    if (!text) return text.error();
    auto options = read_options(*text);
    if (!options) return options.error();
    auto made = Bus::create(std::move(*options));
    if (!made) return made.error();
    return give(std::make_unique<BusObject>(std::move(*made)), bus);
  });
}

sluice_status sluice_bus_ingest(sluice_handle bus, const sluice_event* event, sluice_failure* failure) {
  return on_bus(bus, failure, [&](Bus& made) -> Verdict {
    std::vector<Header> headers;
    Event taken;
    if (Verdict verdict = event_of(event, "event", headers, taken); !verdict.status.ok()) return verdict;
    const Outcome outcome = made.ingest(taken);
    if (outcome == Outcome::queued || outcome == Outcome::dropped) return {};
    return describe(outcome);
  });
}

sluice_status sluice_bus_ingest_batch(sluice_handle bus, const sluice_event* const* events, uint64_t count,
                                      sluice_ingested* ingested, sluice_failure* failure) {
  return on_bus(bus, failure, [&](Bus& made) -> Verdict {
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
    const BatchOutcome outcome = made.ingest(taken);
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
  return on_bus(bus, failure, [&](Bus& made) -> Verdict {
    const auto added = made.add_shard();
    if (!added) return added.error();
    if (shard != nullptr) *shard = *added;
    return {};
  });
}

sluice_status sluice_bus_remove_shard(sluice_handle bus, uint64_t shard, sluice_failure* failure) {
  return on_bus(bus, failure, [&](Bus& made) -> Verdict { return made.remove_shard(shard); });
}

sluice_status sluice_bus_drain(sluice_handle bus, int64_t timeout_ms, sluice_failure* failure) {
  return on_bus(bus, failure, [&](Bus& made) -> Verdict { return made.drain(timeout_ms); });
}

sluice_status sluice_bus_flush(sluice_handle bus, int64_t timeout_ms, sluice_failure* failure) {
  return on_bus(bus, failure, [&](Bus& made) -> Verdict { return made.flush(timeout_ms); });
}

sluice_status sluice_bus_shutdown(sluice_handle bus, int64_t timeout_ms, sluice_failure* failure) {
  return on_bus(bus, failure, [&](Bus& made) -> Verdict { return made.shutdown(timeout_ms); });
}

sluice_status sluice_bus_stats(sluice_handle bus, sluice_bus_counts* counts, sluice_failure* failure) {
  return on_bus(bus, failure, [&](Bus& made) -> Verdict {
    if (Status status = check_struct(counts, kCountsBytes, "counts"); !status.ok()) return status;
    const BusStats stats = made.stats();
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
    counts->health = static_cast<uint32_t>(made.health().level);
    return {};
  });
}

}  // extern "C"
