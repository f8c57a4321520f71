// SPDX-License-Identifier: Apache-2.0
#include "sluice/bus.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "bus/bus_impl.hpp"

namespace sluice {

std::atomic<uint64_t> Bus::Impl::lost_events_{0};

Status describe(Outcome outcome) {
  const auto status = [&](StatusCode code, const char* text) {
    return Status(code, text, static_cast<int64_t>(outcome));
  };
  switch (outcome) {
    case Outcome::queued:
    case Outcome::dropped:
      return {};
    case Outcome::full:
      return status(StatusCode::busy, "full: the event's shard has no room");
    case Outcome::timed_out:
      return status(StatusCode::busy, "timed_out: no room came in time");
    case Outcome::no_route:
      return status(StatusCode::not_found, "no_route: there is no shard for the event");
    case Outcome::shutting_down:
      return status(StatusCode::fenced, "shutting_down: the bus takes no more events");
    case Outcome::invalid:
      return status(StatusCode::invalid, "invalid: too many headers, or a size that no event can have");
    case Outcome::too_large:
      return status(StatusCode::too_large, "too_large: more than bus.max_event_bytes");
    case Outcome::no_memory:
      return status(StatusCode::unavailable, "no_memory: for an event that does not fit into its slot");
    case Outcome::exhausted:
      return status(StatusCode::internal, "exhausted: the shard has no sequence left");
  }
  return status(StatusCode::internal, "no such outcome");
}

void Bus::Impl::add(BusCounts& to, const BusCounts& counts) {
  to.accepted += counts.accepted;
  to.delivered += counts.delivered;
  to.pending += counts.pending;
  to.refused += counts.refused;
  to.dropped.newest += counts.dropped.newest;
  to.dropped.oldest += counts.dropped.oldest;
  to.dropped.sampled += counts.dropped.sampled;
  to.dropped.refused += counts.dropped.refused;
  to.dropped.failed += counts.dropped.failed;
  to.dropped.abandoned += counts.dropped.abandoned;
}

BusStats Bus::Impl::stats() {
  BusStats stats;
  {
    const std::lock_guard lock(mutex_);
    forget_finished();
    add(stats, forgotten_);
    stats.spilled = forgotten_spilled_;
    for (const auto* shards : {&live_, &draining_}) {
      for (const auto& shard : *shards)
        stats.shards.push_back(shard->counts()), stats.spilled += shard->spilled_events.load();
    }
    for (const auto& shard : finished_)
      stats.shards.push_back(shard->counts()), stats.spilled += shard->spilled_events.load();
    stats.scaled_up = scaled_up_;
    stats.scaled_down = scaled_down_;
  }
  for (const ShardCounts& counts : stats.shards) add(stats, counts);
  std::sort(stats.shards.begin(), stats.shards.end(), [](const auto& a, const auto& b) { return a.shard < b.shard; });
  stats.refused += refused_unqueued_.load(std::memory_order_relaxed);
  stats.unrouted = unrouted_.load(std::memory_order_relaxed);
  stats.offered = stats.accepted + stats.refused + stats.unrouted;
  stats.epoch = context_->epoch;
  stats.clock_failures = clock_.failures();
  stats.clock_steps_back = clock_.steps_back();
  return stats;
}

BusHealth Bus::Impl::health() const {
  BusHealth health;
  const auto report = [&](BusHealth::Level level, std::string reason) {
    health.level = std::max(health.level, level);
    health.reasons.push_back(std::move(reason));
  };
  if (was_shut_down()) {
    health.level = BusHealth::Level::stopped;
    return health;
  }
  constexpr double kHighFill = 0.9;
  if (clock_.failing())
    report(BusHealth::Level::degraded, "the clock fails: timestamps go on by the processor's counter");
  size_t live = 0;
  for (const auto& shard : all_shards()) {
    if (shard->is_finished()) continue;
    ++live;
    const uint64_t used = shard->ring.claimed() - shard->ring.released();
    const double fill = static_cast<double>(used) / shard->ring.capacity();
    if (fill > kHighFill)
      report(BusHealth::Level::degraded, fmt::format("shard {} is {:.0f}% full", shard->id(), fill * 100));
    if (shard->ring.claimed() == bus::kEndSequence) {
      report(BusHealth::Level::failing, fmt::format("shard {} has no sequence left", shard->id()));
    }
    if (const Status trouble = shard->trouble(); !trouble) {
      report(BusHealth::Level::failing, fmt::format("shard {}: {}", shard->id(), trouble.describe()));
    }
  }
  if (live == 0) report(BusHealth::Level::failing, "there is no shard");
  const std::lock_guard lock(mutex_);
  if (!no_more_shards_) report(BusHealth::Level::degraded, "scaling: no further shard: " + no_more_shards_.describe());
  return health;
}

Bus::Bus(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Result<std::unique_ptr<Bus>> Bus::create(BusOptions options) {
  auto impl = Impl::create(std::move(options));
  if (!impl) return fail(impl.error());
  return std::unique_ptr<Bus>(new Bus(std::move(*impl)));
}

Bus::~Bus() {
  if (!impl_->was_shut_down()) impl_->end_unasked();
}

uint64_t Bus::lost_at_destruction() {
  return Impl::lost_events();
}
Result<uint64_t> Bus::add_shard() {
  return impl_->add_shard();
}
Status Bus::remove_shard(uint64_t shard) {
  return impl_->remove_shard(shard);
}
std::vector<uint64_t> Bus::subscribable() const {
  return impl_->subscribable();
}
Result<std::unique_ptr<Source>> Bus::subscribe(uint64_t shard) {
  return impl_->subscribe(shard);
}
Status Bus::drain(int64_t timeout_ms) {
  return impl_->drain(timeout_ms);
}
Status Bus::flush(int64_t timeout_ms) {
  return impl_->flush(timeout_ms);
}
Status Bus::shutdown(int64_t timeout_ms) {
  return impl_->shutdown(timeout_ms);
}
BusStats Bus::stats() const {
  return impl_->stats();
}
BusHealth Bus::health() const {
  return impl_->health();
}

}  // namespace sluice
