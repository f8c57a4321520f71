// SPDX-License-Identifier: Apache-2.0
#include "fast_lane.hpp"

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "checking_sink.hpp"
#include "producers.hpp"
#include "subscriber.hpp"

namespace sluice::soak {
namespace {

const std::string kWho = "fast";
constexpr int64_t kEndMs = 60'000;               // for a bus whose sink answers
constexpr std::chrono::seconds kDestruction{2};  // what a bus gives itself to deliver when it is destroyed

BusOptions options_of(Random& random, uint32_t number) {
  BusOptions options;
  options.name = "fast";
  options.shards = static_cast<uint32_t>(random.between(1, 3));
  options.capacity_events = random.of({1'024u, 4'096u, 16'384u, 16'384u});
  options.threads = random.one_in(4) ? 2 : 1;
  options.routing = random.of({Route::by_key, Route::by_key, Route::round_robin, Route::custom});
  if (options.routing == Route::custom) {
    options.route = [](const Event& event, uint32_t shards) {
      return static_cast<uint32_t>(event.key->back()) % shards;
    };
  }
  options.when_full = std::array{WhenFull::block, WhenFull::drop_newest, WhenFull::drop_oldest, WhenFull::sample,
                                 WhenFull::fail}[number % 5];
  options.block_ms = random.of({1u, 50u, 10'000u});
  options.batch.max_events = random.of({64u, 1'024u, 4'096u});
  options.batch.linger_us = random.of({0u, 200u, 1'000u});
  options.batch.adaptive = !random.one_in(4);
  options.retry.first_ms = 1;
  options.retry.longest_ms = 20;
  options.max_in_flight = static_cast<uint32_t>(random.between(1, 8));
  ScaleOptions& scale = options.scale;
  scale.enabled = !random.one_in(5);
  scale.max_shards = static_cast<uint32_t>(random.between(4, 8));
  scale.sample_ms = 10;
  scale.grow_above = 0.3;
  scale.shrink_below = 0.1;
  scale.shrink_events_per_s = 1e9;
  scale.sustain_ms = 40;
  scale.warm_up_ms = 100;
  scale.cooldown_ms = 100;
  scale.budget_changes = 100;
  scale.budget_ms = 10'000;
  options.log = [](std::string_view) {};  // of buses that are destroyed, which is as it should be here
  return options;
}

std::string text_of(const BusOptions& options, const ProducerPlan& producing) {
  static constexpr std::array kModes{"block", "drop_newest", "drop_oldest", "sample", "fail"};
  static constexpr std::array kRoutes{"by_key", "round_robin", "custom"};
  return fmt::format("{}, {}, {} shards of {}, {} threads, batches of {}, {} producers in groups of {}",
                     kModes[static_cast<size_t>(options.when_full)], kRoutes[static_cast<size_t>(options.routing)],
                     options.shards, options.capacity_events, options.threads, options.batch.max_events,
                     producing.threads, producing.group);
}

/// What happens to a bus while producers are at it.
void disturb(Random& random, Bus& bus, CheckingSink& sink, Producers& producers, double rate, Verdict& verdict) {
  switch (random.between(0, 9)) {
    case 0:
    case 1:
    case 2:
      sink.hold();
      std::this_thread::sleep_for(milliseconds(random.between(1, 150)));
      sink.release();
      break;
    case 3:
    case 4:
    case 5:
      producers.set_rate(rate * random.of({0.05, 0.5, 1.0, 1.25, 1.6, 1.6}));
      break;
    case 6:
      static_cast<void>(bus.flush(random.of({0, 5, 1'000})));  // fails when events did meanwhile
      break;
    case 7:
      static_cast<void>(bus.drain(random.of({0, 5, 1'000})));
      break;
    case 8:
      if (bus.health().level == BusHealth::Level::stopped)
        verdict.violated(kWho, "a bus that lives calls itself stopped");
      break;
    default: {
      const BusStats stats = bus.stats();
      if (stats.shards.size() < 8) {
        if (auto added = bus.add_shard(); !added) verdict.violated(kWho, "add_shard: " + added.error().describe());
      } else {
        static_cast<void>(bus.remove_shard(stats.shards.front().shard));  // which may be gone by now
      }
    }
  }
  check_sums(verdict, kWho, bus.stats());
  std::this_thread::sleep_for(milliseconds(random.between(1, 200)));
}

void check_end(Verdict& verdict, const BusStats& stats, const Produced& produced, const Taken& taken, uint64_t lost,
               bool evicts) {
  const auto equal = [&](const char* what, uint64_t is, uint64_t should) {
    verdict.expect_equal(kWho, what, is, should);
  };
  equal("outcomes that no event here can have", produced.other, 0);
  equal("offered", stats.offered, produced.offered);
  equal("accepted", stats.accepted, produced.queued + produced.dropped);
  equal("not accepted", stats.refused + stats.unrouted, produced.refused + produced.unrouted);
  if (!produced.mixed_causes) {
    equal("refused", stats.refused, produced.refused);
    equal("unrouted", stats.unrouted, produced.unrouted);
  }
  equal("dropped at once", stats.dropped.newest + stats.dropped.sampled, produced.dropped);
  equal("delivered, refused, failed, evicted or lost",
        taken.delivered + taken.refused + taken.failed + stats.dropped.oldest + lost, produced.queued);
  if (!evicts) equal("dropped as the oldest", stats.dropped.oldest, 0);
  if (produced.sum_known && !evicts && lost == 0) equal("the sum of all events", taken.sum, produced.sum);
}

}  // namespace

double measure_full_speed(double seconds, Verdict& verdict) {
  CheckingSinkPlan plan;
  const auto sink = std::make_shared<CheckingSink>(kWho, plan, verdict);
  BusOptions options;
  options.sink = sink;
  auto bus = Bus::create(std::move(options));
  if (!bus) {
    verdict.violated(kWho, bus.error().describe());
    return 0;
  }
  std::atomic<uint64_t> offered{0};
  const auto began = Clock::now();
  Producers producers(**bus, ProducerPlan{}, 0, offered);
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  const Produced produced = producers.join();
  static_cast<void>((*bus)->shutdown(kEndMs));
  const double took = std::chrono::duration<double>(Clock::now() - began).count();
  check_end(verdict, (*bus)->stats(), produced, sink->taken(), 0, false);
  return static_cast<double>(produced.queued) / took;
}

double FastLane::full_speed(Clock::time_point until) {
  rate_ = 0;
  while (Clock::now() < until) live_and_end();
  const Figures figures = tally_.take();
  return figures.seconds > 0 ? static_cast<double>(figures.delivered) / figures.seconds : 0;
}

void FastLane::run(double rate) {
  rate_ = rate;
  while (Clock::now() < terms_.until) {
    live_and_end();
    last_end_ = Clock::now();
  }
}

double FastLane::held() const {
  const Figures figures = tally_.get();
  return figures.seconds > 0 ? static_cast<double>(figures.offered) / figures.seconds : 0;
}

void FastLane::live_and_end() {
  Verdict& verdict = *terms_.verdict;
  const uint32_t number = ++buses_;
  BusOptions options = options_of(random_, number);
  const bool evicts = options.when_full == WhenFull::drop_oldest;
  CheckingSinkPlan plan;
  plan.bus = number;
  plan.ordered = random_.one_in(2);
  plan.failures = !plan.ordered && !random_.one_in(3);
  plan.seed = random_.seed();
  const ProducerPlan producing{number, random_.of<size_t>({1, 1, 1, 2, 3}), random_.of<size_t>({1, 1, 1, 1, 32, 256})};
  plan.bus_text = text_of(options, producing);
  // What a group leaves behind when its shard is full comes later, and elsewhere if shards came or went meanwhile.
  if (producing.group > 1) plan.order = options.routing == Route::round_robin ? Order::none : Order::key;
  const auto sink = std::make_shared<CheckingSink>(kWho, plan, verdict);
  options.sink = sink;
  const bool subscribed = random_.one_in(3);
  if (subscribed) options.retain_events = random_.of({4'096u, 65'536u});
  const auto arrivals = std::make_shared<Arrivals>();
  options.on_change = [arrivals](const ShardChange& change) {
    if (change.what == ShardChange::What::added) arrivals->add(change.shard);
  };
  auto made = Bus::create(std::move(options));
  if (!made) return verdict.violated(kWho, "create: " + made.error().describe());
  std::unique_ptr<Bus> bus = std::move(*made);
  std::optional<Subscriber> subscriber;
  if (subscribed) subscriber.emplace(kWho, *bus, number, producing.group == 1, arrivals, verdict);

  const auto began = Clock::now();
  Producers producers(*bus, producing, rate_, tally_.offered_now);
  const auto until = std::min(
      terms_.until, began + milliseconds(terms_.brisk ? random_.between(500, 2'000) : random_.between(1'000, 10'000)));
  while (Clock::now() < until) disturb(random_, *bus, *sink, producers, rate_, verdict);

  Figures figures;
  figures.buses = 1;
  figures.seconds = std::chrono::duration<double>(Clock::now() - began).count();
  Produced produced;
  BusStats stats;
  uint64_t lost = 0;
  if (random_.one_in(4)) {
    // No shutdown; at times with a sink that answers nothing, or only when the bus is gone.
    const bool held = random_.one_in(2);
    if (held) sink->hold();
    produced = producers.join();
    if (subscriber) subscriber->detach();
    if (!held) {
      stats = bus->stats();
      check_sums(verdict, kWho, stats);
    }
    stats = bus->stats();
    const auto destroying = Clock::now();
    lost = destroy(std::move(bus));
    const bool in_time = Clock::now() - destroying < kDestruction;
    const Taken taken = sink->taken();
    check_end(verdict, stats, produced, taken, lost, evicts);
    if (!held && in_time) verdict.expect_equal(kWho, "lost although the sink takes everything", lost, 0u);
    sink->release();
    figures.add(stats);
    figures.delivered = taken.delivered;
    figures.dropped.refused = taken.refused;
    figures.dropped.failed = taken.failed;
    figures.dropped.abandoned = lost;
    figures.destroyed = 1;
    if (subscriber) subscriber->finish();
  } else {
    const bool at_work = random_.one_in(2);  // producers go on while it ends
    if (!at_work) produced = producers.join();
    if (random_.one_in(2)) static_cast<void>(bus->drain(random_.of({1, 1'000})));
    const bool held = random_.one_in(3);
    if (held) sink->hold();
    Status ended = bus->shutdown(random_.of({0, 1, 50, 1'000}));
    sink->release();
    figures.ended_in_time = ended.code() != StatusCode::busy;
    if (ended.code() == StatusCode::busy) {
      figures.ended_late = 1;
      ended = bus->shutdown(kEndMs);
    }
    if (ended.code() == StatusCode::busy) verdict.violated(kWho, "shutdown: " + ended.describe());
    if (at_work) produced = producers.join();
    stats = bus->stats();
    const Taken taken = sink->taken();
    check_sums(verdict, kWho, stats);
    check_end(verdict, stats, produced, taken, 0, evicts);
    verdict.expect_equal(kWho, "pending after shutdown", stats.pending, 0u);
    verdict.expect_equal(kWho, "delivered", stats.delivered, taken.delivered);
    verdict.expect_equal(kWho, "dropped as refused", stats.dropped.refused, taken.refused);
    verdict.expect_equal(kWho, "dropped as failed", stats.dropped.failed, taken.failed);
    if (!bus->shutdown(0).ok()) verdict.violated(kWho, "a second shutdown fails");
    if (bus->health().level != BusHealth::Level::stopped)
      verdict.violated(kWho, "a bus that ended does not call itself stopped");
    if (subscriber) {
      subscriber->detach();
      const Subscriber::Got got = subscriber->finish();
      figures.subscribed = got.records;
      figures.passed = got.lost;
      if (got.complete && !evicts) {
        verdict.expect_equal(kWho, "what the subscriber read, or missed, of all that was queued",
                             got.records + got.lost, produced.queued);
      }
    }
    verdict.expect_equal(kWho, "lost after a shutdown", destroy(std::move(bus)), 0u);
    figures.add(stats);
  }
  tally_.add(figures);
}

}  // namespace sluice::soak
